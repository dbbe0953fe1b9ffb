package gitea

import (
	"context"
	"iter"
	"net/http"
	"slices"
	"strconv"

	"tributary/connectors"
)

// unit is a part of a repository that has rights of its own.
type unit string

// The units. unitAny is having any right at all.
const (
	unitCode   unit = "code"
	unitIssues unit = "issues"
	unitPulls  unit = "pulls"
	unitWiki   unit = "wiki"
	unitAny    unit = "any"
)

func units() []unit { return []unit{unitCode, unitIssues, unitPulls, unitWiki, unitAny} }

// The rights that a team has to a unit.
const (
	rightRead  = "read"
	rightWrite = "write"
	rightAdmin = "admin"
	rightOwner = "owner"
)

// reads reports whether a right lets somebody read. What is not known does not.
func reads(right string) bool {
	return slices.Contains([]string{rightRead, rightWrite, rightAdmin, rightOwner}, right)
}

// reads reports whether the members of a team may read a unit.
func (t *team) reads(u unit) bool {
	if t.Permission == rightAdmin || t.Permission == rightOwner {
		return true
	}
	if u == unitAny {
		for _, right := range t.UnitsMap {
			if reads(right) {
				return true
			}
		}
		return t.UnitsMap == nil && reads(t.Permission)
	}
	name := "repo." + string(u)
	if t.UnitsMap == nil { // before Gitea 1.15
		return reads(t.Permission) && slices.Contains(t.Units, name)
	}
	return reads(t.UnitsMap[name])
}

// readers are those whom a repository names. SECURITY: told is false unless all of them were read; its documents are then
// nobody's.
type readers struct {
	told          bool
	ofPerson      bool // it belongs to a person, not to an organisation
	collaborators []account
	teams         []team
}

// readersOf asks for the readers of a repository.
func (s *session) readersOf(ctx context.Context, op string, r *repository) (*readers, error) {
	out := &readers{}
	var err error
	if out.collaborators, err = all[account](ctx, s, repoCall(op, r, "collaborators")); err != nil {
		return s.hidden(ctx, r, out, err)
	}
	if out.collaborators, err = s.admitted(ctx, op, r, out.collaborators); err != nil {
		return nil, err
	}
	_, err = s.api.JSON(ctx, repoCall(op, r, "teams"), &out.teams)
	switch {
	case statusOf(err) == http.StatusMethodNotAllowed: // it is not an organisation's
		out.ofPerson = true
	case err != nil:
		return s.hidden(ctx, r, out, err)
	}
	out.told = true
	return out, nil
}

// admitted returns the collaborators that may read. The server keeps no right to read for one of a repository that is not
// private, because everybody has it, and forgets that restricted accounts do not: of those it is asked one by one.
func (s *session) admitted(ctx context.Context, op string, r *repository, list []account) ([]account, error) {
	if r.Private != nil && *r.Private {
		return list, nil
	}
	var out []account
	for _, a := range list {
		if a.Restricted {
			var answer struct {
				Permission string `json:"permission"`
			}
			_, err := s.api.JSON(ctx, repoCall(op, r, "collaborators", join(a.Login), "permission"), &answer)
			if err != nil && !refused(err) {
				return nil, err
			}
			if !reads(answer.Permission) {
				continue
			}
		}
		out = append(out, a)
	}
	return out, nil
}

// hidden returns readers that are not told, where the server refused to tell them.
func (s *session) hidden(ctx context.Context, r *repository, out *readers, err error) (*readers, error) {
	if !refused(err) {
		return nil, err
	}
	s.remind(ctx, problemReaders, r.id())
	return out, nil
}

// remind logs a known problem that does not end the run, and counts it.
func (s *session) remind(ctx context.Context, code, what string) {
	s.count(code)
	s.log.WarnContext(ctx, "gitea does not tell who may read", "code", code, "what", what, "problem", s.spec.Problem("", code).Err)
}

// unitGroup stands for the readers of a unit.
func unitGroup(r *repository, u unit) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: r.id() + ":" + string(u), Name: r.FullName + ", " + string(u)}
}

// signedInGroup stands for the accounts that see public repositories: all but restricted ones.
func signedInGroup() connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: "signed-in", Name: "signed-in accounts"}
}

// membersGroup stands for the members of an organisation who see its internal repositories: all but restricted ones.
func membersGroup(r *repository) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: "org:" + strconv.FormatInt(r.Owner.ID, 10), Name: r.Owner.Login}
}

func teamGroup(t *team) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: "team:" + strconv.FormatInt(t.ID, 10), Name: t.Name}
}

func person(a *account) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: strconv.FormatInt(a.ID, 10), Name: a.name()}
}

// open returns who may read a repository without being named, nobody where that is not known.
func (s *session) open(r *repository) []connectors.Principal {
	if r.Private == nil || *r.Private {
		return nil
	}
	switch r.Owner.Visibility {
	case visiblePublic:
		if s.want.everybody {
			return []connectors.Principal{{Kind: connectors.Public, ID: "public"}}
		}
		return []connectors.Principal{signedInGroup()}
	case visibleLimited:
		return []connectors.Principal{signedInGroup()}
	case visiblePrivate:
		return []connectors.Principal{membersGroup(r)}
	}
	return nil
}

// acl returns who may read a unit: the group of its readers, and whoever the repository is open to.
func (w *walker) acl(ctx context.Context, r *repository, u unit) (connectors.ACL, error) {
	known, ok := w.told[r.ID]
	if !ok {
		var err error
		if known, err = w.s.readersOf(ctx, w.op, r); err != nil {
			return connectors.ACL{}, err
		}
		if w.told == nil {
			w.told = map[int64]*readers{}
		}
		w.told[r.ID] = known
	}
	if !known.told {
		return connectors.ACL{}, nil
	}
	return connectors.ACL{AllOf: [][]connectors.Principal{append([]connectors.Principal{unitGroup(r, u)}, w.s.open(r)...)}}, nil
}

// Permissions yields the ACL of every document of the selection.
func (s *session) Permissions(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, &walker{s: s, op: "listing gitea permissions", readers: true, readersOnly: true})
}
