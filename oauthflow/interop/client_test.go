package interop

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/httpx"
	authorised "tributary/oauthflow/client"
	"tributary/store"
)

// sourceOf is the client that a connector gets for a source on the server's own host.
func (in *instance) sourceOf(t *testing.T, s *server, grant uuid.UUID) *http.Client {
	t.Helper()
	hosts := hostOf(t, s)
	allow, err := httpx.ParseAllowList(hosts)
	if err != nil {
		t.Fatal(err)
	}
	c, err := authorised.New(authorised.Config{Grant: grant, Tokens: in.keeper, Hosts: hosts, Options: httpx.Options{Allow: allow, PlainLoopback: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// whoAmI asks the server's userinfo, which is the one resource that both servers have.
func whoAmI(t *testing.T, s *server, c *http.Client) (subject string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.metadata(t).Userinfo, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := httpx.Do(c, req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		Subject string `json:"sub"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatalf("status %d: %v", resp.StatusCode, err)
	}
	return answer.Subject, nil
}

// TestSource calls a resource with the client that connectors get: a token that ran out at the server alone is replaced
// in the middle of a request, and a grant that the server ended is lost. zitadel answers 403 to a dead token, which
// says nothing about the token.
func TestSource(t *testing.T) {
	t.Parallel()
	in, s := newInstance(t), startNode(t, options{alwaysRefresh: true, access: 2 * time.Second})
	r, c := in.add(t, s, "server")
	res := in.mustConnect(t, newBrowser(t, ann), asked(r, "source"))
	source := in.sourceOf(t, s, res.Grant)
	if who, err := whoAmI(t, s, source); who != ann || err != nil {
		t.Fatalf("first: %q, %v", who, err)
	}
	if n := len(s.tokenRequests(t, "refresh_token")); n != 0 {
		t.Errorf("%d refreshes of a fresh token", n)
	}
	s.awaitEnd(t, in.pair(t, res.Grant).Access.Reveal())
	who, err := whoAmI(t, s, source)
	if n := len(s.tokenRequests(t, "refresh_token")); who != ann || err != nil || n != 1 {
		t.Fatalf("with a dead token: %q after %d refreshes, %v", who, n, err)
	}
	held := in.pair(t, res.Grant)
	s.revoke(t, c, held.Refresh.Reveal())
	if _, err := whoAmI(t, s, source); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("with a dead grant: %v", err)
	}
	if _, state, reason := in.state(t, res.Grant, res.Connection); state != store.StateNeedsReauth || reason == "" {
		t.Errorf("connection %s: %q", state, reason)
	}
}

// awaitEnd returns when the server's resource refuses a token.
func (s *server) awaitEnd(t *testing.T, token string) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	address := s.metadata(t).Userinfo
	for call(t, http.MethodGet, address, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }, nil, nil) != http.StatusUnauthorized {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the token never ends")
		}
	}
}
