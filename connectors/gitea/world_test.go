package gitea

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
)

// fakeUser is an account.
type fakeUser struct {
	id         int64
	login      string
	restricted bool
}

// fakeTeam is a team of an organisation.
type fakeTeam struct {
	id         int64
	name       string
	permission string
	units      map[string]string
	members    []int64
}

// fakeOwner is an organisation, or an account where teams is nil.
type fakeOwner struct {
	id         int64
	login      string
	former     string // its name before, from which the server redirects
	visibility string
	person     bool
	teams      []*fakeTeam
}

type fakeRepo struct {
	id            int64
	owner         *fakeOwner
	name          string
	about         string
	private       bool
	collaborators []int64
	teams         []int64

	files   map[string]string
	trees   map[string][]treeEntry // by the name of a tree or a commit
	blobs   map[string]string
	head    string
	commits int
	link    string // the path of a file that is a symbolic link

	issues    map[int64]*fakeIssue
	nextIssue int64
	wiki      map[string]*fakeWikiPage
	updated   time.Time
}

type fakeIssue struct {
	number      int64
	title, body string
	pull        bool
	updated     time.Time
	comments    []*fakeComment
	reviews     []fakeReview
}

type fakeComment struct {
	id               int64
	author           int64
	body             string
	created, updated time.Time
}

type fakeReview struct {
	id    int64
	body  string
	lines []string
}

type fakeWikiPage struct {
	title, text, commit string
}

// The people of the world; alice owns every organisation and gave the consent.
const (
	alice, bob, carol, dave, rick = 1, 2, 3, 4, 5
)

// world is what a server holds.
type world struct {
	now    time.Time
	nextID int64
	users  []fakeUser
	owners []*fakeOwner
	repos  []*fakeRepo
	// signInRequired is REQUIRE_SIGNIN_VIEW.
	signInRequired bool
	// cap is MAX_RESPONSE_ITEMS and DEFAULT_GIT_TREES_PER_PAGE.
	cap int
}

func newWorld() *world {
	return &world{
		now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.FixedZone("", 5400)), nextID: 100, signInRequired: true, cap: serverCap,
		users: []fakeUser{{alice, "alice", false}, {bob, "bob", false}, {carol, "carol", false}, {dave, "dave", false}, {rick, "rick", true}},
	}
}

// tick lets a second pass, so that what happens next is later.
func (w *world) tick() time.Time {
	w.now = w.now.Add(time.Second)
	return w.now
}

func (w *world) id() int64 {
	w.nextID++
	return w.nextID
}

func (w *world) user(id int64) fakeUser {
	i := slices.IndexFunc(w.users, func(u fakeUser) bool { return u.id == id })
	return w.users[i]
}

// repo returns the repository of that name, which it creates in an organisation of its own.
func (w *world) repo(name string) *fakeRepo {
	for _, r := range w.repos {
		if r.name == name {
			return r
		}
	}
	all := func(right string) map[string]string {
		m := map[string]string{}
		for _, u := range []string{"code", "issues", "pulls", "wiki", "releases"} {
			m["repo."+u] = right
		}
		return m
	}
	readerUnits := all(rightRead)
	readerUnits["repo.wiki"] = "none"
	readerUnits["repo.issues"] = rightWrite
	o := &fakeOwner{id: w.id(), login: "org-" + name, visibility: visibleLimited}
	o.teams = []*fakeTeam{
		{id: w.id(), name: "Owners", permission: rightOwner, units: all(rightOwner), members: []int64{alice}},
		{id: w.id(), name: "readers", permission: rightRead, units: readerUnits, members: []int64{bob, carol, rick}},
		{id: w.id(), name: "triage", permission: "none", units: map[string]string{"repo.issues": rightRead, "repo.code": "tomorrow"}, members: []int64{dave}},
	}
	w.owners = append(w.owners, o)
	r := &fakeRepo{
		id: w.id(), owner: o, name: name, about: "The repository " + name + ".", teams: []int64{o.teams[0].id},
		files: map[string]string{}, trees: map[string][]treeEntry{}, blobs: map[string]string{}, issues: map[int64]*fakeIssue{}, wiki: map[string]*fakeWikiPage{},
		updated: w.now,
	}
	w.repos = append(w.repos, r)
	return r
}

