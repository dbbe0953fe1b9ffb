package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Values reads what an admin set by the Spec's types and defaults. The first
// value that does not fit makes Err an error of class Invalid that names the
// setting; every read after it returns a zero value.
type Values struct {
	spec  Spec
	op    string
	given map[string]string
	err   error
}

// Values returns the settings of env as s has them. Op says what fails: "opening
// github".
func (s Spec) Values(op string, env Env) *Values {
	return &Values{spec: s, op: op, given: env.Settings}
}

// Text returns a setting as it is. The value of an Enum is one of its options.
func (v *Values) Text(name string) string {
	if v.err != nil {
		return ""
	}
	value := strings.TrimSpace(v.given[name])
	for _, f := range v.spec.Settings {
		if f.Name != name {
			continue
		}
		if value == "" {
			value = f.Default
		}
		if f.Type == Enum && !slices.Contains(f.Options, value) {
			v.fail(name, fmt.Errorf("%q is not one of %s", value, strings.Join(f.Options, ", ")))
		}
		return value
	}
	v.err = &Error{Op: v.op, Class: Bug, Err: fmt.Errorf("there is no setting %q", name)}
	return ""
}

// Bool returns a setting that is true or false.
func (v *Values) Bool(name string) bool {
	switch text := v.Text(name); {
	case v.err != nil:
	case text == "true":
		return true
	case text != "false":
		v.fail(name, fmt.Errorf("%q is neither true nor false", text))
	}
	return false
}

// Int returns a setting that is a whole number from least to most, of what unit
// says: "kilobytes".
func (v *Values) Int(name string, least, most int64, unit string) int64 {
	text := v.Text(name)
	if v.err != nil {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < least || n > most {
		v.fail(name, fmt.Errorf("%q is not a number of %s from %d to %d", text, unit, least, most))
		return 0
	}
	return n
}

func (v *Values) fail(name string, err error) { v.err = InvalidField(v.op, "setting "+name, err) }

// Err returns what was wrong with the first value that did not fit.
func (v *Values) Err() error { return v.err }

// InvalidField is the error of a field that an admin has to correct.
func InvalidField(op, field string, err error) error {
	return &Error{Op: op, Class: Invalid, Err: fmt.Errorf("%s: %w", field, err)}
}

// Client returns what carries the connection's authorisation, or, where there
// is no grant, an error of class Invalid.
func (e Env) Client(op string) (*http.Client, error) {
	if e.HTTP == nil {
		return nil, &Error{Op: op, Class: Invalid, Err: errors.New("the connection has no grant: connect it first")}
	}
	return e.HTTP, nil
}

// Logger returns Log, or one that is silent.
func (e Env) Logger() *slog.Logger {
	if e.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.Log
}

// EncodeCursor returns v, a struct that always encodes, as a cursor.
func EncodeCursor(v any) Cursor {
	data, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return data
}

// ForeignCursor is the error of a cursor that is none of this listing, or has
// the form of another version.
func ForeignCursor(op string) error {
	return &Error{Op: op, Class: CursorExpired, Err: errors.New("the cursor is not one of this listing")}
}
