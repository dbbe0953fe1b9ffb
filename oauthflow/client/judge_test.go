package client_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
)

// testOneResource: a source that refuses some resources costs one refresh within JudgedFor and not the grant, and the
// others are read.
func testOneResource(t *testing.T) {
	t.Parallel()
	api := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	tokens := &fakeTokens{lives: true}
	c := newClient(t, tokens, nil, api)
	for _, path := range []string{"/a", "/b", "/a", "/c"} {
		if _, err := get(t, c, api.URL+path); connectors.ClassOf(err) != connectors.ScopeDenied {
			t.Errorf("%s: got %v", path, err)
		}
	}
	mustGet(t, c, api.URL+"/good", http.StatusOK)
	if tokens.refreshes != 1 || tokens.asked != 1 {
		t.Errorf("%d refreshes, %d questions", tokens.refreshes, tokens.asked)
	}
	// Another token is judged for itself, as is the same one later.
	tokens.mu.Lock()
	tokens.gen++
	tokens.lives = false
	tokens.mu.Unlock()
	if _, err := get(t, c, api.URL+"/a"); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("got %v", err)
	}
	tokens = &fakeTokens{lives: true}
	soon := newClient(t, tokens, nil, api)
	_, _ = get(t, soon, api.URL+"/a")
	_, _ = get(t, soon, api.URL+"/a")
	if tokens.refreshes != 1 {
		t.Errorf("%d refreshes", tokens.refreshes)
	}
	tokens = &fakeTokens{lives: true}
	late := forgetful(t, tokens, api)
	_, _ = get(t, late, api.URL+"/a")
	_, _ = get(t, late, api.URL+"/a")
	if tokens.refreshes != 2 || tokens.asked != 2 {
		t.Errorf("%d refreshes, %d questions", tokens.refreshes, tokens.asked)
	}
}

// forgetful is a client that judges every second 401 anew.
func forgetful(t *testing.T, tokens oauthflow.Tokens, api *site) *http.Client {
	t.Helper()
	allow, err := httpx.ParseAllowList([]string{api.host()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{
		Grant: uuid.New(), Tokens: tokens, Hosts: []string{api.host()}, Options: httpx.Options{Allow: allow, PlainLoopback: true}, JudgedFor: time.Nanosecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}
