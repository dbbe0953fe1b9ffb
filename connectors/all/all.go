package all

import (
	"slices"

	"tributary/connectors"
	"tributary/connectors/folder"
	"tributary/connectors/gitea"
	"tributary/connectors/github"
	"tributary/connectors/googledrive"
	"tributary/connectors/push"
	"tributary/connectors/sandbox"
)

// Config is what the wiring decides for the connectors.
type Config struct {
	Folder      folder.Config
	GitHub      github.Config
	Gitea       gitea.Config
	GoogleDrive googledrive.Config
	Sandbox     sandbox.Config
}

// List is the connectors of one process, in the order that people see them.
type List struct{ connectors []connectors.Connector }

// New returns every connector.
func New(cfg Config) List {
	return List{connectors: []connectors.Connector{
		folder.New(cfg.Folder),
		github.New(cfg.GitHub),
		gitea.New(cfg.Gitea),
		googledrive.New(cfg.GoogleDrive),
		sandbox.New(cfg.Sandbox),
		push.New(),
	}}
}

// All returns the connectors in a fixed order.
func (l List) All() []connectors.Connector { return slices.Clone(l.connectors) }

// Get returns the connector of a source.
func (l List) Get(source string) (connectors.Connector, bool) {
	for _, c := range l.connectors {
		if c.Spec().Source == source {
			return c, true
		}
	}
	return nil, false
}
