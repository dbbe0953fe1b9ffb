package googledrive

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	canary   = "kit-canary-4c81be02f7"
	domain   = "kit.example"
	customer = "C0kit"
	account  = "alice"
	rootID   = "root-alice"
	driveA   = "0Adrv-a"
	driveB   = "0Bdrv-b"
	pageSize = 3
)

// site is Drive and the Directory under the test's control.
type site struct {
	server *httptest.Server

	mu     sync.Mutex
	clock  time.Time
	next   int
	nodes  map[string]*node
	drives map[string]*sharedDrive
	people map[string]*accountOf
	groups map[string]*groupOf
	// log holds file ids by corpus, "" being the account's.
	log    map[string][]string
	epochs map[string]int
	faults []*siteFault
	mended chan struct{}
	bodies int
	asked  []string
	// scopes are those of the token; spoil changes an answer before it is sent.
	scopes []string
	spoil  func(op string, answer map[string]any)
	refuse func(op string, r *http.Request) (status int, reason string)
}

// node is a file or folder.
type node struct {
	id, name, parent, drive, owner, mime, text string
	modified                                   time.Time
	trashed, limited, hidden, locked           bool
	shares                                     []share
	key                                        string
}

// share is a grant that stands on a node or a shared drive.
type share struct {
	kind, who, role string
	// from is the node that it is inherited from, "" for one of its own.
	from          string
	link, deleted bool
	expires, view string
}

type sharedDrive struct {
	name    string
	members []share
}

type accountOf struct {
	email, mail string
	alias       []string
	active      bool
	outside     bool
}

type groupOf struct {
	users, groups []string
	customer      bool
	status        int
}

// newSite starts a site with My Drive, a folder of another person, a shared
// drive, people and nested groups.
func newSite(through func(http.Handler) http.Handler) *site {
	s := &site{
		clock: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), nodes: map[string]*node{}, epochs: map[string]int{}, log: map[string][]string{},
		mended: make(chan struct{}), scopes: []string{scopeDrive, scopeUsers, scopeMembers},
		people: map[string]*accountOf{
			"alice":  {email: "alice@" + domain, active: true},
			"bob":    {email: "bob@" + domain, mail: "Robert@" + domain, alias: []string{"robert@" + domain}, active: true},
			"carol":  {email: "carol@" + domain, active: true},
			"dave":   {email: "dave@" + domain, active: true},
			"former": {email: "former@" + domain},
			"guest":  {email: "guest@partner.example", active: true, outside: true},
		},
		groups: map[string]*groupOf{
			"inner": {users: []string{"bob", "guest"}}, "team": {users: []string{"alice"}, groups: []string{"inner"}},
			"space": {users: []string{"alice", "carol", "former"}}, "staff": {customer: true},
			"outer": {status: http.StatusForbidden}, "void": {status: http.StatusNotFound},
		},
		drives: map[string]*sharedDrive{driveA: {name: "a", members: []share{
			{kind: typeUser, who: account, role: roleOrganizer},
			{kind: typeGroup, who: "space", role: roleReader},
			{kind: typeGroup, who: "outer", role: roleReader},
			{kind: typeGroup, who: "void", role: roleReader},
			{kind: typeUser, who: "ghost", role: roleReader, deleted: true},
			{kind: typeUser, who: "bob", role: roleReader, expires: "2020-01-01T00:00:00.000Z"},
		}}},
	}
	s.nodes[rootID] = &node{id: rootID, name: nameMine, owner: account, mime: typeFolder}
	s.nodes[driveA] = &node{id: driveA, name: "Drive", drive: driveA, mime: typeFolder}
	s.server = httptest.NewServer(through(http.HandlerFunc(s.serve)))
	return s
}

// client returns an authorised client, and how to let go of its connections.
func (s *site) client() (*http.Client, func()) {
	t := &http.Transport{}
	return &http.Client{Transport: bearer{t}}, t.CloseIdleConnections
}

type bearer struct{ http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+canary)
	return b.RoundTripper.RoundTrip(r)
}

// config is that of a connector to this site.
func (s *site) config() Config {
	return Config{Drive: s.server.URL + "/drive/v3", Directory: s.server.URL + "/admin/directory/v1", PageSize: pageSize, Retry: once}
}

