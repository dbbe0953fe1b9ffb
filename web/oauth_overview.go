package web

import (
	"context"

	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// completeOverview adds the way to the first source, and what somebody should do something about.
func (s *Server) completeOverview(ctx context.Context, v *pages.OverviewView) error {
	o := s.cfg.OAuth
	if o == nil {
		return nil
	}
	registrations, err := o.Store.Registrations(ctx)
	if err != nil {
		return err
	}
	grants, err := o.Grants.List(ctx)
	if err != nil {
		return err
	}
	warnings, err := o.Registrations.Warnings(ctx)
	if err != nil {
		return err
	}
	v.Steps = firstSteps(registrations, v.Connections)
	if text := s.keyProblem(); text != "" {
		v.Notices = append(v.Notices, pages.Notice{Text: sentence(text) + " What is stored stays searchable; nothing that is encrypted is written over."})
	}
	for _, g := range grants {
		if n, ok := grantNotice(g); ok {
			v.Notices = append(v.Notices, n)
		}
	}
	for _, w := range warnings {
		v.Notices = append(v.Notices, pages.Notice{Text: sentence(w.Registration.Name + ": " + w.Text), Path: "/registrations/" + w.Registration.ID.String(), Link: "Open it"})
	}
	for _, k := range v.Connections {
		if k.State == store.StateDegraded {
			v.Notices = append(v.Notices, pages.Notice{Text: sentence(k.Name + " is degraded: " + k.StateReason), Path: "/connections/" + k.Name, Link: "Open it"})
		}
	}
	return nil
}

// grantNotice is what to say of a grant that does not work.
func grantNotice(g oauthflow.Grant) (pages.Notice, bool) {
	if g.ClosedAt != nil {
		return pages.Notice{}, false
	}
	name := g.Account
	if name == "" {
		name = "an account"
	}
	n := pages.Notice{Path: "/grants/" + g.ID.String(), Link: "Open it"}
	switch g.Health.State {
	case oauthflow.GrantNeedsReauth:
		n.Text = "The grant of " + name + " needs consent again: its connections stand still."
	case oauthflow.GrantConfigError:
		n.Text = "The provider refuses the client of the grant of " + name + ": its connections stand still."
	case oauthflow.GrantActive, oauthflow.GrantClosing:
		return n, false
	}
	return n, n.Text != ""
}

// firstSteps lead from nothing to a source that can be searched; none once one was synced.
func firstSteps(registrations []oauthflow.Registration, connections []store.Connection) []pages.Step {
	var registered, connected bool
	for _, r := range registrations {
		registered = registered || r.State == oauthflow.RegistrationActive
	}
	for _, k := range connections {
		connected = true
		if k.ContentAsOf != nil {
			return nil
		}
	}
	steps := []pages.Step{
		{Done: true, Title: "Set up this instance"},
		{Done: registered || connected, Title: "Register a client at a provider", Hint: "A page says step by step where to click there.", Path: "/registrations/new"},
		{Done: connected, Title: "Connect a source", Hint: "You consent at the provider with the account whose documents are to be read.", Path: "/connect"},
		{Title: "Wait for the first sync", Hint: "It starts by itself."},
		{Title: "Search", Hint: "Make a reader and a key with tributary readers and tributary keys, and ask as below."},
	}
	before := true
	for i := range steps {
		if !before {
			steps[i].Path = "" // one thing after the other
		}
		before = steps[i].Done
	}
	if connected {
		steps[3].Path = "/connections"
	}
	return steps
}
