package oauthflow

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/secret"
)

// Installation obtains the token of an installed GitHub App: the app proves itself with a signed JWT
// (https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation).
func (c *TokenClient) Installation(ctx context.Context, client Client, params GrantParams, trace *Trace) (*Token, error) {
	r := client.Registration
	p := r.Profile
	if p.Endpoints.Installation == "" || strings.Trim(params.InstallationID, "0123456789") != "" || params.InstallationID == "" {
		return nil, tokenProblem(connectors.Invalid, errors.New("the installation's number is missing; it stands at the end of the address of its settings page"))
	}
	issuer := r.Subject
	if issuer == "" {
		issuer = r.ClientID
	}
	key, err := parsePrivateKey(client.Credentials.PrivateKey, client.Credentials.KeyID)
	if err != nil {
		return nil, tokenProblem(connectors.ClientRejected, err)
	}
	assertion, err := key.sign(p.JWT.Alg, c.claims(p, issuer, ""))
	if err != nil {
		return nil, tokenProblem(connectors.ClientRejected, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, expand(p.Endpoints.Installation, r, params.InstallationID), http.NoBody)
	if err != nil {
		return nil, tokenProblem(connectors.Invalid, errors.New("the endpoint is not a URL"))
	}
	setHeaders(p, req.Header)
	req.Header.Set("Authorization", "Bearer "+assertion.Reveal())
	return c.answer(client, req, trace, func(resp *http.Response) (*Token, error) {
		return c.readInstallation(resp, assertion)
	})
}

// readInstallation reads the answer: token, expires_at as a time, and permissions, which become scopes such as
// "contents:read".
func (c *TokenClient) readInstallation(resp *http.Response, sent secret.Text) (*Token, error) {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	refuse := func(problem Problem) (*Token, error) {
		return nil, &TokenError{Class: connectors.Transient, Status: resp.StatusCode, Problem: problem}
	}
	switch {
	case err != nil:
		return refuse(ProblemCutOff)
	case len(raw) > MaxAnswer:
		return refuse(ProblemTooLarge)
	}
	fields, err := decodeObject(raw)
	if resp.StatusCode >= http.StatusBadRequest {
		message, _ := fields["message"].(string)
		return nil, &TokenError{
			Class: installationClass(resp, c.cfg.Now()), Status: resp.StatusCode, Description: CleanText(message, sent),
			Definitive: resp.StatusCode < http.StatusInternalServerError,
		}
	}
	if err != nil {
		return refuse(ProblemMalformed)
	}
	access, ok := tokenField(fields, "token")
	if !ok || access == "" {
		return refuse(ProblemNoToken)
	}
	t := &Token{Access: secret.New(access), Type: "bearer"}
	if text, ok := fields["expires_at"].(string); ok {
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			t.ExpiresIn = min(max(at.Sub(c.answered(resp)), 0), MaxLife).Truncate(time.Second)
		}
	}
	if permissions, ok := fields["permissions"].(map[string]any); ok {
		t.ScopesStated = true
		for _, name := range slices.Sorted(maps.Keys(permissions)) {
			if right, ok := permissions[name].(string); ok && isScope(name+":"+right) && len(t.Scopes) < 200 {
				t.Scopes = append(t.Scopes, name+":"+right)
			}
		}
	}
	return t, nil
}

// answered is when the server answered by its own clock, which its times are compared with.
func (c *TokenClient) answered(resp *http.Response) time.Time {
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		return at
	}
	return c.cfg.Now()
}

// installationClass gives a refusal its class: 404 is an app that is not installed there any more, 401 a key that is
// not the app's.
func installationClass(resp *http.Response, now time.Time) connectors.Class {
	limited := resp.StatusCode == http.StatusForbidden &&
		httpx.RetryHeaders{EpochSeconds: []string{"X-RateLimit-Reset"}, Remaining: []string{"X-RateLimit-Remaining"}}.RetryAfter(resp.Header, now) > 0
	switch {
	case resp.StatusCode == http.StatusTooManyRequests || limited:
		return connectors.RateLimited
	case resp.StatusCode >= http.StatusInternalServerError:
		return connectors.Transient
	case resp.StatusCode == http.StatusUnauthorized:
		return connectors.ClientRejected
	case resp.StatusCode == http.StatusNotFound:
		return connectors.GrantLost
	default:
		return connectors.Unknown
	}
}
