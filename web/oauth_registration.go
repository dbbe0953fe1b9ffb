package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// registrationOf reads the registration that the path names.
func (s *Server) registrationOf(c echo.Context) (*oauthflow.Registration, error) {
	id, ok := idOf(c)
	if !ok {
		return nil, noRegistration()
	}
	r, err := s.cfg.OAuth.Store.RegistrationNamed(c.Request().Context(), id.String())
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, noRegistration()
	}
	return r, nil
}

func noRegistration() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there is no such registration; the page Registrations lists them")
}

// registrationPage guides through one registration.
func (s *Server) registrationPage(c echo.Context) error {
	r, err := s.registrationOf(c)
	if err != nil {
		return err
	}
	return s.showRegistration(c, http.StatusOK, r, "", pages.RegistrationView{ClientID: r.ClientID, Subject: r.Subject, Expires: dayOf(r.CredentialExpiresAt)})
}

func dayOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// showRegistration fills in what the page shows beside the form.
func (s *Server) showRegistration(c echo.Context, status int, r *oauthflow.Registration, text string, v pages.RegistrationView) error {
	ctx := c.Request().Context()
	v.Registration, v.MayAct, v.Owner = *r, mayAct(c, store.RoleAdmin), mayAct(c, store.RoleOwner)
	v.Confirm = r.State == oauthflow.RegistrationDraft && !s.isShipped(r)
	var specs []connectors.Spec
	for _, spec := range s.cfg.OAuth.Sources {
		if spec.Accepts(r.Profile.Name) {
			specs = append(specs, spec)
			v.Sources = append(v.Sources, spec.Source)
			for _, h := range spec.Hosts {
				if !strings.Contains(h, "{base}") && !slices.Contains(v.Hosts, h) && !slices.Contains(r.Profile.Hosts(), h) {
					v.Hosts = append(v.Hosts, h)
				}
			}
		}
	}
	v.Scopes = offeredScopes(r.Profile, specs...)
	if len(specs) == 0 {
		v.Scopes = r.Profile.Scopes.Known
	}
	grants, err := s.cfg.OAuth.Grants.List(ctx)
	if err != nil {
		return err
	}
	v.Grants = slices.DeleteFunc(grants, func(g oauthflow.Grant) bool { return g.RegistrationID != r.ID })
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, status, pages.Registration(s.showProblem(c, r.Name, text), v))
}

// isShipped reports whether the registration is at the one address of a provider that comes with the program; nobody
// has to confirm that.
func (s *Server) isShipped(r *oauthflow.Registration) bool {
	p, ok := s.cfg.OAuth.Providers[r.Provider]
	return ok && p.Hosting == oauthflow.HostingFixed && p.Digest() == r.Digest && len(r.AllowHosts) == 0
}

// saveRegistration checks what was entered at the provider, and stores it.
func (s *Server) saveRegistration(c echo.Context) error {
	r, err := s.registrationOf(c)
	if err != nil {
		return err
	}
	f, wrong, err := formWithFiles(c, []string{"private_key", "service_account"}, "client_id", "secret", "subject", "private_key", "key_id", "service_account", "expires", "digest", "force")
	if err != nil {
		return err
	}
	v := pages.RegistrationView{ClientID: cutLong(f["client_id"]), Subject: cutLong(f["subject"]), KeyID: cutLong(f["key_id"]), Expires: cut(f["expires"]), Confirmed: f["digest"] == r.Digest}
	who, _ := identityOf(c)
	if r.State == oauthflow.RegistrationDraft && !s.isShipped(r) && !who.MayAct(store.RoleOwner) {
		return s.showRegistration(c, http.StatusForbidden, r, "an owner has to confirm the hosts of this registration", v)
	}
	if wrong != nil {
		text, _ := oauthProblem(wrong)
		return s.showRegistration(c, http.StatusUnprocessableEntity, r, "nothing was saved: "+text, v)
	}
	p := oauthflow.SaveParams{
		ID: r.ID, Digest: f["digest"], ClientID: f["client_id"], Subject: f["subject"], Force: f["force"] == "yes",
		Credentials: oauthflow.Credentials{Secret: secret.New(f["secret"]), PrivateKey: secret.New(f["private_key"]), KeyID: f["key_id"], ServiceAccount: secret.New(f["service_account"])},
	}
	if p.ExpiresAt, err = parseDay(f["expires"]); err != nil {
		return s.showRegistration(c, http.StatusUnprocessableEntity, r, "the day on which the credentials expire: "+err.Error(), v)
	}
	saved, checks, err := s.cfg.OAuth.Registrations.Save(c.Request().Context(), s.by(c), p)
	v.Checks = checks
	if err != nil {
		if refused, ok := errors.AsType[*oauthflow.RefusedError](err); ok {
			v.Checks = refused.Checks
			v.Force = len(refused.Checks) > 0
		}
		text, ok := oauthProblem(err)
		if !ok {
			return err
		}
		if len(v.Checks) > 0 {
			text = "the provider does not confirm it, as it says below"
		}
		return s.showRegistration(c, http.StatusUnprocessableEntity, r, "nothing was saved: "+text, v)
	}
	v.ClientID, v.Subject, v.Expires = saved.ClientID, saved.Subject, dayOf(saved.CredentialExpiresAt)
	return s.showSaved(c, saved, v)
}

// showSaved says that a registration was saved.
func (s *Server) showSaved(c echo.Context, r *oauthflow.Registration, v pages.RegistrationView) error {
	c.Set(doneKey, "The registration is saved. Its credentials are encrypted, and shown nowhere.")
	return s.showRegistration(c, http.StatusOK, r, "", v)
}

// parseDay reads a day of a form; "" is none. The day ends it: the time is its first moment, UTC.
func parseDay(text string) (*time.Time, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, nil //nolint:nilnil // nil is no day
	}
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 2000 || t.Year() > 2200 {
		return nil, errors.New("write it as 2030-12-31")
	}
	return &t, nil
}

// checkRegistration looks at the provider with the stored credentials.
func (s *Server) checkRegistration(c echo.Context) error {
	r, err := s.registrationOf(c)
	if err != nil {
		return err
	}
	if _, err := formValues(c); err != nil {
		return err
	}
	v := pages.RegistrationView{ClientID: r.ClientID, Subject: r.Subject, Expires: dayOf(r.CredentialExpiresAt)}
	if v.Checks, err = s.cfg.OAuth.Registrations.Check(c.Request().Context(), r.ID); err != nil {
		text, ok := oauthProblem(err)
		if !ok {
			return err
		}
		return s.showRegistration(c, http.StatusUnprocessableEntity, r, text, v)
	}
	text := ""
	if len(v.Checks) == 0 {
		text = "there is nothing to check yet: enter the credentials first"
	}
	return s.showRegistration(c, http.StatusOK, r, text, v)
}

// deleteRegistration deletes one that no grant uses.
func (s *Server) deleteRegistration(c echo.Context) error {
	r, err := s.registrationOf(c)
	if err != nil {
		return err
	}
	if _, err := formValues(c); err != nil {
		return err
	}
	if err := s.cfg.OAuth.Registrations.Delete(c.Request().Context(), s.by(c), r.ID); err != nil {
		text, ok := oauthProblem(err)
		if !ok {
			return err
		}
		return s.showRegistration(c, http.StatusConflict, r, text, pages.RegistrationView{ClientID: r.ClientID, Subject: r.Subject})
	}
	return seeOther(c, "/registrations", "registration-deleted")
}

// indented writes a document so that people can read it.
func indented(document []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, document, "", "  ") != nil {
		return string(document)
	}
	return b.String()
}
