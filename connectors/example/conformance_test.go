package example

import (
	"net/http"
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
