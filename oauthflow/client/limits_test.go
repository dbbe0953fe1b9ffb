package client_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/httpx"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
)

// paced returns a client whose source says its limits by headers and reasons.
func paced(t *testing.T, g oauthflow.Gate, api *site) *http.Client {
	t.Helper()
	allow, err := httpx.ParseAllowList([]string{api.host()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(client.Config{
		Grant: uuid.New(), Tokens: &fakeTokens{}, Gate: g, GateKey: "api:x", Hosts: []string{api.host()},
		Options: httpx.Options{Allow: allow, PlainLoopback: true},
		Retry: httpx.Retry{Headers: httpx.RetryHeaders{
			Milliseconds: []string{"X-Wait-Ms"}, EpochSeconds: []string{"X-RateLimit-Reset"}, Remaining: []string{"X-RateLimit-Remaining"},
		}},
		Reasons: []string{"rateLimitExceeded", "userRateLimitExceeded"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// TestTheSourcesOwnLimits: the gate is told what the source says of its limits, and the caller reads every answer whole.
func TestTheSourcesOwnLimits(t *testing.T) {
	t.Parallel()
	const plain, jsonType = "text/plain", "application/json; charset=UTF-8"
	google := `{"error":{"code":403,"errors":[{"domain":"usageLimits","reason":"userRateLimitExceeded"}]}}`
	later := fmt.Sprint(time.Now().Add(10 * time.Minute).Unix())
	for name, c := range map[string]struct {
		status int
		header map[string]string
		kind   string
		body   string
		failed bool
		after  time.Duration // within a few seconds
		reason string
	}{
		"a reason":                          {403, nil, jsonType, google, true, 0, "HTTP 403"},
		"a reason with a time":              {403, map[string]string{"X-Wait-Ms": "9000"}, jsonType, google, true, 9 * time.Second, "HTTP 403"},
		"a reason in a list":                {403, nil, "application/problem+json", `[{"reason":"rateLimitExceeded"}]`, true, 0, "HTTP 403"},
		"another reason":                    {403, nil, jsonType, `{"reason":"insufficientPermissions","message":"rateLimitExceeded"}`, false, 0, ""},
		"a reason that is no text":          {403, nil, jsonType, `{"reason":["rateLimitExceeded"],"reasons":"rateLimitExceeded"}`, false, 0, ""},
		"a reason in no JSON":               {403, nil, plain, google, false, 0, ""},
		"a reason in broken JSON":           {403, nil, jsonType, google[:60], false, 0, ""},
		"a reason far behind":               {403, nil, jsonType, `{"x":"` + strings.Repeat("y", 64<<10) + `","reason":"rateLimitExceeded"}`, false, 0, ""},
		"a reason with a success":           {200, nil, jsonType, google, false, 0, ""},
		"a reason with another refusal":     {404, nil, jsonType, google, false, 0, ""},
		"nothing":                           {403, nil, jsonType, "", false, 0, ""},
		"the last call":                     {200, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": later}, jsonType, "{}", false, 10 * time.Minute, "limit is used up"},
		"the last call, nothing new":        {304, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": later}, jsonType, "", false, 10 * time.Minute, "limit is used up"},
		"the last call, nothing there":      {404, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": later}, jsonType, "{}", false, 10 * time.Minute, "limit is used up"},
		"the last call but one":             {200, map[string]string{"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": later}, jsonType, "{}", false, 0, ""},
		"one too many":                      {403, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": later}, jsonType, "{}", true, 10 * time.Minute, "HTTP 403"},
		"a success that says Retry-After":   {200, map[string]string{"Retry-After": "9"}, jsonType, "{}", false, 0, ""},
		"a limit by milliseconds":           {429, map[string]string{"X-Wait-Ms": "9000"}, plain, "", true, 9 * time.Second, "HTTP 429"},
		"a missing right with a reset time": {403, map[string]string{"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": later}, jsonType, "{}", false, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &fakeGate{}
			api := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range c.header {
					w.Header().Set(k, v)
				}
				w.Header().Set("Content-Type", c.kind)
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := paced(t, g, api).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); err != nil || string(body) != c.body || resp.StatusCode != c.status {
				t.Errorf("the caller reads %d bytes of %d: %v", len(body), len(c.body), err)
			}
			if len(g.ends) != 1 {
				t.Fatalf("told %+v", g.ends)
			}
			end := g.ends[0]
			off := (end.RetryAfter - c.after).Abs()
			if end.Failed != c.failed || off > 5*time.Second || end.Break || !strings.Contains(end.Reason, c.reason) || c.reason == "" && end.Reason != "" {
				t.Errorf("told %+v, want failed %t after %s, %q", end, c.failed, c.after, c.reason)
			}
			if strings.Contains(end.Reason, "imitExceeded") {
				t.Errorf("the reason quotes the answer: %s", end.Reason)
			}
		})
	}
}

// TestARefusalThatBreaksOff fails where it broke off, not at its start, and a long one is not held back.
func TestARefusalThatBreaksOff(t *testing.T) {
	t.Parallel()
	api := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "99")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"reason":"rateLimitExceeded"}`)
	})
	g := &fakeGate{}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := paced(t, g, api).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil || string(body) != `{"reason":"rateLimitExceeded"}` {
		t.Errorf("%q, %v", body, err)
	}
}
