package oauthflow

import (
	"slices"
)

// MetadataPaths returns the addresses at which the issuer publishes its metadata, in the order to try: RFC 8414 §3.1
// puts the well-known part before the issuer's path, OpenID Connect Discovery §4 after it.
func (p *Profile) MetadataPaths(r Rules) ([]string, error) {
	u, err := r.checkURL(p.Issuer)
	if err != nil {
		return nil, p.problem("issuer", err.Error(), "write the issuer exactly as the server names itself")
	}
	if u.RawQuery != "" {
		return nil, p.problem("issuer", "it has a query", "write the issuer exactly as the server names itself")
	}
	path := u.Path
	if path == "/" {
		path = ""
	}
	origin := u.Scheme + "://" + u.Host
	oauth := origin + "/.well-known/oauth-authorization-server" + path
	oidc := origin + path + "/.well-known/openid-configuration"
	if p.Discovery == DiscoveryOIDC {
		return []string{oidc, oauth}, nil
	}
	return []string{oauth, oidc}, nil
}

// WithMetadata returns the profile with the endpoints that its issuer publishes (RFC 8414 §3.2). What the profile
// states itself stays. The document's issuer must equal the profile's exactly (§3.3), its endpoints pass the same
// checks as an owner's, and it must offer the profile's client authentication and PKCE where it lists any. The
// result asks for no discovery: its Digest and Hosts are what an owner confirms.
func (p *Profile) WithMetadata(document []byte, r Rules) (*Profile, error) {
	if len(document) > MaxAnswer {
		return nil, p.problem("metadata", "the document is larger than 1 MiB", "check the issuer")
	}
	m, err := decodeObject(document)
	if err != nil {
		return nil, p.problem("metadata", err.Error(), "check the issuer")
	}
	if issuer, _ := m["issuer"].(string); p.Issuer == "" || issuer != p.Issuer {
		return nil, p.problem("issuer", "the server calls itself otherwise", "write the issuer exactly as the server names itself, with or without the slash at its end")
	}
	q := p.clone()
	q.Discovery = DiscoveryNone
	for name, into := range map[string]*string{
		"authorization_endpoint": &q.Endpoints.Authorize, "token_endpoint": &q.Endpoints.Token, "revocation_endpoint": &q.Endpoints.Revoke,
		"introspection_endpoint": &q.Endpoints.Introspect, "userinfo_endpoint": &q.Endpoints.Userinfo, "jwks_uri": &q.Endpoints.JWKS,
	} {
		if v, _ := m[name].(string); *into == "" {
			*into = v
		}
	}
	if q.Endpoints.Revoke == "" && q.Revocation.Style == RevokeRFC7009 { // told only by the document
		q.Revocation.Style, q.Revocation.Reach = RevokeNone, ReachNone
	}
	if iss, _ := m["authorization_response_iss_parameter_supported"].(bool); iss {
		q.RequireIss = true
	}
	if !offers(m, "token_endpoint_auth_methods_supported", string(p.ClientAuth)) {
		return nil, p.problem("client_auth", "the server does not offer "+string(p.ClientAuth), "write one that its documentation names")
	}
	if p.PKCE == PKCES256 && !offers(m, "code_challenge_methods_supported", string(PKCES256)) {
		return nil, p.problem("pkce", "the server offers PKCE without S256", "ask its operator to allow S256")
	}
	if err := q.validate(r); err != nil {
		return nil, err
	}
	shipped, err := Shipped()
	if err != nil {
		return nil, err
	}
	if err := q.checkMix(shipped); err != nil {
		return nil, err
	}
	return q, nil
}

// offers reports whether a list of the metadata holds v, or is absent.
func offers(m map[string]any, list, v string) bool {
	values, ok := m[list].([]any)
	return !ok || slices.Contains(values, any(v))
}
