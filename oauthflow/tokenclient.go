package oauthflow

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/secret"
)

// TokenClientConfig says how a TokenClient reaches providers. The zero value is ready for the public internet.
type TokenClientConfig struct {
	// LoopbackHTTP permits http to loopback addresses that a registration opens: development and the sandbox.
	LoopbackHTTP bool
	Limits       httpx.Limits   // those that are zero are httpx.SecretLimits
	RootCAs      *x509.CertPool // nil: the machine's
	Now          func() time.Time
}

// TokenClient speaks to the endpoints of authorization servers. Every call sends one request: it follows no redirect,
// repeats nothing and tries no second way to authenticate. It may be used concurrently.
//
// The error of a call is a *TokenError where the server answered, and else a *connectors.Error that tells nothing of
// what was sent. Who has to know whether a token may have been used up looks at the Trace too.
type TokenClient struct{ cfg TokenClientConfig }

// NewTokenClient returns a client.
func NewTokenClient(cfg TokenClientConfig) *TokenClient {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &TokenClient{cfg: cfg}
}

// Client is an OAuth client: a registration with its credentials.
type Client struct {
	Registration *Registration
	Credentials  Credentials
}

// CodeRequest redeems an authorization code.
type CodeRequest struct {
	Code        secret.Text
	Verifier    secret.Text // empty where the profile has no PKCE
	RedirectURI string
	Scopes      []string // that were asked for
	Resource    string
}

// Code redeems an authorization code (RFC 6749 §4.1.3).
func (c *TokenClient) Code(ctx context.Context, client Client, r CodeRequest, trace *Trace) (*Token, error) {
	m := newMessage("authorization_code")
	m.setSecret("code", r.Code)
	m.set("redirect_uri", r.RedirectURI)
	m.setSecret("code_verifier", r.Verifier)
	m.set("resource", r.Resource)
	m.asked.Scopes = r.Scopes
	return c.token(ctx, client, m, trace)
}

// Refresh presents a refresh token (RFC 6749 §6). scopes are those that the grant has.
func (c *TokenClient) Refresh(ctx context.Context, client Client, refresh secret.Text, scopes []string, params GrantParams, trace *Trace) (*Token, error) {
	if !refresh.IsSet() {
		return nil, tokenProblem(connectors.GrantLost, errors.New("there is no refresh token"))
	}
	m := newMessage("refresh_token")
	m.setSecret("refresh_token", refresh)
	m.set("resource", params.Resource)
	m.asked.Refresh, m.asked.Scopes = refresh, scopes
	return c.token(ctx, client, m, trace)
}

// ClientCredentials obtains a token for the client itself (RFC 6749 §4.4).
func (c *TokenClient) ClientCredentials(ctx context.Context, client Client, scopes []string, params GrantParams, trace *Trace) (*Token, error) {
	m := newMessage("client_credentials")
	m.set("scope", joinScopes(client.Registration.Profile, scopes))
	m.set("resource", params.Resource)
	m.asked.Scopes = scopes
	return c.token(ctx, client, m, trace)
}

// Obtain gets a new token for a grant that has no refresh token: one between servers. The grant's kind says how.
func (c *TokenClient) Obtain(ctx context.Context, client Client, g Grant, trace *Trace) (*Token, error) {
	switch g.Kind {
	case GrantClientCredentials:
		return c.ClientCredentials(ctx, client, g.Asked, g.Params, trace)
	case GrantJWTBearer:
		return c.JWTBearer(ctx, client, g.Asked, g.Params, trace)
	case GrantInstallation:
		return c.Installation(ctx, client, g.Params, trace)
	case GrantCode:
		return nil, tokenProblem(connectors.GrantLost, errors.New("a person has to consent again"))
	default:
		return nil, tokenProblem(connectors.Bug, errors.New("the grant has no known kind"))
	}
}

// JWTBearer exchanges a signed assertion for a token (RFC 7523 §2.1): for the service account itself, or for the
// person that params.ActFor names.
func (c *TokenClient) JWTBearer(ctx context.Context, client Client, scopes []string, params GrantParams, trace *Trace) (*Token, error) {
	p := client.Registration.Profile
	signer, subject, err := bearerSigner(client)
	if err != nil {
		return nil, tokenProblem(connectors.ClientRejected, err)
	}
	claims := c.claims(p, subject, params.ActFor)
	scope := joinScopes(p, scopes)
	if scope != "" {
		claims["scope"] = scope
	}
	assertion, err := signer.sign(p.JWT.Alg, claims)
	if err != nil {
		return nil, tokenProblem(connectors.ClientRejected, err)
	}
	m := newMessage("urn:ietf:params:oauth:grant-type:jwt-bearer")
	m.setSecret("assertion", assertion)
	m.asked.Scopes = scopes
	m.bare = true // the assertion is the authentication (RFC 7523 §2.1)
	return c.token(ctx, client, m, trace)
}

// token asks the token endpoint.
func (c *TokenClient) token(ctx context.Context, client Client, m *message, trace *Trace) (*Token, error) {
	p := client.Registration.Profile
	req, err := c.request(ctx, client, p.Endpoints.Token, m)
	if err != nil {
		return nil, err
	}
	return c.answer(client, req, trace, func(resp *http.Response) (*Token, error) {
		return ParseToken(p, m.asked, resp.StatusCode, resp.Header, resp.Body)
	})
}

// answer sends req and has its answer read.
func (c *TokenClient) answer(client Client, req *http.Request, trace *Trace, read func(*http.Response) (*Token, error)) (*Token, error) {
	resp, err := c.send(client, req, trace)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	trace.step(StepHeaders)
	t, err := read(resp)
	if te, ok := errors.AsType[*TokenError](err); ok {
		te.RetryAfter = httpx.RetryHeaders{}.RetryAfter(resp.Header, c.cfg.Now())
	}
	return t, err
}

// send makes the one request, through a client that reaches the registration's hosts and further ones only.
func (c *TokenClient) send(client Client, req *http.Request, trace *Trace, further ...string) (*http.Response, error) {
	r := client.Registration
	allow, err := httpx.ParseAllowList(r.AllowHosts)
	if err != nil {
		return nil, tokenProblem(connectors.Invalid, errors.New("the registration's private hosts are not well formed; save it again"))
	}
	h, err := httpx.NewForSecrets(httpx.Options{
		Allow: allow, PlainLoopback: c.cfg.LoopbackHTTP, CredentialHosts: append(r.Profile.Hosts(), further...), Limits: c.cfg.Limits, RootCAs: c.cfg.RootCAs,
		UserAgent: "tributary",
	})
	if err != nil {
		return nil, tokenProblem(connectors.Invalid, err)
	}
	return httpx.Do(h, req.WithContext(trace.context(req.Context())))
}

// tokenProblem is an error before anything was sent.
func tokenProblem(class connectors.Class, err error) error {
	return &connectors.Error{Op: "asking for a token", Class: class, Err: err}
}

// joinScopes writes scopes as the provider wants them.
func joinScopes(p *Profile, scopes []string) string {
	var out []byte
	for i, s := range scopes {
		if i > 0 {
			out = append(out, p.Scopes.Separator...)
		}
		out = append(out, s...)
	}
	return string(out)
}
