package oauthflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/secret"
)

// ErrNoRevocation means that the provider has no way to revoke: the person removes the access at ManageURL.
var ErrNoRevocation = errors.New("the provider offers no revocation; remove the access at the provider")

// TokenHint says which token is revoked or introspected (RFC 7009 §2.1).
type TokenHint string

// The hints.
const (
	HintAccess  TokenHint = "access_token"
	HintRefresh TokenHint = "refresh_token"
)

// errNotEnded means that GitHub does not know an access token any more with which it could end the grant of a refresh
// token, which may live on. It is certain: asking again changes nothing.
var errNotEnded = &connectors.Error{Class: connectors.GrantLost, Err: errors.New("its access token had ended, and nothing but a valid one ends the grant")}

// RevokePair ends a pair at the provider: the refresh token, then the access token, whatever becomes of the first
// (RFC 7009 §2). It returns the first error of Revoke. GitHub takes access tokens only, with which the whole grant ends
// (https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-authorization).
func (c *TokenClient) RevokePair(ctx context.Context, client Client, p Pair) error {
	if client.Registration.Profile.Revocation.Style == RevokeGitHub {
		known := false
		if p.Access.IsSet() {
			var err error
			if known, err = c.revoke(ctx, client, p.Access, HintAccess); err != nil {
				return err
			}
		}
		if !known && p.Refresh.IsSet() {
			return errNotEnded
		}
		return nil
	}
	var first error
	for _, t := range []struct {
		token secret.Text
		hint  TokenHint
	}{{p.Refresh, HintRefresh}, {p.Access, HintAccess}} {
		if !t.token.IsSet() {
			continue
		}
		if err := c.Revoke(ctx, client, t.token, t.hint); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Revoke ends a token at the provider. It returns nil where the token is dead, also where it was before (RFC 7009
// §2.2), ErrNoRevocation where the provider has no such endpoint, and else an error with a class: Transient and
// RateLimited may be tried again.
func (c *TokenClient) Revoke(ctx context.Context, client Client, token secret.Text, hint TokenHint) error {
	_, err := c.revoke(ctx, client, token, hint)
	return err
}

// revoke is Revoke; known reports whether the provider knew the token, where it says that.
func (c *TokenClient) revoke(ctx context.Context, client Client, token secret.Text, hint TokenHint) (known bool, err error) { //nolint:nonamedreturns // the names say what the two are
	p := client.Registration.Profile
	var req *http.Request
	switch p.Revocation.Style {
	case RevokeRFC7009, RevokePost:
		m := &message{fields: map[string]string{}, bare: p.Revocation.Style == RevokePost}
		m.setSecret("token", token)
		if !m.bare {
			m.set("token_type_hint", string(hint))
		}
		req, err = c.formRequest(ctx, client, p.Endpoints.Revoke, p.ClientAuth, m)
	case RevokeGitHub:
		req, err = c.deleteRequest(ctx, client, token)
	case RevokeNone:
		return false, ErrNoRevocation
	default:
		return false, ErrNoRevocation
	}
	if err != nil {
		return false, err
	}
	resp, err := c.send(client, req, nil)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	return readRevocation(p, token, resp, c.answered(resp))
}

// formRequest writes a form, whatever the token endpoint wants: RFC 7009 §2.1 and RFC 7662 §2.1 have no other.
func (c *TokenClient) formRequest(ctx context.Context, client Client, endpoint string, auth ClientAuth, m *message) (*http.Request, error) {
	form := *client.Registration.Profile
	form.Request.Body, form.Request.Params, form.ClientAuth = BodyForm, nil, auth
	r := *client.Registration
	r.Profile = &form
	return c.request(ctx, Client{Registration: &r, Credentials: client.Credentials}, endpoint, m)
}

// deleteRequest is GitHub's way (https://docs.github.com/en/rest/apps/oauth-applications).
func (c *TokenClient) deleteRequest(ctx context.Context, client Client, token secret.Text) (*http.Request, error) {
	r := client.Registration
	if !client.Credentials.Secret.IsSet() {
		return nil, tokenProblem(connectors.ClientRejected, errNoSecret)
	}
	body, err := json.Marshal(map[string]string{"access_token": token.Reveal()})
	if err != nil {
		return nil, tokenProblem(connectors.Bug, errors.New("the request cannot be written"))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, expand(r.Profile.Endpoints.Revoke, r, ""), bytes.NewReader(body))
	if err != nil {
		return nil, tokenProblem(connectors.Invalid, errors.New("the endpoint is not a URL"))
	}
	req.GetBody = nil
	setHeaders(r.Profile, req.Header)
	req.Header.Set("Content-Type", "application/json")
	setBasic(req.Header, r.ClientID, client.Credentials.Secret.Reveal())
	return req, nil
}

func readRevocation(p *Profile, sent secret.Text, resp *http.Response, now time.Time) (known bool, err error) { //nolint:nonamedreturns // the names say what the two are
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	status := resp.StatusCode
	if status >= 200 && status <= 299 {
		return true, nil
	}
	if err != nil {
		return false, &TokenError{Class: connectors.Transient, Status: status, Problem: ProblemCutOff}
	}
	fields, decodeErr := decodeObject(raw)
	if decodeErr != nil {
		fields = nil
	}
	code, _ := errorOf(fields, "")
	switch {
	case status == http.StatusBadRequest && oneOf(code, "invalid_token", "invalid_grant"):
		return false, nil // dead already
	case p.Revocation.Style == RevokeGitHub && oneOf(status, http.StatusNotFound, http.StatusUnprocessableEntity):
		return false, nil // dead already, or not of this client
	}
	te := p.tokenError(Asked{Secrets: []secret.Text{sent}}, status, fields, ProblemNone)
	te.RetryAfter = httpx.RetryHeaders{}.RetryAfter(resp.Header, now)
	return false, te
}
