package oauthflow

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth is how deep an answer nests.
const maxDepth = 32

// errAnswer is every fault of a body. It says nothing of the body, which may hold tokens.
var errAnswer = errors.New("it is not one well-formed object in which no name stands twice and nothing holds U+0000")

// decodeObject reads one JSON object in which, at any depth, no name stands twice and no text holds U+0000 or invalid
// UTF-8. Numbers stay json.Number.
func decodeObject(raw []byte) (map[string]any, error) {
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(raw) {
		return nil, errAnswer
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errAnswer
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errAnswer
	}
	return object, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	tok, err := d.Token()
	if err != nil || depth > maxDepth {
		return nil, errAnswer
	}
	switch tok := tok.(type) {
	case string:
		if strings.ContainsRune(tok, 0) {
			return nil, errAnswer
		}
		return tok, nil
	case json.Delim:
		if tok == '{' {
			return decodeMembers(d, depth)
		}
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		if _, err := d.Token(); err != nil {
			return nil, errAnswer
		}
		return list, nil
	default:
		return tok, nil
	}
}

func decodeMembers(d *json.Decoder, depth int) (any, error) {
	object := map[string]any{}
	for d.More() {
		name, err := decodeValue(d, depth+1)
		key, ok := name.(string)
		if err != nil || !ok {
			return nil, errAnswer
		}
		if _, twice := object[key]; twice {
			return nil, errAnswer
		}
		if object[key], err = decodeValue(d, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errAnswer
	}
	return object, nil
}

// decodeForm reads a form in which no name stands twice, under the same rules.
func decodeForm(raw []byte) (map[string]any, error) {
	values, err := url.ParseQuery(strings.TrimSpace(string(raw)))
	if err != nil {
		return nil, errAnswer
	}
	object := map[string]any{}
	for key, v := range values {
		if len(v) != 1 || strings.ContainsRune(key+v[0], 0) || !utf8.ValidString(key+v[0]) {
			return nil, errAnswer
		}
		object[key] = v[0]
	}
	return object, nil
}

// objectAt follows a dotted path of names.
func objectAt(fields map[string]any, path string) (map[string]any, bool) {
	if path == "" {
		return fields, true
	}
	for name := range strings.SplitSeq(path, ".") {
		next, ok := fields[name].(map[string]any)
		if !ok {
			return nil, false
		}
		fields = next
	}
	return fields, true
}

// tokenField returns a token, "" where it is absent or null, and false where it is no text of visible ASCII
// (RFC 6749 appendix A.12, A.17): a header could not carry it.
func tokenField(fields map[string]any, name string) (string, bool) {
	v := fields[name]
	if v == nil {
		return "", true
	}
	s, ok := v.(string)
	if !ok {
		return "", false
	}
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' {
			return "", false
		}
	}
	return s, true
}

// lifeOf reads a number of seconds, as a number or a text of one, within [0, MaxLife]. What is no number is 0, unknown:
// a token is not thrown away for it.
func lifeOf(v any) time.Duration {
	var text string
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case string:
		text = strings.TrimSpace(v)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil && !math.IsInf(seconds, 1) || math.IsNaN(seconds) || seconds <= 0 {
		return 0
	}
	if seconds >= MaxLife.Seconds() {
		return MaxLife
	}
	return time.Duration(seconds * float64(time.Second)).Truncate(time.Second)
}
