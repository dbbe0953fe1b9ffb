package web

import (
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
)

// The requests and answers of the admin API. Times are RFC 3339 in UTC, time spans texts such as 15m0s. No answer has a
// field for a secret, but for those that are shown once: NewTokenAnswer, NewKeyAnswer, PasswordAnswer and ConsentAnswer.

// ConnectionAnswer is a connection with what it holds.
type ConnectionAnswer struct {
	store.Connection

	MaxPermissionAge string       `json:"max_permission_age"`
	Totals           store.Totals `json:"totals"`
	// LastRun is the state of the newest content run, "" before the first.
	LastRun store.RunState `json:"last_run"`
}

// CreateConnectionRequest connects a source.
type CreateConnectionRequest struct {
	Name     string            `json:"name"`
	Source   string            `json:"source"`
	Settings map[string]string `json:"settings"`
	Include  []string          `json:"include"`
	Exclude  []string          `json:"exclude"`
	// Registration names the client at the provider, for a source that needs consent.
	Registration string `json:"registration"`
	// Grant is how access is given: authorization_code, where it is left out, or one that needs nobody.
	Grant        oauthflow.GrantType `json:"grant"`
	Installation string              `json:"installation"`
	ActFor       string              `json:"act_for"`
	// Realm is where the ids of users and groups are unique, for source push; the name where it is left out.
	Realm string `json:"realm"`
}

// CreateConnectionAnswer is the connection, or the link where somebody has to consent to it.
type CreateConnectionAnswer struct {
	Connection *ConnectionAnswer `json:"connection,omitempty"`
	Consent    *ConsentAnswer    `json:"consent,omitempty"`
	// Missing are OAuth scopes that were needed and not given.
	Missing []string `json:"missing,omitempty"`
}

// ConsentAnswer is a link for a browser, where somebody signs in here and consents at the provider. It works once.
type ConsentAnswer struct {
	Link      string    `json:"link"`
	ExpiresAt time.Time `json:"expires_at"`
}

// ChangeConnectionRequest changes what is named. Lists replace those so far, settings are changed one by one.
type ChangeConnectionRequest struct {
	Settings   map[string]string `json:"settings"`
	Include    *[]string         `json:"include"`
	Exclude    *[]string         `json:"exclude"`
	Containers *[]string         `json:"containers"`
	// Hides confirms that so many documents may be hidden by it, as a plan of the same change says. Without it, what the change
	// takes out waits for an approval under deletions.
	Hides *int64 `json:"hides"`
}

// SyncRequest says what is to run: a lane, or both where it is left out.
type SyncRequest struct {
	Lane store.Lane `json:"lane"`
	// Kind is changes, snapshot, reconcile or permissions, in place of a lane.
	Kind store.RunKind `json:"kind"`
}

// LaneSchedule is when a lane runs: every so often, such as 15m, or by a cron expression.
type LaneSchedule struct {
	Every string `json:"every,omitempty"`
	Cron  string `json:"cron,omitempty"`
	// NextAt is when it runs next; a request leaves it out.
	NextAt *time.Time `json:"next_at,omitempty"`
}

// Schedule is when a connection runs. What a request leaves out becomes the default.
type Schedule struct {
	Content     LaneSchedule `json:"content"`
	Permissions LaneSchedule `json:"permissions"`
	// Reconcile is a complete listing that proves the change feed of a source that has one.
	Reconcile LaneSchedule `json:"reconcile"`
	// TimeZone is that of cron expressions and of Quiet.
	TimeZone string `json:"time_zone"`
	// Quiet are hours in which no content run begins.
	Quiet []store.QuietHours `json:"quiet"`
	// QuietUntil is the end of the quiet hours that hold; a request leaves it out.
	QuietUntil *time.Time `json:"quiet_until,omitempty"`
}

// ItemsRequest names items of a connection by the ids that the source gave them.
type ItemsRequest struct {
	IDs []string `json:"ids"`
	// Reason is why they are excluded, for people.
	Reason string `json:"reason"`
}

// ItemsAnswer says for how many of the items something changed.
type ItemsAnswer struct {
	Changed int `json:"changed"`
}

// PlanRequest says what is planned: the next sync, or one of the kind snapshot or changes, or one after a change.
type PlanRequest struct {
	Kind       store.RunKind     `json:"kind"`
	Settings   map[string]string `json:"settings"`
	Include    *[]string         `json:"include"`
	Exclude    *[]string         `json:"exclude"`
	Containers *[]string         `json:"containers"`
	// Exact opens every body that a sync would open, in place of a sample.
	Exact bool `json:"exact"`
	// Seconds bounds how long the source is read: 60 at most, and where it is left out.
	Seconds int `json:"seconds"`
	// Items bounds the list of what changes: 500 at most; 200 where it is left out.
	Items int `json:"items"`
}

