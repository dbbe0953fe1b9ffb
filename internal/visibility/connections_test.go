package visibility

import (
	"time"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/store"
)

// open returns the connections that are not closing and, where pulled, are not
// pushed to. The first always is.
func (r *rig) open(pulled bool) []int {
	var out []int
	for c := range r.conns {
		if !r.w.Connections[c].Closing && (!pulled || !r.conns[c].push) {
			out = append(out, c)
		}
	}
	return out
}

func (r *rig) anyConn() int   { return pick(r, r.open(false)) }
func (r *rig) anyPulled() int { return pick(r, r.open(true)) }

// pushGroups pushes every group, the empty ones too.
func (r *rig) pushGroups(c int, run store.Run, groups []int, ms []connectors.Membership) {
	r.tb.Helper()
	for _, g := range groups {
		members := []connectors.Principal{}
		for _, m := range ms {
			if m.Group == r.principals[g] {
				members = append(members, m.Member)
			}
		}
		_, err := r.store.ReplaceGroup(r.tb.Context(), run, r.conns[c].realm, r.principals[g], members)
		r.must(err)
	}
	r.confirmed(c)
}

// confirmed notes that something was pushed, which is kept to ten seconds.
func (r *rig) confirmed(c int) {
	if r.conns[c].asOf.Before(r.now.Add(-10 * time.Second)) {
		r.conns[c].asOf = r.now
	}
	r.age()
}

// closeConn disconnects a connection; the first one stays.
func (r *rig) closeConn() {
	c := r.anyConn()
	if c == 0 || r.one(50) {
		return
	}
	_, err := r.store.LeaveGrant(r.tb.Context(), r.conns[c].id, r.event("connection.delete"))
	r.must(err)
	r.w.Connections[c].Closing = true
}

// endConn gives a connection an end, soon or already over, or takes it away.
func (r *rig) endConn() {
	c := r.anyConn()
	then, at := oauthflow.HideDocuments, r.now.Add(time.Duration(r.rng.IntN(12)-3)*time.Hour)
	r.conns[c].ends = at
	switch {
	case r.one(30):
		then, r.conns[c].ends = oauthflow.KeepDocuments, time.Time{}
	case r.one(50):
		r.must(r.store.SetConnectionExpiry(r.tb.Context(), r.conns[c].id, nil, then, r.event("connection.expiry")))
		r.conns[c].ends = time.Time{}
		r.age()
		return
	}
	r.must(r.store.SetConnectionExpiry(r.tb.Context(), r.conns[c].id, &at, then, r.event("connection.expiry")))
	r.age()
}

func (r *rig) event(action string) audit.Event {
	return audit.Event{Actor: audit.Actor{Kind: audit.CLI, Name: "test"}, Action: action, Outcome: audit.OK}
}
