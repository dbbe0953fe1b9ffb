package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
)

func (s *Server) adminConnectionRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		operation(get, "/connections", accessTokenAuditor, s.adminListConnections),
		calling(operation(post, "/connections", accessTokenAdmin, s.adminCreateConnection)),
		operation(get, "/connections/:name", accessTokenAuditor, s.adminGetConnection),
		calling(operation(http.MethodPatch, "/connections/:name", accessTokenAdmin, s.adminChangeConnection)),
		calling(operation(http.MethodDelete, "/connections/:name", accessTokenAdmin, s.adminDeleteConnection)),
		operation(post, "/connections/:name/pause", accessTokenAdmin, s.adminPause(true)),
		operation(post, "/connections/:name/resume", accessTokenAdmin, s.adminPause(false)),
		operation(post, "/connections/:name/sync", accessTokenAdmin, s.adminSync),
		operation(http.MethodPut, "/connections/:name/expiry", accessTokenAdmin, s.adminExpireConnection),
		operation(post, "/connections/:name/grant-again", accessTokenAdmin, s.adminGrantConnectionAgain),
		calling(operation(get, "/connections/:name/choices", accessTokenAdmin, s.adminChoices)),
		operation(get, "/connections/:name/skipped", accessTokenAuditor, s.adminSkipped),
		operation(get, "/connections/:name/schedule", accessTokenAuditor, s.adminGetSchedule),
		operation(http.MethodPut, "/connections/:name/schedule", accessTokenAdmin, s.adminSetSchedule),
		operation(get, "/connections/:name/limits", accessTokenAuditor, s.adminGetLimits),
		operation(http.MethodPatch, "/connections/:name/limits", accessTokenAdmin, s.adminSetLimits),
		operation(http.MethodPut, "/connections/:name/permission-age", accessTokenAdmin, s.adminSetPermissionAge),
		calling(operation(post, "/connections/:name/plan", accessTokenAdmin, s.adminPlan)),
	}
}

type connectionsQuery struct {
	pageQuery

	Source string `query:"source"`
	State  string `query:"state"`
}

// adminListConnections lists the connections by name.
func (s *Server) adminListConnections(c echo.Context, in connectionsQuery) (Page[ConnectionAnswer], error) {
	list, err := s.cfg.OAuth.Store.ConnectionOverviews(c.Request().Context())
	if err != nil {
		return Page[ConnectionAnswer]{}, err
	}
	out := []ConnectionAnswer{}
	for _, k := range list {
		if (in.Source == "" || in.Source == k.Source) && (in.State == "" || in.State == string(k.State)) {
			out = append(out, ConnectionAnswer{k.Connection, k.MaxPermissionAge.String(), k.Totals, k.LastRun})
		}
	}
	return pageOf(out, in.Limit, in.Cursor, func(k ConnectionAnswer) string { return k.Name })
}

// adminGetConnection answers with one connection and, as ETag, the version of what it syncs.
func (s *Server) adminGetConnection(c echo.Context, _ nothing) (ConnectionAnswer, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return ConnectionAnswer{}, err
	}
	return s.connectionAnswer(c, k)
}

func (s *Server) connectionAnswer(c echo.Context, k store.Connection) (ConnectionAnswer, error) {
	ctx := c.Request().Context()
	totals, err := s.cfg.OAuth.Store.Totals(ctx, k.ID)
	if err != nil {
		return ConnectionAnswer{}, err
	}
	out := ConnectionAnswer{Connection: k, MaxPermissionAge: k.MaxPermissionAge.String(), Totals: totals}
	runs, err := s.cfg.OAuth.Store.Runs(ctx, store.RunFilter{Connection: k.ID, Lane: store.Content, Limit: 1})
	if err == nil && len(runs) > 0 {
		out.LastRun = runs[0].State
	}
	c.Response().Header().Set("ETag", versionOf(k))
	return out, err
}

func versionOf(k store.Connection) string { return `"` + strconv.Itoa(k.SelectionVersion) + `"` }

