package embed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tributary/internal/embed"
	"tributary/internal/embed/embedtest"
)

func TestKeyStaysSecret(t *testing.T) {
	t.Parallel()
	_, o := start(t, embedtest.Options{Key: "another"}, func(c *embed.Config) { c.APIKey = embed.NewSecret(key) })
	_, err := o.Embed(t.Context(), texts(1))
	if e := classOf(t, err); e.Class != embed.Auth {
		t.Errorf("got class %v", e.Class)
	}
	_, echo := start(t, embedtest.Options{}, func(c *embed.Config) { c.APIKey = embed.NewSecret(key); c.URL = "http://127.0.0.1:1/v1?key=" + key })
	_, err2 := echo.Embed(t.Context(), texts(1))
	s, noisy := start(t, embedtest.Options{}, func(c *embed.Config) { c.APIKey = embed.NewSecret(key) })
	s.Next(embedtest.Fault{Status: 404, Message: "no model for key " + key})
	_, err3 := noisy.Embed(t.Context(), texts(1))
	if !strings.Contains(err3.Error(), "no model for key [redacted]") {
		t.Errorf("got %v", err3)
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("profile", "key", embed.NewSecret(key), "err", err)
	raw, jerr := json.Marshal(struct{ Key embed.Secret }{embed.NewSecret(key)})
	if jerr != nil {
		t.Fatal(jerr)
	}
	shown := fmt.Sprintf("%v %+v %#v %s %q %x %v %v %v %+v %#v", embed.NewSecret(key), embed.Config{APIKey: embed.NewSecret(key)}, embed.Config{APIKey: embed.NewSecret(key)},
		embed.NewSecret(key), embed.NewSecret(key), embed.NewSecret(key), err, err2, err3, o, *o) + log.String() + string(raw)
	if strings.Contains(shown, "very-secret") || strings.Contains(shown, fmt.Sprintf("%x", "very-secret")) {
		t.Errorf("the key shows in %s", shown)
	}
}

func TestSlowAnswerIsTransientAndCancelIsItself(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{}, func(c *embed.Config) { c.Timeout = 50 * time.Millisecond })
	hold := make(chan struct{})
	defer close(hold)
	s.Always(&embedtest.Fault{Hold: hold})
	_, err := o.Embed(t.Context(), texts(1))
	if e := classOf(t, err); e.Class != embed.Transient || !strings.Contains(e.Msg, "50ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Embed(ctx, texts(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestNobodyListening(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{}, nil)
	s.Close()
	_, err := o.Embed(t.Context(), texts(1))
	if e := classOf(t, err); e.Class != embed.Transient {
		t.Errorf("got %v", err)
	}
}

func TestEndlessAnswerIsCut(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	o, err := embed.NewOpenAI(embed.Config{URL: s.URL, Model: "m", Dimensions: 8, HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = o.Embed(t.Context(), texts(1)); classOf(t, err).Class != embed.Invalid {
		t.Errorf("got %v", err)
	}
}

func TestPrefixesAndNormalisation(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{}, func(c *embed.Config) { c.QueryPrefix, c.DocumentPrefix, c.Normalise = "query: ", "passage: ", true })
	if _, err := o.EmbedQuery(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Embed(t.Context(), []string{"x"}); err != nil {
		t.Fatal(err)
	}
	if got := s.Computed(); got["query: x"] != 1 || got["passage: x"] != 1 || len(got) != 2 {
		t.Errorf("got %v", got)
	}
	if _, err := o.EmbedQuery(t.Context(), " "); classOf(t, err).Class != embed.Invalid {
		t.Errorf("got %v for an empty question", err)
	}
}

func TestTestReportsWhatItFound(t *testing.T) {
	t.Parallel()
	_, o := start(t, embedtest.Options{Dimensions: 12}, func(c *embed.Config) { c.Dimensions = 0 })
	info, err := o.Test(t.Context())
	if err != nil || info.Dimensions != 12 || info.Model != "m" || !info.Normalised {
		t.Errorf("got %+v, %v", info, err)
	}
	_, o = start(t, embedtest.Options{Dimensions: 12}, nil)
	info, err = o.Test(t.Context())
	if e := classOf(t, err); e.Class != embed.Invalid || info.Dimensions != 12 || !strings.Contains(e.Msg, "--dimensions 12") {
		t.Errorf("got %+v, %v", info, err)
	}
	s, o := start(t, embedtest.Options{Dimensions: 12}, func(c *embed.Config) { c.SendDimensions = true })
	if info, err = o.Test(t.Context()); err != nil || info.Dimensions != 8 || s.Requests() != 1 {
		t.Errorf("got %+v, %v", info, err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]embed.Config{
		"no scheme":        {URL: "localhost:11434/v1", Model: "m"},
		"other scheme":     {URL: "file:///v1", Model: "m"},
		"password in url":  {URL: "http://a:b@localhost/v1", Model: "m"},
		"no model":         {URL: "http://localhost/v1"},
		"dimensions":       {URL: "http://localhost/v1", Model: "m", Dimensions: 4001},
		"key with newline": {URL: "http://localhost/v1", Model: "m", APIKey: embed.NewSecret("a\nb")},
		"nothing to send":  {URL: "http://localhost/v1", Model: "m", SendDimensions: true},
	} {
		if _, err := embed.NewOpenAI(cfg); classOf(t, err).Class != embed.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
