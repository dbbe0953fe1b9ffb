package oauthflow

import (
	"strings"

	"tributary/internal/secret"
)

func (c Credentials) anySet() bool {
	return c.Secret.IsSet() || c.PrivateKey.IsSet() || c.ServiceAccount.IsSet()
}

// merge returns c with what is set in n.
func (c Credentials) merge(n Credentials) Credentials {
	if n.Secret.IsSet() {
		c.Secret = secret.New(strings.TrimSpace(n.Secret.Reveal()))
	}
	if n.PrivateKey.IsSet() {
		c.PrivateKey, c.KeyID = n.PrivateKey, strings.TrimSpace(n.KeyID)
	}
	if n.ServiceAccount.IsSet() {
		c.ServiceAccount = n.ServiceAccount
	}
	return c
}

func (c Credentials) kinds() []CredentialKind {
	var out []CredentialKind
	for kind, text := range map[CredentialKind]secret.Text{CredentialSecret: c.Secret, CredentialPrivateKey: c.PrivateKey, CredentialServiceAccount: c.ServiceAccount} {
		if text.IsSet() {
			out = append(out, kind)
		}
	}
	return out
}

// validate refuses credentials that are malformed, do not fit the provider's algorithm, or are too few. A provider with
// several kinds of grants needs what one of them takes. It completes the registration's subject.
func (c *Credentials) validate(r *Registration) error {
	p := r.Profile
	refuse := func(field, problem string) error { return &RefusedError{Field: field, Problem: problem} }
	if c.Secret.IsSet() && strings.ContainsFunc(c.Secret.Reveal(), func(r rune) bool { return r < ' ' || r > '~' }) {
		return refuse("client_secret", "holds a line break or a character that no secret has; copy it again")
	}
	if c.PrivateKey.IsSet() {
		key, err := parsePrivateKey(c.PrivateKey, c.KeyID)
		if err != nil {
			return refuse("private_key", err.Error())
		}
		if !key.fits(p.JWT.Alg) {
			return refuse("private_key", "does not fit "+p.JWT.Alg+", which the provider wants; make a key of that kind")
		}
		if cleanASCII(c.KeyID, maxText) != c.KeyID {
			return refuse("key_id", "holds characters that no key id has; copy it again")
		}
	}
	if c.ServiceAccount.IsSet() {
		sa, err := ParseServiceAccount(c.ServiceAccount)
		if err != nil {
			return refuse("service_account", strings.TrimPrefix(err.Error(), "service account: "))
		}
		if r.Subject == "" {
			r.Subject = sa.Email
		}
	}
	for _, g := range p.Grants {
		if c.enough(p, g) {
			return nil
		}
	}
	field, problem := "client_secret", "is missing; copy it from the provider"
	if p.ClientAuth == AuthPrivateKey {
		field, problem = "private_key", "is missing; paste the PEM file"
	}
	return refuse(field, problem)
}

// enough reports whether the credentials serve a grant type.
func (c *Credentials) enough(p *Profile, g GrantType) bool {
	switch g {
	case GrantJWTBearer:
		return c.ServiceAccount.IsSet() || c.PrivateKey.IsSet()
	case GrantInstallation:
		return c.PrivateKey.IsSet()
	default:
		switch p.ClientAuth {
		case AuthNone:
			return g == GrantCode
		case AuthPrivateKey:
			return c.PrivateKey.IsSet()
		default:
			return c.Secret.IsSet()
		}
	}
}