// ifMatch refuses a change of another version than the one that If-Match names (RFC 9110 §13.1.1).
func ifMatch(r *http.Request, version string) error {
	values := r.Header.Values("If-Match")
	if len(values) == 0 || slices.Contains(values, "*") || slices.Contains(values, version) {
		return nil
	}
	return changedMeanwhile()
}

func changedMeanwhile() *Problem {
	return problem(http.StatusPreconditionFailed, codePrecondition, "it was changed meanwhile: read it again, and send its ETag as If-Match")
}

// adminCreateConnection connects a source, or answers with the link where somebody has to consent.
func (s *Server) adminCreateConnection(c echo.Context, in CreateConnectionRequest) (CreateConnectionAnswer, error) {
	spec, ok := s.sourceNamed(in.Source)
	if !ok {
		return CreateConnectionAnswer{}, invalid("source", "source: there is no such source; GET "+adminPrefix+"/sources lists them")
	}
	settings, err := settingsOf(spec, nil, in.Settings)
	if err != nil {
		return CreateConnectionAnswer{}, err
	}
	if spec.Source == store.PushSource {
		return s.adminCreatePush(c, in)
	}
	if in.Realm != "" {
		return CreateConnectionAnswer{}, invalid("realm", "realm: the source says what its realm is; leave it out")
	}
	if spec.Provider == "" {
		return s.adminCreateLocal(c, spec, settings, in)
	}
	r, err := s.adminRegistrationFor(c, spec, in.Registration)
	if err != nil {
		return CreateConnectionAnswer{}, err
	}
	plan := oauthflow.Plan{Source: spec.Source, Name: in.Name, Settings: settings, Include: in.Include, Exclude: in.Exclude, Needed: neededScopes(spec, r.Profile, settings)}
	switch in.Grant {
	case "", oauthflow.GrantCode:
		consent, err := s.adminConsent(c, oauthflow.StartParams{Registration: r.ID, By: s.by(c), Plan: plan})
		return CreateConnectionAnswer{Consent: consent}, err
	case oauthflow.GrantClientCredentials, oauthflow.GrantJWTBearer, oauthflow.GrantInstallation:
	default:
		return CreateConnectionAnswer{}, invalid("grant", "grant: must be authorization_code, or one of the grants of the registration")
	}
	res, err := s.cfg.OAuth.Flows.CreateServerGrant(c.Request().Context(), oauthflow.ServerGrantParams{
		Registration: r.ID, By: s.by(c), Kind: in.Grant, Scopes: plan.Needed, Plan: plan,
		Params: oauthflow.GrantParams{InstallationID: in.Installation, ActFor: in.ActFor},
	})
	if err != nil {
		return CreateConnectionAnswer{}, err
	}
	out, err := s.adminCreated(c, res.Name)
	out.Missing = res.Missing
	return out, err
}

// adminCreateLocal connects a source of this machine.
//
// SECURITY: what is read is bounded by FolderRoots, as in the pages.
func (s *Server) adminCreateLocal(c echo.Context, spec connectors.Spec, settings map[string]string, in CreateConnectionRequest) (CreateConnectionAnswer, error) {
	ctx := c.Request().Context()
	o := s.cfg.OAuth
	if len(o.FolderRoots) == 0 {
		return CreateConnectionAnswer{}, problem(http.StatusForbidden, codeForbidden, "no directories are set that may be connected here: the operator names them in TRIBUTARY_FOLDER_ROOTS")
	}
	selection := connectors.Selection{Include: in.Include, Exclude: in.Exclude}
	if _, err := o.Opener.Verify(ctx, spec.Source, settings, selection); err != nil {
		return CreateConnectionAnswer{}, err
	}
	detail := map[string]string{"name": in.Name, "source": spec.Source, "path": settings["path"]}
	k, err := o.Store.CreateConnection(ctx, store.NewConnection{Name: in.Name, Source: spec.Source, Settings: settings, Selection: selection}, adminEvent(c, "connection.create", "connection", "", detail))
	if err != nil {
		return CreateConnectionAnswer{}, err
	}
	if _, err := o.Syncer.RequestLanes(ctx, k, store.Lanes(), "admin", false); err != nil {
		return CreateConnectionAnswer{}, err
	}
	return s.adminCreated(c, k.Name)
}

