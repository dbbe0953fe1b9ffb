package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// connectPage offers the sources, or shows the form of the one that was chosen.
func (s *Server) connectPage(c echo.Context) error {
	source, registration := c.QueryParam("source"), c.QueryParam("registration")
	v := pages.ConnectView{}
	if name := c.QueryParam("connection"); name != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), name)
		if err != nil {
			return noConnection(err)
		}
		v.Connection, source = k.Name, k.Source
	}
	spec, ok := s.sourceNamed(source)
	if ok && spec.Provider == "" && v.Connection == "" {
		return s.localForm(c, http.StatusOK, "", spec, pages.LocalView{})
	}
	if !ok || spec.Provider == "" || registration == "" {
		return s.sourcesPage(c, v.Connection, source)
	}
	r, err := s.readyRegistration(c, registration)
	if err != nil {
		return err
	}
	v.Name = spec.Source
	return s.connectForm(c, http.StatusOK, "", spec, r, v)
}

// readyRegistration returns a registration that can be used.
func (s *Server) readyRegistration(c echo.Context, nameOrID string) (*oauthflow.Registration, error) {
	r, err := s.cfg.OAuth.Store.RegistrationNamed(c.Request().Context(), nameOrID)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, noRegistration()
	}
	return r, nil
}

// connectForm shows the form of a connection.
func (s *Server) connectForm(c echo.Context, status int, text string, spec connectors.Spec, r *oauthflow.Registration, v pages.ConnectView) error {
	v.Spec, v.Registration, v.SetsUp = spec, *r, s.setsUp()
	if v.Settings == nil {
		v.Settings = addressSettings(spec, r)
	}
	v.Scopes = offeredScopes(r.Profile, spec)
	v.Kinds = offeredKinds(r)
	if v.Kind == "" && len(v.Kinds) > 0 {
		v.Kind = string(v.Kinds[0])
	}
	if len(v.Kinds) == 0 && text == "" {
		text = "the registration " + r.Name + " is not complete: open it and enter what is missing"
	}
	return render(c, status, pages.Connect(s.showProblem(c, "Connect "+spec.Name, text), v))
}

// addressSettings fills in the address of the instance that the registration is at.
func addressSettings(spec connectors.Spec, r *oauthflow.Registration) map[string]string {
	out := map[string]string{}
	for _, set := range spec.Settings {
		if set.Type == connectors.URL && set.Required && set.Default == "" && r.BaseURL != "" {
			out[set.Name] = r.BaseURL
		}
	}
	return out
}

// offeredKinds are the ways in which the credentials of a registration obtain tokens.
func offeredKinds(r *oauthflow.Registration) []oauthflow.GrantType {
	var out []oauthflow.GrantType
	for _, g := range r.Profile.Grants {
		var ok bool
		switch g {
		case oauthflow.GrantCode:
			ok = r.ClientID != ""
		case oauthflow.GrantClientCredentials:
			ok = r.Has(oauthflow.CredentialSecret) || r.Has(oauthflow.CredentialPrivateKey)
		case oauthflow.GrantJWTBearer:
			ok = r.Has(oauthflow.CredentialServiceAccount) || r.Has(oauthflow.CredentialPrivateKey)
		case oauthflow.GrantInstallation:
			ok = r.Has(oauthflow.CredentialPrivateKey)
		}
		if ok && r.State != oauthflow.RegistrationDraft {
			out = append(out, g)
		}
	}
	return out
}

// connect starts a consent, or connects at once where nobody has to consent.
func (s *Server) connect(c echo.Context) error {
	names := []string{"source", "registration", "connection", "kind", "name", "include", "exclude", "installation", "act_for", "scopes", "first"}
	for _, spec := range s.cfg.OAuth.Sources {
		for _, set := range spec.Settings {
			names = append(names, "set."+set.Name)
		}
	}
	f, err := formValues(c, names...)
	if err != nil {
		return err
	}
	if f["source"] == "" && f["registration"] != "" {
		return s.grantAlone(c, f["registration"], strings.Fields(f["scopes"]))
	}
	spec, ok := s.sourceNamed(f["source"])
	if ok && spec.Provider == "" && f["registration"] == "" {
		return s.connectLocal(c, spec, f)
	}
	if !ok || spec.Provider == "" {
		return invalid("source", "there is no such source to connect; choose one on the page Connect a source")
	}
	r, err := s.readyRegistration(c, f["registration"])
	if err != nil {
		return err
	}
	v := pages.ConnectView{
		Now: f["first"] == firstNow, Kind: f["kind"], Name: cut(strings.TrimSpace(f["name"])), Include: f["include"], Exclude: f["exclude"], Connection: f["connection"],
		Install: cut(f["installation"]), ActFor: cut(f["act_for"]), Settings: map[string]string{},
	}
	plan, err := s.planOf(c, spec, r, f, &v)
	if err == nil && oauthflow.GrantType(v.Kind) != oauthflow.GrantCode {
		return s.connectServer(c, spec, r, plan, v)
	}
	if err == nil {
		err = s.beginConsent(c, oauthflow.StartParams{Registration: r.ID, By: s.by(c), Plan: plan})
	}
	return s.connectAgain(c, spec, r, v, err)
}

