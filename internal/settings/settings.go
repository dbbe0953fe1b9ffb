package settings

import (
	"net/netip"
	"net/url"
	"time"
)

// Settings are the checked settings of the process.
type Settings struct {
	Addr           string
	PublicURL      *url.URL
	TLSCert        string
	TLSKey         string
	TrustedProxies []netip.Prefix
	// MetricsAddr is "" when metrics are off.
	MetricsAddr        string
	DataDir            string
	DatabaseURL        Secret
	MigrateDatabaseURL Secret
	MasterKeyFile      string
	// SandboxAddr is "" when there is no sandbox.
	SandboxAddr string
	// ReauthUncertain asks for consent where a single-use refresh token may have
	// been used up, instead of presenting it again.
	ReauthUncertain bool
	// FolderRoots are the directories below which folders may be connected; nil
	// leaves that to the command line, where it may be any.
	FolderRoots []string
	// KeyPerMinute is how many requests an API key may make a minute, and
	// KeyReadersPerMinute how many readers a trusted one may name before a notice
	// is raised, in this process.
	KeyPerMinute        int
	KeyReadersPerMinute int
	// RunRetention is how long after its end a run is kept, RunRetentionLast how
	// many of each connection and lane are kept however old they are.
	RunRetention     time.Duration
	RunRetentionLast int
	// FeedRetention is how long a change stays in the outbox feed.
	FeedRetention time.Duration
	// ReadAuditStrict refuses reads that cannot be recorded, ReadAuditQueries keeps
	// the questions, ReadAuditRetention is how long records are kept.
	ReadAuditStrict    bool
	ReadAuditQueries   bool
	ReadAuditRetention time.Duration
}

// Secret is a value that shows itself only to those who ask for it by Reveal.
type Secret struct{ value string }

// NewSecret returns a Secret that holds value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Reveal returns the value.
func (s Secret) Reveal() string { return s.value }

// IsSet reports whether there is a value.
func (s Secret) IsSet() bool { return s.value != "" }

// String returns a placeholder.
func (s Secret) String() string {
	if s.value == "" {
		return ""
	}
	return "[redacted]"
}

// GoString returns a placeholder.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns a placeholder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Error says which setting is wrong, and what to do about it.
type Error struct {
	// Setting is the variable or flag as the person wrote it.
	Setting string
	// Problem is what is wrong, and Remedy what helps.
	Problem, Remedy string
}

// Error returns "TRIBUTARY_ADDR: problem; remedy".
func (e *Error) Error() string {
	msg := e.Setting + ": " + e.Problem
	if e.Remedy != "" {
		msg += "; " + e.Remedy
	}
	return msg
}