// adminCreatePush makes a connection to which documents are pushed.
func (s *Server) adminCreatePush(c echo.Context, in CreateConnectionRequest) (CreateConnectionAnswer, error) {
	n := store.NewConnection{Name: in.Name, Source: in.Source, Realm: in.Realm, MaxPermissionAge: store.PermissionsForever}
	if n.Realm == "" {
		n.Realm = in.Name
	}
	if !store.UsableID(n.Realm) {
		return CreateConnectionAnswer{}, invalid("realm", "realm: must have 1 to "+strconv.Itoa(store.MaxID)+" bytes of text")
	}
	k, err := s.cfg.OAuth.Store.CreateConnection(c.Request().Context(), n, adminEvent(c, "connection.create", "connection", "", map[string]string{"name": n.Name, "source": n.Source}))
	if err != nil {
		return CreateConnectionAnswer{}, err
	}
	return s.adminCreated(c, k.Name)
}

func (s *Server) adminCreated(c echo.Context, name string) (CreateConnectionAnswer, error) {
	k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), name)
	if err != nil {
		return CreateConnectionAnswer{}, err
	}
	answer, err := s.connectionAnswer(c, k)
	created(c)
	return CreateConnectionAnswer{Connection: &answer}, err
}

// settingsOf returns the settings so far with changes; an empty text is the setting's default.
func settingsOf(spec connectors.Spec, sofar, changes map[string]string) (map[string]string, error) {
	out := map[string]string{}
	known := map[string]bool{}
	for _, set := range spec.Settings {
		known[set.Name] = true
		value, ok := changes[set.Name]
		if !ok {
			value = sofar[set.Name]
		}
		if err := checkSetting(set, value); err != nil {
			text := err.Error()
			if plan, ok := errors.AsType[*oauthflow.PlanError](err); ok {
				text = plan.Problem
			}
			return nil, invalid("settings."+set.Name, "settings."+set.Name+": "+text)
		}
		if value != "" {
			out[set.Name] = value
		}
	}
	for name := range changes {
		if !known[name] {
			return nil, invalid(cut("settings."+name), spec.Source+" has no such setting; GET "+adminPrefix+"/sources lists them")
		}
	}
	return out, nil
}

// adminChangeConnection changes what a connection syncs. With If-Match it does so only where nobody else has.
func (s *Server) adminChangeConnection(c echo.Context, in ChangeConnectionRequest) (ConnectionAnswer, error) {
	k, err := s.connectionOf(c)
	if err == nil {
		err = ifMatch(c.Request(), versionOf(k))
	}
	if err != nil {
		return ConnectionAnswer{}, err
	}
	spec, ok := s.sourceNamed(k.Source)
	if !ok {
		return ConnectionAnswer{}, problem(http.StatusConflict, codeConflict, "this version has no connector for its source")
	}
	settings := k.Settings
	if len(in.Settings) > 0 {
		if settings, err = changedSettings(spec, k, in.Settings); err != nil {
			return ConnectionAnswer{}, err
		}
	}
	selection := changedSelection(k.Selection, in.Include, in.Exclude, in.Containers)
	if in.Hides != nil && *in.Hides < 0 {
		return ConnectionAnswer{}, invalid("hides", "hides: must be the number of documents that a plan of this change hides")
	}
	ctx, chooser, event := c.Request().Context(), s.cfg.OAuth.Chooser, connectionEvent(c, "connection.change", k)
	var changed store.Connection
	if in.Hides == nil {
		changed, _, err = chooser.Change(ctx, k, settings, selection, event)
	} else {
		event.Detail["hides"] = strconv.FormatInt(*in.Hides, 10)
		changed, _, err = chooser.ChangeConfirmed(ctx, k, settings, selection, *in.Hides, event)
	}
	if errors.Is(err, store.ErrConflict) {
		err = changedMeanwhile()
	}
	if err != nil {
		return ConnectionAnswer{}, err
	}
	return s.connectionAnswer(c, changed)
}

