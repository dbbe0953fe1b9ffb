package examples_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/assertion"
	"tributary/store"
)

// client is one of the programs.
type client struct {
	name, dir string
	// needs are programs, and modules a file of the Node modules that it needs.
	needs   []string
	modules string
	// build is run once, in dir; the program is run with a question.
	build, run []string
	algorithm  string
}

func clients(t *testing.T) []client {
	t.Helper()
	bin := t.TempDir()
	tsc := filepath.Join("node_modules", "typescript", "bin", "tsc")
	return []client{
		{name: "curl", dir: "curl", needs: []string{"sh", "curl", "openssl", "jq"}, run: []string{"sh", "search.sh"}, algorithm: "RS256"},
		{name: "go", dir: "go", needs: []string{"go"}, build: []string{"go", "build", "-o", filepath.Join(bin, "search"), "."}, run: []string{filepath.Join(bin, "search")}, algorithm: "EdDSA"},
		{name: "python", dir: "python", needs: []string{"python3", "openssl"}, run: []string{"python3", "-B", "search.py"}, algorithm: "RS256"},
		{
			name: "typescript", dir: "typescript", needs: []string{"node"}, modules: tsc, algorithm: "EdDSA",
			build: []string{"node", tsc, "--outDir", "dist/test"}, run: []string{"node", "dist/test/search.js"},
		},
		{
			name: "langchain", dir: "langchain", needs: []string{"node"}, modules: tsc, algorithm: "EdDSA",
			build: []string{"node", tsc, "--outDir", "dist/test"}, run: []string{"node", "dist/test/langchain/ask.js"},
		},
	}
}

// required ends the test where a machine has to have what is missing, and else skips it.
func required(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("CI") != "" || os.Getenv("TEST_REQUIRE") != "" {
		t.Fatal(missing + " is missing, and CI and TEST_REQUIRE forbid to skip: run scripts/setup.sh --for test")
	}
	t.Skip(missing + " is missing: run scripts/setup.sh --for test")
}

func (c client) prepare(t *testing.T) {
	t.Helper()
	for _, name := range c.needs {
		if _, err := exec.LookPath(name); err != nil {
			required(t, name)
		}
	}
	if c.modules != "" {
		if _, err := os.Stat(filepath.Join(c.dir, c.modules)); err != nil {
			required(t, "the Node modules of examples/"+c.dir)
		}
	}
	if c.build == nil {
		return
	}
	cmd := exec.CommandContext(t.Context(), c.build[0], c.build[1:]...)
	cmd.Dir = c.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
}

// result is what a program said.
type result struct {
	out, notes string
	code       int
}

// ask runs the program with one question; settings are variables of its environment.
func (c client) ask(t *testing.T, settings ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.run[0], append(slices.Clone(c.run[1:]), "where is the backup kept")...)
	cmd.Dir = c.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8"}, settings...)
	var out, notes bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &notes
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return result{out.String(), notes.String(), cmd.ProcessState.ExitCode()}
}

// TestExamples runs every client against a server: it finds what its reader may see, with citations, waits where it is
// asked to, and says what a refusal said.
func TestExamples(t *testing.T) {
	t.Parallel()
	for _, c := range clients(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.prepare(t)
			w := newWorld(t)
			bound := w.key(store.CreateKeyParams{ReaderID: &w.ada.ID})
			base := []string{"URL=" + w.url}
			c.finds(t, w, "ada", append(base, "KEY="+bound)...)

			file, public := w.pair(c.algorithm)
			signed := w.key(store.CreateKeyParams{Mode: store.KeyAssertion, Signers: []assertion.Signer{public}})
			asBob := append(slices.Clone(base), "KEY="+signed, "READER="+w.bob.ID.String(), "SIGNING_KEY="+file, "KEY_ID=portal-1")
			c.finds(t, w, "bob", asBob...)
			w.gate.beBusy(1) // the second try needs another assertion
			c.finds(t, w, "bob", asBob...)

			c.refused(t, w, "401 unauthenticated", append(base, "KEY=trib_wrong")...)
			c.refused(t, w, "401 assertion_refused", append(base, "KEY="+signed)...)
			c.refused(t, w, "403 insufficient_scope", append(base, "KEY="+w.key(store.CreateKeyParams{ReaderID: &w.ada.ID, Rights: []string{store.RightDocuments}}))...)
			w.must(w.store.DisableReader(t.Context(), w.bob.ID))
			c.refused(t, w, "403 reader_unknown", asBob...)
			c.waits(t, w, base)
		})
	}
}