func (s *site) close() {
	s.Mend()
	s.server.Close()
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+canary {
		fail(w, http.StatusUnauthorized, "authError")
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	s.mu.Unlock()
	op, id, handle := s.route(r.URL.Path)
	need := scopeDrive
	switch op {
	case "users.list", "users.get":
		need = scopeUsers
	case "members.list":
		need = scopeMembers
	}
	if !slices.Contains(s.scopes, need) {
		fail(w, http.StatusForbidden, "insufficientPermissions")
		return
	}
	if s.refuse != nil {
		if status, reason := s.refuse(op, r); status != 0 {
			fail(w, status, reason)
			return
		}
	}
	if handle == nil {
		fail(w, http.StatusNotFound, "notFound")
		return
	}
	handle(&exchange{ResponseWriter: w, r: r, op: op, id: id, q: r.URL.Query()})
}

// exchange is one request with its answer.
type exchange struct {
	http.ResponseWriter
	r      *http.Request
	op, id string
	q      map[string][]string
}

func (x *exchange) get(name string) string {
	if v := x.q[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

func (s *site) route(p string) (op, id string, handle func(*exchange)) {
	if rest, ok := strings.CutPrefix(p, "/admin/directory/v1/"); ok {
		return s.routeDirectory(rest)
	}
	parts := strings.Split(strings.TrimPrefix(p, "/drive/v3/"), "/")
	switch {
	case len(parts) == 1 && parts[0] == "about":
		return "about.get", "", s.serveAbout
	case len(parts) == 1 && parts[0] == "drives":
		return "drives.list", "", s.serveDrives
	case len(parts) == 1 && parts[0] == "files":
		return "files.list", "", s.serveFiles
	case len(parts) == 2 && parts[0] == "files":
		return "files.get", parts[1], s.serveFile
	case len(parts) == 3 && parts[2] == "export":
		return "files.export", parts[1], s.serveFile
	case len(parts) == 3 && parts[2] == "permissions":
		return "permissions.list", parts[1], s.servePermissions
	case len(parts) == 2 && parts[1] == "startPageToken":
		return "changes.getStartPageToken", "", s.serveStart
	case len(parts) == 1 && parts[0] == "changes":
		return "changes.list", "", s.serveChanges
	}
	return "", "", nil
}

// fail answers an error as Google writes it.
func fail(w http.ResponseWriter, status int, reason string) {
	one := map[string]any{"domain": "global", "reason": reason, "message": "It is refused."}
	if reason == "invalid" {
		one["location"], one["locationType"] = "pageToken", "parameter"
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": status, "message": "It is refused.", "errors": []any{one}}})
}

// send answers what the request selects.
func (s *site) send(x *exchange, answer map[string]any) {
	if s.spoil != nil {
		s.spoil(x.op, answer)
	}
	var plain any
	data, err := json.Marshal(answer)
	if err != nil || json.Unmarshal(data, &plain) != nil {
		panic(err)
	}
	if f := x.get("fields"); f != "" {
		plain = selected(plain, parseFields(f))
	}
	x.Header().Set("Content-Type", "application/json; charset=UTF-8")
	_ = json.NewEncoder(x).Encode(plain)
}

// tick is a later time at each call.
func (s *site) tick() time.Time {
	s.clock = s.clock.Add(time.Second)
	return s.clock
}

// noted writes a change of a node into the log of the corpus where it lies.
func (s *site) noted(n *node) { s.log[n.drive] = append(s.log[n.drive], n.id) }

// add creates a node.
func (s *site) add(n node) *node {
	s.next++
	if n.id == "" {
		n.id = fmt.Sprintf("1file%04d", s.next)
	}
	n.modified = s.tick()
	s.nodes[n.id] = &n
	s.noted(&n)
	return &n
}

// home returns the folder of a name such as "a/deep", which it creates: "a" is
// a shared drive, "c" a folder of somebody else, all others lie in My Drive.
func (s *site) home(dir string) *node {
	parent := path.Dir(dir)
	switch dir {
	case "a":
		return s.nodes[driveA]
	case ".":
		return s.nodes[rootID]
	}
	n := node{name: path.Base(dir), owner: account, mime: typeFolder}
	if parent == "." && dir == "c" {
		n.owner = "dave"
		n.shares = []share{{kind: typeUser, who: account, role: roleWriter}, {kind: typeDomain, who: domain, role: roleReader}}
	} else {
		up := s.home(parent)
		n.parent, n.drive, n.owner = up.id, up.drive, up.owner
	}
	for _, old := range s.nodes {
		if old.mime == typeFolder && old.name == n.name && old.parent == n.parent && old.owner == n.owner && old.id != rootID {
			return old
		}
	}
	if parent == "." && dir != "c" {
		n.shares = []share{{kind: typeGroup, who: "space", role: roleReader}}
	}
	return s.add(n)
}

// name is what the kit calls a node.
func (s *site) name(n *node) string {
	switch up := s.nodes[n.parent]; {
	case n.id == n.drive:
		return s.drives[n.drive].name
	case up == nil || up.id == rootID:
		return n.name
	default:
		return s.name(up) + "/" + n.name
	}
}

// inTrash reports whether a node or a folder above it was trashed.
func (s *site) inTrash(n *node) bool {
	for ; n != nil; n = s.nodes[n.parent] {
		if n.trashed {
			return true
		}
	}
	return false
}

// visible reports whether the account is given a node.
func (s *site) visible(n *node) bool {
	if n.drive != "" {
		return s.joined(n.drive) || s.directly(n)
	}
	return s.reads(account, n)
}

// joined reports whether the account is a member of a drive.
func (s *site) joined(id string) bool {
	d := s.drives[id]
	return d != nil && slices.ContainsFunc(d.members, func(sh share) bool { return sh.kind == typeUser && sh.who == account && !sh.deleted })
}

// directly reports whether a node of a drive is shared with the account by
// name.
func (s *site) directly(n *node) bool {
	return slices.ContainsFunc(n.shares, func(sh share) bool { return sh.kind == typeUser && sh.who == account })
}

func (s *site) ids() []string {
	var ids []string
	for id, n := range s.nodes {
		if id != rootID && id != n.drive && s.visible(n) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
