package visibility

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/oracle"
	"tributary/store"
)

// commands are those that give out documents to whom --as names.
var commands = map[string][]string{
	"keyword": {"search", "common words", "--mode", "keyword", "-k", "100"},
	"list":    {"documents", "list", "--limit", "1000"},
}

// TestTheCommandLineEqualsOracle asks the program, as readers, after each event
// of a short history, and the store for bare principals, whom --as names too.
func TestTheCommandLineEqualsOracle(t *testing.T) {
	t.Parallel()
	dir, total := t.TempDir(), newTally()
	program := filepath.Join(dir, "tributary")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "tributary/cmd/tributary")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	r := newRig(t)
	r.rng = rand.New(rand.NewPCG(1, 3))
	r.fill(40)
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TRIBUTARY_DATA_DIR=" + filepath.Join(dir, "data"), "TRIBUTARY_DATABASE_URL=" + r.db.URL}
	for range 6 {
		pick(r, events()).do(r)
		reader := r.anyReader()
		a := r.asked(oracle.Asker{Reader: reader, Key: -1}, total)
		for name, args := range commands {
			cmd := exec.CommandContext(t.Context(), program, append(args, "--json", "--as", r.readers[reader].String())...)
			cmd.Env = env
			var complaint strings.Builder
			cmd.Stderr = &complaint
			raw, err := cmd.Output()
			if err != nil && r.w.Readers[reader].Disabled && len(raw) == 0 {
				continue
			}
			if err != nil {
				t.Fatalf("%v: %v\n%s", args, err, complaint.String())
			}
			r.must(a.canaries(raw))
			got, err := documentsIn(raw)
			r.must(err)
			r.must(a.set("tributary "+name, store.RightSearch, name == "keyword", got))
		}
		r.must(r.bare(total))
	}
	t.Logf("%d checks, %d on visible documents: %s", total.checks, total.seen, strings.Join(sorted(total.routes), ", "))
	if total.seen < 100 {
		t.Error("too few checks on visible documents to mean anything")
	}
}

// asked is an asker who is no key, and may everything that a key can.
func (r *rig) asked(who oracle.Asker, total *tally) *asking {
	a := &asking{r: r, who: who, sees: map[uuid.UUID]bool{}, against: make([][]string, len(r.docs)), total: total}
	a.key.rights = []string{store.RightSearch, store.RightDocuments, store.RightExport}
	view := r.w.For(who)
	for d := range r.docs {
		a.against[d] = view.Against(d)
		a.sees[r.docs[d].id] = len(a.against[d]) == 0
	}
	return a
}

// documentsIn counts the documents of an answer, or of a list of them.
func documentsIn(raw []byte) (map[uuid.UUID]int, error) {
	var p page
	into := any(&p)
	if raw[0] == '[' {
		into = &p.Documents
	}
	err := json.Unmarshal(raw, into)
	got := map[uuid.UUID]int{}
	for _, x := range append(p.Results, p.Documents...) {
		got[x.ID]++
	}
	return got, err
}

// bare asks for somebody who holds a few principals and is no stored reader.
func (r *rig) bare(total *tally) error {
	c := r.anyConn()
	held := r.someOf(r.of(c), 4)
	var named []store.PrincipalIn
	for _, p := range held {
		named = append(named, store.PrincipalIn{Connection: r.conns[c].id, Principal: r.principals[p]})
	}
	who, err := r.store.AsPrincipals(r.tb.Context(), named...)
	if err != nil {
		return err
	}
	a := r.asked(oracle.Asker{Reader: -1, Key: -1, Bare: true, Principals: held}, total)
	list, _, err := r.store.ListDocuments(r.tb.Context(), who, store.Filters{}, uuid.Nil, 1000)
	if err != nil {
		return err
	}
	got := map[uuid.UUID]int{}
	for _, x := range list {
		got[x.ID]++
	}
	if err := a.set("bare principals list", store.RightDocuments, false, got); err != nil {
		return err
	}
	answer, err := r.store.Search(r.tb.Context(), who, store.SearchRequest{Query: "common words", Mode: store.Keyword, K: 100})
	if err != nil {
		return err
	}
	clear(got)
	for _, x := range answer.Results {
		got[x.DocumentID]++
	}
	return a.set("bare principals keyword", store.RightSearch, true, got)
}
