package sandbox

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"

	"tributary/internal/sandbox/company"
)

// cookieName differs from every cookie of Tributary, because cookies of one host are shared by all its ports.
const cookieName = "sandbox_drive"

// visitor is who sends a request to a page.
type visitor struct {
	cookie string
	// person is nil where nobody has signed in.
	person *company.Person
}

func (s *Server) visitor(r *http.Request) visitor {
	c, err := r.Cookie(cookieName)
	if err != nil || len(c.Value) < 26 {
		return visitor{}
	}
	v := visitor{cookie: c.Value}
	var id string
	s.auth.read(func(d *authData) {
		if ses, ok := d.Sessions[digest(c.Value)]; ok && s.now().Before(ses.Expires) {
			id = ses.Person
		}
	})
	if p, ok := s.world.Person(id); ok && p.Active {
		v.person = &p
	}
	return v
}

// meet gives a browser that has no cookie one, so that its forms can be told from another site's.
func (s *Server) meet(w http.ResponseWriter, r *http.Request) visitor {
	v := s.visitor(r)
	if v.cookie == "" {
		v.cookie = rand.Text()
		s.setCookie(w, v.cookie)
	}
	return v
}

func (s *Server) setCookie(w http.ResponseWriter, value string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure follows the scheme: http is for loopback
		Name: cookieName, Value: value, Path: "/", HttpOnly: true, Secure: s.base.Scheme == "https",
		SameSite: http.SameSiteLaxMode, MaxAge: int(sessionLife.Seconds()),
	})
}

func (s *Server) formToken(cookie string) string { return s.auth.sign("form", cookie) }

// checkForm reads a form and refuses one that this browser did not get from us.
//
// SECURITY: the token is bound to the cookie, which another site can neither read nor set.
func (s *Server) checkForm(w http.ResponseWriter, r *http.Request) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxItemBytes+maxFormBytes)
	if err := r.ParseForm(); err != nil {
		s.problem(w, r, http.StatusBadRequest, "This form could not be read", "Go back and send it again.")
		return false
	}
	v := s.visitor(r)
	if v.cookie == "" || !equal(r.PostFormValue("form_token"), s.formToken(v.cookie)) {
		s.problem(w, r, http.StatusForbidden, "This form is not from this page", "Open the page again and send the form from there. Cookies must be on.")
		return false
	}
	return true
}

// localPath returns next where it is a path of this server, "/" otherwise.
func localPath(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n\t") {
		return "/"
	}
	return next
}

type signInView struct {
	Next   string
	People []company.Person
}

func (s *Server) signInPage(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "signin", signInView{Next: localPath(r.FormValue("next")), People: s.world.active()})
}

func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	p, ok := s.world.Person(r.PostFormValue("person"))
	if !ok || !p.Active {
		s.problem(w, r, http.StatusBadRequest, "Nobody by that name works here", "Go back and pick a person.")
		return
	}
	// SECURITY: a new cookie at sign-in, so that one planted before is worth nothing.
	old, fresh := s.visitor(r).cookie, rand.Text()
	err := s.auth.update(func(d *authData) {
		delete(d.Sessions, digest(old))
		d.Sessions[digest(fresh)] = &session{Person: p.ID, Expires: s.now().Add(sessionLife)}
	})
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	s.setCookie(w, fresh)
	http.Redirect(w, r, localPath(r.PostFormValue("next")), http.StatusSeeOther) //nolint:gosec // localPath keeps it here
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	old := s.visitor(r).cookie
	if err := s.auth.update(func(d *authData) { delete(d.Sessions, digest(old)) }); err != nil {
		s.serverError(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// signedIn returns the person who asks, or sends the browser to sign in and come back.
func (s *Server) signedIn(w http.ResponseWriter, r *http.Request) (company.Person, bool) {
	if v := s.visitor(r); v.person != nil {
		return *v.person, true
	}
	next := "/"
	if r.Method == http.MethodGet {
		next = r.URL.RequestURI()
	}
	http.Redirect(w, r, "/signin?next="+url.QueryEscape(next), http.StatusSeeOther)
	return company.Person{}, false
}
