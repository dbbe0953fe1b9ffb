package connectors

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Spec is a connector as pure data. UI, docs and command line are generated
// from it.
type Spec struct {
	// Source is the kind of system in lower case: "github", "folder".
	Source string
	// Name and Description are for people; Description is one sentence.
	Name        string
	Description string
	// Category is what it holds, by which people look for it.
	Category Category
	// Icon is the id of a symbol in the icon sprite.
	Icon string
	// Provider names the provider profile; "" for a source without a grant.
	Provider string
	// OtherProviders are further profiles whose grants the connector accepts.
	OtherProviders []string
	// Hosts are the only ones that the connection's token may be sent to, as
	// "host" or "host:port"; "{base}" is the instance that people host
	// themselves, as their client registration names it.
	Hosts []string
	// Scopes are the least OAuth scopes, each with the reason shown to the
	// admin.
	Scopes []Scope
	// Settings are the typed fields of a connection.
	Settings []Setting
	// Provides lists the optional interfaces the sessions implement.
	Provides []Capability
	// PrincipalPrefix is how a person writes a principal of this source:
	// "unix" for "unix:alice".
	PrincipalPrefix string
	// Limits are one-line facts that an admin should know before connecting.
	Limits []string
	// Pace says how the source tells that it was asked too much.
	Pace Pace
	// Problems are what stands in an admin's way at this source, with what to
	// do about it; errors name them by [Error.Code].
	Problems []Problem
	// CursorVersion is raised when stored cursors can no longer be read.
	CursorVersion int
}

// Scope is one OAuth scope and why it is needed.
type Scope struct {
	Name, Reason string
	// Providers are the profiles that know the scope; none means all.
	Providers []string
	// When lists settings that need the scope: one of them is enough; none
	// means always.
	When []Condition
}

// Condition holds where a setting has a value. A setting that is absent has its
// default.
type Condition struct{ Setting, Value string }

// Pace says how a source limits its clients, besides by status 429 and by
// Retry-After.
type Pace struct {
	// Milliseconds names headers with a number of milliseconds to wait:
	// "Retry-After-Ms".
	Milliseconds []string
	// EpochSeconds names headers with the Unix time to come back at:
	// "X-RateLimit-Reset".
	EpochSeconds []string
	// Remaining names counters; EpochSeconds count only where one of these is
	// zero, because some sources send the time with every answer.
	Remaining []string
	// Reasons are values of a member "reason" in the JSON of a 403 that mean
	// the same as 429.
	Reasons []string
}

// Problem is an obstacle that admins of a source really meet.
type Problem struct {
	// Code is its name in snake case: "api_not_enabled".
	Code string
	// Class is what the engine does about it.
	Class Class
	// Sign is what was observed, Remedy what to do: one sentence each.
	Sign   string
	Remedy string
}

// SettingType is the type of a setting's value.
type SettingType string

// The types of settings. Values travel as strings: Bool "true" or "false", Int
// decimal, List separated by commas.
const (
	String SettingType = "string"
	Bool   SettingType = "bool"
	Int    SettingType = "int"
	List   SettingType = "list"
	Path   SettingType = "path"
	URL    SettingType = "url"
	Enum   SettingType = "enum"
)

// Setting is one typed field of a connection.
type Setting struct {
	Name string
	// Label names the setting on pages in a word or three; without one it is its
	// name in words.
	Label       string
	Type        SettingType
	Description string
	Default     string
	Example     string
	Required    bool
	// Options are the values of an Enum.
	Options []string
}

// Title is the setting's name for people.
func (s Setting) Title() string {
	if s.Label != "" || s.Name == "" {
		return s.Label
	}
	return strings.ToUpper(s.Name[:1]) + strings.ReplaceAll(s.Name[1:], "_", " ")
}

// Capability names an optional interface.
type Capability string

// The capabilities that a Spec may claim.
const (
	CanChanges     Capability = "changes"
	CanListIDs     Capability = "list-ids"
	CanPermissions Capability = "permissions"
	CanGroups      Capability = "groups"
	CanPeople      Capability = "people"
	CanFetch       Capability = "fetch"
	CanChoose      Capability = "choose"
	CanVerify      Capability = "verify"
	CanRealm       Capability = "realm"
	CanName        Capability = "name"
	CanSelf        Capability = "self"
)

// Has reports whether s claims c.
func (s Spec) Has(c Capability) bool { return slices.Contains(s.Provides, c) }

// Accepts reports whether the connector works with a grant of that provider
// profile.
func (s Spec) Accepts(provider string) bool {
	return provider != "" && (provider == s.Provider || slices.Contains(s.OtherProviders, provider))
}

// ScopesFor returns the scopes that a connection with these settings needs at a
// provider.
func (s Spec) ScopesFor(provider string, settings map[string]string) []Scope {
	var needed []Scope
	for _, sc := range s.Scopes {
		known := len(sc.Providers) == 0 || slices.Contains(sc.Providers, provider)
		if known && (len(sc.When) == 0 || slices.ContainsFunc(sc.When, func(c Condition) bool { return s.value(c.Setting, settings) == c.Value })) {
			needed = append(needed, sc)
		}
	}
	return needed
}

