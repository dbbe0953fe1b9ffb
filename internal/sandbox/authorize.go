package sandbox

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// scope is what a client can ask for.
type scope struct{ Name, Says string }

func scopes() []scope {
	return []scope{
		{"account.read", "See your name, your e-mail address and your organisation"},
		{"files.read", "Read the documents that you can read, and who else can"},
		{"groups.read", "Read the people and groups of your organisation"},
	}
}

func scopeNames() []string {
	var names []string
	for _, s := range scopes() {
		names = append(names, s.Name)
	}
	return names
}

// request is an authorization request that was checked (RFC 6749 §4.1.1, RFC 7636 §4.3).
type request struct {
	clientID, clientName string
	redirect, state      string
	challenge            string
	scopes               []string
}

// redirectError is an error that the client hears of, by its redirect URI.
type redirectError struct{ code, description string }

func (e *redirectError) Error() string { return e.code + ": " + e.description }

// errNoRedirect marks what only the person may be told: the redirect URI cannot be trusted.
var errNoRedirect = errors.New("the client or its address is not known")

// parseRequest checks an authorization request. The request is returned with a *redirectError too.
func (s *Server) parseRequest(q url.Values) (request, error) {
	var c client
	known := false
	s.auth.read(func(d *authData) {
		if found, ok := d.Clients[q.Get("client_id")]; ok {
			c, known = *found, true
		}
	})
	// SECURITY: compared as strings, without any normalising (RFC 9700 §4.1.3).
	if !known || len(q["client_id"]) != 1 || len(q["redirect_uri"]) != 1 || !slices.Contains(c.RedirectURIs, q.Get("redirect_uri")) {
		return request{}, errNoRedirect
	}
	req := request{clientID: q.Get("client_id"), clientName: c.Name, redirect: q.Get("redirect_uri"), state: q.Get("state"), challenge: q.Get("code_challenge")}
	for name, values := range q {
		if len(values) != 1 {
			return req, &redirectError{"invalid_request", "the parameter " + cleanParameter(name) + " is repeated"}
		}
	}
	switch {
	case q.Get("response_type") != "code":
		return req, &redirectError{"unsupported_response_type", "only the response type code is served"}
	case q.Get("response_mode") != "" && q.Get("response_mode") != "query":
		return req, &redirectError{"invalid_request", "only the response mode query is served"}
	case q.Get("code_challenge_method") != "S256" || !validChallenge(req.challenge):
		return req, &redirectError{"invalid_request", "a code_challenge with the method S256 is required"}
	}
	asked := strings.Fields(q.Get("scope"))
	req.scopes = within(asked, scopeNames())
	if len(asked) == 0 || slices.ContainsFunc(asked, func(a string) bool { return !slices.Contains(req.scopes, a) }) {
		return req, &redirectError{"invalid_scope", "the scopes are " + strings.Join(scopeNames(), " ")}
	}
	return req, nil
}

// validChallenge holds it to the form of a SHA-256 in base64url (RFC 7636 §4.2).
func validChallenge(c string) bool { return regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(c) }

// cleanParameter keeps what an error description may hold of a parameter's name.
func cleanParameter(name string) string {
	return regexp.MustCompile(`[^a-z_]`).ReplaceAllString(name[:min(len(name), 40)], "?")
}

// consentView is what the consent page shows.
type consentView struct {
	Client, Host string
	Query        string
	Scopes       []scope
	Problem      string
}

func (s *Server) authorizePage(w http.ResponseWriter, r *http.Request) {
	req, ok := s.checkedRequest(w, r, r.URL.Query())
	if !ok {
		return
	}
	if _, ok := s.signedIn(w, r); !ok {
		return
	}
	s.consent(w, r, req, r.URL.RawQuery, http.StatusOK, "")
}

// checkedRequest answers a request that is wrong: to the person where the client cannot be trusted, to the client
// otherwise.
func (s *Server) checkedRequest(w http.ResponseWriter, r *http.Request, q url.Values) (request, bool) {
	req, err := s.parseRequest(q)
	var re *redirectError
	switch {
	case err == nil:
		return req, true
	case errors.As(err, &re):
		s.answer(w, req, url.Values{"error": {re.code}, "error_description": {re.description}})
	default:
		s.problem(w, r, http.StatusBadRequest, "This program is not registered for this address",
			"The client_id or the redirect_uri of the request is not one that was registered here. Nothing was sent to the program. The page “Clients” shows what is registered; the redirect URI must be the same to the letter.")
	}
	return request{}, false
}

func (s *Server) consent(w http.ResponseWriter, r *http.Request, req request, query string, status int, problem string) {
	u, err := url.Parse(req.redirect)
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	v := consentView{Client: req.clientName, Host: u.Host, Query: query, Problem: problem}
	for _, sc := range scopes() {
		if slices.Contains(req.scopes, sc.Name) {
			v.Scopes = append(v.Scopes, sc)
		}
	}
	w.Header().Set("Content-Security-Policy", contentPolicy(u.Scheme+"://"+u.Host))
	s.render(w, r, status, "consent", v)
}

func (s *Server) authorizeDecide(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	query := r.PostFormValue("request")
	q, err := url.ParseQuery(query)
	if err != nil {
		s.problem(w, r, http.StatusBadRequest, "This request could not be read", "Start again from the program that sent you here.")
		return
	}
	req, ok := s.checkedRequest(w, r, q)
	if !ok {
		return
	}
	p := s.visitor(r).person
	if p == nil {
		http.Redirect(w, r, "/signin?next="+url.QueryEscape("/oauth/authorize?"+query), http.StatusSeeOther)
		return
	}
	if r.PostFormValue("decision") != "allow" {
		s.answer(w, req, url.Values{"error": {"access_denied"}, "error_description": {"the person denied the request"}})
		return
	}
	allowed := within(r.PostForm["scope"], req.scopes)
	if len(allowed) == 0 {
		s.consent(w, r, req, query, http.StatusBadRequest, "Tick at least one line, or choose Deny.")
		return
	}
	text := "sbc_" + rand.Text() + rand.Text()
	id, now := rand.Text(), s.now()
	err = s.auth.update(func(d *authData) {
		d.Grants[id] = &grant{Client: req.clientID, Person: p.ID, Scopes: allowed, Created: now, Used: now}
		d.Codes[digest(text)] = &code{Grant: id, Client: req.clientID, Redirect: req.redirect, Challenge: req.challenge, Expires: now.Add(codeLife)}
	})
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	s.answer(w, req, url.Values{"code": {text}})
}

// answer sends the browser back to the client, with state and iss (RFC 6749 §4.1.2, RFC 9207 §2).
func (s *Server) answer(w http.ResponseWriter, req request, values url.Values) {
	if req.state != "" {
		values.Set("state", req.state)
	}
	switch {
	case s.faults.hit(ConsentWithoutIss):
	case s.faults.hit(ConsentWrongIss):
		values.Set("iss", "https://issuer.example.net")
	case s.faults.hit(ConsentTwoIss):
		values["iss"] = []string{s.base.String(), s.base.String()}
	default:
		values.Set("iss", s.base.String())
	}
	separator := "?"
	if strings.Contains(req.redirect, "?") {
		separator = "&"
	}
	// The URI is the client's own, to the letter as registered.
	w.Header().Set("Location", req.redirect+separator+values.Encode())
	w.WriteHeader(http.StatusSeeOther)
}
