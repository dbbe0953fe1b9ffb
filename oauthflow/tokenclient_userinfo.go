package oauthflow

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/secret"
)

// Userinfo is the account that a token speaks for.
type Userinfo struct {
	Subject string // the provider's immutable id of the account
	Name    string // as people know the account; cleaned
}

// HasUserinfo reports whether the provider says whose account a token is.
func (p *Profile) HasUserinfo() bool { return p.Endpoints.Userinfo != "" }

// Userinfo asks whose account the token is. The error carries a class: GrantLost where the provider refuses the token.
func (c *TokenClient) Userinfo(ctx context.Context, r *Registration, access secret.Text) (Userinfo, error) {
	status, body, err := c.Get(ctx, r, r.Profile.Endpoints.Userinfo, access)
	if err != nil {
		return Userinfo{}, err
	}
	if status < 200 || status > 299 {
		return Userinfo{}, &connectors.Error{Op: "asking for the account", Class: classOfStatus(status), Err: &httpx.StatusError{Code: status}}
	}
	return readUserinfo(body)
}

// Accepts asks the provider's account endpoint whether it takes an access token of the grant. known is false where that
// cannot tell: there is none, or the consent did not learn its account from it.
func (c *TokenClient) Accepts(ctx context.Context, r *Registration, g *Grant, access secret.Text) (accepted, known bool, err error) { //nolint:nonamedreturns // the names say what the three are
	if !r.Profile.HasUserinfo() || g.Kind != GrantCode || g.Subject == "" {
		return false, false, nil
	}
	status, _, err := c.Get(ctx, r, r.Profile.Endpoints.Userinfo, access)
	if err != nil {
		return false, false, err
	}
	if class := classOfStatus(status); class == connectors.Transient || class == connectors.RateLimited {
		return false, false, &connectors.Error{Op: "asking for the account", Class: class, Err: &httpx.StatusError{Code: status}}
	}
	return status != http.StatusUnauthorized, true, nil
}

// readUserinfo takes the subject from sub (OpenID Connect Core §5.3.2), or from id, and the name from what says most.
func readUserinfo(body []byte) (Userinfo, error) {
	wrong := func(problem string) (Userinfo, error) {
		return Userinfo{}, &connectors.Error{Op: "asking for the account", Class: connectors.Transient, Err: errors.New(problem)}
	}
	fields, err := decodeObject(body)
	if err != nil {
		return wrong("the answer is not well formed")
	}
	var u Userinfo
	for _, name := range []string{"sub", "id"} {
		switch v := fields[name].(type) {
		case string:
			u.Subject = v
		case json.Number:
			u.Subject = v.String()
		}
		if u.Subject != "" {
			break
		}
	}
	if u.Subject == "" || len(u.Subject) > 255 || cleanASCII(u.Subject, 0) != u.Subject { // OpenID Connect Core §2: at most 255 ASCII characters
		return wrong("the answer holds no usable id of the account")
	}
	for _, name := range []string{"login", "email", "preferred_username", "name"} {
		if s, _ := fields[name].(string); s != "" {
			u.Name = CleanName(s)
			break
		}
	}
	if u.Name == "" {
		u.Name = CleanName(u.Subject)
	}
	return u, nil
}

// Get calls a URL on one of the provider's own hosts, or of further ones, with an access token. It returns the status
// and the body, of at most MaxAnswer bytes.
func (c *TokenClient) Get(ctx context.Context, r *Registration, address string, access secret.Text, further ...string) (int, []byte, error) {
	if !slices.Contains(r.Profile.Hosts(), hostOf(address)) && !slices.Contains(further, hostOf(address)) {
		return 0, nil, &connectors.Error{Op: "calling the provider", Class: connectors.Invalid, Err: errors.New("the address is not on one of the provider's hosts")}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, nil, &connectors.Error{Op: "calling the provider", Class: connectors.Invalid, Err: errors.New("the address is not a URL")}
	}
	setHeaders(r.Profile, req.Header)
	req.Header.Set("Authorization", "Bearer "+access.Reveal())
	resp, err := c.send(Client{Registration: r}, req, nil, further...)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer))
	if err != nil {
		return resp.StatusCode, nil, httpx.Redact(err)
	}
	return resp.StatusCode, body, nil
}

// classOfStatus is the class of a refusal by a resource of the provider.
func classOfStatus(status int) connectors.Class {
	switch {
	case status == http.StatusUnauthorized:
		return connectors.GrantLost
	case status == http.StatusForbidden:
		return connectors.ScopeDenied
	case status == http.StatusTooManyRequests:
		return connectors.RateLimited
	case status >= http.StatusInternalServerError:
		return connectors.Transient
	default:
		return connectors.Unknown
	}
}
