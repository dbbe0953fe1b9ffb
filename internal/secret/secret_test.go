package secret_test

import (
	"bytes"
	"database/sql/driver"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tributary/internal/secret"
)

const canary = "canary-4f1d9c"

type holder struct {
	Open   secret.Text
	Ptr    *secret.Text
	hidden secret.Text
	List   []secret.Text
	Map    map[string]secret.Text
}

// TestTextNeverShows sends a secret down every formatting, encoding and logging path.
func TestTextNeverShows(t *testing.T) {
	t.Parallel()
	s := secret.New(canary)
	h := holder{Open: s, Ptr: &s, hidden: s, List: []secret.Text{s}, Map: map[string]secret.Text{"k": s}}
	shown := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%10.3s", "%[1]*d"} {
		for name, v := range map[string]any{"value": s, "pointer": &s, "struct": h, "struct pointer": &h, "slice": h.List, "map": h.Map} {
			shown[verb+" of "+name] = fmt.Sprintf(verb, v)
		}
	}
	shown["error"] = fmt.Errorf("asking with %v: %w", s, errors.New("x")).Error()
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		l := slog.New(handler).With("with", s)
		l.Info("m", "value", s, "struct", h, "group", slog.GroupValue(slog.Attr{Key: "in", Value: slog.AnyValue(h)}))
	}
	shown["slog"] = log.String()
	raw, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	shown["json"] = string(raw)
	if raw, err = yaml.Marshal(struct{ S secret.Text }{s}); err != nil {
		t.Fatal(err)
	}
	shown["yaml"] = string(raw)
	if raw, err = xml.Marshal(&s); err != nil {
		t.Fatal(err)
	}
	shown["xml"] = string(raw)
	var g bytes.Buffer
	_ = gob.NewEncoder(&g).Encode(s)
	shown["gob"] = g.String()
	for path, text := range shown {
		for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary)} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the secret: %s", path, text)
			}
		}
	}
	if _, err := driver.DefaultParameterConverter.ConvertValue(s); !errors.Is(err, secret.ErrNotStorable) {
		t.Errorf("as a database argument: got error %v, want ErrNotStorable", err)
	}
}

func TestTextRevealsAndCompares(t *testing.T) {
	t.Parallel()
	s, zero := secret.New(canary), secret.Text{}
	if s.Reveal() != canary || !s.IsSet() {
		t.Errorf("got %q", s.Reveal())
	}
	if zero.Reveal() != "" || zero.IsSet() || secret.New("").IsSet() {
		t.Error("the zero value is not empty")
	}
	if !s.Equal(secret.New(canary)) || s.Equal(secret.New(canary+"x")) || s.Equal(zero) || !zero.Equal(secret.New("")) {
		t.Error("Equal disagrees with the values")
	}
	if !reflect.DeepEqual(s, secret.New(canary)) {
		t.Error("two equal secrets differ for a test that compares")
	}
}

// TestTextIsNotReadBack shows that a redacted document cannot come back as a secret.
func TestTextIsNotReadBack(t *testing.T) {
	t.Parallel()
	var into struct{ S secret.Text }
	if err := json.Unmarshal([]byte(`{"S":"[redacted]"}`), &into); err == nil {
		t.Errorf("read back as %q", into.S.Reveal())
	}
}
