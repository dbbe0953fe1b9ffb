package googledrive

import (
	"context"
	"errors"
	"net/url"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Config is what the wiring decides for every connection to Google Drive. Its
// zero value is Google's own addresses and limits.
type Config struct {
	// Drive and Directory are the addresses of the APIs, for tests.
	Drive     string
	Directory string
	// PageSize is the number of entries asked for at a time; 0 means 1,000, the
	// most that Google gives.
	PageSize int
	// Retry says what is repeated.
	Retry httpx.Retry
}

const (
	driveBase       = "https://www.googleapis.com/drive/v3"
	directoryBase   = "https://admin.googleapis.com/admin/directory/v1"
	defaultPageSize = 1000
)

// Connector reads Google Drive.
type Connector struct{ cfg Config }

var _ connectors.Connector = (*Connector)(nil)

// New returns the connector.
func New(cfg Config) *Connector {
	if cfg.Drive == "" {
		cfg.Drive = driveBase
	}
	if cfg.Directory == "" {
		cfg.Directory = directoryBase
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	return &Connector{cfg: cfg}
}

// session reads one connection's selection.
type session struct {
	spec      connectors.Spec
	pageSize  int
	api       *httpx.API
	directory *httpx.API
	sel       *selection
	link      string
	groups    string
	counts    counts

	// rootID and driveNames are asked for once in a session.
	rootID     string
	driveNames map[string]string
}

var (
	_ connectors.Session        = (*session)(nil)
	_ connectors.ChangeFeed     = (*session)(nil)
	_ connectors.IDLister       = (*session)(nil)
	_ connectors.PermissionFeed = (*session)(nil)
	_ connectors.GroupLister    = (*session)(nil)
	_ connectors.PeopleLister   = (*session)(nil)
	_ connectors.Fetcher        = (*session)(nil)
	_ connectors.Chooser        = (*session)(nil)
	_ connectors.Verifier       = (*session)(nil)
	_ connectors.Realmer        = (*session)(nil)
	_ connectors.Counter        = (*session)(nil)
	_ connectors.PrincipalNamer = (*session)(nil)
	_ connectors.SelfIdentifier = (*session)(nil)
)

const opOpen = "opening Google Drive"

// Open checks the settings. It makes no request.
func (c *Connector) Open(_ context.Context, env connectors.Env) (connectors.Session, error) {
	for _, base := range []string{c.cfg.Drive, c.cfg.Directory} {
		if u, err := url.Parse(base); err != nil || u.Host == "" {
			return nil, connectors.InvalidField(opOpen, "the configured address", errors.New("is no URL"))
		}
	}
	v := c.Spec().Values(opOpen, env)
	link, groups := v.Text(settingLink), v.Text(settingGroups)
	if v.Err() != nil {
		return nil, v.Err()
	}
	sel, err := newSelection(env.Selection)
	if err != nil {
		return nil, err
	}
	client, err := env.Client(opOpen)
	if err != nil {
		return nil, err
	}
	log := env.Logger()
	judge := judge{spec: c.Spec()}
	api := httpx.API{HTTP: client, Base: c.cfg.Drive, Retry: c.cfg.Retry, Judge: judge.drive, Log: log}
	directory := api
	directory.Base, directory.Judge = c.cfg.Directory, judge.directory
	return &session{
		spec: judge.spec, pageSize: c.cfg.PageSize, api: &api, directory: &directory, sel: sel, link: link, groups: groups,
		counts: counts{},
	}, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }

// counts are what an admin should know of a run besides documents.
type counts struct {
	// unreadable are files whose permissions the account is not shown.
	unreadable int64
	// groups and domains that documents are shared with and whose members are
	// not known.
	groups, domains map[string]bool
	// opaque are groups of other organisations, gone those that no longer are.
	opaque, gone int64
	// refused are shared drives that were not given out.
	refused int64
}

// maxCounted bounds how many groups are told apart.
const maxCounted = 100_000

// unresolved notes that a document is shared with a group or domain.
func (c *counts) unresolved(p connectors.Principal) {
	set := &c.groups
	if p.Kind == connectors.Domain {
		set = &c.domains
	}
	if *set == nil {
		*set = map[string]bool{}
	}
	if len(*set) < maxCounted {
		(*set)[p.ID] = true
	}
}

// Counts returns what the session has counted so far.
func (s *session) Counts() map[string]int64 {
	all := map[string]int64{
		"permissions_unreadable": s.counts.unreadable,
		"groups_unresolved":      int64(len(s.counts.groups)),
		"domains_unresolved":     int64(len(s.counts.domains)),
		"groups_opaque":          s.counts.opaque,
		"groups_gone":            s.counts.gone,
		"drives_refused":         s.counts.refused,
	}
	for name, n := range all {
		if n == 0 {
			delete(all, name)
		}
	}
	return all
}
