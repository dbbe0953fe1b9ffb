package jobs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// text reads a JSON string; what is absent is absent's.
func text(raw json.RawMessage, at, absent string) (string, error) {
	if isNull(raw) {
		return absent, nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", wrong(at, "must be text")
	}
	return s, nil
}

// array reads a JSON array; what is absent is empty.
func array(raw json.RawMessage, at string) ([]json.RawMessage, error) {
	if isNull(raw) {
		return nil, nil
	}
	var l []json.RawMessage
	if err := json.Unmarshal(raw, &l); err != nil {
		return nil, wrong(at, "must be a list")
	}
	return l, nil
}

// object reads one JSON object whose names are all different and, where known
// names are given, among them.
func object(raw json.RawMessage, at string, known ...string) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if first, err := dec.Token(); err != nil || first != json.Delim('{') {
		return nil, wrong(at, "must be a JSON object")
	}
	fields := map[string]json.RawMessage{}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil, wrong(at, "is not JSON from byte %d on", dec.InputOffset())
		}
		where := at + "/" + pointerToken(name)
		if len(known) > 0 && !slices.Contains(known, name) {
			return nil, &PushError{Code: PushField, Pointer: where, Detail: fmt.Sprintf("there is no field %.80q here: leave it out; there are %s", name, strings.Join(known, ", "))}
		}
		if _, twice := fields[name]; twice {
			return nil, wrong(where, "stands here twice")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, wrong(where, "is not JSON from byte %d on", dec.InputOffset())
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, wrong(at, "ends too early")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, wrong(at, "has something behind its end")
	}
	return fields, nil
}

// pointerToken writes a name as a part of a JSON pointer (RFC 6901 §3).
func pointerToken(name string) string {
	if len(name) > 100 {
		name = name[:100]
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(strings.ToValidUTF8(name, "\uFFFD"))
}