func sha(parts ...string) string {
	sum := sha1.Sum([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

// commit makes a commit of the files as they are.
func (r *fakeRepo) commit(w *world) {
	r.commits++
	r.updated = w.tick()
	root := r.plant("")
	r.head = sha("commit", strconv.FormatInt(r.id, 10), strconv.Itoa(r.commits), root)
	r.trees[r.head] = r.trees[root]
}

// plant makes the tree of a directory and returns its name.
func (r *fakeRepo) plant(dir string) string {
	below := map[string]treeEntry{}
	for p, text := range r.files {
		rest, ok := strings.CutPrefix(p, dir)
		if !ok {
			continue
		}
		name, _, deeper := strings.Cut(rest, "/")
		switch {
		case deeper && below[name].SHA == "":
			below[name] = treeEntry{Path: name, Mode: "040000", Type: entryTree, SHA: r.plant(dir + name + "/")}
		case !deeper:
			blob := sha("blob", text)
			r.blobs[blob] = text
			mode := "100644"
			if strings.HasSuffix(name, ".link") || r.link == p {
				mode = modeLink
			}
			below[name] = treeEntry{Path: name, Mode: mode, Type: entryBlob, Size: int64(len(text)), SHA: blob}
		}
	}
	var entries []treeEntry
	marks := []string{"tree"}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		entries = append(entries, below[name])
		marks = append(marks, below[name].Mode, name, below[name].SHA)
	}
	tree := sha(marks...)
	r.trees[tree] = entries
	return tree
}

// flat returns the entries of a tree and of those below it.
func (r *fakeRepo) flat(tree, prefix string) []treeEntry {
	var out []treeEntry
	for _, e := range r.trees[tree] {
		sub := e.SHA
		e.Path = prefix + e.Path
		out = append(out, e)
		if e.Type == entryTree {
			out = append(out, r.flat(sub, e.Path+"/")...)
		}
	}
	return out
}

// numbers returns the issues of a repository, newest first.
func (r *fakeRepo) numbers() []*fakeIssue {
	list := slices.Collect(maps.Values(r.issues))
	sort.Slice(list, func(i, j int) bool { return list[i].number > list[j].number })
	return list
}

// remark adds a comment to an issue.
func (w *world) remark(is *fakeIssue, author int64, text string) {
	at := w.tick()
	c := &fakeComment{id: w.id(), author: author, body: text, created: at, updated: at}
	is.comments = append(is.comments, c)
	is.updated = at
}

// writeWiki writes a page.
func (w *world) writeWiki(r *fakeRepo, sub, title, text string) {
	r.wiki[sub] = &fakeWikiPage{title: title, text: text, commit: sha("wiki", sub, text, w.tick().String())}
}

// may says whether somebody may read a unit, as the server decides it for those who sign in; 0 is nobody in particular.
func (w *world) may(who int64, r *fakeRepo, u unit) bool {
	known := slices.ContainsFunc(w.users, func(f fakeUser) bool { return f.id == who })
	if !known {
		return !w.signInRequired && !r.private && r.owner.visibility == visiblePublic
	}
	me := w.user(who)
	collaborator := slices.Contains(r.collaborators, who)
	fullyPublic := !w.signInRequired && r.owner.visibility == visiblePublic && !r.private
	if !w.sees(me, r.owner) && !collaborator {
		return false
	}
	if r.owner.person && r.owner.id == who || collaborator && r.keeps(me) {
		return true
	}
	open := fullyPublic || !r.private && !me.restricted
	if open {
		return true
	}
	for _, t := range r.owner.teams {
		if !slices.Contains(r.teams, t.id) || !slices.Contains(t.members, who) {
			continue
		}
		if t.permission == rightOwner || t.permission == rightAdmin {
			return true
		}
		for name, right := range t.units {
			if (u == unitAny || name == "repo."+string(u)) && slices.Contains([]string{"read", "write", "admin", "owner"}, right) {
				return true
			}
		}
	}
	return false
}

// keeps reports whether the server keeps the right to read of a collaborator: not where everybody has it, of whom restricted
// accounts are none.
func (r *fakeRepo) keeps(me fakeUser) bool { return r.private || !me.restricted }

// sees reports whether an owner is visible to somebody.
func (w *world) sees(me fakeUser, o *fakeOwner) bool {
	member := slices.ContainsFunc(o.teams, func(t *fakeTeam) bool { return slices.Contains(t.members, me.id) })
	switch {
	case o.person && o.id == me.id, !w.signInRequired && o.visibility == visiblePublic:
		return true
	case o.visibility == visiblePrivate || me.restricted:
		return member
	default:
		return true
	}
}

// unitOf returns the repository of a document and the unit that it belongs to.
func (w *world) unitOf(id string) (*fakeRepo, unit) {
	repoID, kind, rest, ok := splitID(id)
	i := slices.IndexFunc(w.repos, func(r *fakeRepo) bool { return r.id == repoID })
	if !ok || i < 0 {
		return nil, ""
	}
	r := w.repos[i]
	switch kind {
	case "file":
		return r, unitCode
	case "wiki":
		return r, unitWiki
	case "issue":
		n, _ := strconv.ParseInt(rest, 10, 64)
		if is := r.issues[n]; is != nil && is.pull {
			return r, unitPulls
		}
		return r, unitIssues
	}
	return r, unitAny
}

// memberships are all that the rights of the world come from.
func (w *world) memberships() []connectors.Membership {
	var ms []connectors.Membership
	in := func(kind connectors.PrincipalKind, member, group string) {
		ms = append(ms, connectors.Membership{Member: connectors.Principal{Kind: kind, ID: member}, Group: connectors.Principal{Kind: connectors.Group, ID: group}})
	}
	for _, r := range w.repos {
		for _, u := range []string{"code", "issues", "pulls", "wiki", "any"} {
			group := fmt.Sprintf("repo:%d:%s", r.id, u)
			if r.owner.person {
				in(connectors.User, strconv.FormatInt(r.owner.id, 10), group)
			}
			for _, id := range r.collaborators {
				if !w.may(id, r, unitCode) {
					continue
				}
				in(connectors.User, strconv.FormatInt(id, 10), group)
			}
		}
		for _, t := range r.owner.teams {
			if !slices.Contains(r.teams, t.id) {
				continue
			}
			w.teamIn(r, t, in)
		}
		w.openIn(r, in)
	}
	return ms
}

func (w *world) teamIn(r *fakeRepo, t *fakeTeam, in func(connectors.PrincipalKind, string, string)) {
	team := fmt.Sprintf("team:%d", t.id)
	for _, id := range t.members {
		in(connectors.User, strconv.FormatInt(id, 10), team)
	}
	anything := false
	for _, u := range []string{"code", "issues", "pulls", "wiki", "releases"} {
		if slices.Contains([]string{"read", "write", "admin", "owner"}, t.units["repo."+u]) {
			anything = true
			if u != "releases" {
				in(connectors.Group, team, fmt.Sprintf("repo:%d:%s", r.id, u))
			}
		}
	}
	if anything {
		in(connectors.Group, team, fmt.Sprintf("repo:%d:any", r.id))
	}
}

func (w *world) openIn(r *fakeRepo, in func(connectors.PrincipalKind, string, string)) {
	if r.private {
		return
	}
	for _, u := range w.users {
		id := strconv.FormatInt(u.id, 10)
		member := slices.ContainsFunc(r.owner.teams, func(t *fakeTeam) bool { return slices.Contains(t.members, u.id) })
		switch {
		case u.restricted:
		case r.owner.visibility == visiblePrivate && member:
			in(connectors.User, id, fmt.Sprintf("org:%d", r.owner.id))
		case r.owner.visibility != visiblePrivate:
			in(connectors.User, id, "signed-in")
		}
	}
}

// base is the last element of a name.
func base(name string) string { return path.Base(name) }
