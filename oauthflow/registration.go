package oauthflow

import (
	"time"

	"github.com/google/uuid"

	"tributary/internal/secret"
)

// Registration is a client registration: the OAuth client that an admin made at one provider. It holds no secret; its
// Credentials are sealed apart.
type Registration struct {
	ID       uuid.UUID
	Name     string
	Provider string // name of the profile it was made from
	// Profile has every endpoint, as an owner confirmed it; Digest is its Digest at that time.
	Profile     *Profile
	Digest      string
	BaseURL     string // of an instance that people host themselves
	RedirectURI string // {PUBLIC_URL}/oauth/callback/{id}, fixed before the admin registers it
	ClientID    string
	// Subject is who a server-to-server token is for: a GitHub App's id, a service account's address.
	Subject             string
	CredentialKinds     []CredentialKind
	CredentialGen       int64
	CredentialExpiresAt *time.Time
	// AllowHosts are the private hosts that an owner opened (httpx.ParseAllowList).
	AllowHosts           []string
	State                RegistrationState
	StateReason          string
	CreatedBy            string
	CreatedAt, UpdatedAt time.Time
}

// Has reports whether a credential of the kind is stored.
func (r *Registration) Has(kind CredentialKind) bool { return oneOf(kind, r.CredentialKinds...) }

// RegistrationState says whether a registration may be used.
type RegistrationState string

// The states of a registration.
const (
	RegistrationDraft    RegistrationState = "draft"    // made, so that its redirect URI is known; not complete
	RegistrationActive   RegistrationState = "active"   // complete
	RegistrationRejected RegistrationState = "rejected" // the provider refuses its credentials
)

// CredentialKind is a kind of client credential.
type CredentialKind string

// The kinds of client credentials.
const (
	CredentialSecret         CredentialKind = "secret"
	CredentialPrivateKey     CredentialKind = "private_key"
	CredentialServiceAccount CredentialKind = "service_account"
)

// Credentials are what proves a client. They are sealed together, under purpose "registration", the registration's id,
// CredentialGen and field "credentials".
type Credentials struct {
	Secret secret.Text
	// PrivateKey is a PEM block; KeyID is its name at the provider, "" where it has none.
	PrivateKey secret.Text
	KeyID      string
	// ServiceAccount is the JSON file that Google gives out.
	ServiceAccount secret.Text
}
