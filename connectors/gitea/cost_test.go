package gitea

import (
	"fmt"
	"strings"
	"testing"
)

// TestCostUnchanged: an incremental run of a quiet site asks at most five times for each repository, and three times besides.
func TestCostUnchanged(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const repos = 20
	for i := range repos {
		r.mustPut(fmt.Sprintf("repo%02d/doc-00.md", i), fmt.Sprintf("repo%02d/doc-01.md", i), fmt.Sprintf("repo%02d/doc-02.md", i), fmt.Sprintf("repo%02d/doc-03.md", i))
	}
	uncapped(r)
	s := r.session()
	from := r.start(s)
	r.requests()
	f := read(s.Changes(t.Context(), from))
	if f.err != nil {
		t.Fatal(f.err)
	}
	r.requests()
	quiet := from
	if f.next != nil {
		quiet = f.next
	}
	f = read(s.Changes(t.Context(), quiet))
	asked := r.requests()
	t.Logf("an unchanged run of %d repositories: %d requests", repos, len(asked))
	if f.err != nil || f.next != nil || len(asked) > 5*repos+3 {
		t.Errorf("a quiet run of %d repositories: %d requests, want at most %d; %d changes, error %v\n%s",
			repos, len(asked), 5*repos+3, len(f.changes), f.err, strings.Join(asked[:min(len(asked), 12)], "\n"))
	}
}

// TestCostSnapshot: a repository of many files is listed by pages of a thousand, and each file is asked for once.
func TestCostSnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	uncapped(r)
	const files = 5000
	r.change(func(w *world) {
		repo := w.repo("large")
		for i := range files {
			repo.files[fmt.Sprintf("d%02d/f%04d.md", i%50, i)] = fmt.Sprintf("File %d.", i)
		}
		repo.commit(w)
	})
	s := r.session()
	f := r.snapshot(s)
	listing := len(r.requests())
	if len(f.changes) != files+1 || listing > 50 {
		t.Errorf("listing %d files: %d changes, %d requests, want at most 50", files, len(f.changes), listing)
	}
	t.Logf("listing %d files: %d requests", files, listing)
}

// uncapped lets the server give as much as is asked for.
func uncapped(r *rig) { r.change(func(w *world) { w.cap = 1000 }) }
