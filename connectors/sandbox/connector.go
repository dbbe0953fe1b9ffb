package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"

	"tributary/connectors"
)

// Source is the name of the connector.
const Source = "sandbox"

// The setting of a connection.
const (
	settingLink = "link_sharing"

	linkNobody = "nobody"
	linkAnyone = "anyone"
)

// The scopes of the sandbox.
const (
	scopeAccount = "account.read"
	scopeFiles   = "files.read"
	scopeGroups  = "groups.read"
)

// Config is what the wiring decides for every connection to a sandbox.
type Config struct {
	// PageSize is the number of entries asked for at a time; 0 means 200, the
	// most that the sandbox gives.
	PageSize int
}

const defaultPageSize = 200

// Connector reads Sandbox Drive.
type Connector struct{ cfg Config }

var _ connectors.Connector = (*Connector)(nil)

// New returns the connector.
func New(cfg Config) *Connector {
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	return &Connector{cfg: cfg}
}

// Spec describes the connector.
func (c *Connector) Spec() connectors.Spec {
	return connectors.Spec{
		Source:          Source,
		Name:            "Sandbox Drive",
		Description:     "Documents of an invented company, with shared, private and restricted folders and nested groups, to try Tributary with.",
		Icon:            "sandbox",
		Provider:        "sandbox",
		Hosts:           []string{"{base}"},
		PrincipalPrefix: "sandbox",
		CursorVersion:   cursorVersion,
		Scopes: []connectors.Scope{
			{Name: scopeAccount, Reason: "Tells which account and organisation the connection belongs to."},
			{Name: scopeFiles, Reason: "Reads documents, who may read each of them, and what changed."},
			{Name: scopeGroups, Reason: "Reads who is in the groups that documents are shared with; without it only what is shared with a person by name is found."},
		},
		Settings: []connectors.Setting{
			{
				Name: settingLink, Type: connectors.Enum, Default: linkNobody, Options: []string{linkNobody, linkAnyone},
				Description: "Who finds what is shared with anyone who has the link: nobody, or anyone of the organisation.",
			},
		},
		Provides: []connectors.Capability{
			connectors.CanChanges, connectors.CanListIDs, connectors.CanPermissions, connectors.CanGroups, connectors.CanFetch,
			connectors.CanChoose, connectors.CanVerify, connectors.CanRealm, connectors.CanName,
		},
		Limits: []string{
			"A connection reads what the account that consented can read; a client of its own (client credentials) reads the whole organisation.",
			"A document in a folder that this account cannot see is visible to nobody: somebody may be blocked there.",
			"Addresses of guests count for a domain only where the sandbox has verified them.",
			"People who have left are in no group and find nothing that is shared with them by name; without the scope groups.read this is not known.",
		},
	}
}

// session reads one connection's selection.
type session struct {
	cfg  Config
	api  *api
	sel  *selection
	link string
	// kept are folders of earlier listings, to be asked for conditionally.
	kept map[string]keptFolder
	// org is the organisation's id once it was needed; it never changes.
	org string
}

var (
	_ connectors.Session        = (*session)(nil)
	_ connectors.ChangeFeed     = (*session)(nil)
	_ connectors.IDLister       = (*session)(nil)
	_ connectors.PermissionFeed = (*session)(nil)
	_ connectors.GroupLister    = (*session)(nil)
	_ connectors.Fetcher        = (*session)(nil)
	_ connectors.Chooser        = (*session)(nil)
	_ connectors.Verifier       = (*session)(nil)
	_ connectors.Realmer        = (*session)(nil)
	_ connectors.PrincipalNamer = (*session)(nil)
)

// Open checks the settings. It makes no request.
func (c *Connector) Open(_ context.Context, env connectors.Env) (connectors.Session, error) {
	base, err := baseURL(env.Base)
	if err != nil {
		return nil, invalid("opening sandbox", "the registration's address", err)
	}
	link := env.Settings[settingLink]
	if link == "" {
		link = linkNobody
	}
	if !slices.Contains([]string{linkNobody, linkAnyone}, link) {
		return nil, invalid("opening sandbox", settingLink, fmt.Errorf("%q is not %s or %s", link, linkNobody, linkAnyone))
	}
	sel, err := newSelection(env.Selection)
	if err != nil {
		return nil, err
	}
	if env.HTTP == nil {
		return nil, &connectors.Error{Op: "opening sandbox", Class: connectors.Invalid, Err: errors.New("the connection has no grant: connect it first")}
	}
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &session{
		cfg: c.cfg, api: &api{http: env.HTTP, base: base, log: log}, sel: sel, link: link, kept: map[string]keptFolder{},
	}, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }

// baseURL reads the sandbox's address.
func baseURL(text string) (string, error) {
	if text == "" {
		return "", errors.New("is missing: enter the address of the sandbox, such as http://localhost:8090")
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", errors.New("is not an address such as http://localhost:8090")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("has more than scheme, host, port and path: leave out users, queries and fragments")
	}
	return u.JoinPath("/").String(), nil
}

func invalid(op, field string, err error) error {
	return &connectors.Error{Op: op, Class: connectors.Invalid, Err: fmt.Errorf("setting %s: %w", field, err)}
}
