package example

import (
	"net/http"
	"slices"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/internal/httpx"
)

// TestConformance is not parallel: the kit looks for goroutines left behind.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{Setup: func(tb connectortest.TB) connectortest.Fixture {
		s := newSite()
		wire := &http.Transport{}
		tb.Cleanup(func() {
			s.Mend()
			wire.CloseIdleConnections()
			s.server.Close()
		})
		return connectortest.Fixture{
			Connector: New(Config{PageSize: pageSize, Retry: httpx.Retry{Attempts: 1}}), Site: s, Secret: canary,
			Env: connectors.Env{HTTP: &http.Client{Transport: bearer{wire}}, Base: s.server.URL},
		}
	}})
}

// TestCursorForm pins the form of stored cursors: raise cursorVersion when it
// changes.
func TestCursorForm(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]cursor{
		`{"v":1,"token":"next"}`: {Token: "next"},
		`{"v":1,"end":true}`:     {End: true},
	} {
		if got := string(c.encode()); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if back, err := parseCursor("reading", connectors.Cursor(want)); err != nil || back.Token != c.Token || back.End != c.End {
			t.Errorf("%s reads as %+v, error %v", want, back, err)
		}
	}
}

// TestSelection: what the patterns leave out is not synced.
func TestSelection(t *testing.T) {
	t.Parallel()
	s := newSite()
	t.Cleanup(s.server.Close)
	for _, name := range []string{"docs/a.md", "docs/old/b.md", "c.md"} {
		if _, err := s.Put(name, name); err != nil {
			t.Fatal(err)
		}
	}
	session, err := New(Config{}).Open(t.Context(), connectors.Env{
		HTTP: &http.Client{Transport: bearer{http.DefaultTransport}}, Base: s.server.URL,
		Selection: connectors.Selection{Include: []string{"docs/**"}, Exclude: []string{"old"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for page, err := range session.Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			paths = append(paths, c.Document.Path)
		}
	}
	if !slices.Equal(paths, []string{"docs/a.md"}) {
		t.Errorf("synced %v", paths)
	}
}

// TestProblems: an obstacle is named by its code, and says what to do.
func TestProblems(t *testing.T) {
	t.Parallel()
	h := http.Header{"Www-Authenticate": {`Bearer error="insufficient_scope"`}}
	err := judge(httpx.Refusal{Call: httpx.Call{Op: "listing"}, Status: http.StatusForbidden, Header: h})
	if err == nil || err.Code != problemScope || err.Class != connectors.ScopeDenied {
		t.Errorf("%+v", err)
	}
	if err := judge(httpx.Refusal{Status: http.StatusForbidden, Header: http.Header{}}); err != nil {
		t.Errorf("a plain 403 is left to its status: %v", err)
	}
}
