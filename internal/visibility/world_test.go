package visibility

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/oracle"
	"tributary/store"
)

// emails are few, so that two people have the same. Two differ in the case of
// the local part, which makes them two.
var emails = [...]string{"a@x.test", "A@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test", "f@x.test", "g@x.test", "h@x.test", "i@x.test", "j@x.test"}

// fill makes a world of up to that many documents.
func (r *rig) fill(documents int) {
	r.tb.Helper()
	r.makePrincipals()
	for i := range 1 + r.rng.IntN(3) {
		r.connect(i)
	}
	for c := range r.conns {
		var list []int
		for i := c; i < documents; i += len(r.conns) {
			list = append(list, r.newDocument(c, fmt.Sprintf("doc%d", i)))
		}
		if r.shuffle != nil {
			r.shuffle.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			half := r.shuffle.IntN(len(list) - 1)
			r.store1(c, list[half:]...)
			list = list[:half]
		}
		r.store1(c, list...)
		r.readPermissions(c, true)
	}
	r.makeReaders()
	for c := range r.conns {
		r.mapping(c)
	}
	r.makeKeys()
	if len(r.conns) > ofKeys {
		r.permissions(ofKeys, true, func(run store.Run) { r.writeACLs(run, ofKeys, r.some(ofKeys, 50, nil)) })
	}
}

// ofKeys is the connection whose realm is the instance's own, in which its keys
// are principals.
const ofKeys = 2

// connect makes connection i. The first is never pushed to.
func (r *rig) connect(i int) {
	r.tb.Helper()
	x, source := conn{push: i > 0 && r.one(40)}, "test"
	if x.push {
		source = store.PushSource
	}
	c, err := r.store.CreateConnection(r.tb.Context(), store.NewConnection{Name: fmt.Sprintf("c%d", i), Source: source})
	r.must(err)
	x.id, x.name = c.ID, c.Name
	of, name := "test", "r0"
	if i == ofKeys {
		of, name = "tributary", ""
	}
	x.realm, err = r.store.SetRealm(r.tb.Context(), c.ID, of, name)
	r.must(err)
	r.conns = append(r.conns, x)
	r.w.Connections = append(r.w.Connections, oracle.Connection{Realm: i / 2, Pushed: x.push})
}

// makePrincipals makes the people and groups of two realms. Ids that differ in
// case are two people, and the realms have the same ids.
func (r *rig) makePrincipals() {
	for realm := range 2 {
		add := func(kind connectors.PrincipalKind, id string) {
			r.principals = append(r.principals, connectors.Principal{Kind: kind, ID: id})
			r.w.Principals = append(r.w.Principals, oracle.Principal{Realm: realm, Public: kind == connectors.Public, User: kind == connectors.User, Anyone: kind == connectors.Anyone})
		}
		for i := range 4 + r.rng.IntN(11) {
			add(connectors.User, fmt.Sprintf("ann%d", i))
			if i < 3 {
				add(connectors.User, fmt.Sprintf("Ann%d", i))
			}
		}
		for i := range 6 {
			add(connectors.Group, fmt.Sprintf("g%d", i))
		}
		add(connectors.Anyone, "all")
		if realm == 0 {
			add(connectors.Public, "public")
		}
	}
}

// of returns the principals of a connection's realm that are as wanted.
func (r *rig) of(c int, kinds ...connectors.PrincipalKind) []int {
	var out []int
	for p, x := range r.w.Principals {
		if x.Realm == r.w.Connections[c].Realm && (len(kinds) == 0 || slices.Contains(kinds, r.principals[p].Kind)) {
			out = append(out, p)
		}
	}
	return out
}

func (r *rig) someOf(list []int, most int) []int {
	out := []int{}
	for range 1 + r.rng.IntN(most) {
		out = append(out, pick(r, list))
	}
	return out
}

// drawACL gives document d a random ACL, in the world.
func (r *rig) drawACL(d int) {
	x := &r.w.Documents[d]
	x.AllOf, x.Deny, x.Known = nil, nil, !r.one(4)
	all, groups := r.of(x.Connection), r.of(x.Connection, connectors.Group, connectors.Anyone)
	clauses := []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 33, 40, 41}[r.rng.IntN(17)]
	for range clauses {
		clause := r.someOf(all, 3)
		if clauses > 1 || r.one(70) {
			clause = append(clause, r.someOf(groups, 2)...)
		}
		if clauses > 3 {
			clause = append(clause, groups...)
		}
		if x.Connection == ofKeys && r.one(30) {
			clause = append(clause, r.of(ofKeys, connectors.Key)...)
		}
		x.AllOf = append(x.AllOf, clause)
	}
	if r.one(15) {
		x.Deny = r.someOf(r.of(x.Connection), 2)
	}
	if r.one(2) {
		x.AllOf = append(x.AllOf, []int{})
	}
	r.docs[d].acl = r.aclOf(d)
}

