//go:build linux

package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/errgroup"

	"tributary/connectors/folder"
	"tributary/store"
)

// permCheck is a program that has synced the trees, and what is true of them.
type permCheck struct {
	*permProgram
	trees []*permTree
	files []*permFile
	// ids are the documents of the files, in their order.
	ids []string
	// keys are the API keys of the accounts.
	keys map[string]string
	// at finds a file by connection and path.
	at map[string]int
	// word finds a file by its word.
	word map[string]int
}

// TestPermissionsOnRealFiles compares, by command line and by HTTP, what two
// accounts find with what cat prints to them.
func TestPermissionsOnRealFiles(t *testing.T) {
	t.Parallel()
	permNeedRoot(t)
	if _, err := exec.LookPath("setfacl"); err != nil {
		t.Fatal("setfacl is missing: scripts/setup.sh --for test installs it")
	}
	a, b := permAccounts(t)
	c := newPermCheck(t, a, b)
	t.Logf("accounts %+v and %+v, %d files", a, b, len(c.files))
	up := c.up()
	c.connect(a, b)
	who := []permAccount{a, b}
	c.compare("after the first sync", who)
	for _, acc := range who {
		c.judge("GET /v1/documents", acc, permTruth(t, acc.name, c.files), c.getAll(acc))
	}
	c.checkCounts("tree")
	c.checkKeys(who)

	before := c.rows()
	c.change(a, b)
	runs := permJSON[struct{ Runs []store.Run }](c.permProgram, "sync", "tree", "--permissions", "--wait").Runs
	if len(runs) != 1 || runs[0].Counts.ACLChanged == 0 || runs[0].Counts.ChunksWritten != 0 || runs[0].Counts.ChunksDeleted != 0 ||
		runs[0].Counts.VectorsMade != 0 || runs[0].Counts.VectorsReused != 0 {
		t.Errorf("the permissions run reports %+v", runs)
	}
	if after := c.rows(); after != before {
		t.Errorf("the permissions run wrote chunks or vectors: %s, before %s", after, before)
	}
	c.compare("after chmod, chown and setfacl", who)
	if code := up.signal(os.Interrupt); code != 0 {
		t.Errorf("up ended with %d:\n%s", code, up.out)
	}
	c.checkUnreadable(who)
}

// newPermCheck builds the program and writes the trees.
func newPermCheck(t *testing.T, a, b permAccount) *permCheck {
	t.Helper()
	p := permBuild(t)
	root := filepath.Join(p.dir, "tree")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &permCheck{permProgram: p, keys: map[string]string{}, at: map[string]int{}, word: map[string]int{}}
	tree := permPlanTree(t, root, a, b)
	c.trees = []*permTree{tree, permPlanBelow(t, p.dir, a, len(tree.files))}
	for _, tr := range c.trees {
		tr.write()
		c.files = append(c.files, tr.files...)
	}
	for i, f := range c.files {
		c.at[f.connection+"/"+f.rel], c.word[f.word] = i, i
	}
	return c
}

// connect syncs the trees and makes a reader with a key for each account.
func (c *permCheck) connect(accounts ...permAccount) {
	c.t.Helper()
	for _, tr := range c.trees {
		c.must("connect", "folder", "--name", tr.connection, "--set", "path="+tr.root.full)
		report := permJSON[struct{ Totals store.Totals }](c.permProgram, "sync", tr.connection, "--wait")
		if report.Totals.Documents != int64(len(tr.files)) {
			c.t.Fatalf("%s holds %d documents of %d files", tr.connection, report.Totals.Documents, len(tr.files))
		}
	}
	c.ids = make([]string, len(c.files))
	for _, d := range c.list("unix:root") {
		c.ids[c.index(d.Connection+"/"+d.Path)] = d.ID.String()
	}
	for i, id := range c.ids {
		if id == "" {
			c.t.Fatalf("root, who may read everything, does not see %s", c.files[i].rel)
		}
	}
	for _, acc := range accounts {
		c.must("readers", "create", acc.name, "--link", "unix:"+acc.name)
		c.keys[acc.name] = permJSON[struct{ Secret string }](c.permProgram, "keys", "create", acc.name, "--reader", acc.name, "--connections", "all", "--per-minute", "1000000").Secret
	}
}

