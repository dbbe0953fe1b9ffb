package sandbox_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
)

func stateIn(dir string) func(*sandbox.Config) {
	return func(c *sandbox.Config) { c.StatePath = dir }
}

func TestARestartKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data", "sandbox")
	first := start(t, stateIn(dir))
	b := first.Browser()
	if err := b.SignIn("bob"); err != nil {
		t.Fatal(err)
	}
	tk := first.connect("bob")
	spent := tk.RefreshToken
	tk, _ = first.token(refreshForm(spent))
	from := feedStart(t, first, tk.AccessToken)
	items := page(t, first, tk.AccessToken, "/api/v1/items?page_size=1").Next
	if err := first.World().Edit("plan", "kept \xff"); err != nil {
		t.Fatal(err)
	}

	second := start(t, stateIn(dir))
	second.id, second.secret = first.id, first.secret
	wantStatus(t, "an access token", second.get("/api/v1/about", tk.AccessToken), http.StatusOK)
	if got := feed(t, second, tk.AccessToken, from); got.String() != "upsert plan" {
		t.Errorf("the feed goes on with %q", got)
	}
	wantStatus(t, "a page token", second.get("/api/v1/items?page_token="+items, tk.AccessToken), http.StatusOK)
	if a := second.get("/api/v1/items/plan/content", tk.AccessToken); a.body != "kept \xff" {
		t.Errorf("content %q", a.body)
	}
	if it, _ := second.World().Item("plan"); it.Body != "kept \xff" || it.Revision != 2 {
		t.Errorf("%+v", it)
	}
	next, status := second.token(refreshForm(tk.RefreshToken))
	if status != http.StatusOK {
		t.Fatalf("refreshing: %+v", next)
	}
	if again, _ := second.token(refreshForm(spent)); again.Error != "invalid_grant" {
		t.Errorf("%+v", again)
	}
	wantStatus(t, "the family after a reuse", second.get("/api/v1/about", next.AccessToken), http.StatusUnauthorized)
}

func TestStateHoldsDigestsOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := start(t, stateIn(dir))
	code := r.code("bob")
	tk, _ := r.token(codeForm(code))
	org := r.organisation()
	b := r.Browser()
	if err := b.SignIn("ann"); err != nil {
		t.Fatal(err)
	}
	a, err := b.Get("/drive")
	if err != nil {
		t.Fatal(err)
	}
	_ = a
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for what, canary := range map[string]string{"secret": r.secret, "code": code, "access token": tk.AccessToken, "refresh token": tk.RefreshToken, "client's token": org} {
			if strings.Contains(string(raw), canary) || strings.Contains(string(raw), canary[4:]) {
				t.Errorf("%s holds the %s", f, what)
			}
		}
		info, err := os.Stat(f)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f, info.Mode(), err)
		}
	}
}

