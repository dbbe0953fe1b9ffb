package sandbox

import (
	"net/http"
	"strings"
)

// metadata is the server's description of itself (RFC 8414 §2).
func (s *Server) metadata(w http.ResponseWriter, _ *http.Request) {
	basic := []string{"client_secret_basic"}
	w.Header().Set("Cache-Control", "public, max-age=60")
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         s.base.String(),
		"authorization_endpoint":                         s.URL("/oauth/authorize"),
		"token_endpoint":                                 s.URL("/oauth/token"),
		"revocation_endpoint":                            s.URL("/oauth/revoke"),
		"introspection_endpoint":                         s.URL("/oauth/introspect"),
		"userinfo_endpoint":                              s.URL("/oauth/userinfo"),
		"scopes_supported":                               scopeNames(),
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token", "client_credentials"},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          basic,
		"revocation_endpoint_auth_methods_supported":     basic,
		"introspection_endpoint_auth_methods_supported":  basic,
		"authorization_response_iss_parameter_supported": true,
		"service_documentation":                          s.URL("/"),
	})
}

// revoke ends a token: a refresh token with everything of its consent, an access token alone. An unknown token and
// another client's are answered alike (RFC 7009 §2.1, §2.2).
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	form, ok := endpointForm(w, r)
	if !ok {
		return
	}
	if s.faults.hit(RevokeUnavailable) {
		w.Header().Set("Retry-After", seconds(s.faults.Options().RetryAfter))
		oauthError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "a switch is on")
		return
	}
	id, _, ok := s.clientOf(w, r)
	if !ok {
		return
	}
	if form.Get("token") == "" {
		oauthError(w, http.StatusBadRequest, "invalid_request", "the parameter token is missing")
		return
	}
	key, ended := digest(form.Get("token")), false
	err := s.auth.update(func(d *authData) {
		if t, ok := d.Refresh[key]; ok && d.Grants[t.Grant] != nil && d.Grants[t.Grant].Client == id {
			d.end(t.Grant)
			ended = true
		}
		if t, ok := d.Access[key]; ok && t.Client == id {
			delete(d.Access, key)
			ended = true
		}
	})
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	if ended {
		s.auth.count(func(n *Seen) { n.Revoked++ })
	}
	w.WriteHeader(http.StatusOK)
}

// introspect tells a client about its own tokens (RFC 7662 §2.2); of all others it says that they are not active.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request) {
	form, ok := endpointForm(w, r)
	if !ok {
		return
	}
	id, _, ok := s.clientOf(w, r)
	if !ok {
		return
	}
	answer := map[string]any{"active": false}
	key := digest(form.Get("token"))
	now := s.now()
	s.auth.read(func(d *authData) {
		if t, ok := d.Access[key]; ok && t.Client == id && now.Before(t.Expires) {
			answer = map[string]any{
				"active": true, "client_id": id, "scope": strings.Join(t.Scopes, " "), "token_type": "Bearer",
				"sub": subject(t.Person, id), "iat": t.Issued.Unix(), "exp": t.Expires.Unix(), "iss": s.base.String(),
			}
		}
		if t, ok := d.Refresh[key]; ok && !t.Used && d.Grants[t.Grant] != nil && d.Grants[t.Grant].Client == id && now.Before(d.Grants[t.Grant].Used.Add(refreshIdle)) {
			g := d.Grants[t.Grant]
			answer = map[string]any{
				"active": true, "client_id": id, "scope": strings.Join(g.Scopes, " "),
				"sub": g.Person, "iat": g.Used.Unix(), "exp": g.Used.Add(refreshIdle).Unix(), "iss": s.base.String(),
			}
		}
	})
	writeJSON(w, http.StatusOK, answer)
}

// subject names whom a token speaks for.
func subject(person, clientID string) string {
	if person == "" {
		return "client:" + clientID
	}
	return person
}

// account is whom a token speaks for, as the API and userinfo tell it.
type account struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
}

func (s *Server) accountOf(t accessToken) account {
	if t.Person == "" {
		a := account{ID: subject("", t.Client)}
		s.auth.read(func(d *authData) {
			if c, ok := d.Clients[t.Client]; ok {
				a.Name = c.Name
			}
		})
		return a
	}
	p, _ := s.world.Person(t.Person)
	return account{ID: p.ID, Name: p.Name, Email: p.Email, EmailVerified: p.Verified}
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request) {
	t, ok := s.bearer(w, r, "account.read")
	if !ok {
		return
	}
	a := s.accountOf(t)
	answer := map[string]any{"sub": a.ID, "name": a.Name}
	if a.Email != "" {
		answer["email"], answer["email_verified"] = a.Email, a.EmailVerified
	}
	writeJSON(w, http.StatusOK, answer)
}
