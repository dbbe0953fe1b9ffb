package oauthflow

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// maxProfile is the largest document of a profile, in bytes.
const maxProfile = 64 << 10

//go:embed profiles/*.json
var profileFiles embed.FS

// Shipped returns the profiles that come with the program, by name.
func Shipped() (map[string]*Profile, error) {
	files, err := profileFiles.ReadDir("profiles")
	if err != nil {
		return nil, fmt.Errorf("reading shipped providers: %w", err)
	}
	out := map[string]*Profile{}
	for _, f := range files {
		raw, err := profileFiles.ReadFile("profiles/" + f.Name())
		if err != nil {
			return nil, fmt.Errorf("reading shipped providers: %w", err)
		}
		p, err := parseProfile(raw, Rules{})
		if err != nil {
			return nil, fmt.Errorf("reading shipped provider %s: %w", f.Name(), err)
		}
		out[p.Name] = p
	}
	return out, nil
}

// ParseProfile reads a profile that an owner wrote. A field that does not exist, or stands twice, is an error that
// names it. The profile may not take the name of a shipped one, nor mix a shipped one's endpoints with others.
func ParseProfile(raw []byte, r Rules) (*Profile, error) {
	p, err := parseProfile(raw, r)
	if err != nil {
		return nil, err
	}
	shipped, err := Shipped()
	if err != nil {
		return nil, err
	}
	if _, taken := shipped[p.Name]; taken {
		return nil, p.problem("name", "a provider of this name comes with the program", "choose another")
	}
	return p, p.checkMix(shipped)
}

func parseProfile(raw []byte, r Rules) (*Profile, error) {
	if len(raw) > maxProfile {
		return nil, fmt.Errorf("reading provider: %d bytes, at most %d are read", len(raw), maxProfile)
	}
	tree, err := decodeObject(raw)
	if err != nil {
		return nil, fmt.Errorf("reading provider: %w", err)
	}
	if err := knownFields("", tree, reflect.TypeFor[Profile]()); err != nil {
		return nil, fmt.Errorf("reading provider: %w", err)
	}
	p := new(Profile)
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("reading provider: %w", err)
	}
	return p, p.validate(r)
}

// knownFields compares the names in a document with those of a type, letter by letter.
func knownFields(path string, v any, t reflect.Type) error {
	switch v := v.(type) {
	case map[string]any:
		if t.Kind() == reflect.Map {
			return nil // names are data
		}
		if t.Kind() != reflect.Struct {
			return fmt.Errorf("field %q: an object where none belongs", path)
		}
		types := map[string]reflect.Type{}
		for f := range t.Fields() {
			if name := f.Tag.Get("json"); name != "" {
				types[name] = f.Type
			}
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			at := strings.TrimPrefix(path+"."+name, ".")
			ft, ok := types[name]
			if !ok {
				return fmt.Errorf("unknown field %.80q; known here: %s", at, strings.Join(slices.Sorted(maps.Keys(types)), ", "))
			}
			if err := knownFields(at, v[name], ft); err != nil {
				return err
			}
		}
	case []any:
		if t.Kind() != reflect.Slice {
			return fmt.Errorf("field %q: a list where none belongs", path)
		}
		for i, e := range v {
			if err := knownFields(fmt.Sprintf("%s.%d", path, i), e, t.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkMix refuses a profile that uses a host of a shipped provider beside hosts that are not that provider's: its
// authorization codes would go to the others (OA-3).
func (p *Profile) checkMix(shipped map[string]*Profile) error {
	for _, name := range slices.Sorted(maps.Keys(shipped)) {
		s := shipped[name]
		if s.Hosting != HostingFixed {
			continue
		}
		theirs := s.Hosts()
		ours := slices.DeleteFunc(p.Hosts(), func(h string) bool { return slices.Contains(theirs, h) })
		if len(ours) > 0 && len(ours) < len(p.Hosts()) {
			return p.problem("endpoints", fmt.Sprintf("%s belongs beside no host of %s", strings.Join(ours, ", "), s.Title), "use the endpoints of one provider only")
		}
	}
	return nil
}

// ClientUse is a client id with the server it was registered at.
type ClientUse struct {
	ClientID string
	Profile  *Profile
}

// CheckClient refuses a client that belongs to another provider (OA-3): its id has the form of a shipped provider's,
// or it is used already with a shipped provider that has fixed endpoints, and p is not at those.
func CheckClient(p *Profile, id string, used []ClientUse, shipped map[string]*Profile) error {
	foreign := func(s *Profile) bool { return !slices.Equal(s.Hosts(), p.Hosts()) }
	refuse := func(s *Profile) error {
		return p.problem("client id", "it is a client of "+s.Title+", and its secret would go to another server", "register a client at "+p.Title)
	}
	for _, name := range slices.Sorted(maps.Keys(shipped)) {
		for _, pattern := range shipped[name].ClientIDs {
			head, tail, _ := strings.Cut(pattern, "*")
			if len(id) >= len(head)+len(tail) && strings.HasPrefix(id, head) && strings.HasSuffix(id, tail) && foreign(shipped[name]) {
				return refuse(shipped[name])
			}
		}
	}
	for _, u := range used {
		s, ok := shipped[u.Profile.Name]
		if ok && s.Hosting == HostingFixed && u.ClientID == id && foreign(s) {
			return refuse(s)
		}
	}
	return nil
}

// Missing returns the needed scopes that the granted ones do not include, in the order of needed.
func (p *Profile) Missing(needed, granted []string) []string {
	var out []string
	for _, n := range needed {
		if !slices.ContainsFunc(granted, func(g string) bool { return g == n || slices.Contains(p.Scopes.Satisfied[n], g) }) {
			out = append(out, n)
		}
	}
	return out
}
