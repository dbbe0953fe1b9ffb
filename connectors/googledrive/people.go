package googledrive

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// realm is the same for every connection: ids of permissions are Google's, and
// one person has one for all of Drive.
const realm = "google.com"

// Realm returns where ids of permissions are unique.
func (s *session) Realm(context.Context) (string, error) { return realm, nil }

// Verify returns the account and proves that files can be read, and people
// where the directory is to be asked.
func (s *session) Verify(ctx context.Context) (string, error) {
	const op = "verifying Google Drive"
	me, err := s.about(ctx, op)
	if err != nil {
		return "", err
	}
	if err := s.knowDrives(ctx, op); err != nil {
		return "", err
	}
	if _, _, err := s.files(ctx, op, userCorpus, queryFiles, "id", ""); err != nil {
		return "", err
	}
	if s.groups == groupsDirectory {
		query := url.Values{"customer": {"my_customer"}, "maxResults": {"1"}, "fields": {"users(id)"}}
		if _, err := s.directory.JSON(ctx, httpx.Call{Op: op, Path: "users", Query: query, Scope: scopeUsers}, nil); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%s (%s), %d shared drives", me.Name, me.Email, len(s.driveNames)), nil
}

// serviceAccounts is the domain of accounts that are nobody's.
const serviceAccounts = ".gserviceaccount.com"

// Self returns the account that the grant acts for, by the id of its
// permissions.
func (s *session) Self(ctx context.Context) (connectors.Principal, error) {
	const op = "asking whose grant it is"
	me, err := s.about(ctx, op)
	if err != nil {
		return connectors.Principal{}, err
	}
	if strings.HasSuffix(strings.ToLower(me.Email), serviceAccounts) {
		return connectors.Principal{}, &connectors.Error{Op: op, Class: connectors.Invalid, Err: errors.New("the grant is a service account's own, and nobody's")}
	}
	return connectors.Principal{Kind: connectors.User, ID: me.PermissionID, Name: me.Name}, nil
}

// about returns the account that the grant acts for.
func (s *session) about(ctx context.Context, op string) (person, error) {
	var answer struct {
		User person `json:"user"`
	}
	query := url.Values{"fields": {"user(displayName,emailAddress,permissionId)"}}
	_, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: "about", Query: query, Scope: scopeDrive}, &answer)
	if err == nil && answer.User.PermissionID == "" {
		err = broken(op, errNoID)
	}
	return answer.User, err
}

// NamePrincipal resolves the address of a person or a group, with or without
// "google:" before it: who stands in the directory, the account itself, or who
// has something shared with them.
func (s *session) NamePrincipal(ctx context.Context, name string) (connectors.Principal, error) {
	const op = "naming a Google principal"
	address := strings.ToLower(strings.TrimPrefix(name, provider+":"))
	unknown := &connectors.Error{
		Op: op, Class: connectors.Invalid,
		Err: fmt.Errorf("%q is nobody here: write the address of a person or group that something is shared with, as google:ada@example.com", name),
	}
	if !strings.Contains(address, "@") {
		return connectors.Principal{}, unknown
	}
	for _, find := range []func(context.Context, string, string) (connectors.Principal, error){s.inDirectory, s.myself, s.inFiles, s.inDrives} {
		p, err := find(ctx, op, address)
		if err != nil || p.ID != "" {
			return p, err
		}
	}
	return connectors.Principal{}, unknown
}

// myself is the account that the grant acts for.
func (s *session) myself(ctx context.Context, op, address string) (connectors.Principal, error) {
	me, err := s.about(ctx, op)
	if err != nil || !strings.EqualFold(me.Email, address) {
		return connectors.Principal{}, err
	}
	return connectors.Principal{Kind: connectors.User, ID: me.PermissionID, Name: me.Name}, nil
}

// inFiles looks for an address among whom files are shared with.
func (s *session) inFiles(ctx context.Context, op, address string) (connectors.Principal, error) {
	who := quoted(address)
	q := "trashed=false and (" + who + " in readers or " + who + " in writers or " + who + " in owners)"
	page, _, err := s.files(ctx, op, userCorpus, q, "id,permissions("+permissionFields+")", "")
	if err != nil {
		return connectors.Principal{}, err
	}
	for i := range page.Files {
		if p := s.among(page.Files[i].Permissions, address); p.ID != "" {
			return p, nil
		}
	}
	return connectors.Principal{}, nil
}

// inDrives looks for an address among the members of shared drives.
func (s *session) inDrives(ctx context.Context, op, address string) (connectors.Principal, error) {
	all, err := s.corpora(ctx, op)
	if err != nil {
		return connectors.Principal{}, err
	}
	for _, c := range all {
		if c == userCorpus {
			continue
		}
		members, err := s.permissions(ctx, op, string(c))
		if err != nil && !refused(err) {
			return connectors.Principal{}, err
		}
		if p := s.among(members.list, address); p.ID != "" {
			return p, nil
		}
	}
	return connectors.Principal{}, nil
}

// inDirectory looks for an address among the organisation's people.
func (s *session) inDirectory(ctx context.Context, op, address string) (connectors.Principal, error) {
	if s.groups != groupsDirectory {
		return connectors.Principal{}, nil
	}
	var u directoryUser
	_, err := s.directory.JSON(ctx, httpx.Call{
		Op: op, Path: "users/" + url.PathEscape(address), Query: url.Values{"fields": {"id,name/fullName"}}, Scope: scopeUsers,
		Ref: connectors.ItemRef{ID: address},
	}, &u)
	if refused(err) {
		return connectors.Principal{}, nil
	}
	if err != nil || u.ID == "" {
		return connectors.Principal{}, err
	}
	return directoryPerson(u.ID, u.Name.Full), nil
}

func (s *session) among(list []permission, address string) connectors.Principal {
	for _, p := range list {
		if !strings.EqualFold(p.Email, address) || p.Deleted {
			continue
		}
		if r, kind := s.principal(p); kind == grantKnown {
			return r
		}
	}
	return connectors.Principal{}
}

// quoted writes a text in a search query,
// https://developers.google.com/workspace/drive/api/guides/search-files.
func quoted(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
}

// notFound reports whether err says that a thing is not there.
func notFound(err error) bool {
	e, ok := errors.AsType[*httpx.StatusError](err)
	return ok && e.Code == http.StatusNotFound
}
