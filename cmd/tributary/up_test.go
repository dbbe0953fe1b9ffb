package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"tributary/store"
)

// TestUpWithDemo does what the first minute of a newcomer is: start, try the
// three commands, stop, start again.
func TestUpWithDemo(t *testing.T) {
	t.Parallel()
	s := newSite(t, demoEnv(t)...)
	// The project's docs are found from the working directory.
	docs, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	s.write("docs", map[string]string{"settings.md": string(docs)})
	up := s.start("up", "--demo")
	up.await("Ctrl-C stops Tributary.")
	for _, want := range []string{"http://" + s.setting("TRIBUTARY_ADDR"), "Synced demo-docs: 1 documents", "Synced demo-go"} {
		if !strings.Contains(up.out.String(), want) {
			t.Errorf("up does not say %q:\n%s", want, up.out)
		}
	}
	runTour(t, s, up.out.String())
	checkDrive(t, s, up.out.String())
	checkSecondUp(t, s)
	checkDoctor(t, s, verdictWarn) // only the sandbox's are sealed, on the volume of the key
	if code := up.stop(); code != exitOK {
		t.Errorf("up ended with %d:\n%s", code, up.out)
	}

	second := s.start("up", "--demo")
	second.await("Ctrl-C stops Tributary.")
	checkDriveStands(t, s, second.out.String())
	// kill -9 leaves nothing behind that the next start cannot mend.
	second.signal(syscall.SIGKILL)
	third := s.start("up", "--no-demo", "--demo")
	third.await("is running at")
	answer := mustJSON[store.SearchResponse](s, exitOK, "search", "plain http on loopback", "--as", reader(t), "-k", "1")
	if len(answer.Results) != 1 {
		t.Errorf("after kill -9 there are %d results", len(answer.Results))
	}
	if code := third.signal(syscall.SIGTERM); code != exitOK {
		t.Errorf("SIGTERM ended up with %d:\n%s", code, third.out)
	}
}

// reader returns the name of the reader that the demo makes.
func reader(t *testing.T) string {
	t.Helper()
	name, err := (&app{}).account()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// runTour executes the commands that up prints, as a person pastes them.
func runTour(t *testing.T, s *site, out string) {
	t.Helper()
	_, tour, ok := strings.Cut(out, "Try in another terminal:\n")
	if !ok {
		t.Fatalf("no commands to try in:\n%s", out)
	}
	n := 0
	for line := range strings.Lines(tour) {
		line, ok := strings.CutPrefix(line, "  ")
		if !ok {
			break
		}
		n++
		got := shell(t, s, line)
		if strings.TrimSpace(got) == "" || strings.Contains(got, "Nothing found") || strings.Contains(got, "There are no") {
			t.Errorf("%s finds nothing: %s", line, got)
		}
		if _, curl, ok := strings.Cut(got, "\ncurl "); ok {
			var answer store.SearchResponse
			if err := json.Unmarshal([]byte(shell(t, s, "curl "+curl)), &answer); err != nil || len(answer.Results) == 0 {
				t.Errorf("the curl line answers %+v, %v", answer, err)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d commands to try, want 3", n)
	}
}

func shell(t *testing.T, s *site, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	// Only what a fresh terminal has, and the address that keys create names.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "TRIBUTARY_ADDR=" + s.setting("TRIBUTARY_ADDR")}
	cmd.Dir = s.dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, errs.String())
	}
	return string(out)
}

// checkSecondUp starts a second one on the same port, then on the same data.
func checkSecondUp(t *testing.T, s *site) {
	t.Helper()
	taken := s.run("up", "--sandbox-addr", "off")
	if taken.code != exitUsage || !strings.Contains(taken.stderr, "TRIBUTARY_ADDR") || !strings.Contains(taken.stderr, "taken") {
		t.Errorf("a taken port: exit code %d, %s", taken.code, taken.stderr)
	}
	twice := s.run("up", "--addr", freeAddr(t), "--sandbox-addr", "off")
	if twice.code != exitDatabase || !strings.Contains(twice.stderr, "TRIBUTARY_DATA_DIR") {
		t.Errorf("a taken data directory: exit code %d, %s", twice.code, twice.stderr)
	}
}

func checkDoctor(t *testing.T, s *site, sealed verdict) {
	t.Helper()
	for _, f := range mustJSON[[]finding](s, exitOK, "doctor") {
		want := verdictOK
		if f.Check == "sealed values" {
			want = sealed
		}
		if f.Verdict != want {
			t.Errorf("doctor: %+v", f)
		}
	}
}

// TestPostmasterKilled kills the managed PostgreSQL under a running server.
func TestPostmasterKilled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	up := s.start("up")
	up.await("is running at")
	pid := postmaster(t, s)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-up.exited
	if code := up.cmd.ProcessState.ExitCode(); code != exitDatabase || !strings.Contains(up.out.String(), "start again") {
		t.Errorf("exit code %d:\n%s", code, up.out)
	}
	again := s.start("up")
	again.await("is running at")
	pid = postmaster(t, s)
	s.must(exitOK, "connections", "list")
	if code := again.stop(); code != exitOK {
		t.Errorf("up ended with %d:\n%s", code, again.out)
	}
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the managed PostgreSQL is left behind")
	}
}