// aclOf is what the source says of d.
func (r *rig) aclOf(d int) connectors.ACL {
	x := r.w.Documents[d]
	if !x.Known {
		return connectors.ACL{}
	}
	acl := connectors.ACL{Deny: r.named(x.Deny)}
	for i, clause := range x.AllOf {
		list := r.named(clause)
		if len(x.AllOf) > 3 {
			// Equal clauses are one: each of many names somebody of its own.
			list = append(list, connectors.Principal{Kind: connectors.Group, ID: fmt.Sprintf("nobody%d", i)})
		}
		if len(clause) == 0 {
			list = nil
		}
		acl.AllOf = append(acl.AllOf, list)
	}
	return acl
}

func (r *rig) named(ps []int) []connectors.Principal {
	var out []connectors.Principal
	for _, p := range ps {
		out = append(out, r.principals[p])
	}
	return out
}

// newDocument adds a document to the world.
func (r *rig) newDocument(c int, external string) int {
	d := len(r.docs)
	r.w.Documents = append(r.w.Documents, oracle.Document{Connection: c})
	r.docs = append(r.docs, doc{external: external, folder: r.rng.IntN(5), chunks: 1 + r.rng.IntN(2), title: fmt.Sprintf("Title %d", d)})
	r.drawACL(d)
	return d
}

// writeOf is document d as the engine would make it.
func (r *rig) writeOf(d int) store.DocumentWrite {
	x := r.docs[d]
	w := store.DocumentWrite{
		ExternalID: x.external, Title: x.title, Path: fmt.Sprintf("f%d/%s.txt", x.folder, x.external), Kind: "file", MediaType: "text/plain",
		Language: "english", Extractor: "text/1", Chunker: "structure/1", ACL: x.acl,
	}
	for i := range x.chunks {
		if i > 0 {
			w.Text += "\n\n"
		}
		text := fmt.Sprintf("common words of part%d %s", i, canary(d))
		start := len(w.Text)
		w.Text += text
		w.Chunks = append(w.Chunks, store.ChunkWrite{
			Identity: sha256.Sum256([]byte(text)), InputHash: sha256.Sum256([]byte(text)), Text: text, Tokens: 4,
			Start: start, End: len(w.Text), StartCP: start, EndCP: len(w.Text),
		})
	}
	w.ContentHash = sha256.Sum256([]byte(w.Text))
	w.SourceRevision = fmt.Sprintf("%x", w.ContentHash[:4])
	return w
}

// store1 stores documents of connection c in one run and learns their ids.
func (r *rig) store1(c int, list ...int) {
	r.tb.Helper()
	r.content(c, func(b *store.Batch) {
		for _, d := range list {
			b.Documents = append(b.Documents, r.writeOf(d))
		}
	})
	var external []string
	for _, d := range list {
		external = append(external, r.docs[d].external)
	}
	known, err := r.store.KnownDocuments(r.tb.Context(), r.conns[c].id, external)
	r.must(err)
	for _, d := range list {
		r.docs[d].id = known[r.docs[d].external].ID
	}
}

// readPermissions draws the memberships and addresses of connection c and reads them.
func (r *rig) readPermissions(c int, whole bool) {
	r.tb.Helper()
	r.permissions(c, whole, func(run store.Run) {
		var ms []connectors.Membership
		r.w.Memberships = slices.DeleteFunc(r.w.Memberships, func(m oracle.Membership) bool { return m.Connection == c })
		users, groups := r.of(c, connectors.User), r.of(c, connectors.Group, connectors.Anyone)
		join := func(member, group int) {
			r.w.Memberships = append(r.w.Memberships, oracle.Membership{Connection: c, Member: member, Group: group})
			ms = append(ms, connectors.Membership{Member: r.principals[member], Group: r.principals[group]})
		}
		for _, u := range users {
			for _, g := range r.someOf(groups, 3) {
				join(u, g)
			}
		}
		for range 3 + r.rng.IntN(4) { // cycles among them
			join(pick(r, groups), pick(r, groups))
		}
		if r.conns[c].push {
			r.pushGroups(c, run, groups, ms)
			return
		}
		_, err := r.store.ReplaceMemberships(r.tb.Context(), run, r.conns[c].realm, ms)
		r.must(err)
		r.readAddresses(c, run, users)
	})
}

