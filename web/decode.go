package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
)

// maxJSONDepth bounds the nesting of a request body.
const maxJSONDepth = 16

// decodeJSON reads the one JSON object of the request into v: of type
// application/json, at most 1 MB, without unknown or repeated names and with
// nothing behind it.
func decodeJSON(r *http.Request, v any) error {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return problem(http.StatusUnsupportedMediaType, codeMediaType, "send the body as Content-Type: application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBodyBytes))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return problem(http.StatusRequestEntityTooLarge, codeTooLarge, fmt.Sprintf("the body may have %d bytes at most", maxBodyBytes))
		}
		return invalid("", "the body could not be read to its end")
	}
	if err := checkShape(body); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return decodeProblem(err)
	}
	return nil
}

// checkShape walks the tokens of body: one object, not too deep, no name twice.
func checkShape(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	first, err := dec.Token()
	if err != nil || first != json.Delim('{') {
		return invalid("", "the body must be one JSON object")
	}
	w := shapeWalker{dec: dec}
	if err := w.object("", 1); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return invalid("", "there is something behind the JSON object")
	}
	return nil
}

type shapeWalker struct{ dec *json.Decoder }

func (w shapeWalker) object(path string, depth int) error {
	seen := map[string]bool{}
	for w.dec.More() {
		tok, err := w.dec.Token()
		if err != nil {
			return syntaxProblem(err)
		}
		name, ok := tok.(string)
		if !ok {
			return syntaxProblem(nil)
		}
		field := strings.TrimPrefix(path+"."+name, ".")
		// encoding/json matches names without regard to case.
		if fold := strings.ToLower(name); seen[fold] {
			return invalid(field, "the name stands in the object twice")
		} else {
			seen[fold] = true
		}
		if err := w.value(field, depth); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	if err != nil {
		return syntaxProblem(err)
	}
	return nil
}

func (w shapeWalker) value(path string, depth int) error {
	tok, err := w.dec.Token()
	if err != nil {
		return syntaxProblem(err)
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	if depth >= maxJSONDepth {
		return invalid(path, fmt.Sprintf("the body is nested more than %d levels deep", maxJSONDepth))
	}
	if delim == '{' {
		return w.object(path, depth+1)
	}
	for w.dec.More() {
		if err := w.value(path, depth+1); err != nil {
			return err
		}
	}
	if _, err := w.dec.Token(); err != nil {
		return syntaxProblem(err)
	}
	return nil
}

func syntaxProblem(err error) error {
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return invalid("", fmt.Sprintf("the body is not JSON: byte %d", syntax.Offset))
	}
	return invalid("", "the body is not JSON, or it ends too early")
}

var unknownField = regexp.MustCompile(`^json: unknown field "(.*)"$`)

// decodeProblem says which field has the wrong type or no meaning.
func decodeProblem(err error) error {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if typeErr, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return invalid(typeErr.Field, fmt.Sprintf("must be of another type than %s", typeErr.Value))
	}
	// encoding/json has no type for this error.
	if m := unknownField.FindStringSubmatch(err.Error()); m != nil {
		return invalid(m[1], "there is no such field")
	}
	return syntaxProblem(err)
}
