package oauthtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// authorize consents by itself, as the behaviour says, and sends the browser back.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request, entry *Request) {
	b := s.behaviour()
	q := r.URL.Query()
	for k := range q {
		entry.Form[k] = q.Get(k)
	}
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil || q.Get("client_id") != s.ClientID || q.Get("response_type") != "code" || back.Host == "" {
		http.Error(w, "unknown client or redirect URI", http.StatusBadRequest)
		return
	}
	out := url.Values{"state": {q.Get("state")}}
	if b.Iss {
		out.Set("iss", s.URL)
	}
	if b.WrongIss != "" {
		out.Set("iss", b.WrongIss)
	}
	switch {
	case b.Deny != "":
		out.Set("error", b.Deny)
		out.Set("error_description", "the person said no")
	case b.RequireS2 && q.Get("code_challenge_method") != "S256":
		out.Set("error", "invalid_request")
	default:
		out.Set("code", s.newCode(b, q))
	}
	back.RawQuery = out.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound) //nolint:gosec // sending the browser back is what it is for
}

func (s *Server) newCode(b Behaviour, q url.Values) string {
	scopes := strings.FieldsFunc(q.Get("scope"), func(r rune) bool { return r == ' ' || r == ',' })
	scopes = slices.DeleteFunc(scopes, func(scope string) bool { return slices.Contains(b.Unticked, scope) })
	value := "code-" + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Get("include_granted_scopes") == "true" { // https://developers.google.com/identity/protocols/oauth2/web-server#incrementalAuth
		for _, scope := range s.before[b.Subject] {
			if !slices.Contains(scopes, scope) && !slices.Contains(b.Unticked, scope) {
				scopes = append(scopes, scope)
			}
		}
	}
	if first, again := s.before[b.Subject]; again && b.KeepsScopes {
		scopes = slices.Clone(first)
	}
	s.before[b.Subject] = slices.Clone(scopes)
	refresh := !b.NoRefresh
	if b.OfflineOnly {
		refresh = q.Get("access_type") == "offline" && (!s.given[b.Subject] || q.Get("prompt") == "consent")
		s.given[b.Subject] = s.given[b.Subject] || refresh
	}
	s.codes[value] = &code{
		redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), scopes: append(scopes, b.Extra...), refresh: refresh, subject: b.Subject, account: b.Account,
	}
	return value
}

// find returns a live token.
func (s *Server) find(value string) *token {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tokens {
		if !t.dead && value != "" && (t.access == value || t.refresh == value) {
			return t
		}
	}
	return nil
}

func (s *Server) userinfo(w http.ResponseWriter, r *http.Request, _ *Request) {
	t := s.find(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if t == nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(must(json.Marshal(map[string]any{"sub": t.subject, "name": t.account})))
}

// revoke ends a token: by RFC 7009 with its family; of an account everything, where it is Google's or GitHub's way.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request, entry *Request) {
	var value string
	var whole bool
	switch r.Method {
	case http.MethodDelete:
		var body struct {
			AccessToken string `json:"access_token"`
		}
		user, password, _ := r.BasicAuth()
		if json.NewDecoder(r.Body).Decode(&body) != nil || user != s.ClientID || password != s.ClientSecret || r.PathValue("client") != s.ClientID {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		value, whole = body.AccessToken, true
	default:
		if r.ParseForm() != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		value = r.PostForm.Get("token")
		whole = s.behaviour().OfflineOnly
		if !whole && !s.authenticated(r, entry) {
			s.fail(w, r, http.StatusUnauthorized, "invalid_client")
			return
		}
	}
	entry.Token = Digest(value)
	t := s.find(value)
	if r.Method == http.MethodDelete && t != nil && t.access != value { // GitHub takes no refresh tokens
		t = nil
	}
	if t == nil {
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNotFound)
		case whole:
			s.fail(w, r, http.StatusBadRequest, "invalid_token")
		}
		return
	}
	s.mu.Lock()
	s.endWhere(func(o *token) bool { return o.family == t.family || whole && o.subject == t.subject })
	s.mu.Unlock()
	if r.Method == http.MethodDelete {
		w.WriteHeader(http.StatusNoContent)
	}
}