// grantAlone starts a consent for a grant that no connection uses yet.
func (s *Server) grantAlone(c echo.Context, registration string, scopes []string) error {
	r, err := s.readyRegistration(c, registration)
	if err != nil {
		return err
	}
	err = s.beginConsent(c, oauthflow.StartParams{Registration: r.ID, By: s.by(c), Scopes: scopes, ReturnTo: "/grants"})
	if err != nil {
		return s.flowPage(c, err)
	}
	return nil
}

// connectAgain shows the form with what is wrong, or returns what nobody can do something about there.
func (s *Server) connectAgain(c echo.Context, spec connectors.Spec, r *oauthflow.Registration, v pages.ConnectView, err error) error {
	if err == nil {
		return nil
	}
	text, ok := oauthProblem(err)
	if flow, isFlow := errors.AsType[*oauthflow.FlowError](err); isFlow {
		text = flow.Came
		if flow.Code != oauthflow.FlowPlan {
			text = flow.Error() + ". " + flow.Remedy
		}
	}
	if !ok {
		return err
	}
	return s.connectForm(c, http.StatusUnprocessableEntity, text, spec, r, v)
}

// planOf reads what is to be connected.
func (s *Server) planOf(c echo.Context, spec connectors.Spec, r *oauthflow.Registration, f map[string]string, v *pages.ConnectView) (oauthflow.Plan, error) {
	p := oauthflow.Plan{Source: spec.Source, Name: v.Name}
	if !spec.Accepts(r.Profile.Name) {
		return p, &oauthflow.PlanError{Field: "Registration", Problem: "it is at another provider than the source"}
	}
	if !slices.Contains(offeredKinds(r), oauthflow.GrantType(v.Kind)) {
		return p, &oauthflow.PlanError{Field: "How access is given", Problem: "choose one of the ways that the registration has credentials for"}
	}
	if v.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), v.Connection)
		if err != nil {
			return p, noConnection(err)
		}
		if k.Source != spec.Source {
			return p, &oauthflow.PlanError{Field: "Connection", Problem: "it is one of another source"}
		}
		p.Connection, p.Name, p.Source = k.ID, k.Name, k.Source
		p.Needed = neededScopes(spec, r.Profile, k.Settings)
		return p, nil
	}
	var err error
	p.Settings, err = readSettings(spec, f, v.Settings)
	p.SetUp = s.setsUp() && f["first"] != firstNow
	p.Include, p.Exclude = lines(v.Include), lines(v.Exclude)
	p.Needed = neededScopes(spec, r.Profile, p.Settings)
	return p, err
}

// readSettings returns the settings of a form that are not empty. All of them go to entered, to be shown again.
func readSettings(spec connectors.Spec, f, entered map[string]string) (map[string]string, error) {
	out := map[string]string{}
	for _, set := range spec.Settings {
		value := strings.TrimSpace(f["set."+set.Name])
		if set.Type == connectors.Bool && value == "" {
			value = "false" // a box that is not ticked is not sent
		}
		entered[set.Name] = value
		if err := checkSetting(set, value); err != nil {
			return nil, err
		}
		if value != "" {
			out[set.Name] = value
		}
	}
	return out, nil
}

// checkSetting refuses a value that does not have the setting's type. An empty one is the default.
func checkSetting(set connectors.Setting, value string) error {
	refuse := func(text string) error { return &oauthflow.PlanError{Field: set.Title(), Problem: text} }
	if value == "" {
		if set.Required {
			return refuse("is missing")
		}
		return nil
	}
	switch set.Type {
	case connectors.Bool:
		if value != "true" && value != "false" {
			return refuse("must be ticked or not")
		}
	case connectors.Int:
		if _, err := strconv.Atoi(value); err != nil {
			return refuse("must be a whole number")
		}
	case connectors.Enum:
		if !slices.Contains(set.Options, value) {
			return refuse("must be one of " + strings.Join(set.Options, ", "))
		}
	case connectors.URL:
		if u, err := url.Parse(value); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
			return refuse("must be an address such as https://example.com")
		}
	case connectors.String, connectors.List, connectors.Path:
		if strings.ContainsAny(value, "\x00\r\n") {
			return refuse("must be one line")
		}
	}
	return nil
}

