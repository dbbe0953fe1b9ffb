package folder

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"tributary/connectors"
)

// Source is the name of the connector.
const Source = "folder"

// Config is what the wiring decides for every connection to a folder.
type Config struct {
	// AllowedRoots are directories that a connection's root, with symbolic links
	// resolved, must be or lie below. Nil allows any directory; an empty list
	// allows none.
	AllowedRoots []string
	// Sniff reports whether a file is a document, from its name and first
	// bytes: its media type, or the reason why it is none. Nil accepts UTF-8
	// text and PDF.
	Sniff func(name string, head []byte) (mediaType string, ok bool, reason string)
	// Realm is the realm on a machine that has no machine id, such as a
	// container. "" makes such a machine an error of class Invalid.
	Realm string
	// PageSize is the number of entries of a page; 0 means 500.
	PageSize int
	// Accounts are the system's accounts; nil means those of getent, or of
	// /etc/passwd and /etc/group where getent is missing.
	Accounts Accounts

	// trip lets tests fail or disturb a step; nil does nothing.
	trip func(at step, path string) error
}

// step is a place at which the file system can fail.
type step int

const (
	stepEntry step = iota
	stepDirectory
	stepPermissions
	stepBody
)

const defaultPageSize = 500

// Connector reads directory trees.
type Connector struct{ cfg Config }

var _ connectors.Connector = (*Connector)(nil)

// New returns the connector.
func New(cfg Config) *Connector {
	if cfg.Sniff == nil {
		cfg.Sniff = sniffText
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	if cfg.trip == nil {
		cfg.trip = func(step, string) error { return nil }
	}
	if cfg.Accounts == nil {
		cfg.Accounts = systemAccounts{}
	}
	return &Connector{cfg: cfg}
}

// Spec describes the connector.
func (c *Connector) Spec() connectors.Spec {
	return connectors.Spec{
		Source:          Source,
		Name:            "Folder",
		Description:     "Files of a directory tree on this machine, with their POSIX permissions or a fixed list of readers.",
		Category:        connectors.CategoryFiles,
		Icon:            "folder",
		PrincipalPrefix: "unix",
		CursorVersion:   cursorVersion,
		Settings: []connectors.Setting{
			{
				Name: settingPath, Label: "Directory", Type: connectors.Path, Required: true, Example: "/srv/docs",
				Description: "Directory to read: an absolute path on the machine that runs the workers.",
			},
			{
				Name: settingPermissions, Label: "Permissions", Type: connectors.Enum, Default: permissionsPOSIX,
				Options:     []string{permissionsPOSIX, permissionsFixed},
				Description: "posix: each file is visible to the accounts that may read it; fixed: every file is visible to the readers listed below.",
			},
			{
				Name: settingReaders, Label: "Readers", Type: connectors.List, Example: "unix:alice,group:staff",
				Description: "Readers with permissions=fixed: unix:NAME, unix:@GROUP, uid:N, group:NAME, gid:N, or anyone (every account of this machine).",
			},
			{
				Name: settingMaxFileSize, Label: "Largest file", Type: connectors.String, Default: "64MB", Example: "10MB",
				Description: "Larger files are skipped: bytes, or a number with KB, MB or GB.",
			},
		},
		Provides: []connectors.Capability{
			connectors.CanPermissions, connectors.CanGroups, connectors.CanFetch, connectors.CanChoose,
			connectors.CanVerify, connectors.CanRealm, connectors.CanName,
		},
		Limits: []string{
			"Symbolic links are not followed; mount points below the root are.",
			"posix permissions are evaluated on Linux, for file systems that keep POSIX modes and ACLs; files on FUSE, SMB, 9P and AFS mounts, and files with an NFSv4 ACL, are visible to nobody.",
			"Where a group has fewer rights than everyone else, its file is shown to neither; each run counts such files.",
			"Accounts and members that the system does not enumerate (getent passwd, getent group) see only what names them.",
			"A renamed file is a deleted and a new document.",
		},
	}
}

// session reads one tree.
type session struct {
	cfg      Config
	settings settings
	sel      *selection
	root     *tree
	walkName string
	log      *slog.Logger
	clock    func() time.Time
	// fixed is the ACL of every file with permissions=fixed.
	fixed    connectors.ACL
	inverted atomic.Int64
}

var (
	_ connectors.Session        = (*session)(nil)
	_ connectors.PermissionFeed = (*session)(nil)
	_ connectors.GroupLister    = (*session)(nil)
	_ connectors.Fetcher        = (*session)(nil)
	_ connectors.Chooser        = (*session)(nil)
	_ connectors.Verifier       = (*session)(nil)
	_ connectors.Realmer        = (*session)(nil)
	_ connectors.PrincipalNamer = (*session)(nil)
)

// Open checks the settings and holds the root open until Close.
func (c *Connector) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	set, err := parseSettings(env.Settings)
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(env.Selection)
	if err != nil {
		return nil, err
	}
	s := &session{cfg: c.cfg, settings: set, sel: sel, log: env.Log, clock: env.Clock}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if set.permissions == permissionsFixed {
		if s.fixed, err = s.fixedACL(ctx); err != nil {
			return nil, err
		}
	} else if err := canEvaluate(); err != nil {
		return nil, invalid("opening folder", settingPermissions, err)
	}
	if s.root, err = openRoot(set.path, c.cfg.AllowedRoots); err != nil {
		return nil, err
	}
	s.walkName = walkName(s.root, env.Selection)
	return s, nil
}

// Close releases the root.
func (s *session) Close(context.Context) error { return s.root.close() }

// Counts returns what the session's walks counted so far:
// "inverted_modes" is the number of files that stand under a mode in which the
// owner or a group has fewer rights than a later class.
func (s *session) Counts() map[string]int64 {
	return map[string]int64{CountInverted: s.inverted.Load()}
}

// CountInverted names the count of files under an inverted mode.
const CountInverted = "inverted_modes"

func (s *session) fixedACL(ctx context.Context) (connectors.ACL, error) {
	var clause []connectors.Principal
	for _, r := range s.settings.readers {
		p, err := s.NamePrincipal(ctx, r)
		if err != nil {
			return connectors.ACL{}, invalid("opening folder", settingReaders, errors.Unwrap(err))
		}
		p.Name = ""
		clause = append(clause, p)
	}
	return connectors.ACL{AllOf: [][]connectors.Principal{canonicalClause(clause)}}, nil
}