func TestWhatCannotBeSavedHasNotHappened(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sandbox")
	r := start(t, stateIn(dir))
	tk := r.connect("bob")
	// A directory in the place of the file: it can be neither replaced nor read.
	for _, name := range []string{"authorization.json"} {
		path := filepath.Join(dir, name)
		if err := os.Rename(path, path+".aside"); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(path, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a := r.post("/oauth/token", refreshForm(tk.RefreshToken))
	wantStatus(t, "refreshing without a disk", a, http.StatusInternalServerError)
	if strings.Contains(a.body, "access_token") || strings.Contains(a.body, dir) {
		t.Errorf("%s", a.body)
	}
	if err := os.RemoveAll(filepath.Join(dir, "authorization.json")); err != nil {
		t.Fatal(err)
	}
	if next, status := r.token(refreshForm(tk.RefreshToken)); status != http.StatusOK {
		t.Errorf("the refresh token was spent all the same: %+v", next)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".state-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestStateOfSomethingElseIsRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"authorization.json": `{"version": 7}`, "drive.json": `{"Version": 1, "Organisation": {"ID": "another"}}`,
	} {
		for _, content := range []string{text, "{", ""} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := sandbox.New(sandbox.Config{Org: smallOrg(), BaseURL: "http://localhost:1", StatePath: dir})
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "remove the file") {
				t.Errorf("%s with %q: %v", name, content, err)
			}
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "localhost:1", "http://localhost:1/x", "http://example.org", "ftp://localhost", "http://u@localhost", "http://0.0.0.0:1"} {
		if _, err := sandbox.New(sandbox.Config{Org: smallOrg(), BaseURL: base}); err == nil {
			t.Errorf("%q was taken", base)
		}
	}
	twice := smallOrg()
	twice.Items = append(twice.Items, twice.Items[0])
	lost := smallOrg()
	lost.Items[1].ParentID = "nowhere"
	for name, org := range map[string]company.Organisation{"an id twice": twice, "a lost parent": lost} {
		if _, err := sandbox.New(sandbox.Config{Org: org, BaseURL: "http://localhost:1"}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// killedChild names the state directory of the process that TestKilledAtAnyMoment kills.
const killedChild = "TEST_SANDBOX_KILLED"

// TestKilledAtAnyMoment kills a process that edits and registers without a pause. What it said was done is there, and
// the state can be read.
func TestKilledAtAnyMoment(t *testing.T) {
	if dir := os.Getenv(killedChild); dir != "" {
		editForever(t, dir)
		return
	}
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "sandbox")
	done, clients := 0, 0
	for round := range 12 {
		cmd := exec.Command(self, "-test.run=^TestKilledAtAnyMoment$", "-test.timeout=60s")
		cmd.Env = append(os.Environ(), killedChild+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 3+round*2 && lines.Scan(); n++ {
			read(lines.Text(), &done, &clients)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // what it said before it was killed
			read(lines.Text(), &done, &clients)
		}
		_ = cmd.Wait() // killed
		s, err := sandbox.New(sandbox.Config{Org: smallOrg(), BaseURL: "http://localhost:1", StatePath: dir})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		it, _ := s.World().Item("plan")
		got, err := strconv.Atoi(it.Body)
		if err != nil || got < done || got > done+1 {
			t.Fatalf("round %d: text %q after edit %d was done", round, it.Body, done)
		}
		done = got
	}
	if done < 30 || clients < 30 {
		t.Errorf("only %d edits and %d clients", done, clients)
	}
	t.Logf("%d edits and %d clients over 12 kills", done, clients)
}

// read takes in what the child said it did: "edit 17" or "client".
func read(line string, done, clients *int) {
	if n, ok := strings.CutPrefix(line, "edit "); ok {
		if v, err := strconv.Atoi(n); err == nil {
			*done = v
		}
	}
	if line == "client" {
		*clients++
	}
}

func editForever(t *testing.T, dir string) {
	s, err := sandbox.New(sandbox.Config{Org: smallOrg(), BaseURL: "http://localhost:1", StatePath: dir})
	if err != nil {
		t.Fatal(err)
	}
	it, _ := s.World().Item("plan")
	n, _ := strconv.Atoi(it.Body) // the first time it is another text
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		n++
		if err := s.World().Edit("plan", strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(os.Stdout, "edit %d\n", n)
		if _, _, err := s.Register("https://app.example.org/cb"); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(os.Stdout, "client\n"); err != nil {
			return
		}
	}
}

func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, stateIn(t.TempDir()))
	var group sync.WaitGroup
	failed := make(chan string, 100)
	for n := range 6 {
		tk := r.connect([]string{"ann", "bob"}[n%2])
		group.Go(func() {
			for i := range 10 {
				next, status := r.token(refreshForm(tk.RefreshToken))
				if status != http.StatusOK {
					failed <- next.Error
					return
				}
				tk = next
				if i%3 == 0 {
					if err := r.World().Edit("plan", strconv.Itoa(i)); err != nil {
						failed <- err.Error()
					}
				}
				if got := r.get("/api/v1/items", tk.AccessToken); got.status != http.StatusOK {
					failed <- strconv.Itoa(got.status)
				}
			}
		})
		group.Go(func() {
			for range 10 {
				r.World().Items()
				r.Faults().Options()
				if err := r.World().AddMember("g-board", company.Ref{Kind: "group", ID: "g-team"}); err != nil {
					failed <- err.Error()
				}
			}
		})
	}
	group.Wait()
	close(failed)
	if got := slices.Collect(func(yield func(string) bool) {
		for f := range failed {
			if !yield(f) {
				return
			}
		}
	}); len(got) > 0 || r.Seen().Refreshes != 60 || r.Seen().Reused != 0 {
		t.Errorf("%v %+v", got, r.Seen())
	}
}
