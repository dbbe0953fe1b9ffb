package httpx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
)

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// TestAPIOpen: content comes as it is, and a broken one is no end.
func TestAPIOpen(t *testing.T) {
	t.Parallel()
	a, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "6")
		fmt.Fprint(w, "whole!"[:len(r.URL.Query().Get("n"))])
	})
	for n, want := range map[string]bool{"xxxxxx": true, "xxx": false} {
		content, _, err := a.Open(t.Context(), Call{Op: opTest, Path: "file", Query: url.Values{"n": {n}}})
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(content)
		if (err == nil) != want || string(b) != "whole!"[:len(n)] {
			t.Errorf("%q: %v", b, err)
		}
		if e, ok := errors.AsType[*connectors.Error](err); !want && (!ok || e.Op != opTest || e.Class != connectors.Transient) {
			t.Errorf("%#v", err)
		}
		content.Close()
	}
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "too much") })
	small := &API{HTTP: plain(t, Options{Limits: Limits{Body: 3}}, s), Base: s.URL}
	ref := connectors.ItemRef{ID: "7", Revision: "1"}
	content, _, err := small.Open(t.Context(), Call{Op: opTest, Path: "file", Ref: ref})
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	_, err = io.ReadAll(content)
	if e, ok := errors.AsType[*connectors.Error](err); !ok || e.Class != connectors.ItemSkipped || e.Ref != ref || e.Op != opTest {
		t.Errorf("too large: %#v", err)
	}
}

// TestAPISaysNothing: no address, query, header or body is in an error or the log.
func TestAPISaysNothing(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	a, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
		code := map[string]int{"/v1/no-" + canary: 403, "/v1/down-" + canary: 500}[r.URL.Path]
		if code == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("X-Echo", canary)
		w.WriteHeader(code)
		fmt.Fprint(w, canary)
	})
	a.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, path := range []string{"no-" + canary, "down-" + canary, "abort-" + canary, "bad-%zz" + canary} {
		_, err := a.JSON(t.Context(), Call{Op: opTest, Path: path, Query: url.Values{"q": {canary}}}, &struct{}{})
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, errors.Unwrap(err)), canary) {
			t.Errorf("%s: %v", path, err)
		}
	}
	err := Failure(t.Context(), opTest, &url.Error{Op: "Get", URL: "https://api.example.com/" + canary, Err: errors.New(canary)})
	if strings.Contains(err.Error(), canary) || connectors.ClassOf(err) != connectors.Transient {
		t.Errorf("%v", err)
	}
	if log.Len() == 0 || strings.Contains(log.String(), canary) {
		t.Errorf("log: %s", &log)
	}
}

// TestAPIEnds: a caller who leaves ends the waiting, and nothing is sent afterwards.
func TestAPIEnds(t *testing.T) {
	t.Parallel()
	h, n := statuses(nil, "", 503)
	a, _ := service(t, h)
	still := newClock()
	a.Retry.Clock = still
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := a.JSON(ctx, Call{Op: opTest, Path: "x"}, nil)
		done <- err
	}()
	<-still.armed
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) || n.Load() != 1 {
			t.Errorf("%v after %d requests", err, n.Load())
		}
	case <-time.After(patience):
		t.Fatal("the call goes on")
	}
}
