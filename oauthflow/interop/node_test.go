package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// registrationToken lets the tests register clients at oidc-provider, as its operator would.
const registrationToken = "registration-token-of-the-tests"

// startNode starts oidc-provider in a process of its own, which ends with the test, or with this process.
func startNode(t *testing.T, o options) *server {
	t.Helper()
	node := findNode(t)
	o = o.orDefaults()
	rotation := "always"
	if o.rotateLate {
		rotation = "default"
	}
	when := "offline_access"
	if o.alwaysRefresh {
		when = "always"
	}
	config, err := json.Marshal(map[string]any{
		"registration_token": registrationToken,
		"accounts":           accounts(),
		"scopes":             []string{readFiles, writeFiles},
		"resources":          map[string]string{resource: readFiles + " " + writeFiles},
		"access_seconds":     o.access.Seconds(),
		"refresh_seconds":    o.refresh.Seconds(),
		"rotation":           rotation,
		"refresh_tokens":     when,
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{issuer: runNode(t, node, config), traits: traits{iss: true, offlineByPrompt: true, sharedGrant: true, openID: true}}
	s.requests = func(t *testing.T) []request {
		t.Helper()
		var out []request
		call(t, http.MethodGet, s.issuer+"/requests", nil, nil, &out)
		return out
	}
	s.register = func(t *testing.T, c client) client {
		t.Helper()
		return registerAtNode(t, s.metadata(t).Register, c)
	}
	return s
}

// findNode returns the program, or skips where this machine has none.
func findNode(t *testing.T) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("TEST_REQUIRE") != "" {
			t.Fatal("Node is missing, and CI and TEST_REQUIRE forbid to skip: run scripts/setup.sh --for test")
		}
		t.Skip("Node is missing: run scripts/setup.sh --for test")
	}
	if _, err := os.Stat(filepath.Join("node", "node_modules", "oidc-provider")); err != nil {
		t.Fatal("the Node modules are missing: run scripts/setup-node.sh")
	}
	return node
}

// runNode returns the issuer of a server that listens.
func runNode(t *testing.T, node string, config []byte) string {
	t.Helper()
	cmd := exec.Command(node, "server.js") // it ends when its standard input does
	cmd.Dir = "node"
	var problems output
	cmd.Stderr = &problems
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		late := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		if err := cmd.Wait(); err != nil || !late.Stop() {
			t.Errorf("oidc-provider did not end with its standard input: %v", err)
		}
		if t.Failed() {
			t.Logf("oidc-provider says:\n%s", problems.String())
		}
	})
	if _, err := in.Write(append(config, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("oidc-provider ended at once: %v\n%s", err, problems.String())
	}
	var ready struct {
		Issuer string `json:"issuer"`
	}
	if err := json.Unmarshal([]byte(line), &ready); err != nil || !strings.HasPrefix(ready.Issuer, "http://127.0.0.1:") {
		t.Fatalf("oidc-provider says %q: %v", line, err)
	}
	return ready.Issuer
}

// registerAtNode registers a client as its operator would (RFC 7591 §3.1).
func registerAtNode(t *testing.T, endpoint string, c client) client {
	t.Helper()
	if c.Auth == "" {
		c.Auth = "client_secret_basic"
	}
	about := map[string]any{"token_endpoint_auth_method": c.Auth}
	if c.Redirect != "" {
		about["redirect_uris"] = []string{c.Redirect}
		about["response_types"] = []string{"code"}
		about["grant_types"] = []string{"authorization_code", "refresh_token"}
		about["scope"] = "openid profile offline_access " + readFiles + " " + writeFiles
	} else {
		about["redirect_uris"] = []string{}
		about["response_types"] = []string{}
		about["grant_types"] = []string{"client_credentials"}
		about["scope"] = readFiles + " " + writeFiles
	}
	if c.JWKS != nil {
		about["jwks"] = c.JWKS
		about["token_endpoint_auth_signing_alg"] = "ES256"
	}
	body, err := json.Marshal(about)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+registrationToken)
	var made struct {
		ID          string `json:"client_id"`
		Secret      string `json:"client_secret"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if status := send(t, req, &made); status != http.StatusCreated {
		t.Fatalf("registering a client: status %d, %s: %s", status, made.Error, made.Description)
	}
	c.ID, c.Secret = made.ID, made.Secret
	return c
}

// output collects what a process writes while others read it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
