package oauthflow

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tributary/connectors"
)

// Profile is a provider as data: how its authorization server is spoken to and what its answers mean. It holds no
// secret. A profile that ParseProfile, Shipped or At returned is valid and is not changed afterwards.
type Profile struct {
	Name       string        `json:"name"`        // lower-case letters, digits and hyphens; unique
	Title      string        `json:"title"`       // as people call it
	Hosting    Hosting       `json:"hosting"`     // whose endpoints these are
	Grants     []GrantType   `json:"grants"`      // what the registration may ask for
	Issuer     string        `json:"issuer"`      // compared exactly with iss; "" where none is known
	RequireIss bool          `json:"require_iss"` // an authorization answer without iss is refused (RFC 9207 §2.4)
	Discovery  Discovery     `json:"discovery"`   // where endpoints come from when they are not written here
	Endpoints  Endpoints     `json:"endpoints"`
	ClientAuth ClientAuth    `json:"client_auth"` // fixed: never tried one after the other
	ClientIDs  []string      `json:"client_ids"`  // patterns with * of this provider's client ids; such a client is used nowhere else
	PKCE       PKCE          `json:"pkce"`
	Request    TokenRequest  `json:"request"`
	Authorize  AuthorizeRule `json:"authorize"`
	Answer     AnswerRule    `json:"answer"`
	Scopes     ScopeRule     `json:"scopes"`
	Refresh    RefreshRule   `json:"refresh"`
	Errors     []ErrorRule   `json:"errors"` // before the standard's meanings; the first that matches counts
	Revocation Revocation    `json:"revocation"`
	GrantPer   GrantPer      `json:"grant_per"`
	JWT        JWTRule       `json:"jwt"`
	Setup      Setup         `json:"setup"`
}

// Endpoints are URLs; in a profile of hosting "instance" they start with {base}.
type Endpoints struct {
	Authorize    string `json:"authorize"`
	Token        string `json:"token"`
	Revoke       string `json:"revoke"`
	Introspect   string `json:"introspect"`
	Userinfo     string `json:"userinfo"`
	JWKS         string `json:"jwks"`
	Installation string `json:"installation"` // with {installation_id}: POST gives a token for an installed app
}

// each calls f with the name of every endpoint, and its value.
func (e *Endpoints) each(f func(name string, url *string)) {
	f("endpoints.authorize", &e.Authorize)
	f("endpoints.token", &e.Token)
	f("endpoints.revoke", &e.Revoke)
	f("endpoints.introspect", &e.Introspect)
	f("endpoints.userinfo", &e.Userinfo)
	f("endpoints.jwks", &e.JWKS)
	f("endpoints.installation", &e.Installation)
}

// AuthorizeRule says what else the authorization URL carries.
type AuthorizeRule struct {
	Params map[string]string `json:"params"`
}

// TokenRequest says how the token endpoint is asked.
type TokenRequest struct {
	Body    BodyFormat        `json:"body"`
	Headers map[string]string `json:"headers"`
	Params  map[string]string `json:"params"`
}

// AnswerRule says how the token endpoint answers.
type AnswerRule struct {
	// ContentTypes maps media types to "json" or "form", besides JSON under its own; "" is an answer without one.
	ContentTypes map[string]BodyFormat `json:"content_types"`
	// TokenPath is the dotted path of the object that holds the tokens; "" is the answer itself.
	TokenPath string `json:"token_path"`
	// TokenTypes are accepted besides bearer and DPoP, in any case.
	TokenTypes        []string `json:"token_types"`
	TokenTypeOptional bool     `json:"token_type_optional"`
	// RefreshExpiry is the field with the life of the refresh token in seconds; "" where none is sent.
	RefreshExpiry string `json:"refresh_expiry"`
	// Hosts maps a field that names a host or URL to the patterns it must match.
	Hosts map[string][]string `json:"hosts"`
}

// ScopeRule says how scopes are written, and which the provider has for us.
type ScopeRule struct {
	Separator       string `json:"separator"`        // in requests: " " or ","
	AnswerSeparator string `json:"answer_separator"` // in answers: " " or ","
	// Known are the least scopes of what we do, each with its reason; Always asks for it with every consent.
	Known []Scope `json:"known"`
	// Satisfied maps a scope to others that include it or are another name of it.
	Satisfied map[string][]string `json:"satisfied"`
}

// Scope is an OAuth scope with the reason that the admin reads.
type Scope struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Always bool   `json:"always"`
}

// RefreshRule says what becomes of refresh tokens.
type RefreshRule struct {
	Rotation Rotation `json:"rotation"`
	Grace    Duration `json:"grace"` // how long the old token still answers, with rotation G
	// IdleExpiry and AbsoluteExpiry are how long an unused and any refresh token lives; 0 is unknown or never.
	IdleExpiry     Duration `json:"idle_expiry"`
	AbsoluteExpiry Duration `json:"absolute_expiry"`
	// None means that there may be no refresh token at all, and that the access token then lasts until it is revoked.
	None bool `json:"none"`
}