func (c *permCheck) list(as string) []store.DocumentSummary {
	c.t.Helper()
	return permJSON[[]store.DocumentSummary](c.permProgram, "documents", "list", "--as", as, "--limit", strconv.Itoa(10*len(c.files)))
}

func (c *permCheck) index(place string) int {
	c.t.Helper()
	i, ok := c.at[place]
	if !ok {
		c.t.Fatalf("a document %s that is no file of the trees", place)
	}
	return i
}

// compare checks every way of asking against what cat printed.
func (c *permCheck) compare(when string, accounts []permAccount) {
	c.t.Helper()
	for _, acc := range accounts {
		truth := permTruth(c.t, acc.name, c.files)
		seen := map[int]bool{}
		for _, d := range c.list("unix:" + acc.name) {
			seen[c.index(d.Connection+"/"+d.Path)] = true
		}
		fewer := c.judge(when+", documents list", acc, truth, seen)
		c.t.Logf("%s: %s reads %d of %d files and sees %d; %d fewer, all under an inverted mode", when, acc.name, len(truth), len(c.files), len(seen), fewer)
		c.judge(when+", POST /v1/search", acc, truth, c.searchAll(acc))
		c.searchWords(acc, truth, seen)
	}
}

// judge compares what an account sees with the truth: never more, and fewer
// only where a group has fewer rights than others. It returns how many fewer.
func (c *permCheck) judge(way string, acc permAccount, truth, seen map[int]bool) int {
	c.t.Helper()
	wrong, fewer := 0, 0
	for i, f := range c.files {
		class, group := f.inverted()
		var problem string
		switch {
		case seen[i] && !truth[i]:
			problem = "sees a file that it may not read"
		case seen[i] || !truth[i]:
			continue
		case !class:
			problem = "does not see a file that it may read, and its mode is not inverted"
		case !group:
			problem = "does not see a file that it may read, and only its owner's rights are inverted"
		default:
			fewer++
			continue
		}
		if wrong++; wrong <= 10 {
			c.t.Errorf("%s: %s %s: %s %+v", way, acc.name, problem, f.full, f.rights)
		}
	}
	if wrong > 10 {
		c.t.Errorf("%s: %d wrong for %s", way, wrong, acc.name)
	}
	if len(truth)-fewer < len(c.files)/20 || len(truth) > len(c.files)*19/20 {
		c.t.Errorf("%s: %s reads %d of %d files: the tree proves nothing", way, acc.name, len(truth), len(c.files))
	}
	return fewer
}

// searchAll asks for a word of all files, directory by directory, in each mode
// in turn. No directory has more files than one answer.
func (c *permCheck) searchAll(acc permAccount) map[int]bool {
	c.t.Helper()
	seen, n := map[int]bool{}, 0
	for _, tr := range c.trees {
		for bucket := range tr.buckets {
			n++
			var answer store.SearchResponse
			status, err := c.ask(c.t.Context(), c.keys[acc.name], http.MethodPost, "/v1/search", map[string]any{
				"query": "rowan", "k": permBucket, "mode": []string{"keyword", "vector", "hybrid"}[n%3],
				"filters": map[string]any{"connection": tr.connection, "path": bucket + "/"},
			}, &answer)
			if err != nil || status != http.StatusOK || !answer.Complete {
				c.t.Fatalf("searching %s as %s: status %d, complete %v, %v", bucket, acc.name, status, answer.Complete, err)
			}
			for _, r := range answer.Results {
				if i := c.textOf(r); i >= 0 {
					seen[i] = true
				}
			}
		}
	}
	return seen
}

// textOf returns the file whose text a result is.
func (c *permCheck) textOf(r store.SearchResult) int {
	c.t.Helper()
	for field := range strings.FieldsSeq(r.Text) {
		if i, ok := c.word[field]; ok && r.DocumentID.String() == c.ids[i] && strings.Contains(r.Text, c.files[i].text) {
			return i
		}
	}
	c.t.Errorf("a result that is no file's text: %+v", r)
	return -1
}

