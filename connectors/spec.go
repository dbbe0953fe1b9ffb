package connectors

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// Spec is a connector as pure data. UI, docs and command line are generated
// from it.
type Spec struct {
	// Source is the kind of system in lower case: "github", "folder".
	Source string
	// Name and Description are for people; Description is one sentence.
	Name        string
	Description string
	// Icon is the id of a symbol in the icon sprite.
	Icon string
	// Provider names the provider profile; "" for a source without a grant.
	Provider string
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
	// CursorVersion is raised when stored cursors can no longer be read.
	CursorVersion int
}

// Scope is one OAuth scope and why it is needed.
type Scope struct{ Name, Reason string }

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
	Name        string
	Type        SettingType
	Description string
	Default     string
	Example     string
	Required    bool
	// Options are the values of an Enum.
	Options []string
}

// Capability names an optional interface.
type Capability string

// The capabilities that a Spec may claim.
const (
	CanChanges     Capability = "changes"
	CanListIDs     Capability = "list-ids"
	CanPermissions Capability = "permissions"
	CanGroups      Capability = "groups"
	CanFetch       Capability = "fetch"
	CanChoose      Capability = "choose"
	CanVerify      Capability = "verify"
	CanRealm       Capability = "realm"
	CanName        Capability = "name"
)

// Has reports whether s claims c.
func (s Spec) Has(c Capability) bool { return slices.Contains(s.Provides, c) }

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
	}
	return ok
}

// Capabilities returns every capability, in a fixed order.
func Capabilities() []Capability {
	return []Capability{CanChanges, CanListIDs, CanPermissions, CanGroups, CanFetch, CanChoose, CanVerify, CanRealm, CanName}
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
	if s.CursorVersion < 1 {
		errs = append(errs, errors.New("cursor version starts at 1"))
	}
	if (s.Provider == "") != (len(s.Hosts) == 0) {
		errs = append(errs, errors.New("a provider needs hosts that its tokens may be sent to, and hosts need a provider"))
	}
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