// TestHTTPFollowsTheCommandLine changes rights by commands and sees them at the
// API at once.
func TestHTTPFollowsTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSite(t, "TRIBUTARY_METRICS_ADDR="+freeAddr(t))
	docs := s.write("docs", map[string]string{"page.md": "# Page\n\nThe wombat page.\n"})
	up := s.start("up")
	up.await("is running at")
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path="+docs)
	s.must(exitOK, "sync", "docs", "--wait")
	s.must(exitOK, "readers", "create", "ada", "--link", "unix:"+reader(t))
	key := mustJSON[struct{ Secret string }](s, exitOK, "keys", "create", "k", "--reader", "ada", "--connections", "all", "--rights", "search").Secret

	status, body := s.post(key, `{"query":"wombat"}`)
	var answer store.SearchResponse
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Results) != 1 || answer.Results[0].Title != "Page" {
		t.Fatalf("status %d: %s (%v)", status, body, err)
	}
	if got := s.get(key, "/v1/documents/"+answer.Results[0].DocumentID.String()); got != http.StatusForbidden {
		t.Errorf("a key for searching reads documents: %d", got)
	}
	for _, path := range []string{"/healthz", "/readyz", "/"} {
		if got := s.get("", path); got != http.StatusOK {
			t.Errorf("%s: %d", path, got)
		}
	}
	if got := s.fetch("http://" + s.setting("TRIBUTARY_METRICS_ADDR") + "/metrics"); !strings.Contains(got, `tributary_connections{source="folder",state="active"} 1`) {
		t.Errorf("metrics: %s", got)
	}
	s.must(exitOK, "readers", "disable", "ada")
	if status, _ := s.post(key, `{"query":"wombat"}`); status != http.StatusUnauthorized {
		t.Errorf("a disabled reader's key: %d", status)
	}
	s.must(exitOK, "readers", "enable", "ada")
	s.must(exitOK, "keys", "revoke", "k")
	if status, _ := s.post(key, `{"query":"wombat"}`); status != http.StatusUnauthorized {
		t.Errorf("a revoked key: %d", status)
	}
	if strings.Contains(up.out.String(), key) {
		t.Error("the log holds the key")
	}
}

func (s *site) post(key, body string) (int, []byte) {
	s.t.Helper()
	return s.send(http.MethodPost, "http://"+s.setting("TRIBUTARY_ADDR")+"/v1/search", key, body)
}

func (s *site) get(key, path string) int {
	s.t.Helper()
	status, _ := s.send(http.MethodGet, "http://"+s.setting("TRIBUTARY_ADDR")+path, key, "")
	return status
}

func (s *site) fetch(url string) string {
	s.t.Helper()
	_, body := s.send(http.MethodGet, url, "", "")
	return string(body)
}

func (s *site) send(method, url, key, body string) (int, []byte) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Timeout: startLimit}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, b
}