// finds fails unless the program prints the document of a person, and nothing of the other's.
func (c client) finds(t *testing.T, w *world, name string, settings ...string) {
	t.Helper()
	w.gate.took()
	r := c.ask(t, settings...)
	other := map[string]string{"ada": "bob", "bob": "ada"}[name]
	if r.code != 0 || strings.Contains(r.out, "Notes of "+other) {
		t.Errorf("as %s: exit code %d\n%s%s", name, r.code, r.out, r.notes)
	}
	for _, want := range []string{"Notes of " + name + " › Backups", "https://docs.example/" + name, "revision 1, characters 0–", "docs", ":0"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("as %s: no %q in\n%s%s", name, want, r.out, r.notes)
		}
	}
}

// refused fails unless the program asks once, and ends with the problem and exit code 3.
func (c client) refused(t *testing.T, w *world, want string, settings ...string) {
	t.Helper()
	w.gate.took()
	r := c.ask(t, settings...)
	if r.code != 3 || !strings.Contains(r.notes, want) || r.out != "" {
		t.Errorf("%s: exit code %d\n%s%s", want, r.code, r.out, r.notes)
	}
	if n := len(w.gate.took()); n != 1 {
		t.Errorf("%s: it was asked %d times", want, n)
	}
}

// waits fails unless the program waits as it is told, after 429 and 503 alike, and gives up in the end.
func (c client) waits(t *testing.T, w *world, base []string) {
	t.Helper()
	perMinute := 12 // two at once, and one more every five seconds
	rated := w.key(store.CreateKeyParams{ReaderID: &w.ada.ID, PerMinute: &perMinute})
	for range 3 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.url+"/v1/search", strings.NewReader(`{"query": "backup"}`))
		w.must(err)
		req.Header.Set("Authorization", "Bearer "+rated)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		w.must(err)
		w.must(resp.Body.Close())
	}
	w.gate.took()
	c.answers(t, w, "rate_limited", []int{http.StatusTooManyRequests, http.StatusOK}, append(base, "KEY="+rated)...)
	bound := w.key(store.CreateKeyParams{ReaderID: &w.ada.ID})
	w.gate.beBusy(2)
	c.answers(t, w, "overloaded", []int{503, 503, 200}, append(base, "KEY="+bound)...)
	w.gate.beBusy(99)
	c.answers(t, w, "503 overloaded", []int{503, 503, 503, 503, 503}, append(base, "KEY="+bound)...)
}

func (c client) answers(t *testing.T, w *world, note string, want []int, settings ...string) {
	t.Helper()
	began := time.Now()
	r := c.ask(t, settings...)
	got := w.gate.took()
	if !slices.Equal(got, want) || !strings.Contains(r.notes, note) || (r.code == 0) != (want[len(want)-1] == http.StatusOK) {
		t.Errorf("%s: answers %v, want %v; exit code %d\n%s%s", note, got, want, r.code, r.out, r.notes)
	}
	if waited := time.Since(began); waited < time.Duration(len(want)-1)*time.Second {
		t.Errorf("%s: it waited %s for %d answers", note, waited, len(want))
	}
}

// TestRetrieverOfLangChain runs the retriever's own tests.
func TestRetrieverOfLangChain(t *testing.T) {
	t.Parallel()
	c := clients(t)[4]
	c.build[3] = "dist/own"
	c.prepare(t)
	cmd := exec.CommandContext(t.Context(), "node", "--test", "dist/own/langchain/retriever.test.js")
	cmd.Dir = c.dir
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("# pass 3")) {
		t.Errorf("%v\n%s", err, out)
	}
}