// EraseRequest says what is erased, for good.
type EraseRequest struct {
	Connection string           `json:"connection"`
	Scope      store.EraseScope `json:"scope"`
	// Documents are ids of documents, or of items at the source, for scope document.
	Documents []string `json:"documents"`
	// Containers and Paths are for scope selection.
	Containers []string `json:"containers"`
	Paths      []string `json:"paths"`
	// AllowReturn lets the next listing bring back what was erased.
	AllowReturn bool `json:"allow_return"`
	// Confirm is the connection's name.
	Confirm string `json:"confirm"`
}

// RunsAnswer are the runs that were asked for, or that were under way.
type RunsAnswer struct {
	Runs []store.Run `json:"runs"`
}

// ExpiryRequest says when something ends; null is never.
type ExpiryRequest struct {
	At   *time.Time         `json:"at"`
	Then oauthflow.AtExpiry `json:"then"`
}

// ChoicesAnswer is what can be chosen below a container.
type ChoicesAnswer struct {
	Items []connectors.Choice `json:"items"`
	More  bool                `json:"more"`
}

// ClosedAnswer says what became of a grant, and of the connection that used it.
type ClosedAnswer struct {
	// Done means that no token is stored any more; otherwise it is tried again.
	Done      bool     `json:"done"`
	Revoked   bool     `json:"revoked"`
	Note      string   `json:"note,omitempty"`
	ManageURL string   `json:"manage_url,omitempty"`
	Others    []string `json:"others,omitempty"`
	// DocumentsLater is set where documents are still being deleted; they are hidden.
	DocumentsLater bool `json:"documents_later,omitempty"`
}

// GrantAnswer is a grant. It holds no token.
type GrantAnswer struct {
	ID              uuid.UUID            `json:"id"`
	Registration    string               `json:"registration"`
	Kind            oauthflow.GrantType  `json:"kind"`
	Account         string               `json:"account"`
	Subject         string               `json:"subject,omitempty"`
	State           oauthflow.GrantState `json:"state"`
	StateSince      time.Time            `json:"state_since"`
	Problem         string               `json:"problem,omitempty"`
	Scopes          []string             `json:"scopes"`
	Connections     []string             `json:"connections"`
	Missing         map[string][]string  `json:"missing,omitempty"`
	ConsentedAt     time.Time            `json:"consented_at"`
	AccessExpires   *time.Time           `json:"access_expires_at,omitempty"`
	IdleExpires     *time.Time           `json:"idle_expires_at,omitempty"`
	AbsoluteExpires *time.Time           `json:"absolute_expires_at,omitempty"`
	ExpiresAt       *time.Time           `json:"expires_at,omitempty"`
	AtExpiry        oauthflow.AtExpiry   `json:"at_expiry,omitempty"`
	ClosedAt        *time.Time           `json:"closed_at,omitempty"`
	CloseNote       string               `json:"close_note,omitempty"`
}

