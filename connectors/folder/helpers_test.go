package folder

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"tributary/connectors"
)

const testRealm = "0123456789abcdef0123456789abcdef"

// fakeAccounts is a system's list of accounts.
type fakeAccounts struct {
	mu     sync.Mutex
	users  []Account
	groups []AccountGroup
	err    error
}

func (f *fakeAccounts) Users(context.Context) ([]Account, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.users), f.err
}

func (f *fakeAccounts) Groups(context.Context) ([]AccountGroup, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.groups), f.err
}

func (f *fakeAccounts) User(_ context.Context, name string) (Account, bool, error) {
	i := slices.IndexFunc(f.users, func(a Account) bool { return a.Name == name })
	if i < 0 {
		return Account{}, false, f.err
	}
	return f.users[i], true, f.err
}

func (f *fakeAccounts) Group(_ context.Context, name string) (AccountGroup, bool, error) {
	i := slices.IndexFunc(f.groups, func(g AccountGroup) bool { return g.Name == name })
	if i < 0 {
		return AccountGroup{}, false, f.err
	}
	return f.groups[i], true, f.err
}

// publicDir returns a directory that every account can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		must(t, os.Chmod(d, 0o755))
	}
	resolved, err := filepath.EvalSymlinks(dir)
	must(t, err)
	return resolved
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write creates a file with its directories.
func write(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

func openSession(t *testing.T, cfg Config, settings map[string]string, sel connectors.Selection) *session {
	t.Helper()
	if cfg.Realm == "" {
		cfg.Realm = testRealm
	}
	s, err := New(cfg).Open(t.Context(), connectors.Env{Settings: settings, Selection: sel})
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s.(*session)
}

func openPath(t *testing.T, root string) *session {
	t.Helper()
	return openSession(t, Config{}, map[string]string{"path": root}, connectors.Selection{})
}

// listed is what a whole walk found.
type listed struct {
	changes  map[string]connectors.Change
	order    []string
	skipped  map[string]string
	blocked  map[string]string
	pages    []connectors.Page
	complete bool
}

func collect(t *testing.T, seq func(func(connectors.Page, error) bool)) listed {
	t.Helper()
	l := listed{changes: map[string]connectors.Change{}, skipped: map[string]string{}, blocked: map[string]string{}}
	for page, err := range seq {
		must(t, err)
		l.pages = append(l.pages, page)
		for _, c := range page.Changes {
			l.changes[c.Ref.ID] = c
			l.order = append(l.order, c.Ref.ID)
		}
		for _, s := range page.Skipped {
			l.skipped[s.Ref.ID] = s.Reason
		}
		for _, b := range page.Blocked {
			l.blocked[b.ID] = b.Reason
		}
		l.complete = page.Complete
	}
	return l
}

func snapshot(t *testing.T, s *session) listed {
	t.Helper()
	return collect(t, s.Snapshot(t.Context(), nil))
}

func read(t *testing.T, c connectors.Change) (string, error) {
	t.Helper()
	rc, err := c.Document.Open(t.Context())
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(rc)
	return string(b), errors.Join(err, rc.Close())
}

// passes evaluates an ACL as the store does: every clause needs a match, no
// denial may match, and the zero ACL lets nobody in.
func passes(a connectors.ACL, who map[connectors.Principal]bool) bool {
	match := func(p connectors.Principal) bool { return who[p] }
	if !a.Known() || slices.ContainsFunc(a.Deny, match) {
		return false
	}
	for _, clause := range a.AllOf {
		if !slices.ContainsFunc(clause, match) {
			return false
		}
	}
	return true
}

// closure is what an account is, over memberships. Names take no part.
func closure(uid uint32, ms []connectors.Membership) map[connectors.Principal]bool {
	who := map[connectors.Principal]bool{userPrincipal(uid): true}
	for _, m := range ms {
		m.Member.Name, m.Group.Name = "", ""
		if who[m.Member] {
			who[m.Group] = true
		}
	}
	return who
}

func wantInvalid(t *testing.T, err error, parts ...string) {
	t.Helper()
	if got := connectors.ClassOf(err); got != connectors.Invalid {
		t.Fatalf("class %s, want invalid (%v)", got, err)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("the message does not say %q: %v", p, err)
		}
	}
}
