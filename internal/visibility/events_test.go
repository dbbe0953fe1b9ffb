package visibility

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// event is something that happens at a source, in a run, or by an admin.
type event struct {
	name string
	do   func(r *rig)
}

// events are all there are, the frequent ones more than once.
func events() []event {
	return []event{
		{"grant or revoke", (*rig).changeACLs},
		{"grant or revoke", (*rig).changeACLs},
		{"memberships", func(r *rig) { r.readPermissions(r.anyConn(), true) }},
		{"memberships", func(r *rig) { r.readPermissions(r.anyConn(), true) }},
		{"part of the permissions", func(r *rig) { r.readPermissions(r.anyConn(), false) }},
		{"a day of parts", (*rig).dayOfParts},
		{"move folder", (*rig).moveFolder},
		{"rename", (*rig).rename},
		{"edit", (*rig).edit},
		{"delete and re-create", (*rig).recreate},
		{"delete", (*rig).remove},
		{"refuse", (*rig).refuse},
		{"crash", (*rig).crash},
		{"older run", (*rig).olderRun},
		{"clock", func(r *rig) { r.advance(time.Duration(1+r.rng.IntN(14)) * time.Hour) }},
		{"permissions again", func(r *rig) { r.refresh(-1) }},
		{"permissions again", func(r *rig) { r.refresh(-1) }},
		{"link", func(r *rig) { r.link(r.anyReader()) }},
		{"unlink", (*rig).unlink},
		{"disable", (*rig).disable},
		{"address", func(r *rig) { r.addEmail(r.anyReader()) }},
		{"mapping", func(r *rig) { r.mapping(r.anyPulled()) }},
		{"close", (*rig).closeConn},
		{"end", (*rig).endConn},
		{"revoke key", (*rig).revoke},
	}
}

func (r *rig) anyReader() int { return r.rng.IntN(len(r.readers)) }

// some returns stored documents of connection c.
func (r *rig) some(c, most int, also func(d int) bool) []int {
	var out []int
	for _, d := range r.rng.Perm(len(r.docs)) {
		x := r.w.Documents[d]
		if len(out) < most && x.Connection == c && !x.Gone && (also == nil || also(d)) {
			out = append(out, d)
		}
	}
	return out
}

// changeACLs gives documents other ACLs; sometimes the run stops after them.
func (r *rig) changeACLs() {
	c := r.anyConn()
	r.permissions(c, r.one(50), func(run store.Run) { r.writeACLs(run, c, r.some(c, 20, nil)) })
}

func (r *rig) writeACLs(run store.Run, c int, list []int) {
	b := &store.Batch{Run: run}
	for _, d := range list {
		r.drawACL(d)
		b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: r.docs[d].external, ACL: r.docs[d].acl})
	}
	r.must(r.write(c, b))
}

// moveFolder moves what is in a folder into another, where other ACLs hold.
func (r *rig) moveFolder() {
	c, from, to := r.anyConn(), r.rng.IntN(5), r.rng.IntN(5)
	list := r.some(c, 40, func(d int) bool { return r.docs[d].folder == from && !r.w.Documents[d].Hidden })
	for _, d := range list {
		r.docs[d].folder = to
	}
	r.content(c, func(b *store.Batch) { r.touch(b, list) })
	r.permissions(c, true, func(run store.Run) { r.writeACLs(run, c, list) })
}

func (r *rig) touch(b *store.Batch, list []int) {
	for _, d := range list {
		b.Touched, b.Seen = append(b.Touched, r.writeOf(d)), append(b.Seen, r.docs[d].id)
	}
}

func (r *rig) rename() {
	c := r.anyConn()
	list := r.some(c, 5, func(d int) bool { return !r.w.Documents[d].Hidden })
	for _, d := range list {
		r.docs[d].title += "'"
	}
	r.content(c, func(b *store.Batch) { r.touch(b, list) })
}

// edit gives a document another text and with it another ACL; what was hidden is shown.
func (r *rig) edit() {
	c := r.anyConn()
	list := r.some(c, 5, nil)
	for _, d := range list {
		r.docs[d].chunks = 1 + r.docs[d].chunks%2
		r.w.Documents[d].Hidden = false
		r.drawACL(d)
	}
	if len(list) > 0 {
		r.store1(c, list...)
	}
}

func (r *rig) remove() {
	c := r.anyConn()
	list := r.some(c, 3, nil)
	r.content(c, func(b *store.Batch) {
		for _, d := range list {
			b.Deleted = append(b.Deleted, r.docs[d].external)
			r.w.Documents[d].Gone = true
		}
	})
}

// recreate deletes a document and makes another with its id at the source.
func (r *rig) recreate() {
	c := r.anyConn()
	for _, d := range r.some(c, 2, nil) {
		r.content(c, func(b *store.Batch) { b.Deleted = []string{r.docs[d].external} })
		r.w.Documents[d].Gone = true
		r.store1(c, r.newDocument(c, r.docs[d].external))
	}
}

// refuse hides documents that the source gives out no more.
func (r *rig) refuse() {
	c := r.anyPulled()
	list := r.some(c, 4, nil)
	r.content(c, func(b *store.Batch) {
		for _, d := range list {
			b.Refused, b.Seen = append(b.Refused, r.docs[d].external), append(b.Seen, r.docs[d].id)
			r.w.Documents[d].Hidden = true
		}
	})
}

