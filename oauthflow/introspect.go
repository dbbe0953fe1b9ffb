package oauthflow

import (
	"context"
	"errors"
	"io"
	"net/http"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/secret"
)

// errNotIntrospected is every answer from which no scopes are taken. It says nothing of the answer.
var errNotIntrospected = errors.New("the answer names no scopes of an active token")

// Introspect asks the provider for the scopes of an access token (RFC 7662). A client with a secret proves itself by
// HTTP Basic, whatever it does at the token endpoint: every server has to take it (RFC 6749 §2.3.1), and Gitea takes
// nothing else. The error is of a provider without such an endpoint, of a client that cannot prove itself, or of an
// answer that names no scopes.
func (c *TokenClient) Introspect(ctx context.Context, client Client, access secret.Text) ([]string, error) {
	p := client.Registration.Profile
	auth := p.ClientAuth
	switch auth {
	case AuthNone:
		return nil, notIntrospected(connectors.Invalid, errors.New("a public client cannot ask"))
	case AuthPost, AuthBasic:
		auth = AuthBasic
	case AuthPrivateKey:
	default:
	}
	m := &message{fields: map[string]string{}}
	m.setSecret("token", access)
	m.set("token_type_hint", string(HintAccess))
	req, err := c.formRequest(ctx, client, p.Endpoints.Introspect, auth, m)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(client, req, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, notIntrospected(classOfStatus(resp.StatusCode), &httpx.StatusError{Code: resp.StatusCode})
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil || len(raw) > MaxAnswer {
		return nil, notIntrospected(connectors.Transient, errNotIntrospected)
	}
	scopes := readIntrospection(raw)
	if len(scopes) == 0 {
		return nil, notIntrospected(connectors.Unknown, errNotIntrospected)
	}
	return scopes, nil
}

// readIntrospection returns the scopes, which are separated by blanks at every provider (RFC 7662 §2.2); none where the
// answer is not well formed or the token not active.
func readIntrospection(raw []byte) []string {
	fields, err := decodeObject(raw)
	if err != nil || fields["active"] != true {
		return nil
	}
	scope, _ := fields["scope"].(string)
	return parseScopes(scope, " ")
}

func notIntrospected(class connectors.Class, err error) error {
	return &connectors.Error{Op: "asking for the granted scopes", Class: class, Err: err}
}

// learnScopes asks once what was granted, where the answer with the token does not say it and the provider has an
// introspection endpoint: a server that keeps an earlier consent may have given less than was asked for. Where nothing is
// learned, the token has what was asked for (RFC 6749 §5.1), not stated.
func (f *Flows) learnScopes(ctx context.Context, client Client, t *Token) {
	if t.ScopesStated {
		return
	}
	if scopes, err := f.client.Introspect(ctx, client, t.Access); err == nil {
		t.Scopes, t.ScopesStated = scopes, true
	}
}