// value returns a setting's value, which is its default where it is absent.
func (s Spec) value(name string, settings map[string]string) string {
	if v := settings[name]; v != "" {
		return v
	}
	for _, f := range s.Settings {
		if f.Name == name {
			return f.Default
		}
	}
	return ""
}

// Problem returns the error of a known obstacle. A code that the Spec does not
// have is a Bug.
func (s Spec) Problem(op, code string) *Error {
	for _, p := range s.Problems {
		if p.Code == code {
			return &Error{Op: op, Class: p.Class, Code: code, Err: errors.New(p.Sign + " " + p.Remedy)}
		}
	}
	return &Error{Op: op, Class: Bug, Code: code, Err: fmt.Errorf("the connector has no problem %q", code)}
}

// Claims reports whether session implements the interface behind c.
func Claims(session Session, c Capability) bool {
	var ok bool
	switch c {
	case CanChanges:
		_, ok = session.(ChangeFeed)
	case CanListIDs:
		_, ok = session.(IDLister)
	case CanPermissions:
		_, ok = session.(PermissionFeed)
	case CanGroups:
		_, ok = session.(GroupLister)
	case CanPeople:
		_, ok = session.(PeopleLister)
	case CanFetch:
		_, ok = session.(Fetcher)
	case CanChoose:
		_, ok = session.(Chooser)
	case CanVerify:
		_, ok = session.(Verifier)
	case CanRealm:
		_, ok = session.(Realmer)
	case CanName:
		_, ok = session.(PrincipalNamer)
	case CanSelf:
		_, ok = session.(SelfIdentifier)
	}
	return ok
}

// Capabilities returns every capability, in a fixed order.
func Capabilities() []Capability {
	return []Capability{CanChanges, CanListIDs, CanPermissions, CanGroups, CanPeople, CanFetch, CanChoose, CanVerify, CanRealm, CanName, CanSelf}
}

var sourceName = regexp.MustCompile(`^[a-z][a-z0-9]{1,30}$`)

// Validate returns what is wrong with s, or nil.
func (s Spec) Validate() error {
	var errs []error
	if !sourceName.MatchString(s.Source) {
		errs = append(errs, fmt.Errorf("source %q: lower-case letters and digits only", s.Source))
	}
	if s.Name == "" || s.Description == "" {
		errs = append(errs, errors.New("name and description are required"))
	}
	if !s.Category.Known() {
		errs = append(errs, fmt.Errorf("category %q: must be one of Categories", s.Category))
	}
	if s.CursorVersion < 1 {
		errs = append(errs, errors.New("cursor version starts at 1"))
	}
	if (s.Provider == "") != (len(s.Hosts) == 0) {
		errs = append(errs, errors.New("a provider needs hosts that its tokens may be sent to, and hosts need a provider"))
	}
	errs = append(errs, s.validateParts()...)
	for _, sc := range s.Scopes {
		if sc.Name == "" || sc.Reason == "" {
			errs = append(errs, fmt.Errorf("scope %q: every scope needs a reason", sc.Name))
		}
	}
	seen := map[string]bool{}
	for _, f := range s.Settings {
		if f.Name == "" || f.Description == "" || seen[f.Name] {
			errs = append(errs, fmt.Errorf("setting %q: needs a unique name and a description", f.Name))
		}
		if f.Type == Enum && len(f.Options) == 0 {
			errs = append(errs, fmt.Errorf("setting %q: an enum needs options", f.Name))
		}
		seen[f.Name] = true
	}
	for _, c := range s.Provides {
		if !slices.Contains(Capabilities(), c) {
			errs = append(errs, fmt.Errorf("provides %q: unknown capability", c))
		}
	}
	return errors.Join(errs...)
}

var problemCode = regexp.MustCompile(`^[a-z][a-z0-9_]{2,60}$`)

// validateParts checks what refers to other parts of the Spec.
func (s Spec) validateParts() []error {
	var errs []error
	if s.Provider == "" && len(s.OtherProviders) > 0 {
		errs = append(errs, errors.New("other providers need a first one"))
	}
	for _, sc := range s.Scopes {
		for _, p := range sc.Providers {
			if !s.Accepts(p) {
				errs = append(errs, fmt.Errorf("scope %q: the connector accepts no grant of provider %q", sc.Name, p))
			}
		}
		for _, c := range sc.When {
			if !slices.ContainsFunc(s.Settings, func(f Setting) bool { return f.Name == c.Setting }) {
				errs = append(errs, fmt.Errorf("scope %q: there is no setting %q", sc.Name, c.Setting))
			}
		}
	}
	seen := map[string]bool{}
	for _, p := range s.Problems {
		if !problemCode.MatchString(p.Code) || seen[p.Code] || p.Sign == "" || p.Remedy == "" {
			errs = append(errs, fmt.Errorf("problem %q: needs a unique code in snake case, a sign and a remedy", p.Code))
		}
		seen[p.Code] = true
	}
	return errs
}