func (s *Server) adminPause(pause bool) func(c echo.Context, _ nothing) (ConnectionAnswer, error) {
	return func(c echo.Context, _ nothing) (ConnectionAnswer, error) {
		k, err := s.connectionOf(c)
		if err != nil {
			return ConnectionAnswer{}, err
		}
		if !pause || k.State != store.StatePaused {
			if err := s.pauseConnection(pause)(c, k); err != nil {
				return ConnectionAnswer{}, err
			}
		}
		return s.adminGetConnection(c, nothing{})
	}
}

// adminSync asks for runs; those that are under way are answered as they are.
func (s *Server) adminSync(c echo.Context, in SyncRequest) (RunsAnswer, error) {
	out := RunsAnswer{Runs: []store.Run{}}
	k, err := s.connectionOf(c)
	if err != nil {
		return out, err
	}
	lanes := store.Lanes()
	if in.Lane != "" {
		lanes = []store.Lane{in.Lane}
		if !slices.Contains(store.Lanes(), in.Lane) {
			return out, invalid("lane", "lane: must be content or permissions")
		}
	}
	if in.Kind != "" {
		return s.adminSyncKind(c, k, in)
	}
	runs, err := s.requestLanes(c, k, lanes)
	out.Runs = append(out.Runs, runs...)
	return out, err
}

// adminDeleteConnection ends a connection, its grant where nothing else uses it, and its documents.
func (s *Server) adminDeleteConnection(c echo.Context, _ nothing) (ClosedAnswer, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return ClosedAnswer{}, err
	}
	out := ClosedAnswer{Done: true, Note: "Its grant was ended before."}
	if k.State != store.StateClosing {
		ended, err := s.cfg.OAuth.Grants.Disconnect(c.Request().Context(), s.by(c), k.ID)
		if ended == nil {
			return out, err
		}
		out = closedAnswer(&ended.Closed)
		out.Others = ended.Others
		if err != nil {
			s.cfg.Log.WarnContext(c.Request().Context(), "revoking a grant", "connection", k.Name, "error", err)
			out.Note = "The grant could not be revoked yet; it is tried again."
		}
	}
	// What was begun goes on when the client goes away, and with a worker when the time is up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), deleteTimeout)
	defer cancel()
	err = s.cfg.OAuth.Store.DeleteConnection(ctx, k.ID, connectionEvent(c, "connection.delete", k))
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrTimeout) {
		out.DocumentsLater, err = true, nil
	}
	return out, err
}

func closedAnswer(ended *oauthflow.Closed) ClosedAnswer {
	return ClosedAnswer{Done: ended.Done, Revoked: ended.Revoked, Note: ended.Note, ManageURL: ended.ManageURL}
}

func (s *Server) adminExpireConnection(c echo.Context, in ExpiryRequest) (ConnectionAnswer, error) {
	k, err := s.connectionOf(c)
	if err == nil {
		err = s.checkExpiry(c, in)
	}
	if err == nil {
		err = s.cfg.OAuth.Grants.SetConnectionExpiry(c.Request().Context(), s.by(c), k.ID, in.At, in.Then)
	}
	if err != nil {
		return ConnectionAnswer{}, err
	}
	return s.adminGetConnection(c, nothing{})
}

func (s *Server) checkExpiry(c echo.Context, in ExpiryRequest) error {
	if in.Then != oauthflow.KeepDocuments && in.Then != oauthflow.HideDocuments {
		return invalid("then", "then: must be keep or hide, which is what becomes of its documents")
	}
	now, err := s.cfg.OAuth.Store.Now(c.Request().Context())
	if err == nil && in.At != nil && !in.At.After(now) {
		err = invalid("at", "at: must be a time to come, or null for never")
	}
	return err
}
