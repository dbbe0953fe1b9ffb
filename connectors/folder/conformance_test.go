package folder

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

// site is a directory under the kit's control. Its owner is the account of the
// test, so that it works without root: people differ by group.
type site struct {
	connectortest.Limited

	root     string
	accounts *fakeAccounts
	opens    atomic.Int64

	mu      sync.Mutex
	unknown map[string]bool
	fault   *connectortest.Fault
	entries int
}

const sitePageSize = 3

// The people of the site: the owner of its files, a member of their group, and
// an account that is neither.
func (s *site) people() (Account, Account, Account) {
	owner := Account{Name: "owner", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	return owner, Account{"colleague", owner.UID + 70001, owner.GID + 70001}, Account{"outsider", owner.UID + 70002, owner.GID + 70002}
}

func newSite(tb connectortest.TB) *site {
	s := &site{root: filepath.Join(tb.TempDir(), "root"), unknown: map[string]bool{}}
	owner, colleague, outsider := s.people()
	s.accounts = &fakeAccounts{
		users:  []Account{owner, colleague, outsider},
		groups: []AccountGroup{{Name: "staff", GID: owner.GID, Members: []string{"colleague"}}},
	}
	for _, dir := range []string{filepath.Dir(s.root), s.root} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			tb.Fatalf("making the root: %v", err)
		}
	}
	return s
}

func (s *site) path(id string) string { return filepath.Join(s.root, id) }

// Put writes a file.
func (s *site) Put(name, text string) (string, error) {
	p := s.path(name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return "", err
	}
	return name, os.WriteFile(p, []byte(text), 0o644)
}

// Delete removes a file.
func (s *site) Delete(id string) error { return os.Remove(s.path(id)) }

// Move renames a file; its id is its path.
func (s *site) Move(id, name string) (string, error) {
	if err := os.MkdirAll(filepath.Dir(s.path(name)), 0o755); err != nil {
		return "", err
	}
	return name, os.Rename(s.path(id), s.path(name))
}

// Truth reads the tree.
func (s *site) Truth() ([]connectortest.Item, error) {
	var items []connectortest.Item
	err := filepath.WalkDir(s.root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(p)
		rel := strings.TrimPrefix(p, s.root+"/")
		items = append(items, connectortest.Item{ID: rel, Name: rel, Text: string(text)})
		return err
	})
	return items, err
}

// People are three accounts.
func (s *site) People() []connectors.Principal {
	a, b, c := s.people()
	return []connectors.Principal{userPrincipal(a.UID), userPrincipal(b.UID), userPrincipal(c.UID)}
}

// CanRead is the access check of path_resolution(7), for files of one owner and
// group.
func (s *site) CanRead(person connectors.Principal, id string) bool {
	st, err := os.Stat(s.path(id))
	s.mu.Lock()
	unknown := s.unknown[id]
	s.mu.Unlock()
	if err != nil || unknown {
		return false
	}
	owner, colleague, outsider := s.people()
	switch person {
	case userPrincipal(owner.UID):
		return owner.UID == 0 || st.Mode()&0o400 != 0
	case userPrincipal(colleague.UID):
		return st.Mode()&0o040 != 0
	case userPrincipal(outsider.UID):
		return st.Mode()&0o004 != 0
	default:
		return false
	}
}

// Share changes a file's mode.
func (s *site) Share(id string, with connectortest.Audience) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch with {
	case connectortest.ForOne:
		return os.Chmod(s.path(id), 0o600)
	case connectortest.ForGroup:
		return os.Chmod(s.path(id), 0o640)
	case connectortest.ForAll:
		return os.Chmod(s.path(id), 0o644)
	case connectortest.ForUnknown:
		s.unknown[id] = true
		return nil
	case connectortest.ForBoth, connectortest.ForAllButOne:
		return errors.ErrUnsupported
	default:
		return errors.ErrUnsupported
	}
}

// Memberships are those of the accounts.
func (s *site) Memberships() ([]connectors.Membership, error) {
	users, _ := s.accounts.Users(context.Background())
	groups, _ := s.accounts.Groups(context.Background())
	ms := []connectors.Membership{{Member: userPrincipal(0), Group: anyone()}}
	for _, u := range users {
		ms = append(ms,
			connectors.Membership{Member: userPrincipal(u.UID), Group: anyone()},
			connectors.Membership{Member: userPrincipal(u.UID), Group: groupPrincipal(u.GID)})
	}
	for _, g := range groups {
		for _, u := range users {
			for _, m := range g.Members {
				if m == u.Name {
					ms = append(ms, connectors.Membership{Member: userPrincipal(u.UID), Group: groupPrincipal(g.GID)})
				}
			}
		}
	}
	return ms, nil
}