func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// beginConsent starts a consent and shows the link to the provider. It is a link and no redirect: browsers hold a
// redirect after a form against form-action, which names this server only.
func (s *Server) beginConsent(c echo.Context, p oauthflow.StartParams) error {
	started, err := s.cfg.OAuth.Flows.Start(c.Request().Context(), p)
	if err != nil {
		return err
	}
	return s.showContinue(c, started, p.Registration, "", p.Plan)
}

func (s *Server) showContinue(c echo.Context, started oauthflow.Started, registration uuid.UUID, account string, plan oauthflow.Plan) error {
	r, err := s.readyRegistration(c, registration.String())
	if err != nil {
		return err
	}
	spec, _ := s.sourceNamed(plan.Source)
	return render(c, http.StatusOK, pages.Continue(s.frame(c, "Continue at "+r.Profile.Title), pages.ContinueView{
		Started: started, Registration: *r, Scopes: askedScopes(r.Profile, spec, started.Scopes), Again: account != "", Account: account,
	}))
}

// connectServer obtains a grant between servers.
func (s *Server) connectServer(c echo.Context, spec connectors.Spec, r *oauthflow.Registration, plan oauthflow.Plan, v pages.ConnectView) error {
	p := oauthflow.ServerGrantParams{Registration: r.ID, By: s.by(c), Kind: oauthflow.GrantType(v.Kind), Scopes: plan.Needed, Plan: plan}
	switch p.Kind {
	case oauthflow.GrantInstallation:
		p.Params.InstallationID = strings.TrimSpace(v.Install)
	case oauthflow.GrantJWTBearer:
		p.Params.ActFor = strings.TrimSpace(v.ActFor)
	case oauthflow.GrantCode, oauthflow.GrantClientCredentials:
	}
	res, err := s.cfg.OAuth.Flows.CreateServerGrant(c.Request().Context(), p)
	if err != nil {
		return s.connectAgain(c, spec, r, v, err)
	}
	if err := s.keepOutcome(c, succeeded(res)); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, resultPath)
}

// ticketPage shows what a link of the command line is for; nothing starts by opening it.
func (s *Server) ticketPage(c echo.Context) error {
	ctx := c.Request().Context()
	t, err := s.cfg.OAuth.Flows.LookTicket(ctx, secret.New(c.Param("ticket")))
	if err != nil {
		return s.flowPage(c, err)
	}
	r, err := s.readyRegistration(c, t.Registration.String())
	if err != nil {
		return err
	}
	now, err := s.cfg.OAuth.Store.Now(ctx)
	if err != nil {
		return err
	}
	v := pages.TicketView{Ticket: *t, Path: c.Request().URL.Path, Registration: *r, Source: t.Plan.Source, Now: now}
	spec, ok := s.sourceNamed(t.Plan.Source)
	if ok {
		v.Source = spec.Name
	}
	if v.Source == "" {
		v.Source = r.Profile.Title
	}
	v.Scopes = askedScopes(r.Profile, spec, t.Plan.Needed)
	who, _ := identityOf(c)
	v.Account = who.Account.Name
	return render(c, http.StatusOK, pages.Ticket(s.frame(c, "Connect "+v.Source), v))
}

// redeemTicket uses the link up, and starts its consent in this session.
func (s *Server) redeemTicket(c echo.Context) error {
	if _, err := formValues(c); err != nil {
		return err
	}
	ctx := c.Request().Context()
	ticket := secret.New(c.Param("ticket"))
	t, err := s.cfg.OAuth.Flows.LookTicket(ctx, ticket)
	if err != nil {
		return s.flowPage(c, err)
	}
	started, err := s.cfg.OAuth.Flows.RedeemTicket(ctx, ticket, s.by(c), "")
	if err != nil {
		return s.flowPage(c, err)
	}
	return s.showContinue(c, started, t.Registration, "", t.Plan)
}

func noConnection(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return problem(http.StatusNotFound, codeNotFound, "there is no such connection; the page Connections lists them")
	}
	return fmt.Errorf("reading connection: %w", err)
}
