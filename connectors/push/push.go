package push

import (
	"context"
	"errors"

	"tributary/connectors"
)

// Source is the name of the source.
const Source = "push"

// Connector is the source in lists, help and pages.
type Connector struct{}

// New returns the connector.
func New() Connector { return Connector{} }

// Spec implements connectors.Connector.
func (Connector) Spec() connectors.Spec {
	return connectors.Spec{
		Source:        Source,
		Name:          "Push",
		Description:   "Documents with their permissions and groups that a program of yours pushes over the API, for whatever has no connector.",
		Category:      connectors.CategoryOwn,
		Icon:          Source,
		CursorVersion: 1,
		Limits: []string{
			"Nothing is pulled: what is pushed stands until it is pushed again or deleted.",
			"Permissions are as of the last push. They never grow too old by themselves, unless the connection was made with --max-permission-age; then an empty batch says that all is as it was.",
			"A document has at most 64 MiB of content, a batch at most 1,000 items and 32 MiB, a group at most 50,000 members.",
			"Text comes from text/markdown, text/html, text/plain and application/pdf; anything else is refused.",
		},
	}
}

var errNothingToPull = errors.New("documents are pushed to it, there is nothing to pull: see docs/push.md")

// Open implements connectors.Connector: there is nothing to open.
func (Connector) Open(context.Context, connectors.Env) (connectors.Session, error) {
	return nil, &connectors.Error{Op: "opening push", Class: connectors.Invalid, Err: errNothingToPull}
}