// ChangeMembership takes the colleague out of the group and the outsider in.
func (s *site) ChangeMembership() error {
	s.accounts.mu.Lock()
	defer s.accounts.mu.Unlock()
	s.accounts.groups[0].Members = []string{"outsider"}
	return nil
}

// Names are an account and a group in each spelling.
func (s *site) Names() (map[string]connectors.Principal, error) {
	owner, colleague, _ := s.people()
	return map[string]connectors.Principal{
		"unix:colleague": userPrincipal(colleague.UID),
		"unix:@staff":    groupPrincipal(owner.GID),
		"group:staff":    groupPrincipal(owner.GID),
		"uid:12":         userPrincipal(12),
		"gid:34":         groupPrincipal(34),
		"anyone":         anyone(),
	}, nil
}

// BodyOpens counts how often first bytes were looked at.
func (s *site) BodyOpens() (int, error) { return int(s.opens.Load()), nil }

// Fail sets a fault. What has no like in a file system is unsupported.
func (s *site) Fail(f connectortest.Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	supported := map[connectortest.Place][]connectortest.FaultKind{
		connectortest.OnListing:   {connectortest.ServerError, connectortest.ExpiredCursor},
		connectortest.OnBody:      {connectortest.Forbidden, connectortest.NotFound, connectortest.Gone, connectortest.Truncated},
		connectortest.OnContainer: {connectortest.Forbidden},
		connectortest.OnACL:       {connectortest.Forbidden},
		connectortest.OnGroups:    {connectortest.ServerError},
	}
	ok := false
	for _, k := range supported[f.On] {
		ok = ok || k == f.Kind
	}
	switch {
	case !ok:
		return errors.ErrUnsupported
	case f.Kind == connectortest.ExpiredCursor:
		return s.replaceRoot()
	case f.On == connectortest.OnGroups:
		s.accounts.mu.Lock()
		defer s.accounts.mu.Unlock()
		s.accounts.err = errors.New("directory service down")
		return nil
	}
	s.fault, s.entries = &f, 0
	return nil
}

// replaceRoot puts another directory with the same files at the root's place:
// cursors into the old one mean nothing there.
func (s *site) replaceRoot() error {
	old := s.root + ".old"
	return cmpErr(os.Rename(s.root, old), os.CopyFS(s.root, os.DirFS(old)), os.Chmod(s.root, 0o755))
}

func cmpErr(errs ...error) error { return errors.Join(errs...) }

// Mend takes the fault away.
func (s *site) Mend() {
	s.mu.Lock()
	s.fault = nil
	s.mu.Unlock()
	s.accounts.mu.Lock()
	s.accounts.err = nil
	s.accounts.mu.Unlock()
}

// trip is called at each step of the connector.
func (s *site) trip(at step, path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == stepPermissions && s.unknown[path] {
		return unix.EIO
	}
	f := s.fault
	if f == nil {
		return nil
	}
	switch {
	case at == stepEntry && f.On == connectortest.OnListing && strings.HasSuffix(path, ".md"):
		s.entries++
		if f.Page > 0 && s.entries != (f.Page-1)*sitePageSize+1 {
			return nil
		}
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				s.fault = nil
			}
		}
		return unix.ENOMEM
	case at == stepDirectory && f.On == connectortest.OnContainer && path == f.Name,
		at == stepPermissions && f.On == connectortest.OnACL && path == f.Name:
		return unix.EACCES
	case at == stepBody && f.On == connectortest.OnBody && path == f.Name:
		switch f.Kind {
		case connectortest.Truncated:
			return os.Truncate(s.path(path), 5)
		case connectortest.Forbidden:
			return unix.EACCES
		default:
			return unix.ENOENT
		}
	}
	return nil
}

func TestConformance(t *testing.T) {
	before := goleak.IgnoreCurrent()
	setup := func(tb connectortest.TB) connectortest.Fixture {
		s := newSite(tb)
		sniff := func(name string, head []byte) (string, bool, string) {
			s.opens.Add(1)
			return sniffText(name, head)
		}
		return connectortest.Fixture{
			Connector: New(Config{Accounts: s.accounts, Sniff: sniff, PageSize: sitePageSize, Realm: testRealm, trip: s.trip}),
			Site:      s,
			Env:       connectors.Env{Settings: map[string]string{"path": s.root}},
		}
	}
	connectortest.Run(t, connectortest.Harness{Setup: setup})
	goleak.VerifyNone(t, before)
}
