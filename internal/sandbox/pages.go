package sandbox

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"tributary/internal/sandbox/company"
)

//go:embed pages
var pageFiles embed.FS

// view is what every page is made of.
type view struct {
	Title        string
	Base         string
	Organisation string
	Person       *company.Person
	FormToken    string
	Next         string // where sign-in leads back to
	Page         any
}

func titles() map[string]string {
	return map[string]string{
		"home": "Welcome", "signin": "Sign in", "consent": "Allow access?", "account": "Your account", "clients": "Clients",
		"switches": "Switches", "folder": "Documents", "item": "Document", "trash": "Deleted", "problem": "That did not work",
	}
}

func parsePages() (*template.Template, error) {
	functions := template.FuncMap{
		"when": func(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04 UTC") },
		"size": func(n int) string {
			if n < 2048 {
				return strconv.Itoa(n) + " bytes"
			}
			return strconv.Itoa((n+512)/1024) + " KB"
		},
		"both":      func(token, parent string) newView { return newView{token, parent} },
		"crumbless": func() []itemRow { return nil },
	}
	return template.New("").Funcs(functions).ParseFS(pageFiles, "pages/*.html")
}

// render answers with a page.
func (s *Server) render(w http.ResponseWriter, r *http.Request, status int, page string, data any) {
	v := s.meet(w, r)
	_, organisation, _ := s.world.Organisation()
	all := view{
		Title: titles()[page], Base: s.base.String(), Organisation: organisation, Person: v.person, FormToken: s.formToken(v.cookie), Page: data,
		Next: "/",
	}
	if r.Method == http.MethodGet {
		all.Next = r.URL.RequestURI()
	}
	var out bytes.Buffer
	for _, part := range []string{"top.html", page + ".html", "bottom.html"} {
		if err := s.pages.ExecuteTemplate(&out, part, all); err != nil {
			s.log.ErrorContext(r.Context(), "rendering a sandbox page", "page", page, "error", err)
			http.Error(w, "The sandbox could not write this page; its log says more.", http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes())
}

// newView is what the form for a new document needs.
type newView struct{ FormToken, Parent string }

type problemView struct{ What, Help string }

// problem answers with a page that says what went wrong and what helps.
func (s *Server) problem(w http.ResponseWriter, r *http.Request, status int, what, help string) {
	s.render(w, r, status, "problem", problemView{what, help})
}

// serverError answers for what is nobody's fault but the sandbox's.
func (s *Server) serverError(w http.ResponseWriter, r *http.Request, err error) {
	s.log.ErrorContext(r.Context(), "sandbox request", "path", r.URL.Path, "error", err)
	oauthError(w, http.StatusInternalServerError, "server_error", "the sandbox could not do this; its log says more")
}

func (s *Server) home(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "home", nil)
}

func (s *Server) style(w http.ResponseWriter, _ *http.Request) {
	b, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		http.Error(w, "no style", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(b)
}

// accessRow is a program that the person gave access.
type accessRow struct {
	ID, Client string
	Scopes     []string
	Since      time.Time
}

func (s *Server) accountPage(w http.ResponseWriter, r *http.Request) {
	p, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	var rows []accessRow
	s.auth.read(func(d *authData) {
		for id, g := range d.Grants {
			if c := d.Clients[g.Client]; g.Person == p.ID && c != nil {
				rows = append(rows, accessRow{id, c.Name, g.Scopes, g.Created})
			}
		}
	})
	sortRows(rows)
	s.render(w, r, http.StatusOK, "account", rows)
}

// accountRemove ends a consent of the person's, with every token of it.
func (s *Server) accountRemove(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	p, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	err := s.auth.update(func(d *authData) {
		if g := d.Grants[r.PostFormValue("grant")]; g != nil && g.Person == p.ID {
			d.end(r.PostFormValue("grant"))
		}
	})
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	http.Redirect(w, r, "/account", http.StatusSeeOther)
}