// crash loses a worker: nothing of its last batch stands, and what it writes
// after another took its run over does not either.
func (r *rig) crash() {
	c := r.anyPulled()
	run := r.claim(c, store.Content)
	lost := func() *store.Batch {
		b := &store.Batch{Run: run, Realm: r.conns[c].realm}
		for _, d := range r.some(c, 10, nil) {
			b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: r.docs[d].external, ACL: connectors.ACL{AllOf: [][]connectors.Principal{r.named(r.of(c))}}})
		}
		return b
	}
	dies := errors.New("the worker dies")
	_, err := r.store.WriteBatch(r.tb.Context(), lost(), func(context.Context, pgx.Tx, store.BatchResult) error { return dies })
	if !errors.Is(err, dies) {
		r.tb.Fatalf("a batch of a dying worker: %v", err)
	}
	next := r.claim(c, store.Content)
	if _, err := r.store.WriteBatch(r.tb.Context(), lost(), nil); !errors.Is(err, store.ErrFenced) {
		r.tb.Fatalf("a batch of a worker that was taken over: %v", err)
	}
	r.end(next, store.RunFailed)
}

// olderRun lets a run that read permissions earlier write them later: alone, or
// with the text that it read.
func (r *rig) olderRun() {
	c := r.anyPulled()
	list := r.some(c, 8, func(d int) bool { return !r.w.Documents[d].Hidden })
	lanes := []store.Lane{store.Permissions, store.Content}
	r.rng.Shuffle(2, func(i, j int) { lanes[i], lanes[j] = lanes[j], lanes[i] })
	older := r.claim(c, lanes[0])
	b := &store.Batch{Run: older}
	for _, d := range list {
		acl := connectors.ACL{AllOf: [][]connectors.Principal{r.named(r.of(c))}}
		if lanes[0] == store.Permissions {
			b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: r.docs[d].external, ACL: acl})
			continue
		}
		w := r.writeOf(d)
		w.ACL = acl
		b.Documents = append(b.Documents, w)
	}
	newer := r.claim(c, lanes[1])
	r.writeACLs(newer, c, list)
	r.must(r.write(c, b))
	r.end(newer, store.RunFailed)
	r.end(older, store.RunFailed)
}

// dayOfParts lets the permissions of one connection be read in part only until
// they are too old; those of the others are read whole.
func (r *rig) dayOfParts() {
	c := r.anyPulled()
	r.advance(12 * time.Hour)
	r.readPermissions(c, false)
	r.advance(13 * time.Hour)
	r.refresh(c)
}

// refresh reads the permissions of every connection but one (-1 is none), which
// have not changed.
func (r *rig) refresh(but int) {
	for c := range r.conns {
		if !r.w.Connections[c].Closing && c != but {
			r.permissions(c, true, func(store.Run) {})
		}
	}
}

func (r *rig) link(reader int) {
	c := r.anyConn()
	p := pick(r, r.of(c, connectors.User, connectors.User, connectors.Group))
	r.must(r.store.LinkReader(r.tb.Context(), r.readers[reader], store.PrincipalIn{Connection: r.conns[c].id, Principal: r.principals[p]}, store.LinkManual))
	if !slices.Contains(r.w.Readers[reader].Links, p) {
		r.w.Readers[reader].Links = append(r.w.Readers[reader].Links, p)
	}
}

func (r *rig) unlink() {
	reader := r.anyReader()
	links := r.w.Readers[reader].Links
	if len(links) == 0 {
		return
	}
	p := pick(r, links)
	id := pgtest.Scalar[int64](r.tb, r.db, `SELECT id FROM principal WHERE realm_id = $1 AND kind = $2 AND external_id = $3`,
		r.conns[r.w.Principals[p].Realm*ofKeys].realm, r.principals[p].Kind, r.principals[p].ID)
	r.must(r.store.UnlinkReader(r.tb.Context(), r.readers[reader], id))
	r.w.Readers[reader].Links = slices.DeleteFunc(links, func(x int) bool { return x == p })
}

// disable disables a reader, or enables one that is disabled.
func (r *rig) disable() {
	i := r.anyReader()
	x := &r.w.Readers[i]
	x.Disabled = !x.Disabled && r.one(60)
	change := r.store.EnableReader
	if x.Disabled {
		change = r.store.DisableReader
	}
	r.must(change(r.tb.Context(), r.readers[i]))
}

// addEmail gives a reader an address, or takes one away.
func (r *rig) addEmail(i int) {
	x := &r.w.Readers[i]
	if len(x.Emails) > 0 && r.one(40) {
		_, err := r.store.RemoveReaderEmail(r.tb.Context(), r.readers[i], x.Emails[0])
		r.must(err)
		x.Emails = x.Emails[1:]
		return
	}
	e := pick(r, emails[:])
	if !slices.Contains(x.Emails, e) {
		_, err := r.store.AddReaderEmail(r.tb.Context(), r.readers[i], e)
		r.must(err)
		x.Emails = append(x.Emails, e)
	}
}

func (r *rig) mapping(c int) {
	x := &r.w.Connections[c]
	x.MapEmail = r.one(80)
	_, err := r.store.SetMapEmail(r.tb.Context(), r.conns[c].id, x.MapEmail)
	r.must(err)
}

// revoke ends a key and makes another like it.
func (r *rig) revoke() {
	k := r.rng.IntN(len(r.keys))
	if r.w.Keys[k].Dead || r.keys[k].mode != store.KeyBound || r.w.Readers[r.w.Keys[k].Reader].Disabled {
		return
	}
	r.must(r.store.RevokeKey(r.tb.Context(), r.keys[k].id.String()))
	r.keys[k].revoked = true
	r.age()
	reader := r.w.Keys[k].Reader
	r.makeKey(store.CreateKeyParams{ReaderID: &r.readers[reader], AllConnections: true, Rights: r.keys[k].rights}, reader)
}
