package gitea

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Groups yields the readers of every unit of the selected repositories, the members of their teams and organisations, and the
// accounts that see public repositories.
func (s *session) Groups(ctx context.Context) iter.Seq2[connectors.Membership, error] {
	return func(yield func(connectors.Membership, error) bool) {
		g := &gathering{s: s, op: "listing gitea groups", seen: map[string]bool{}}
		err := g.all(ctx, func(m connectors.Membership) bool { return yield(m, nil) })
		if err != nil {
			yield(connectors.Membership{}, err)
		}
	}
}

// gathering is one listing of memberships.
type gathering struct {
	s    *session
	op   string
	self account
	// seen are the groups whose members were listed.
	seen map[string]bool
}

// all gathers until yield says that it is enough.
func (g *gathering) all(ctx context.Context, yield func(connectors.Membership) bool) error {
	var err error
	if g.self, err = g.s.signedIn(ctx, g.op); err != nil {
		return err
	}
	repos, err := g.s.repositories(ctx, g.op)
	if err != nil {
		return err
	}
	for i := range repos {
		more, err := g.repository(ctx, &repos[i], yield)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// repository yields what the readers of one repository are members of.
func (g *gathering) repository(ctx context.Context, r *repository, yield func(connectors.Membership) bool) (more bool, err error) {
	known, err := g.s.readersOf(ctx, g.op, r)
	if err != nil {
		return false, err
	}
	if known.told {
		for _, m := range memberships(r, known) {
			if !yield(m) {
				return false, nil
			}
		}
		for i := range known.teams {
			t := &known.teams[i]
			if more, err := g.members(ctx, teamGroup(t), httpx.Call{Path: "teams/" + strconv.FormatInt(t.ID, 10) + "/members"}, problemTeams, everyone, yield); err != nil || !more {
				return false, err
			}
		}
	}
	for _, p := range g.s.open(r) {
		switch p {
		case signedInGroup():
			more, err = g.accounts(ctx, yield)
		case membersGroup(r):
			more, err = g.members(ctx, p, httpx.Call{Path: "orgs/" + join(r.Owner.Login) + "/members"}, problemTeams, unrestricted, yield)
		default:
			continue
		}
		if err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// memberships are those of the persons and teams that a repository names, in the groups of its units.
func memberships(r *repository, known *readers) []connectors.Membership {
	var ms []connectors.Membership
	for _, u := range units() {
		group := unitGroup(r, u)
		if known.ofPerson {
			ms = append(ms, connectors.Membership{Member: person(&r.Owner), Group: group})
		}
		for i := range known.collaborators {
			if a := &known.collaborators[i]; a.ID > 0 {
				ms = append(ms, connectors.Membership{Member: person(a), Group: group})
			}
		}
		for i := range known.teams {
			if t := &known.teams[i]; t.ID > 0 && t.reads(u) {
				ms = append(ms, connectors.Membership{Member: teamGroup(t), Group: group})
			}
		}
	}
	return ms
}

func everyone(*account) bool       { return true }
func unrestricted(a *account) bool { return !a.Restricted }

// members yields the accounts of a list as members of a group, once. A list that is refused has none.
func (g *gathering) members(
	ctx context.Context, group connectors.Principal, c httpx.Call, problem string, counts func(*account) bool, yield func(connectors.Membership) bool,
) (more bool, err error) {
	if g.seen[group.ID] {
		return true, nil
	}
	g.seen[group.ID] = true
	c.Op, c.Scope, c.Ref = g.op, scopeOrganization, about(group.ID)
	accounts, err := all[account](ctx, g.s, c)
	if refused(err) {
		g.s.remind(ctx, problem, group.ID)
		return true, nil
	}
	if err != nil {
		return false, err
	}
	for i := range accounts {
		a := &accounts[i]
		if a.ID > 0 && counts(a) && !g.gone(a) && !yield(connectors.Membership{Member: person(a), Group: group}) {
			return false, nil
		}
	}
	return true, nil
}

// gone reports whether an account may not sign in any more, which a site administrator is told.
func (g *gathering) gone(a *account) bool {
	return g.self.IsAdmin && (!a.Active || a.ProhibitLogin)
}

// accounts yields the accounts that see public repositories, once.
func (g *gathering) accounts(ctx context.Context, yield func(connectors.Membership) bool) (more bool, err error) {
	group := signedInGroup()
	if g.seen[group.ID] {
		return true, nil
	}
	g.seen[group.ID] = true
	for page := 1; ; page++ {
		var answer struct {
			Data []account `json:"data"`
		}
		c := httpx.Call{Op: g.op, Path: "users/search", Scope: scopeUser, Ref: about(group.ID)}
		m, err := readInto(ctx, g.s, c, page, g.s.cfg.PageSize, &answer)
		if refused(err) {
			g.s.remind(ctx, problemPeople, group.ID)
			return true, nil
		}
		if err != nil {
			return false, err
		}
		for i := range answer.Data {
			a := &answer.Data[i]
			if a.ID > 0 && unrestricted(a) && !g.gone(a) && !yield(connectors.Membership{Member: person(a), Group: group}) {
				return false, nil
			}
		}
		if !moreAfter(m, page, len(answer.Data), totalOf(m.Header)) {
			return true, nil
		}
	}
}

// NamePrincipal resolves "gitea:LOGIN" of an account, "gitea:@ORGANISATION/TEAM" of a team, and "gitea:signed-in".
func (s *session) NamePrincipal(ctx context.Context, name string) (connectors.Principal, error) {
	const op = "naming a gitea principal"
	who, prefixed := strings.CutPrefix(name, "gitea:")
	org, teamName, isTeam := strings.Cut(strings.TrimPrefix(who, "@"), "/")
	switch {
	case !prefixed || who == "":
	case who == signedInGroup().ID:
		return signedInGroup(), nil
	case strings.HasPrefix(who, "@") && isTeam:
		teams, err := all[team](ctx, s, httpx.Call{Op: op, Path: "orgs/" + join(org) + "/teams", Scope: scopeOrganization, Ref: about(who)})
		if err != nil && !refused(err) {
			return connectors.Principal{}, err
		}
		for i := range teams {
			if strings.EqualFold(teams[i].Name, teamName) && teams[i].ID > 0 {
				return teamGroup(&teams[i]), nil
			}
		}
	default:
		var a account
		_, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: "users/" + join(who), Scope: scopeUser, Ref: about(who)}, &a)
		if err != nil && !refused(err) {
			return connectors.Principal{}, err
		}
		if a.ID > 0 && strings.EqualFold(a.Login, who) {
			return person(&a), nil
		}
	}
	return connectors.Principal{}, &connectors.Error{
		Op: op, Class: connectors.Invalid,
		Err: fmt.Errorf("%q is nobody here: write gitea:LOGIN for an account, gitea:@ORGANISATION/TEAM for a team, or gitea:signed-in", name),
	}
}