// ErrorRule gives an error of the token endpoint its class.
type ErrorRule struct {
	Status int              `json:"status"` // 0 is any below 500 except 429
	Code   string           `json:"code"`   // "" is any
	Class  string           `json:"class"`
	Remedy string           `json:"remedy"` // what a person should know beyond the class
	class  connectors.Class // of Class
}

// Revocation says how a grant is ended at the provider.
type Revocation struct {
	Style RevokeStyle `json:"style"`
	Reach RevokeReach `json:"reach"`
	// ManageURL is the page where the person can remove the access; it may start with {base}.
	ManageURL string `json:"manage_url"`
}

// JWTRule says how assertions are signed (RFC 7523 §3); the zero value is a provider without them.
type JWTRule struct {
	Alg      string   `json:"alg"`
	Audience string   `json:"audience"` // "" is none: GitHub's app tokens carry none
	Life     Duration `json:"life"`
}

// Setup tells an admin how to register a client.
type Setup struct {
	ConsoleURL string   `json:"console_url"` // it may start with {base}
	Steps      []string `json:"steps"`
	DocsURL    string   `json:"docs_url"`
}

// Duration is a time.Duration that is written as in "8h0m0s".
type Duration time.Duration

// MarshalText writes it for a profile.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what MarshalText writes, and a negative one never.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v < 0 {
		return fmt.Errorf("reading duration %.20q: write one such as 10m or 720h", b)
	}
	*d = Duration(v)
	return nil
}

// base is what an endpoint of an instance starts with.
const base = "{base}"

// At returns the profile of one instance of a provider that people host themselves, at its address. The address is
// checked like every endpoint.
func (p *Profile) At(address string, r Rules) (*Profile, error) {
	if p.Hosting != HostingInstance {
		return nil, &ProfileError{Profile: p.Name, Field: "hosting", Problem: "this provider has one address", Remedy: "leave the address empty, or make a provider of your own"}
	}
	address = strings.TrimRight(address, "/")
	if u, err := r.checkURL(address); err != nil || u.RawQuery != "" {
		if err == nil {
			err = errors.New("it has a query")
		}
		return nil, &ProfileError{Profile: p.Name, Field: "address", Problem: err.Error(), Remedy: "write the address people open in their browser, such as https://git.example.com"}
	}
	q := p.clone()
	q.Hosting = HostingFixed
	fill := func(s *string) { *s = strings.Replace(*s, base, address, 1) }
	q.Endpoints.each(func(_ string, url *string) { fill(url) })
	fill(&q.Issuer)
	fill(&q.Revocation.ManageURL)
	fill(&q.Setup.ConsoleURL)
	fill(&q.JWT.Audience)
	return q, q.validate(r)
}

// clone returns a copy that shares only what is never changed.
func (p *Profile) clone() *Profile {
	q := *p
	return &q
}

// Digest names the server that a registration was made for: its issuer, endpoints, client authentication
// and audience. A flow
// or a secret made under one digest is never used under another.
func (p *Profile) Digest() string {
	h := sha256.New()
	add := func(s string) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	add("tributary endpoints 1")
	add(p.Issuer)
	add(string(p.ClientAuth))
	add(p.JWT.Audience)
	e := p.Endpoints
	e.each(func(name string, url *string) { add(name); add(*url) })
	return hex.EncodeToString(h.Sum(nil))
}

// Hosts returns the hosts of all endpoints, sorted: what an owner confirms, and where secrets may go.
func (p *Profile) Hosts() []string {
	var out []string
	e := p.Endpoints
	e.each(func(_ string, url *string) {
		if h := hostOf(*url); h != "" && !slices.Contains(out, h) {
			out = append(out, h)
		}
	})
	slices.Sort(out)
	return out
}

// RemoveFirst returns the page where a person has to remove the access before a consent can give more scopes; "" where
// that is not needed. It is so at a provider that keeps one grant for an account and lets nobody else end it.
func (p *Profile) RemoveFirst() string {
	if p.GrantPer != PerAccount || p.Revocation.Style != RevokeNone {
		return ""
	}
	return p.Revocation.ManageURL
}

// ProfileError says which field of a profile is wrong, and what helps.
type ProfileError struct{ Profile, Field, Problem, Remedy string }

// Error returns "provider x: field: problem; remedy".
func (e *ProfileError) Error() string {
	msg := "provider " + e.Profile + ": " + e.Field + ": " + e.Problem
	if e.Remedy != "" {
		msg += "; " + e.Remedy
	}
	return msg
}
