package oauthflow

import (
	"context"
	"encoding/base64"
	"strings"

	"tributary/internal/secret"
)

// account asks whose token it is, where the provider says that. A token for another resource (RFC 8707) is none for
// userinfo; then the id_token says it, which came from the token endpoint itself (OpenID Connect Core §3.1.3.7, 6).
func (f *Flows) account(ctx context.Context, r *Registration, row *FlowRow, t *Token) (Userinfo, error) {
	if !r.Profile.HasUserinfo() {
		return Userinfo{}, nil
	}
	if row.Plan.Resource != "" {
		return identityOf(r, t.ID)
	}
	info, err := f.client.Userinfo(ctx, r, t.Access)
	if err != nil {
		e := flowError(FlowUserinfo)
		e.Sent = "a request for the account to " + hostOf(r.Profile.Endpoints.Userinfo)
		e.Came = causeOf(err)
		return Userinfo{}, e
	}
	return info, nil
}

// identityOf reads the account from an id_token of the token endpoint, for this client. No id_token is nobody known.
func identityOf(r *Registration, id secret.Text) (Userinfo, error) {
	if !id.IsSet() {
		return Userinfo{}, nil
	}
	refused := flowError(FlowUserinfo)
	refused.Came = "an id_token that is not for this client"
	parts := strings.Split(id.Reveal(), ".")
	if len(parts) != 3 {
		return Userinfo{}, refused
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Userinfo{}, refused
	}
	claims, err := decodeObject(raw)
	if err != nil || claims["iss"] != r.Profile.Issuer || r.Profile.Issuer == "" {
		return Userinfo{}, refused
	}
	aud, _ := claims["aud"].([]any)
	if claims["aud"] != r.ClientID && (len(aud) != 1 || aud[0] != r.ClientID) {
		return Userinfo{}, refused
	}
	return readUserinfo(raw)
}

// broader returns the scopes that were granted and neither asked for nor part of one that was.
func broader(p *Profile, asked, granted []string) []string {
	var out []string
	for _, g := range granted {
		if len(p.Missing([]string{g}, asked)) > 0 && !isSatisfier(p, g, asked) {
			out = append(out, g)
		}
	}
	return out
}

// isSatisfier reports whether g is the provider's own name of a scope of OpenID Connect that was asked for: Google
// answers "email" with a URL.
func isSatisfier(p *Profile, g string, asked []string) bool {
	for _, a := range asked {
		if oneOf(a, "openid", "email", "profile") && oneOf(g, p.Scopes.Satisfied[a]...) {
			return true
		}
	}
	return false
}
