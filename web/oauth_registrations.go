package web

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// The choices of a new registration beside the providers that come with the program.
const (
	byIssuer   = "issuer"
	byDocument = "document"
)

// registrationsPage lists the registrations.
func (s *Server) registrationsPage(c echo.Context) error {
	ctx := c.Request().Context()
	o := s.cfg.OAuth
	list, err := o.Store.Registrations(ctx)
	if err != nil {
		return err
	}
	grants, err := o.Grants.List(ctx)
	if err != nil {
		return err
	}
	connections, err := o.Store.Connections(ctx)
	if err != nil {
		return err
	}
	v := pages.RegistrationsView{MayAct: mayAct(c, store.RoleAdmin)}
	if v.Warnings, err = o.Registrations.Warnings(ctx); err != nil {
		return err
	}
	if v.Now, err = o.Store.Now(ctx); err != nil {
		return err
	}
	for _, r := range list {
		row := pages.RegistrationRow{Registration: r}
		for _, k := range connections {
			if k.GrantID != nil && slices.ContainsFunc(grants, func(g oauthflow.Grant) bool { return g.ID == *k.GrantID && g.RegistrationID == r.ID }) {
				row.Connections++
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return render(c, http.StatusOK, pages.Registrations(s.frame(c, "Registrations"), v))
}

// newRegistrationPage offers the providers, and shows the form of the one that was chosen.
func (s *Server) newRegistrationPage(c echo.Context) error {
	chosen := c.QueryParam("provider")
	if chosen != "" {
		if v, ok := s.draftView(c, chosen); ok {
			v.Name = defaultName(chosen)
			if chosen == sandboxSource {
				v.BaseURL = s.sandboxAt()
			}
			return render(c, http.StatusOK, pages.DraftForm(s.frame(c, "New registration"), v))
		}
	}
	var list []pages.ProviderChoice
	for _, p := range s.cfg.OAuth.Providers {
		choice := pages.ProviderChoice{Profile: p}
		for _, spec := range s.cfg.OAuth.Sources {
			if spec.Accepts(p.Name) {
				choice.Sources = append(choice.Sources, spec.Name)
			}
		}
		list = append(list, choice)
	}
	slices.SortFunc(list, func(a, b pages.ProviderChoice) int { return strings.Compare(a.Profile.Title, b.Profile.Title) })
	return render(c, http.StatusOK, pages.Providers(s.frame(c, "New registration"), pages.ProvidersView{Providers: list, Owner: mayAct(c, store.RoleOwner)}))
}

func defaultName(provider string) string {
	if provider == byIssuer || provider == byDocument {
		return ""
	}
	return provider
}

// draftView is the empty form of a provider, false where there is no such choice.
func (s *Server) draftView(c echo.Context, provider string) (pages.DraftView, bool) {
	v := pages.DraftView{Provider: provider, Owner: mayAct(c, store.RoleOwner)}
	if provider == byIssuer || provider == byDocument {
		return v, true
	}
	p, ok := s.cfg.OAuth.Providers[provider]
	v.Profile = p
	return v, ok
}

// draftFields are the fields of the form of a provider.
func draftFields() []string {
	return []string{"provider", "name", "base_url", "issuer", "client_auth", "grant_code", "grant_client", "grant_jwt", "document", "private", "allow_hosts"}
}

// readDraft reads the form of a provider, and returns the form as it was filled in.
func (s *Server) readDraft(c echo.Context) (oauthflow.Draft, pages.DraftView, error) {
	f, err := formValues(c, draftFields()...)
	if err != nil {
		return oauthflow.Draft{}, pages.DraftView{}, err
	}
	v, ok := s.draftView(c, f["provider"])
	if !ok {
		return oauthflow.Draft{}, v, invalid("provider", "there is no such provider; choose one on the page of a new registration")
	}
	v.Name, v.BaseURL, v.Issuer = cut(f["name"]), cutLong(f["base_url"]), cutLong(f["issuer"])
	v.ClientAuth, v.Document, v.AllowHosts, v.Private = f["client_auth"], f["document"], f["allow_hosts"], f["private"] == "yes"
	for field, kind := range map[string]oauthflow.GrantType{"grant_code": oauthflow.GrantCode, "grant_client": oauthflow.GrantClientCredentials, "grant_jwt": oauthflow.GrantJWTBearer} {
		if f[field] != "" {
			v.Grants = append(v.Grants, kind)
		}
	}
	slices.Sort(v.Grants)
	d := oauthflow.Draft{Name: strings.TrimSpace(f["name"])}
	named := ""
	switch f["provider"] {
	case byIssuer:
		d.Issuer, d.ClientAuth, d.Grants = strings.TrimSpace(v.Issuer), oauthflow.ClientAuth(v.ClientAuth), v.Grants
		named = d.Issuer
		if d.Issuer == "" {
			return d, v, &oauthflow.RefusedError{Field: "issuer", Problem: "is missing"}
		}
	case byDocument:
		d.Document = []byte(v.Document)
		if strings.TrimSpace(v.Document) == "" {
			return d, v, &oauthflow.RefusedError{Field: "document", Problem: "is missing"}
		}
		// What may be reached is judged with the draft; here it is only read.
		if _, err := oauthflow.ParseProfile(d.Document, oauthflow.Rules{LoopbackHTTP: true, PrivateAddresses: true}); err != nil {
			return d, v, &oauthflow.RefusedError{Field: "document", Problem: oauthflow.CleanText(err.Error())}
		}
	default:
		d.Provider, d.BaseURL = f["provider"], strings.TrimSpace(v.BaseURL)
		named = d.BaseURL
	}
	for line := range strings.Lines(v.AllowHosts) {
		if line = strings.TrimSpace(line); line != "" {
			d.AllowHosts = append(d.AllowHosts, line)
		}
	}
	if host := hostPort(named); v.Private && host != "" && !slices.Contains(d.AllowHosts, host) {
		d.AllowHosts = append(d.AllowHosts, host)
	}
	return d, v, nil
}

// hostPort is where an address leads, with the port spelled out; "" where it is none.
func hostPort(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// cutLong bounds an address that a form shows again.
func cutLong(s string) string { return s[:min(len(s), 2000)] }

// draftRegistration makes a registration, so that its redirect URI is known.
func (s *Server) draftRegistration(c echo.Context) error {
	d, v, err := s.readDraft(c)
	if err == nil {
		var r *oauthflow.Registration
		if r, err = s.cfg.OAuth.Registrations.Draft(c.Request().Context(), s.by(c), d); err == nil {
			return seeOther(c, "/registrations/"+r.ID.String(), "")
		}
	}
	return s.draftAgain(c, "New registration", v, err)
}

// draftAgain shows the form with what is wrong.
func (s *Server) draftAgain(c echo.Context, title string, v pages.DraftView, err error) error {
	status := http.StatusUnprocessableEntity
	if errors.Is(err, oauthflow.ErrOwner) {
		status = http.StatusForbidden
	}
	text, ok := oauthProblem(err)
	if !ok {
		return err
	}
	return render(c, status, pages.DraftForm(s.showProblem(c, title, text), v))
}

// changeRegistrationPage shows the form that points a registration elsewhere.
func (s *Server) changeRegistrationPage(c echo.Context) error {
	r, err := s.registrationOf(c)
	if err != nil {
		return err
	}
	v, err := s.changeView(c, r)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.DraftForm(s.frame(c, r.Name), v))
}

// changeView is the form with what the registration has. A server that was named by its issuer or by a document shows
// the document.
func (s *Server) changeView(c echo.Context, r *oauthflow.Registration) (pages.DraftView, error) {
	provider := r.Provider
	if _, shipped := s.cfg.OAuth.Providers[provider]; !shipped {
		provider = byDocument
		if r.Profile.Discovery != oauthflow.DiscoveryNone {
			provider = byIssuer
		}
	}
	v, _ := s.draftView(c, provider)
	v.Change, v.Name, v.BaseURL, v.AllowHosts = r, r.Name, r.BaseURL, strings.Join(r.AllowHosts, "\n")
	switch provider {
	case byIssuer:
		v.Issuer, v.ClientAuth, v.Grants = r.Profile.Issuer, string(r.Profile.ClientAuth), r.Profile.Grants
	case byDocument:
		document, err := oauthflow.StoreProfile(r.Profile)
		if err != nil {
			return v, err
		}
		v.Document = indented(document)
	}
	return v, nil
}

// changeRegistration points a registration elsewhere.
func (s *Server) changeRegistration(c echo.Context) error {
	r, err := s.registrationOf(c)
	if err != nil {
		return err
	}
	d, v, err := s.readDraft(c)
	v.Change = r
	if err == nil {
		if _, err = s.cfg.OAuth.Registrations.Change(c.Request().Context(), s.by(c), r.ID, d); err == nil {
			return seeOther(c, "/registrations/"+r.ID.String(), "changed")
		}
	}
	return s.draftAgain(c, r.Name, v, err)
}
