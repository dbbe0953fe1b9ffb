package jobs

import (
	"context"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
)

// Self asks the source of a connection whom its grant acts for. A source that does not tell is an *store.InputError.
func (r *Runner) Self(ctx context.Context, conn store.Connection) (connectors.Principal, error) {
	var self connectors.Principal
	err := r.inSession(ctx, conn, "asking whose grant it is", func(o opened) error {
		who, ok := o.session.(connectors.SelfIdentifier)
		if !ok || !o.spec.Has(connectors.CanSelf) {
			return &store.InputError{Field: "connection", Problem: "source " + conn.Source + " does not tell which of its users consented: link the reader by name"}
		}
		var err error
		if self, err = who.Self(ctx); err != nil {
			return err
		}
		if self.Kind != connectors.User || self.ID == "" {
			return &connectors.Error{Op: "asking whose grant it is", Class: connectors.Bug}
		}
		self.Name = oauthflow.CleanName(self.Name)
		return nil
	})
	return self, err
}
