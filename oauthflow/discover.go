package oauthflow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// profile resolves what a draft names into a profile with every endpoint.
func (s *Registrations) profile(ctx context.Context, d Draft) (*Profile, error) {
	rules := s.rules(d.AllowHosts)
	if _, err := httpx.ParseAllowList(d.AllowHosts); err != nil {
		return nil, &RefusedError{Field: "allow_hosts", Problem: err.Error()}
	}
	var p *Profile
	var err error
	switch {
	case len(d.Document) > 0:
		p, err = ParseProfile(d.Document, rules)
	case d.Issuer != "":
		p, err = issuerProfile(d, rules)
	default:
		shipped, err := Shipped()
		if err != nil {
			return nil, err
		}
		known, ok := shipped[d.Provider]
		if !ok {
			return nil, &RefusedError{Field: "provider", Problem: fmt.Sprintf("%.60q is none of the providers; name one, or give an issuer or a document", CleanText(d.Provider))}
		}
		if known.Hosting == HostingFixed {
			if d.BaseURL != "" {
				return nil, &RefusedError{Field: "base_url", Problem: known.Title + " has one address; leave it empty"}
			}
			return known, nil
		}
		return known.At(d.BaseURL, rules)
	}
	if err != nil {
		return nil, err
	}
	if p.Hosting == HostingInstance {
		if p, err = p.At(d.BaseURL, rules); err != nil {
			return nil, err
		}
	}
	if p.Discovery == DiscoveryNone {
		return p, nil
	}
	return s.discover(ctx, p, rules, d.AllowHosts)
}

// issuerProfile is a server of which only the issuer is known: its endpoints come from its metadata, and the worst is
// assumed: a refresh token that is used twice ends its family, and a revocation ends every grant of the account (RFC 7009
// §2.1 lets a server end the whole authorization grant, which may be the one that a later consent joined).
func issuerProfile(d Draft, r Rules) (*Profile, error) {
	auth := d.ClientAuth
	if auth == "" {
		auth = AuthBasic
	}
	grants := d.Grants
	if len(grants) == 0 {
		grants = []GrantType{GrantCode}
	}
	p := &Profile{
		Name: customName, Title: CleanName(hostOf(d.Issuer)), Hosting: HostingFixed, Grants: grants, Issuer: d.Issuer, Discovery: DiscoveryOAuth,
		ClientAuth: auth, PKCE: PKCES256, Request: TokenRequest{Body: BodyForm}, Scopes: ScopeRule{Separator: " ", AnswerSeparator: " "},
		Refresh: RefreshRule{Rotation: RotationFamily}, Revocation: Revocation{Style: RevokeRFC7009, Reach: ReachGrant}, GrantPer: PerConsent,
	}
	if auth == AuthPrivateKey || oneOf(GrantJWTBearer, grants...) {
		p.JWT = JWTRule{Alg: "RS256", Life: Duration(maxAssertionLife)}
	}
	if p.Title == "" {
		return nil, &RefusedError{Field: "issuer", Problem: "is not a URL; write it as the server names itself, such as https://id.example.com"}
	}
	return p, p.validate(r)
}

// discover completes a profile from the metadata of its issuer (OA-17). Every failure to get a document is told in the
// same words: what answers inside a network is not to be learned here (OA-31).
func (s *Registrations) discover(ctx context.Context, p *Profile, rules Rules, allowHosts []string) (*Profile, error) {
	addresses, err := p.MetadataPaths(rules)
	if err != nil {
		return nil, err
	}
	allow, err := httpx.ParseAllowList(allowHosts)
	if err != nil {
		return nil, &RefusedError{Field: "allow_hosts", Problem: err.Error()}
	}
	h, err := httpx.NewForSecrets(httpx.Options{
		Allow: allow, PlainLoopback: s.client.cfg.LoopbackHTTP, CredentialHosts: []string{hostOf(p.Issuer)}, Limits: s.client.cfg.Limits, RootCAs: s.client.cfg.RootCAs,
	})
	if err != nil {
		return nil, &RefusedError{Field: "issuer", Problem: "is not a URL with a host"}
	}
	for _, address := range addresses {
		document, err := getDocument(ctx, h, address)
		if err != nil {
			continue
		}
		q, err := p.WithMetadata(document, rules)
		if err != nil || p.Name != customName {
			return q, err
		}
		return q, q.askOpenID(document)
	}
	return nil, &RefusedError{Field: "issuer", Problem: "no metadata was found at " + strings.Join(addresses, " or ") + "; check the address, open a private host for it, or write the endpoints yourself"}
}

// customName is the name of a profile that knows its issuer alone.
const customName = "custom"

// askOpenID has every consent ask for what OpenID Connect wants before it says whose a token is (Core §5.3) and gives a
// refresh token (§11: offline_access, with prompt=consent), where the server lists these scopes. Where it does not
// offer openid, its userinfo endpoint is not for our tokens. It changes p, which nobody else has.
func (p *Profile) askOpenID(document []byte) error {
	m, err := decodeObject(document)
	if err != nil {
		return p.problem("metadata", err.Error(), "check the issuer")
	}
	scopes, _ := m["scopes_supported"].([]any)
	if !slices.Contains(scopes, any("openid")) {
		p.Endpoints.Userinfo = ""
	} else {
		p.Scopes.Known = append(p.Scopes.Known, Scope{Name: "openid", Reason: "Tells which account gave the consent.", Always: true})
	}
	if slices.Contains(scopes, any("offline_access")) && oneOf(GrantCode, p.Grants...) {
		p.Scopes.Known = append(p.Scopes.Known, Scope{Name: "offline_access", Reason: "Keeps the connection going while nobody is there.", Always: true})
		p.Authorize.Params = map[string]string{"prompt": "consent"}
	}
	return nil
}

func getDocument(ctx context.Context, h *http.Client, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, &connectors.Error{Op: "reading metadata", Class: connectors.Invalid, Err: errors.New("the address is not a URL")}
	}
	req.Header.Set("Accept", "application/json")
	resp, err := httpx.Do(h, req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &httpx.StatusError{Code: resp.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return nil, httpx.Redact(err)
	}
	return body, nil
}
