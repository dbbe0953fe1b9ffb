package giteatest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tributary/connectors/connectortest/contract"
)

const (
	envGitea   = "TEST_GITEA"
	password   = "correct horse 42"
	admin      = "root-admin"
	startLimit = 90 * time.Second
)

// server is a running Gitea. Tributary's requests go through a proxy that holds them to the official description of the API.
type server struct {
	t    *testing.T
	real string // the server's own address
	base string // the address that everybody uses: the proxy's

	tokens map[string]string // of the people's own

	mu    sync.Mutex
	asked []string
}

// start runs a Gitea of its own in a temporary directory.
func start(t *testing.T, signInRequired bool, most int) *server {
	t.Helper()
	dir := os.Getenv(envGitea)
	if dir == "" {
		t.Skipf("%s is not set: run make test-gitea", envGitea)
	}
	s := &server{t: t, tokens: map[string]string{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	must(t, listener.Close())
	s.real = fmt.Sprintf("http://127.0.0.1:%d", port)
	s.proxy()
	home := t.TempDir()
	config := filepath.Join(home, "app.ini")
	must(t, os.WriteFile(config, []byte(s.config(home, dir, port, signInRequired, most)), 0o600))
	run := func(args ...string) *exec.Cmd {
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(dir, "gitea"), append(args, "--config", config)...)
		cmd.Env = append(os.Environ(), "GITEA_WORK_DIR="+home, "HOME="+home, "GITEA_I_AM_BEING_UNSAFE_RUNNING_AS_ROOT=true")
		cmd.Dir = home
		return cmd
	}
	if out, err := run("migrate").CombinedOutput(); err != nil {
		t.Fatalf("migrating: %v\n%s", err, tail(out))
	}
	create := run("admin", "user", "create", "--admin", "--username", admin, "--password", password, "--email", "admin@kit.example", "--must-change-password=false")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("making the administrator: %v\n%s", err, tail(out))
	}
	var log bytes.Buffer
	web := run("web")
	web.Stdout, web.Stderr = &log, &log
	web.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, web.Start())
	t.Cleanup(func() {
		_ = web.Process.Signal(syscall.SIGTERM)
		_ = web.Wait()
		if t.Failed() {
			t.Logf("the server's log ends:\n%s", tail(log.Bytes()))
		}
	})
	s.await()
	return s
}

func tail(b []byte) string { return string(b[max(0, len(b)-3000):]) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// config lets lists be cut at a number of entries, whatever is asked for.
func (s *server) config(home, dir string, port int, signInRequired bool, most int) string {
	return fmt.Sprintf(`APP_NAME = kit
RUN_MODE = prod
WORK_PATH = %[1]s
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = %[3]d
ROOT_URL = %[4]s/
STATIC_ROOT_PATH = %[2]s/static
OFFLINE_MODE = true
DISABLE_SSH = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = %[1]s/gitea.db
[repository]
ROOT = %[1]s/repositories
DEFAULT_BRANCH = main
[security]
INSTALL_LOCK = true
PASSWORD_HASH_ALGO = pbkdf2_v1
[service]
DISABLE_REGISTRATION = true
REQUIRE_SIGNIN_VIEW = %[5]t
[indexer]
ISSUE_INDEXER_TYPE = db
[api]
MAX_RESPONSE_ITEMS = %[6]d
DEFAULT_PAGING_NUM = 2
DEFAULT_GIT_TREES_PER_PAGE = %[6]d
[cron]
ENABLED = false
[actions]
ENABLED = false
[log]
LEVEL = Warn
MODE = console
`, home, dir, port, s.base, signInRequired, most)
}

// proxy puts the checker of the contract between Tributary and the server.
func (s *server) proxy() {
	target, err := url.Parse(s.real)
	must(s.t, err)
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	checked := described(s.t).Handler(forward)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "tributary" || !strings.HasPrefix(r.URL.Path, "/api/") {
			forward.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		s.asked = append(s.asked, r.URL.RequestURI())
		s.mu.Unlock()
		checked.ServeHTTP(w, r)
	}))
	s.t.Cleanup(front.Close)
	s.base = front.URL
}

// described is the official description, with what a real server does otherwise.
func described(t *testing.T) *contract.Checker {
	c := contract.Load(t, contract.File{Name: "gitea.openapi.json", Prefix: "/api/v1"})
	c.Undescribed("GET", "/repositories/{id}", "a repository by its id, whose name may have changed")
	c.Undescribed("GET", "/repos/{owner}/{repo}/pulls/{index}/reviews/{id}/comments", "the line comments of a review")
	const null = "the server writes null for what is absent; its description knows no null"
	c.Differs("*", "null /**", null)
	c.Differs("*", "/**/username", "users have their login under its old name too")
	c.Differs("GET /repos/{owner}/{repo}/media/{filepath}", "media type text/plain", "files that are text are sent as text")
	c.Differs("GET /repos/{owner}/{repo}/teams", "status 405", "a repository that belongs to a person has no teams")
	return c
}

// requests returns what Tributary asked since the last call.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// await polls until the server answers.
func (s *server) await() {
	s.t.Helper()
	deadline := time.Now().Add(startLimit)
	for {
		resp, err := http.Get(s.real + "/api/healthz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the server does not answer within %s: %v", startLimit, err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

// call sends a request of the API as somebody, "" being nobody, and returns the status and the answer.
func (s *server) call(who, method, path string, body any) (int, []byte) {
	s.t.Helper()
	var in io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		must(s.t, err)
		in = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.real+"/api/v1/"+path, in)
	must(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	if token := s.token(who); token != "" {
		req.Header.Set("Authorization", "token "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	must(s.t, err)
	return resp.StatusCode, data
}

// token is a token of somebody's own with every right, made once with their password.
func (s *server) token(who string) string {
	s.t.Helper()
	if who == "" || s.tokens[who] != "" {
		return s.tokens[who]
	}
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.real+"/api/v1/users/"+who+"/tokens", strings.NewReader(`{"name":"kit","scopes":["all"]}`))
	must(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(who, password)
	resp, err := http.DefaultClient.Do(req)
	must(s.t, err)
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		SHA string `json:"sha1"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.SHA == "" {
		s.t.Fatalf("making a token for %s: status %d, %v", who, resp.StatusCode, err)
	}
	s.tokens[who] = answer.SHA
	return answer.SHA
}

// do sends a request that has to succeed and decodes the answer into v, which may be nil.
func (s *server) do(who, method, path string, body, v any) {
	s.t.Helper()
	status, data := s.call(who, method, path, body)
	if status < 200 || status > 299 {
		s.t.Fatalf("%s %s as %s: status %d: %s", method, path, who, status, tail(data))
	}
	if v != nil {
		must(s.t, json.Unmarshal(data, v))
	}
}

// made sends a request that makes something and returns its id or number.
func (s *server) made(who, path string, body any) (id, number int64) {
	s.t.Helper()
	var answer struct {
		ID     int64 `json:"id"`
		Number int64 `json:"number"`
	}
	s.do(who, http.MethodPost, path, body, &answer)
	return answer.ID, answer.Number
}

// object is a JSON object.
type object map[string]any

// words joins a path.
func words(elems ...string) string { return strings.Join(elems, "/") }
