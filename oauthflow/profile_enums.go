package oauthflow

import (
	"slices"

	"tributary/connectors"
)

// Hosting says whose endpoints a profile has.
type Hosting string

// The kinds of hosting.
const (
	HostingFixed    Hosting = "fixed"    // everybody's are the same
	HostingInstance Hosting = "instance" // each instance has its own address, {base}
)

// GrantType is a way to obtain tokens.
type GrantType string

// The grant types.
const (
	GrantCode              GrantType = "authorization_code"
	GrantClientCredentials GrantType = "client_credentials"
	GrantJWTBearer         GrantType = "jwt_bearer"   // RFC 7523 §2.1
	GrantInstallation      GrantType = "installation" // a signed JWT, exchanged for the token of an installed app
)

// Discovery says where endpoints that the profile lacks come from.
type Discovery string

// The kinds of discovery.
const (
	DiscoveryNone  Discovery = ""
	DiscoveryOAuth Discovery = "oauth" // RFC 8414
	DiscoveryOIDC  Discovery = "oidc"  // OpenID Connect Discovery 1.0
)

// ClientAuth is how the client proves itself at the token endpoint.
type ClientAuth string

// The kinds of client authentication.
const (
	AuthPost       ClientAuth = "client_secret_post"
	AuthBasic      ClientAuth = "client_secret_basic"
	AuthPrivateKey ClientAuth = "private_key_jwt"
	AuthNone       ClientAuth = "none" // a public client, with PKCE
)

// PKCE says whether RFC 7636 is used.
type PKCE string

// The kinds of PKCE; plain does not exist here.
const (
	PKCES256   PKCE = "S256"
	PKCEBroken PKCE = "broken" // the server refuses the parameters
)

// BodyFormat is how a body is written.
type BodyFormat string

// The body formats.
const (
	BodyForm BodyFormat = "form"
	BodyJSON BodyFormat = "json"
)

// Rotation is what a refresh does to the refresh token that was used.
type Rotation string

// The rotation classes.
const (
	RotationNone   Rotation = "N" // not rotated, or the old one stays valid
	RotationGrace  Rotation = "G" // the old one answers for a while
	RotationStrict Rotation = "S" // single use
	RotationFamily Rotation = "F" // single use, and a second use revokes all
)

// RevokeStyle is how a token is revoked.
type RevokeStyle string

// The revocation styles.
const (
	RevokeNone    RevokeStyle = "none"    // only the person can, at ManageURL
	RevokeRFC7009 RevokeStyle = "rfc7009" // POST token=..., with client authentication
	RevokePost    RevokeStyle = "post"    // POST token=..., without
	RevokeGitHub  RevokeStyle = "github"  // DELETE with Basic client_id:client_secret and the access token as JSON
)

// RevokeReach is what a revocation ends.
type RevokeReach string

// The reaches of a revocation.
const (
	ReachNone  RevokeReach = ""
	ReachToken RevokeReach = "token" // the token and what was made from it
	ReachGrant RevokeReach = "grant" // everything the account granted to the client
)

// GrantPer says what a second consent of the same account makes.
type GrantPer string

// The kinds of grants.
const (
	PerAccount GrantPer = "account" // the same grant again: ending one ends all
	PerConsent GrantPer = "consent" // a grant of its own
)

// oneOf reports whether v is among the values.
func oneOf[T comparable](v T, values ...T) bool { return slices.Contains(values, v) }

// classNamed returns the class that a profile's error rule may give.
func classNamed(name string) (connectors.Class, bool) {
	switch name {
	case "grant_lost":
		return connectors.GrantLost, true
	case "client_rejected":
		return connectors.ClientRejected, true
	case "scope_denied":
		return connectors.ScopeDenied, true
	case "rate_limited":
		return connectors.RateLimited, true
	case "transient":
		return connectors.Transient, true
	case "invalid":
		return connectors.Invalid, true
	default:
		return connectors.Unknown, false
	}
}
