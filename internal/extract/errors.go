package extract

import "errors"

// Error says why a document has no text. Two errors with the same Reason match
// each other under errors.Is, whatever caused them.
type Error struct {
	Reason string // one short stable sentence for a quarantine or skip list
	Err    error  // the cause, or nil
}

// Error returns the reason and its cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Reason
	}
	return e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is an Error of the same reason.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Reason == e.Reason
}

// The reasons for which a document cannot become text.
var (
	ErrUnsupported = &Error{Reason: "The file is not HTML, Markdown, text, source code or PDF."}
	ErrEmpty       = &Error{Reason: "The file is empty."}
	ErrTooLarge    = &Error{Reason: "The document is larger than the limit."}
	ErrNoText      = &Error{Reason: "The document contains no text."}
	ErrImageOnly   = &Error{Reason: "The PDF consists of images; it needs text recognition (OCR) first."}
	ErrEncrypted   = &Error{Reason: "The PDF is protected by a password."}
	ErrBroken      = &Error{Reason: "The PDF is damaged."}
	ErrTimeout     = &Error{Reason: "Reading the PDF took longer than the limit."}
)

// because returns the error with its cause.
func (e *Error) because(cause error) error { return &Error{Reason: e.Reason, Err: cause} }