// getAll reads every document by its id; one that may not be seen is one that
// does not exist.
func (c *permCheck) getAll(acc permAccount) map[int]bool {
	c.t.Helper()
	found := make([]atomic.Bool, len(c.files))
	group, ctx := errgroup.WithContext(c.t.Context())
	group.SetLimit(2 * runtime.GOMAXPROCS(0))
	for i, id := range c.ids {
		group.Go(func() error {
			var d store.Document
			status, err := c.ask(ctx, c.keys[acc.name], http.MethodGet, "/v1/documents/"+id, nil, &d)
			if err != nil || status != http.StatusOK && status != http.StatusNotFound || status == http.StatusOK && d.Path != c.files[i].rel {
				return fmt.Errorf("document %s of %s: status %d, path %q, %w", id, c.files[i].rel, status, d.Path, err)
			}
			found[i].Store(status == http.StatusOK)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		c.t.Fatal(err)
	}
	seen := map[int]bool{}
	for i := range found {
		if found[i].Load() {
			seen[i] = true
		}
	}
	return seen
}

// searchWords looks for single files by their own word on the command line,
// and for the parts of hidden ones by HTTP.
func (c *permCheck) searchWords(acc permAccount, truth, seen map[int]bool) {
	c.t.Helper()
	const samples = 8
	for n := range 2 * samples {
		// Every second sample is a file that the account may not read.
		i := (n*7919 + 13) % len(c.files)
		for seen[i] != (n%2 == 0) || truth[i] != seen[i] {
			i = (i + 1) % len(c.files)
		}
		answer := permJSON[store.SearchResponse](c.permProgram, "search", c.files[i].word, "--as", "unix:"+acc.name, "-k", "1", "--mode", "keyword")
		if hit := len(answer.Results) == 1 && c.textOf(answer.Results[0]) == i; hit != seen[i] {
			c.t.Errorf("%s searches %s of %s: found %v, visible %v", acc.name, c.files[i].word, c.files[i].full, hit, seen[i])
		}
		for _, path := range []string{"/v1/documents/" + c.ids[i] + "/text", "/v1/documents/" + c.ids[i] + "/chunks", "/v1/chunks/" + c.ids[i] + ":0/lineage"} {
			var part map[string]any
			status, err := c.ask(c.t.Context(), c.keys[acc.name], http.MethodGet, path, nil, &part)
			if err != nil || (status == http.StatusOK) != seen[i] || !seen[i] && status != http.StatusNotFound {
				c.t.Errorf("%s asks for %s of %s: status %d, visible %v, %v", acc.name, path, c.files[i].full, status, seen[i], err)
			}
		}
	}
}

// checkCounts compares what the last permissions run counted with the plan.
func (c *permCheck) checkCounts(connection string) {
	c.t.Helper()
	want := int64(0)
	for _, f := range c.files {
		if class, _ := f.inverted(); class && f.connection == connection {
			want++
		}
	}
	runs := permJSON[[]store.Run](c.permProgram, "runs", "list", "--connection", connection)
	for _, listed := range runs {
		run := permJSON[store.Run](c.permProgram, "runs", "show", listed.ID.String())
		if got := run.Counts.Extra[folder.CountInverted]; got != want || want == 0 {
			c.t.Errorf("the %s run counts %d files under inverted modes, there are %d", run.Lane, got, want)
		}
	}
	if len(runs) < 2 {
		c.t.Errorf("%s has %d runs", connection, len(runs))
	}
}

// checkKeys asks without a key, with a wrong one, and with one for another
// connection.
func (c *permCheck) checkKeys(accounts []permAccount) {
	c.t.Helper()
	key := permJSON[struct{ Secret string }](c.permProgram, "keys", "create", "narrow", "--reader", accounts[0].name, "--connections", "below", "--per-minute", "1000000").Secret
	var answer store.SearchResponse
	body := map[string]any{"query": "rowan", "k": permBucket}
	for _, wrong := range []string{"", "trib_wrong", key + "x"} {
		if status, err := c.ask(c.t.Context(), wrong, http.MethodPost, "/v1/search", body, &answer); err != nil || status != http.StatusUnauthorized {
			c.t.Errorf("key %q: status %d, %v", wrong, status, err)
		}
	}
	status, err := c.ask(context.WithoutCancel(c.t.Context()), key, http.MethodPost, "/v1/search", body, &answer)
	if err != nil || status != http.StatusOK || len(answer.Results) == 0 {
		c.t.Errorf("a key for one connection: status %d, %d results, %v", status, len(answer.Results), err)
	}
	for _, r := range answer.Results {
		if r.Connection != "below" {
			c.t.Errorf("a key for one connection finds %s of another", r.URL)
		}
	}
}
