package oauthtest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// fail answers with an OAuth error in the dialect.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, status int, problem string) {
	b := s.behaviour()
	if other := b.Errors[problem]; other != "" {
		problem = other
	}
	if problem == "unauthorized_client" { // RFC 6749 §5.2: 401 is for invalid_client
		status = http.StatusBadRequest
	}
	if b.Form {
		status = http.StatusOK
	}
	s.answer(w, r, status, map[string]any{"error": problem, "error_description": "the request was refused"})
}

// answer writes fields as the dialect has them.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, status int, fields map[string]any) {
	w.Header().Set("Cache-Control", "no-store")
	if s.behaviour().Form && !strings.Contains(r.Header.Get("Accept"), "json") {
		values := url.Values{}
		for k, v := range fields {
			values.Set(k, strings.Trim(string(must(json.Marshal(v))), `"`))
		}
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, values.Encode())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(must(json.Marshal(fields)))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// token is the token endpoint.
func (s *Server) token(w http.ResponseWriter, r *http.Request, entry *Request) {
	if err := r.ParseForm(); err != nil || r.Method != http.MethodPost {
		s.fail(w, r, http.StatusBadRequest, "invalid_request")
		return
	}
	for k := range r.PostForm {
		if !slices.Contains([]string{"code", "refresh_token", "client_secret", "code_verifier", "assertion", "client_assertion"}, k) {
			entry.Form[k] = strings.Join(r.PostForm[k], "|")
		}
	}
	entry.GrantType = r.PostForm.Get("grant_type")
	for _, k := range []string{"code", "refresh_token"} {
		if v := r.PostForm.Get(k); v != "" {
			entry.Token = Digest(v)
		}
	}
	if entry.GrantType != "urn:ietf:params:oauth:grant-type:jwt-bearer" && !s.authenticated(r, entry) {
		s.fail(w, r, http.StatusUnauthorized, "invalid_client")
		return
	}
	var t *token
	var refresh bool
	problem := "unsupported_grant_type"
	switch entry.GrantType {
	case "authorization_code":
		t, refresh, problem = s.redeem(r.PostForm)
	case "refresh_token":
		t, refresh, problem = s.refresh(r.PostForm.Get("refresh_token"))
	case "client_credentials":
		t, problem = s.issue("client:"+s.ClientID, "the client", strings.Fields(r.PostForm.Get("scope")), "", false), ""
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		t, problem = s.bearer(r.PostForm.Get("assertion"), entry)
	}
	if b := s.behaviour(); b.After != nil && b.After(w, r) {
		return
	}
	if problem != "" {
		s.fail(w, r, http.StatusBadRequest, problem)
		return
	}
	s.give(w, r, t, refresh)
}

// give answers with tokens.
func (s *Server) give(w http.ResponseWriter, r *http.Request, t *token, refresh bool) {
	b := s.behaviour()
	fields := map[string]any{"access_token": t.access, "token_type": "bearer"}
	if !b.NoExpiry {
		life := b.Life
		if life == 0 {
			life = time.Hour
		}
		fields["expires_in"] = int(life.Seconds())
	}
	if refresh {
		fields["refresh_token"] = t.refresh
		if b.RefreshExpiry > 0 {
			fields["refresh_token_expires_in"] = int(b.RefreshExpiry.Seconds())
		}
	}
	if b.IDToken != nil {
		fields["id_token"] = "e30." + base64.RawURLEncoding.EncodeToString(must(json.Marshal(b.IDToken))) + ".c2ln"
	}
	if !b.NoScope {
		separator := " "
		if b.CommaScopes {
			separator = ","
		}
		var names []string
		for _, scope := range t.scopes {
			if alias := b.ScopeAlias[scope]; alias != "" {
				scope = alias
			}
			names = append(names, scope)
		}
		fields["scope"] = strings.Join(names, separator)
	}
	s.answer(w, r, http.StatusOK, fields)
}

func (s *Server) issue(subject, account string, scopes []string, family string, refresh bool) *token {
	t := &token{access: "at-" + rand.Text(), scopes: scopes, subject: subject, account: account, family: family}
	if refresh {
		t.refresh = "rt-" + rand.Text()
	}
	if t.family == "" {
		t.family = rand.Text()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t.born = s.age
	s.tokens = append(s.tokens, t)
	if limit := s.b.MaxGrants; refresh && limit > 0 {
		var live []*token
		for _, o := range s.tokens {
			if o.subject == subject && o.refresh != "" && !o.dead {
				live = append(live, o)
			}
		}
		if len(live) > limit {
			live[0].dead = true
		}
	}
	return t
}

func (s *Server) redeem(form url.Values) (*token, bool, string) {
	s.mu.Lock()
	c := s.codes[form.Get("code")]
	ok := c != nil && !c.used && c.redirect == form.Get("redirect_uri")
	if ok && c.challenge != "" {
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		ok = base64.RawURLEncoding.EncodeToString(sum[:]) == c.challenge
	}
	if c != nil && c.redirect == form.Get("redirect_uri") {
		c.used = true
	}
	s.mu.Unlock()
	if !ok {
		return nil, false, "invalid_grant"
	}
	return s.issue(c.subject, c.account, c.scopes, "", c.refresh), c.refresh, ""
}

func (s *Server) refresh(value string) (*token, bool, string) {
	b := s.behaviour()
	s.mu.Lock()
	at := slices.IndexFunc(s.tokens, func(t *token) bool { return t.refresh == value && value != "" })
	if at < 0 || s.tokens[at].dead {
		s.mu.Unlock()
		return nil, false, "invalid_grant"
	}
	old := s.tokens[at]
	if b.RefreshLife > 0 && s.age-old.born >= b.RefreshLife {
		s.mu.Unlock()
		return nil, false, "invalid_grant"
	}
	if old.used && (b.Rotation == "S" || b.Rotation == "F") {
		if b.Rotation == "F" {
			s.endWhere(func(t *token) bool { return t.family == old.family })
		}
		s.mu.Unlock()
		return nil, false, "invalid_grant"
	}
	old.used, old.dead = true, b.Rotation == "S"
	s.mu.Unlock()
	next := s.issue(old.subject, old.account, old.scopes, old.family, b.Rotation == "R" || b.Rotation == "S" || b.Rotation == "F")
	if next.refresh == "" {
		s.mu.Lock()
		next.refresh = old.refresh
		s.mu.Unlock()
		return next, false, ""
	}
	return next, true, ""
}

// endWhere ends tokens; the caller holds the lock.
func (s *Server) endWhere(f func(*token) bool) {
	for _, t := range s.tokens {
		if f(t) {
			t.dead = true
		}
	}
}

// authenticated judges the client in the one way that the behaviour names.
func (s *Server) authenticated(r *http.Request, entry *Request) bool {
	return s.authenticatedBy(s.behaviour().Auth, r, entry)
}

func (s *Server) authenticatedBy(auth string, r *http.Request, entry *Request) bool {
	user, password, basic := r.BasicAuth()
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	switch auth {
	case "none":
		return id == s.ClientID && secret == "" && !basic
	case "client_secret_post":
		return id == s.ClientID && secret == s.ClientSecret && !basic
	case "private_key_jwt":
		claims, ok := s.verify(r.PostForm.Get("client_assertion"))
		entry.Claims = claims
		return ok && claims["iss"] == s.ClientID && claims["sub"] == s.ClientID && !basic && secret == ""
	default:
		unescape := func(v string) string { return must(url.QueryUnescape(v)) }
		return basic && unescape(user) == s.ClientID && unescape(password) == s.ClientSecret && id == "" && secret == ""
	}
}