// introspect takes clients with a secret by HTTP Basic only, as Gitea does.
func (s *Server) introspect(w http.ResponseWriter, r *http.Request, entry *Request) {
	auth := s.behaviour().Auth
	if auth == "client_secret_post" {
		auth = "client_secret_basic"
	}
	if r.ParseForm() != nil || !s.authenticatedBy(auth, r, entry) {
		s.fail(w, r, http.StatusUnauthorized, "invalid_client")
		return
	}
	entry.Token = Digest(r.PostForm.Get("token"))
	t := s.find(r.PostForm.Get("token"))
	answer := map[string]any{"active": t != nil}
	if t != nil && len(t.scopes) > 0 {
		answer["scope"] = strings.Join(t.scopes, " ")
	}
	s.answer(w, r, http.StatusOK, answer)
}

// installation is GitHub's endpoint for the tokens of an installed app; number 1 is installed.
func (s *Server) installation(w http.ResponseWriter, r *http.Request, entry *Request) {
	claims, ok := s.verify(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	entry.Claims = claims
	w.Header().Set("Content-Type", "application/json")
	if !ok {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write([]byte(`{"message":"A JSON web token could not be decoded"}`))
		return
	}
	if r.PathValue("id") != "1" {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"message":"Not Found"}`))
		return
	}
	t := s.issue("installation:1", "installation", nil, "", false)
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(must(json.Marshal(map[string]any{
		"token": t.access, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "permissions": map[string]string{"contents": "read", "issues": "read"},
	})))
}

func (s *Server) metadata(w http.ResponseWriter, _ *http.Request, _ *Request) {
	m := map[string]any{
		"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token", "revocation_endpoint": s.URL + "/revoke",
		"introspection_endpoint": s.URL + "/introspect", "userinfo_endpoint": s.URL + "/userinfo", "response_types_supported": []string{"code"},
		"authorization_response_iss_parameter_supported": s.behaviour().Iss, "code_challenge_methods_supported": []string{"S256"},
	}
	maps.Copy(m, s.behaviour().Metadata)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(must(json.Marshal(m)))
}

// bearer gives a token for an assertion.
func (s *Server) bearer(assertion string, entry *Request) (*token, string) {
	claims, ok := s.verify(assertion)
	entry.Claims = claims
	issuer, _ := claims["iss"].(string)
	if !ok || issuer == "" {
		return nil, "invalid_grant"
	}
	scope, _ := claims["scope"].(string)
	return s.issue(issuer, issuer, strings.Fields(scope), "", false), ""
}

// verify checks the signature and the times of an assertion, and that its jti is new. The claims are returned in any case.
func (s *Server) verify(assertion string) (map[string]any, bool) {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return nil, false
	}
	var head struct{ Alg, Kid string }
	claims := map[string]any{}
	decode := func(part string, into any) bool {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		return err == nil && json.Unmarshal(raw, into) == nil
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !decode(parts[0], &head) || !decode(parts[1], &claims) {
		return claims, false
	}
	claims["kid"], claims["alg"] = head.Kid, head.Alg
	jti, _ := claims["jti"].(string)
	exp, _ := claims["exp"].(float64)
	s.mu.Lock()
	seen := s.jtis[jti] || jti == ""
	s.jtis[jti] = true
	s.mu.Unlock()
	if seen || int64(exp) < time.Now().Unix() || int64(exp) > time.Now().Add(5*time.Minute).Unix() {
		return claims, false
	}
	return claims, verified(s.behaviour().Key, head.Alg, []byte(parts[0]+"."+parts[1]), sig)
}

func verified(key crypto.PublicKey, alg string, input, sig []byte) bool {
	sum := sha256.Sum256(input)
	switch k := key.(type) {
	case *rsa.PublicKey:
		if alg == "PS256" {
			return rsa.VerifyPSS(k, crypto.SHA256, sum[:], sig, nil) == nil
		}
		return alg == "RS256" && rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], sig) == nil
	case *ecdsa.PublicKey:
		return alg == "ES256" && len(sig) == 64 && ecdsa.Verify(k, sum[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:]))
	default:
		return false
	}
}
