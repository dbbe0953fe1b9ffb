package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// tokenAnswer is a successful answer of the token endpoint (RFC 6749 §5.1).
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	Scope        string `json:"scope"`
}

// tokenError is an error of the token endpoint (RFC 6749 §5.2).
type tokenError struct{ code, description string }

// endpointForm reads a request to an endpoint that clients post forms to: every parameter at most once.
func endpointForm(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/x-www-form-urlencoded" || r.ParseForm() != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request", "send a form in the body")
		return nil, false
	}
	for name, values := range r.PostForm {
		if len(values) != 1 {
			oauthError(w, http.StatusBadRequest, "invalid_request", "the parameter "+cleanParameter(name)+" is repeated")
			return nil, false
		}
	}
	return r.PostForm, true
}

// clientOf authenticates the client by client_secret_basic, the only way that is served (RFC 6749 §2.3.1).
func (s *Server) clientOf(w http.ResponseWriter, r *http.Request) (string, client, bool) {
	id, secret, ok := r.BasicAuth()
	if ok {
		var err1, err2 error
		id, err1 = url.QueryUnescape(id)
		secret, err2 = url.QueryUnescape(secret)
		ok = err1 == nil && err2 == nil
	}
	var c client
	if ok {
		ok = false
		s.auth.read(func(d *authData) {
			if found, known := d.Clients[id]; known && equal(found.SecretDigest, digest(secret)) {
				c, ok = *found, true
			}
		})
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="Sandbox Drive"`)
		oauthError(w, http.StatusUnauthorized, "invalid_client", "the client_id or the client_secret is wrong; they are sent by HTTP Basic authentication")
	}
	return id, c, ok
}

func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	form, ok := endpointForm(w, r)
	if !ok {
		return
	}
	switch {
	case s.faults.hit(TokenError500):
		oauthError(w, http.StatusInternalServerError, "server_error", "a switch is on")
		return
	case s.faults.hit(TokenError503):
		w.Header().Set("Retry-After", seconds(s.faults.Options().RetryAfter))
		oauthError(w, http.StatusServiceUnavailable, "temporarily_unavailable", "a switch is on")
		return
	}
	id, c, ok := s.clientOf(w, r)
	if !ok {
		s.auth.count(func(n *Seen) { n.Refused++ })
		return
	}
	if form.Get("grant_type") != "client_credentials" && s.faults.hit(TokenInvalidGrant) {
		oauthError(w, http.StatusBadRequest, "invalid_grant", "a switch is on")
		return
	}
	answer, problem, err := s.exchange(id, c, form)
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	if problem != nil {
		s.auth.count(func(n *Seen) { n.Refused++ })
		oauthError(w, http.StatusBadRequest, problem.code, problem.description)
		return
	}
	s.sendTokens(w, r, answer)
}

// exchange does what the grant type says and saves it.
func (s *Server) exchange(id string, c client, form url.Values) (tokenAnswer, *tokenError, error) {
	life, ok := s.life(c, form.Get("token_life"))
	if !ok {
		return tokenAnswer{}, &tokenError{"invalid_request", "token_life is a number of seconds from 1"}, nil
	}
	now := s.now()
	answer := tokenAnswer{TokenType: "Bearer", ExpiresIn: int(life / time.Second)}
	var problem *tokenError
	var count func(*Seen)
	err := s.auth.update(func(d *authData) {
		var grantID string
		var granted []string
		switch form.Get("grant_type") {
		case "authorization_code":
			grantID, granted, problem = d.redeem(id, form, now)
			count = func(n *Seen) { n.Codes++ }
		case "refresh_token":
			grantID, granted, problem = d.rotate(id, form)
			count = func(n *Seen) { n.Refreshes++ }
		case "client_credentials":
			granted, problem = narrowed(scopeNames(), form.Get("scope"))
			count = func(n *Seen) { n.ClientCredentials++ }
		default:
			problem = &tokenError{"unsupported_grant_type", "the grant types are authorization_code, refresh_token and client_credentials"}
		}
		if problem != nil {
			return
		}
		g := d.Grants[grantID]
		if g != nil {
			g.Used = now
			answer.RefreshToken = d.issueRefresh(grantID)
		}
		answer.AccessToken = d.issue(id, grantID, g, granted, now, life)
		answer.Scope = strings.Join(granted, " ")
	})
	if err != nil {
		return tokenAnswer{}, nil, err
	}
	if problem != nil {
		if problem.description == reusedText {
			s.auth.count(func(n *Seen) { n.Reused++ })
		}
		return tokenAnswer{}, problem, nil
	}
	s.auth.count(count)
	return answer, nil, nil
}

const reusedText = "it was used before; every token of this consent has ended"

// redeem spends an authorization code. A second use ends the grant (RFC 6749 §4.1.2).
func (d *authData) redeem(clientID string, form url.Values, now time.Time) (string, []string, *tokenError) {
	c, ok := d.Codes[digest(form.Get("code"))]
	if !ok || c.Client != clientID {
		return "", nil, &tokenError{"invalid_grant", "the code is not known"}
	}
	if c.Used {
		d.end(c.Grant)
		return "", nil, &tokenError{"invalid_grant", reusedText}
	}
	c.Used = true
	verifier := sha256.Sum256([]byte(form.Get("code_verifier")))
	var why string
	switch {
	case !now.Before(c.Expires):
		why = "the code is older than a minute"
	case form.Get("redirect_uri") != c.Redirect:
		why = "the redirect_uri is not that of the authorization request"
	case len(form.Get("code_verifier")) < 43 || len(form.Get("code_verifier")) > 128,
		!equal(base64.RawURLEncoding.EncodeToString(verifier[:]), c.Challenge):
		why = "the code_verifier does not fit the code_challenge"
	case d.Grants[c.Grant] == nil:
		why = "the access was removed"
	}
	if why != "" {
		d.end(c.Grant)
		return "", nil, &tokenError{"invalid_grant", why}
	}
	return c.Grant, d.Grants[c.Grant].Scopes, nil
}

// rotate spends a refresh token. A second use ends the grant (RFC 9700 §4.14.2).
func (d *authData) rotate(clientID string, form url.Values) (string, []string, *tokenError) {
	t, ok := d.Refresh[digest(form.Get("refresh_token"))]
	if !ok || d.Grants[t.Grant] == nil || d.Grants[t.Grant].Client != clientID {
		return "", nil, &tokenError{"invalid_grant", "the refresh token is not known, or its access has ended"}
	}
	if t.Used {
		d.end(t.Grant)
		return "", nil, &tokenError{"invalid_grant", reusedText}
	}
	granted, problem := narrowed(d.Grants[t.Grant].Scopes, form.Get("scope"))
	if problem == nil {
		t.Used = true
	}
	return t.Grant, granted, problem
}

// narrowed returns the scopes that were asked for, all where none is named (RFC 6749 §6).
func narrowed(granted []string, asked string) ([]string, *tokenError) {
	fields := strings.Fields(asked)
	if len(fields) == 0 {
		return granted, nil
	}
	for _, f := range fields {
		if !slices.Contains(granted, f) {
			return nil, &tokenError{"invalid_scope", "more was asked for than is granted"}
		}
	}
	return within(fields, granted), nil
}

// life is how long the next access token lives: by switch, by request, by client, else an hour.
func (s *Server) life(c client, asked string) (time.Duration, bool) {
	life := tokenLife
	if c.TokenLife > 0 {
		life = time.Duration(c.TokenLife) * time.Second
	}
	if asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 1 || n > int(refreshIdle/time.Second) {
			return 0, false
		}
		life = time.Duration(n) * time.Second
	}
	if l := s.faults.Options().TokenLife; l > 0 {
		life = max(l, minTokenLife)
	}
	return life, true
}

// sendTokens answers with tokens that are issued and saved, or fails as a switch says.
func (s *Server) sendTokens(w http.ResponseWriter, r *http.Request, answer tokenAnswer) {
	body, err := json.Marshal(answer) //nolint:gosec // telling the token is what this endpoint is for
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	if s.faults.hit(TokenLost) {
		panic(http.ErrAbortHandler)
	}
	if s.faults.hit(TokenSlow) {
		s.wait(r)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("Pragma", "no-cache")
	if s.faults.hit(TokenTruncated) {
		s.half(w, body)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// half sends the first half of body and breaks the connection.
func (s *Server) half(w http.ResponseWriter, body []byte) {
	_, _ = w.Write(body[:len(body)/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// wait lets Delay pass, or the client go away.
func (s *Server) wait(r *http.Request) {
	t := time.NewTimer(s.faults.Options().Delay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int((d + time.Second - 1) / time.Second)) }

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "encoding the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func oauthError(w http.ResponseWriter, status int, code, description string) {
	writeJSON(w, status, map[string]string{"error": code, "error_description": description})
}