// CheckAnswer is what a provider said when a grant was tried.
type CheckAnswer struct {
	Address string `json:"address"`
	Status  int    `json:"status"`
	OK      bool   `json:"ok"`
	Account string `json:"account,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
}

// RegistrationAnswer is a client registration. It holds no credential.
type RegistrationAnswer struct {
	ID          uuid.UUID                   `json:"id"`
	Name        string                      `json:"name"`
	Provider    string                      `json:"provider"`
	State       oauthflow.RegistrationState `json:"state"`
	StateReason string                      `json:"state_reason,omitempty"`
	BaseURL     string                      `json:"base_url,omitempty"`
	RedirectURI string                      `json:"redirect_uri"`
	Hosts       []string                    `json:"hosts"`
	AllowHosts  []string                    `json:"allow_hosts,omitempty"`
	ClientID    string                      `json:"client_id,omitempty"`
	Subject     string                      `json:"subject,omitempty"`
	Credentials []oauthflow.CredentialKind  `json:"credentials"`
	ExpiresAt   *time.Time                  `json:"credentials_expire_at,omitempty"`
	Grants      []oauthflow.GrantType       `json:"grants"`
	Warnings    []string                    `json:"warnings,omitempty"`
}

// ChecksAnswer is what a provider said of a client.
type ChecksAnswer struct {
	Checks []oauthflow.Check `json:"checks"`
}

// CreateTokenRequest makes a token of the admin API.
type CreateTokenRequest struct {
	Name string            `json:"name"`
	Role store.AccountRole `json:"role"`
	// Account is whose it is; the caller's own where it is left out.
	Account string `json:"account"`
	// ExpiresIn is how long it lives in seconds; 90 days where it is left out.
	ExpiresIn int64 `json:"expires_in"`
}

// NewTokenAnswer is a token with its secret, this once.
type NewTokenAnswer struct {
	store.AdminToken

	Secret string `json:"secret"`
}

// CreateKeyRequest makes an API key.
type CreateKeyRequest struct {
	Name           string   `json:"name"`
	Reader         string   `json:"reader"`
	Rights         []string `json:"rights"`
	AllConnections bool     `json:"all_connections"`
	Connections    []string `json:"connections"`
	// ExpiresIn is how long it lives in seconds; until it is revoked where it is left out.
	ExpiresIn int64 `json:"expires_in"`
	// Mode is bound, assertion, trusted or own; bound with a reader and own without where it is left out.
	Mode store.KeyMode `json:"mode"`
	// PerMinute is how many requests it may make a minute; what the instance gives every key where it is left out.
	PerMinute *int `json:"per_minute"`

	SignerRequest
}

// SignerRequest names a public key that may sign assertions.
type SignerRequest struct {
	// PublicKey is one PEM block.
	PublicKey string `json:"public_key"`
	// KeyID is the kid of what it signs; the thumbprint of the key where it is left out.
	KeyID string `json:"kid"`
	// Algorithm is EdDSA, ES256, RS256 or PS256; the usual one of the key where it is left out.
	Algorithm string `json:"algorithm"`
}

// SignerNameRequest names a signer.
type SignerNameRequest struct {
	KeyID string `json:"kid"`
}

// RotateKeyRequest asks for another secret.
type RotateKeyRequest struct {
	// Grace is how long the secret before counts, in seconds.
	Grace int64 `json:"grace"`
}

// NewKeyAnswer is a key with its secret, this once.
type NewKeyAnswer struct {
	store.Key

	Secret string `json:"secret"`
}

// CreateReaderRequest makes a reader.
type CreateReaderRequest struct {
	Name       string                 `json:"name"`
	Kind       store.ReaderKind       `json:"kind"`
	Identities []store.ReaderIdentity `json:"identities"`
	Emails     []string               `json:"emails"`
}

// EmailRequest names an address of a reader.
type EmailRequest struct {
	Email string `json:"email"`
}

// ImportReadersRequest makes readers, all or none.
type ImportReadersRequest struct {
	Rows []store.ImportRow `json:"rows"`
	// DryRun only counts what would be made.
	DryRun bool `json:"dry_run"`
}

// MapEmailRequest says whether verified addresses map readers to people of a connection.
type MapEmailRequest struct {
	Enabled *bool `json:"enabled"`
}

// MapEmailAnswer says how it stands, and how many links that made and ended.
type MapEmailAnswer struct {
	store.Mapped

	Enabled bool `json:"enabled"`
}

// LinkRequest names a principal in the realm of a connection.
type LinkRequest struct {
	Connection string                   `json:"connection"`
	Kind       connectors.PrincipalKind `json:"kind"`
	ID         string                   `json:"id"`
}

// PermissionAgeRequest says for how long permissions count after they were read.
type PermissionAgeRequest struct {
	// MaxPermissionAge is a time span such as 48h; never is for what is pushed.
	MaxPermissionAge string `json:"max_permission_age"`
}

// PrincipalAnswer is a person or a group of a source.
type PrincipalAnswer struct {
	store.PrincipalView

	// Readers are those that are linked to it: 50 at most.
	Readers []LinkedReader `json:"readers"`
}

// LinkedReader is a reader that is somebody at a source.
type LinkedReader struct {
	ID         uuid.UUID        `json:"id"`
	Name       string           `json:"name"`
	Kind       store.ReaderKind `json:"kind"`
	DisabledAt *time.Time       `json:"disabled_at"`
}

// CreateUserRequest makes an account.
type CreateUserRequest struct {
	Name string            `json:"name"`
	Role store.AccountRole `json:"role"`
}

// RoleRequest is another role for an account.
type RoleRequest struct {
	Role store.AccountRole `json:"role"`
}

// PasswordAnswer is an account with a one-time password, this once.
type PasswordAnswer struct {
	store.Account

	Password string `json:"password"`
	// Ended is what the password before was good for.
	Ended *store.Ended `json:"ended,omitempty"`
}

// ProfileAnswer is an embedding profile with how far it is filled.
type ProfileAnswer struct {
	store.Profile

	Pending int64 `json:"pending"`
	Failed  int64 `json:"failed"`
	Vectors int64 `json:"vectors"`
}

// ActivateRequest lets a profile answer questions; Force also where chunks still wait for it.
type ActivateRequest struct {
	Force bool `json:"force"`
}

// ProviderAnswer is a provider that comes with the program.
type ProviderAnswer struct {
	Name   string                `json:"name"`
	Title  string                `json:"title"`
	Grants []oauthflow.GrantType `json:"grants"`
}

// SourceAnswer is a source that this version can connect.
type SourceAnswer struct {
	Source      string `json:"source"`
	Name        string `json:"name"`
	Description string `json:"description"`
	// Category is what it holds: files, code and so on.
	Category connectors.Category `json:"category"`
	Provider string              `json:"provider,omitempty"`
	Settings []string            `json:"settings"`
}
