package web

import (
	"context"
	"slices"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// completeOverview adds the way to the first search, how everything is doing, and what somebody should do something
// about.
func (s *Server) completeOverview(ctx context.Context, v *pages.OverviewView) error {
	o := s.cfg.OAuth
	if o == nil {
		return nil
	}
	registrations, err := o.Store.Registrations(ctx)
	if err != nil {
		return err
	}
	if err := s.overviewNotices(ctx, v); err != nil {
		return err
	}
	if err := s.overviewEngine(ctx, v); err != nil {
		return err
	}
	if v.MayConnect && len(v.Connections) == 0 {
		v.Offers = s.firstOffers(registrations)
	}
	v.Steps = s.firstSteps(registrations, v)
	return nil
}

// overviewNotices adds what is wrong with the master key, grants, registrations and connections, as it is now.
func (s *Server) overviewNotices(ctx context.Context, v *pages.OverviewView) error {
	grants, err := s.cfg.OAuth.Grants.List(ctx)
	if err != nil {
		return err
	}
	warnings, err := s.cfg.OAuth.Registrations.Warnings(ctx)
	if err != nil {
		return err
	}
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
		if k.SettingUp() {
			v.Notices = append(v.Notices, pages.Notice{Text: "The set-up of " + k.Name + " is not finished: nothing is synced yet.", Path: "/connections/" + k.Name, Link: "Open it"})
		}
		if k.State == store.StateDegraded {
			v.Notices = append(v.Notices, pages.Notice{Text: sentence(k.Name + " is degraded: " + k.StateReason), Path: "/connections/" + k.Name, Link: "Open it"})
		}
	}
	return nil
}

// Bounds of what the overview shows of lists.
const (
	overviewRuns    = 8
	overviewNotices = 5
)

// overviewEngine adds what the engine says.
func (s *Server) overviewEngine(ctx context.Context, v *pages.OverviewView) error {
	if s.cfg.Admin == nil || s.cfg.System == nil {
		return nil
	}
	facts, err := s.cfg.System.Store.Facts(ctx)
	if err != nil {
		return err
	}
	v.Facts = &facts
	if v.Live, v.Recent, err = s.cfg.System.Store.LiveAndRecent(ctx, overviewRuns); err != nil {
		return err
	}
	list, err := s.cfg.Admin.Store.Notices(ctx, store.NoticeFilter{Limit: 50})
	if err != nil {
		return err
	}
	// What overviewNotices says already, and of what happens now, is not said twice.
	said := []string{"connection_needs_consent", "connection_degraded", "registration_rejected", "registration_secret_expiring", store.NoticeMasterKey}
	for _, n := range list {
		if len(v.Open) < overviewNotices && n.Severity != store.SeverityInfo && !slices.Contains(said, n.Code) {
			v.Open = append(v.Open, n)
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

// sandboxSource is the source that newcomers try consent with.
const sandboxSource = "sandbox"

// sandboxAt is where this process serves Sandbox Drive, "" where it does not.
func (s *Server) sandboxAt() string {
	if s.cfg.OAuth.Sandbox == nil {
		return ""
	}
	return s.cfg.OAuth.Sandbox()
}

// firstOffers are what a new instance can begin with: Sandbox Drive where it is served, a folder, a real source.
func (s *Server) firstOffers(registrations []oauthflow.Registration) []pages.Offer {
	var out []pages.Offer
	if spec, ok := s.sourceNamed(sandboxSource); ok && s.sandboxAt() != "" {
		o := pages.Offer{
			Icon: sourceIcon(spec), Title: spec.Name, Act: "Try it",
			Text: "An invented company with people, groups and documents, served by this program. You see real consent, permissions and deletions, without registering anything elsewhere.",
			Path: "/registrations/new?provider=" + spec.Provider,
		}
		for _, r := range registrations {
			if spec.Accepts(r.Profile.Name) && r.State == oauthflow.RegistrationActive {
				o.Path = "/connect?source=" + spec.Source + "&registration=" + r.ID.String()
			}
		}
		out = append(out, o)
	}
	if i := slices.IndexFunc(s.cfg.OAuth.Sources, isLocal); i >= 0 {
		spec := s.cfg.OAuth.Sources[i]
		o := pages.Offer{Icon: sourceIcon(spec), Title: "A folder of the server", Text: spec.Description, Path: "/connect?source=" + spec.Source, Act: "Choose a folder"}
		if len(s.cfg.OAuth.FolderRoots) == 0 {
			o.Act = "How it is connected"
		}
		out = append(out, o)
	}
	return append(out, pages.Offer{
		Icon: "connections", Title: "A source of yours", Path: "/connect", Act: "Choose a source",
		Text: "Documents at a provider that you, or somebody else, allows Tributary to read. Each page says what it needs and why.",
	})
}

// isLocal reports whether nobody has to consent to a source, which admins connect in the pages.
func isLocal(spec connectors.Spec) bool {
	return spec.Provider == "" && spec.Source != store.PushSource
}

// firstSteps lead from nothing to a first search that found something; none once there was one.
func (s *Server) firstSteps(registrations []oauthflow.Registration, v *pages.OverviewView) []pages.Step {
	var registered, connected, synced, linked bool
	for _, r := range registrations {
		registered = registered || r.State == oauthflow.RegistrationActive
	}
	first := pages.Step{Title: "Wait for the first sync", Hint: "It starts by itself.", Path: "/connections"}
	for _, k := range v.Connections {
		connected = true
		synced = synced || k.ContentAsOf != nil
		if k.SettingUp() {
			first = pages.Step{Title: "Finish the set-up", Hint: "You see what a sync would do and who will be able to read it, and start the first one.", Path: s.nextStep(k)}
		}
	}
	first.Done = synced
	if v.Facts != nil {
		if v.Facts.Asked {
			return nil
		}
		linked = v.Facts.Linked
	} else if synced {
		return nil
	}
	steps := []pages.Step{
		{Done: true, Title: "Set up this instance"},
		{Done: registered || connected, Title: "Register a client at a provider", Hint: "A page says step by step where to click there. A folder needs none.", Path: "/registrations/new"},
		{Done: connected, Title: "Connect a source", Hint: "You consent at the provider with the account whose documents are to be read.", Path: "/connect"},
		first,
		{Done: linked, Title: "Link a reader", Hint: "A reader is who asks. On the page of a connection, link yourself to the account that consented, with one click; or make readers and link them on the page Readers, or with `tributary readers link`.", Path: "/connections"},
		{Title: "Search", Hint: "As yourself, or with a key of the page API keys or of `tributary keys create`. What comes is what the reader may read."},
	}
	if s.serves("/readers") {
		steps[4].Path = "/readers"
	}
	if s.serves("/search") {
		steps[5].Path = "/search"
	}
	if !v.MayConnect {
		for i := range steps {
			steps[i].Path = ""
		}
	}
	if !connected {
		steps[3].Path, steps[4].Path, steps[5].Path = "", "", ""
	}
	return onePath(steps)
}

// onePath keeps the links up to the first step that is not done, and to the second where that one is optional.
func onePath(steps []pages.Step) []pages.Step {
	before := true
	for i := range steps {
		if !before {
			steps[i].Path = "" // one thing after the other
		}
		before = before && (steps[i].Done || i == 1) // a folder needs no registration
	}
	return steps
}
