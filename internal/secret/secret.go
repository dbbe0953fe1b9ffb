package secret

import (
	"crypto/subtle"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Redacted is what every formatting of a secret shows.
const Redacted = "[redacted]"

// ErrNotStorable is returned where a secret is handed to a database as it is.
var ErrNotStorable = errors.New("storing a secret: seal it first")

// Text is a string that shows itself only through Reveal. The zero value is empty.
//
// SECURITY: it holds a pointer, because package fmt calls no methods on unexported fields but prints what they hold.
type Text struct{ value *string }

// New returns a secret that reveals s.
func New(s string) Text { return Text{&s} }

// Reveal returns the secret itself.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsSet reports whether the secret is not empty.
func (t Text) IsSet() bool { return t.value != nil && *t.value != "" }

// Equal reports whether both reveal the same, in a time that depends only on the lengths.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String returns a placeholder.
func (Text) String() string { return Redacted }

// GoString returns a placeholder.
func (Text) GoString() string { return Redacted }

// Format writes a placeholder, whatever the verb.
func (Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// MarshalJSON returns a placeholder.
func (Text) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// MarshalText returns a placeholder.
func (Text) MarshalText() ([]byte, error) { return []byte(Redacted), nil }

// LogValue returns a placeholder.
func (Text) LogValue() slog.Value { return slog.StringValue(Redacted) }

// Value refuses: a database sees sealed secrets only.
func (Text) Value() (driver.Value, error) { return nil, ErrNotStorable }
