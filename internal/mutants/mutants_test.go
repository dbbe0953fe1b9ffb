package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func loaded(tb testing.TB, dir string) ([]mutant, string) {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		tb.Fatal(err)
	}
	list, err := load(os.DirFS(dir))
	if err != nil {
		tb.Fatal(err)
	}
	return list, root
}

// TestEveryMutantApplies to the tree as it is, and each of the twenty is there.
func TestEveryMutantApplies(t *testing.T) {
	t.Parallel()
	first, root := loaded(t, "testdata")
	if len(first) != 20 {
		t.Errorf("%d mutants, not 20", len(first))
	}
	for i, m := range first {
		if !strings.HasPrefix(m.name, fmt.Sprintf("%02d-", i+1)) {
			t.Errorf("%s stands in the place of number %d", m.name, i+1)
		}
	}
	second, _ := loaded(t, filepath.Join("testdata", "second"))
	for _, m := range append(first, second...) {
		if !strings.HasSuffix(m.bug, ".") {
			t.Errorf("%s: the first line says what the mistake is, as a sentence: %q", m.name, m.bug)
		}
		if _, err := m.apply(root); err != nil {
			t.Error(err)
		}
	}
}

// TestOracleCatches some of the mutants, of Go and of SQL; `make test-mutants`
// tries all.
func TestOracleCatches(t *testing.T) { //nolint:tparallel // one at a time: each has a PostgreSQL of its own
	t.Parallel()
	list, root := loaded(t, "testdata")
	r := rig{root: root, checks: 60_000, within: 5 * time.Minute}
	for _, m := range chosen(list, []string{"02", "05"}) {
		t.Run(m.name, func(t *testing.T) {
			files, err := m.apply(root)
			if err != nil {
				t.Fatal(err)
			}
			end, err := r.try(t.Context(), files)
			if err != nil {
				t.Fatal(err)
			}
			if v := judge(end); !v.caught {
				t.Errorf("%s\n%s", v.text, end.out)
			}
		})
	}
}

// TestJudge takes nothing but the oracle's word for a catch.
func TestJudge(t *testing.T) {
	t.Parallel()
	const fail = "--- FAIL: TestEveryRouteEqualsOracle (9.10s)\n    --- FAIL: TestEveryRouteEqualsOracle/seed=1 (9.09s)\n"
	const says = "        differential_test.go:61: TEST_ORACLE_SEED=1: after edit: {} (bound): oracle says: document 7 visible false [denied]\n"
	for name, c := range map[string]struct {
		end    outcome
		caught bool
		text   string
	}{
		"a difference":                   {outcome{out: fail + says + "FAIL\n", code: 1}, true, "oracle says: document 7 visible false [denied]"},
		"nothing":                        {outcome{out: "PASS\n"}, false, "survived"},
		"another assertion":              {outcome{out: fail + "        rig_test.go:120: reading run: not found\nFAIL\n", code: 1}, false, "something else failed: reading run: not found"},
		"another test":                   {outcome{out: "--- FAIL: TestOther (0.1s)\n" + says, code: 1}, false, "something else failed: TEST_ORACLE_SEED=1: after edit: {} (bound): oracle says: document 7 visible false [denied]"},
		"a panic":                        {outcome{out: fail + says + "panic: runtime error: index out of range [recovered]\n", code: 2}, false, "the tests broke off: panic: runtime error: index out of range [recovered]"},
		"a panic that hangs on":          {outcome{out: "panic: test timed out after 1m0s\n", code: 2}, false, "the tests broke off: panic: test timed out after 1m0s"},
		"a race":                         {outcome{out: "WARNING: DATA RACE\n" + fail + says, code: 66}, false, "the tests broke off: WARNING: DATA RACE"},
		"no end":                         {outcome{out: fail + says, code: -1, timedOut: true}, false, "it was not found in time"},
		"the word in a test that passed": {outcome{out: says + "PASS\n"}, false, "survived"},
	} {
		if v := judge(c.end); v.caught != c.caught || v.text != c.text {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

// TestApply finds lines wherever they stand, but only once.
func TestApply(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	const patch = "What it is.\n--- a/f\n+++ b/f\n@@ -40,2 +40,2 @@\n one\n-two\n+three\n@@ -90,1 +90,2 @@\n four\n+five\n"
	m, err := parse(patch)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"zero\none\ntwo\nfour\n":              "zero\none\nthree\nfour\nfive\n",
		"one\ntwo\n\nfour\nend\n":             "one\nthree\n\nfour\nfive\nend\n",
		"one\nthree\nfour\n":                  "",
		"one\ntwo\none\ntwo\nfour\n":          "",
		"one\ntwo\nfours\nfour and no more\n": "",
	} {
		if err := os.WriteFile(filepath.Join(root, "f"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := m.apply(root)
		if (err == nil) != (want != "") || got[filepath.Join(root, "f")] != want {
			t.Errorf("%q becomes %q: %v", text, got, err)
		}
	}
	if m, err := parse("What it is.\nNothing follows.\n"); err == nil {
		t.Errorf("a patch without a change is taken for %+v", m)
	}
}