func (r *rig) readAddresses(c int, run store.Run, users []int) {
	r.tb.Helper()
	r.w.Addresses = slices.DeleteFunc(r.w.Addresses, func(a oracle.Address) bool { return a.Connection == c })
	var people []connectors.Person
	for _, u := range users {
		if r.one(60) {
			a := oracle.Address{Connection: c, User: u, Email: pick(r, emails[:]), Verified: r.one(55)}
			r.w.Addresses = append(r.w.Addresses, a)
			people = append(people, connectors.Person{Principal: r.principals[u], Email: strings.Replace(a.Email, "x.test", "X.Test", 1), Verified: a.Verified})
		}
	}
	_, err := r.store.ReplaceEmails(r.tb.Context(), run, r.conns[c].realm, people)
	r.must(err)
}

func (r *rig) makeReaders() {
	r.tb.Helper()
	for i := range 3 + r.rng.IntN(8) {
		x, err := r.store.CreateReader(r.tb.Context(), fmt.Sprintf("reader%d", i), store.Person)
		r.must(err)
		r.readers = append(r.readers, x.ID)
		r.w.Readers = append(r.w.Readers, oracle.Reader{})
		for range 1 + r.rng.IntN(4) - i%3/2 {
			r.link(i)
		}
		if r.one(70) {
			r.addEmail(i)
		}
	}
}

func (r *rig) makeKeys() {
	r.tb.Helper()
	rights := []string{store.RightSearch, store.RightDocuments, store.RightExport}
	for i := range r.readers {
		r.makeKey(store.CreateKeyParams{ReaderID: &r.readers[i], AllConnections: true, Rights: rights}, i)
	}
	for range 2 {
		i := r.rng.IntN(len(r.readers))
		r.makeKey(store.CreateKeyParams{ReaderID: &r.readers[i], Connections: []uuid.UUID{pick(r, r.conns).id}, Rights: rights[:1+r.rng.IntN(3)]}, i)
	}
	month := r.now.Add(30 * 24 * time.Hour)
	r.makeKey(store.CreateKeyParams{Mode: store.KeyTrusted, Connections: []uuid.UUID{r.conns[0].id}, Rights: rights, ExpiresAt: &month}, -1)
	r.makeKey(store.CreateKeyParams{Mode: store.KeyAssertion, AllConnections: true, Rights: rights, Signers: r.registered()}, -1)
	all := []uuid.UUID{}
	for _, c := range r.conns {
		all = append(all, c.id)
	}
	r.feedKey = len(r.keys)
	r.makeKey(store.CreateKeyParams{Mode: store.KeyOwn, Connections: all, Rights: rights, ExpiresAt: &month}, -1)
}

// makeKey makes a key of a reader, or of nobody (-1).
func (r *rig) makeKey(p store.CreateKeyParams, reader int) {
	r.tb.Helper()
	p.Name = fmt.Sprintf("key%d", len(r.keys))
	if p.ExpiresAt == nil && r.one(20) {
		at := r.now.Add(time.Duration(1+r.rng.IntN(40)) * time.Hour)
		p.ExpiresAt = &at
	}
	made, secret, err := r.store.CreateKey(r.tb.Context(), p)
	r.must(err)
	k := key{id: made.ID, secret: secret, mode: made.Mode, rights: p.Rights}
	if p.ExpiresAt != nil {
		k.expires = *p.ExpiresAt
	}
	r.keys = append(r.keys, k)
	x := oracle.Key{Reader: reader, Names: made.Mode.NamesReaders(), Own: -1, All: p.AllConnections}
	if made.Mode == store.KeyOwn {
		x.Own = len(r.principals)
		r.principals = append(r.principals, connectors.Principal{Kind: connectors.Key, ID: made.ID.String()})
		r.w.Principals = append(r.w.Principals, oracle.Principal{Realm: ofKeys / 2})
	}
	for c := range r.conns {
		if slices.Contains(p.Connections, r.conns[c].id) {
			x.Connections = append(x.Connections, c)
		}
	}
	r.w.Keys = append(r.w.Keys, x)
}
