package oauthflow

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"tributary/connectors"
)

// Check is one look at the provider: what we sent, what came back and what to do. None of it is a secret.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Sent   string `json:"sent"`
	Came   string `json:"came"`
	Remedy string `json:"remedy,omitempty"`
	// Unclear means that the answer neither confirms nor refuses; it does not stop a registration from being saved.
	Unclear bool `json:"unclear,omitempty"`
}

func firstBlocking(list []Check) *Check {
	for i := range list {
		if !list[i].OK && !list[i].Unclear {
			return &list[i]
		}
	}
	return nil
}

// Check looks at the provider with the stored credentials. Nothing is granted by it.
func (s *Registrations) Check(ctx context.Context, id uuid.UUID) ([]Check, error) {
	r, err := s.store.RegistrationByID(ctx, id)
	if err != nil || r == nil {
		return nil, missingRegistration(err)
	}
	client, err := openClient(ctx, s.store, s.vault, r)
	if err != nil {
		return nil, err
	}
	return s.check(ctx, client), nil
}

// check asks for what cannot be given: a token for a code that was never issued. A server that knows the client says
// that the code is wrong; another says that the client is.
func (s *Registrations) check(ctx context.Context, client Client) []Check {
	var out []Check
	p := client.Registration.Profile
	for _, g := range p.Grants {
		if !client.Credentials.enough(p, g) {
			continue
		}
		switch g {
		case GrantCode:
			if client.Registration.ClientID != "" {
				out = append(out, s.checkCode(ctx, client))
			}
		case GrantClientCredentials:
			out = append(out, s.checkToken(ctx, client, "client credentials", Grant{Kind: g}))
		case GrantJWTBearer:
			out = append(out, s.checkToken(ctx, client, "signed assertion", Grant{Kind: g, Asked: probeScopes(p)}))
		case GrantInstallation:
			out = append(out, s.checkInstallation(ctx, client))
		}
	}
	return out
}

// probeScopes is one scope to ask with, where a server gives no token without any.
func probeScopes(p *Profile) []string {
	for _, k := range p.Scopes.Known {
		if !k.Always {
			return []string{k.Name}
		}
	}
	return nil
}

func (s *Registrations) checkCode(ctx context.Context, client Client) Check {
	r := client.Registration
	req := CodeRequest{Code: randomSecret(), RedirectURI: r.RedirectURI}
	if r.Profile.PKCE == PKCES256 {
		req.Verifier = randomSecret()
	}
	var trace Trace
	_, err := s.client.Code(ctx, client, req, &trace)
	c := Check{Name: "client credentials", Sent: "a made-up authorization code to " + hostOf(r.Profile.Endpoints.Token)}
	if err == nil {
		c.Came, c.Remedy = "a token, for a code that was never issued", "Do not use this server: it gives tokens to anybody."
		return c
	}
	if c = verdict(c, err, &trace, connectors.GrantLost); c.OK {
		if te, ok := errors.AsType[*TokenError](err); ok && te.aboutClient() {
			c.OK, c.Unclear = false, true
			c.Came = te.Code + ": " + r.Profile.Title + " answers alike to a wrong code and to a wrong client secret, so this tells nothing of the secret"
			c.Remedy = "Compare the client ID and the secret with those at " + r.Profile.Title + "; the first consent shows whether they are right."
			return c
		}
	}
	if c.OK && r.Profile.Revocation.Style == RevokeRFC7009 {
		// Some servers look at the code before the client; at revocation the client comes first (RFC 7009 §2.1).
		err := s.client.Revoke(ctx, client, randomSecret(), HintRefresh)
		if te, ok := errors.AsType[*TokenError](err); ok && te.Class == connectors.ClientRejected {
			c.Sent = "a made-up token to revoke to " + hostOf(r.Profile.Endpoints.Revoke)
			return verdict(Check{Name: c.Name, Sent: c.Sent}, err, &trace, connectors.GrantLost)
		}
	}
	return c
}

func (s *Registrations) checkInstallation(ctx context.Context, client Client) Check {
	var trace Trace
	_, err := s.client.Installation(ctx, client, GrantParams{InstallationID: "0"}, &trace)
	c := Check{Name: "private key", Sent: "a signed request for an installation that does not exist to " + hostOf(client.Registration.Profile.Endpoints.Installation)}
	if err == nil {
		c.Unclear, c.Came = true, "a token"
		return c
	}
	return verdict(c, err, &trace, connectors.GrantLost)
}

func (s *Registrations) checkToken(ctx context.Context, client Client, name string, g Grant) Check {
	var trace Trace
	c := Check{Name: name, Sent: "a request for a token to " + hostOf(client.Registration.Profile.Endpoints.Token)}
	token, err := s.client.Obtain(ctx, client, g, &trace)
	if err == nil {
		_ = s.client.Revoke(context.WithoutCancel(ctx), client, token.Access, HintAccess) // it has served
		c.OK, c.Came = true, "a token, which was thrown away"
		return c
	}
	return verdict(c, err, &trace, connectors.ScopeDenied)
}

// verdict judges an answer that is an error: accepted is the class of the answer of a server that knows the client.
func verdict(c Check, err error, trace *Trace, accepted connectors.Class) Check {
	fe := tokenRefused(&Registration{Profile: &Profile{}}, "", err, trace)
	c.Came, c.Remedy = fe.Came, fe.Remedy
	te, answered := errors.AsType[*TokenError](err)
	switch {
	case !answered:
	case te.Class == accepted && te.Definitive:
		c.OK, c.Remedy = true, ""
		c.Came += ": the client is accepted"
	case te.Class == connectors.ClientRejected, fe.Code == FlowRedirectURI:
	default:
		c.Unclear = true
	}
	return c
}
