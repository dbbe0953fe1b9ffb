package contract

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

var errTime = errors.New("no RFC 3339 time")

// checkTime is the format date-time of RFC 3339.
func checkTime(s string) error {
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return errTime
	}
	return nil
}

// unknown finds members of objects that no schema has: a fake site that makes
// fields up would prove nothing. An object without described members, or one
// that says what further ones are, is open.
func unknown(schemas []*openapi3.Schema, v any, at ...string) []finding {
	all := expand(schemas, map[*openapi3.Schema]bool{})
	var found []finding
	switch v := v.(type) {
	case []any:
		var items []*openapi3.Schema
		for _, s := range all {
			if s.Items != nil {
				items = append(items, s.Items.Value)
			}
		}
		for _, e := range v {
			found = append(found, unknown(items, e, append(slices.Clone(at), "*")...)...)
		}
	case map[string]any:
		members, open := membersOf(all)
		for _, name := range slices.Sorted(maps.Keys(v)) {
			below := append(slices.Clone(at), name)
			switch known, ok := members[name]; {
			case ok:
				found = append(found, unknown(known, v[name], below...)...)
			case !open:
				found = append(found, finding{where: pointer(below...), message: "the description has no such property"})
			}
		}
	}
	return slices.Compact(found)
}

// membersOf returns the schemas of each member, and whether further ones are
// allowed.
func membersOf(all []*openapi3.Schema) (members map[string][]*openapi3.Schema, open bool) { //nolint:nonamedreturns // tells the two apart
	members = map[string][]*openapi3.Schema{}
	for _, s := range all {
		for name, ref := range s.Properties {
			members[name] = append(members[name], ref.Value)
		}
		extra := s.AdditionalProperties
		open = open || extra.Schema != nil || extra.Has != nil && *extra.Has
	}
	return members, open || len(members) == 0
}

// expand adds what the schemas are composed of.
func expand(schemas []*openapi3.Schema, seen map[*openapi3.Schema]bool) []*openapi3.Schema {
	var all []*openapi3.Schema
	for _, s := range schemas {
		if s == nil || seen[s] {
			continue
		}
		seen[s] = true
		all = append(all, s)
		for _, ref := range slices.Concat(s.AllOf, s.OneOf, s.AnyOf) {
			all = append(all, expand([]*openapi3.Schema{ref.Value}, seen)...)
		}
	}
	return all
}
