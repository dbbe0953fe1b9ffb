package recorded

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

var (
	parameters = regexp.MustCompile(`\{[^{}]*\}`)
	version    = regexp.MustCompile(`^(\S+) /(?:api/v\d+|v\d+\.\d+)/`)
)

// anonymous takes the names of parameters out of an operation, and a version
// that some descriptions have in the server's address.
func anonymous(operation string) string {
	return version.ReplaceAllString(parameters.ReplaceAllString(operation, "{}"), "$1 /")
}

// expected returns the classes that the record allows, and whether it is an
// error at all.
func expected(o Operation, r Response) (want []connectors.Class, refused bool) { //nolint:nonamedreturns // tells the two apart
	if c, ok := o.Classes[r.Name]; ok {
		return []connectors.Class{c}, true
	}
	limited := r.Header.Get("Retry-After") != "" || r.Header.Get("X-RateLimit-Remaining") == "0" ||
		bytes.Contains(bytes.ToLower(r.Body), []byte("rate limit")) || bytes.Contains(r.Body, []byte("RateLimit"))
	switch {
	case r.Status == http.StatusTooManyRequests, r.Status == http.StatusForbidden && limited:
		return []connectors.Class{connectors.RateLimited}, true
	case r.Status == http.StatusUnauthorized:
		return []connectors.Class{connectors.GrantLost, connectors.ClientRejected}, true
	case r.Status == http.StatusForbidden:
		return []connectors.Class{connectors.ScopeDenied, connectors.ItemRefused}, true
	case r.Status == http.StatusNotFound:
		return []connectors.Class{connectors.ItemRefused, connectors.ScopeDenied, connectors.Invalid, connectors.CursorExpired}, true
	case r.Status == http.StatusGone:
		return []connectors.Class{connectors.ItemRefused, connectors.CursorExpired}, true
	case r.Status >= 500:
		return []connectors.Class{connectors.Transient, connectors.Unknown, connectors.RateLimited}, true
	case r.Status >= 400:
		return []connectors.Class{connectors.Invalid, connectors.Bug, connectors.ItemSkipped, connectors.ItemRefused, connectors.ScopeDenied, connectors.CursorExpired}, true
	default:
		return nil, false
	}
}

func wrongClass(err error, want []connectors.Class) []string {
	switch {
	case err == nil:
		return []string{fmt.Sprintf("the record is an error, and decoding it is none: want class %v", want)}
	case !slices.Contains(want, connectors.ClassOf(err)):
		return []string{fmt.Sprintf("class %s, want %v (%v)", connectors.ClassOf(err), want, err)}
	default:
		return nil
	}
}

// said are the members whose strings are text.
func said(member string) bool {
	switch member {
	case "title", "body", "name", "description":
		return true
	default:
		return false
	}
}

// missing returns the strings of body that are text and in no text.
func (o *counted) missing(body []byte, texts []string) []string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return nil
	}
	all := plain(strings.Join(texts, "\n"))
	var problems []string
	visit(v, nil, func(at []string, s string) {
		if !said(at[len(at)-1]) || strings.Contains(all, plain(s)) || o.excused(at) {
			return
		}
		problems = append(problems, fmt.Sprintf("/%s: %.80q is in no text", strings.Join(at, "/"), s))
	})
	return problems
}

func (o *counted) excused(at []string) bool {
	for pattern := range o.Elsewhere {
		if fits(strings.Split(strings.TrimPrefix(pattern, "/"), "/"), at) {
			o.elsewhere[pattern]++
			return true
		}
	}
	return false
}

// fits reports whether a pattern of pointer steps covers at.
func fits(pattern, at []string) bool {
	switch {
	case len(pattern) == 0:
		return len(at) == 0
	case pattern[0] == "**":
		return fits(pattern[1:], at) || len(at) > 0 && fits(pattern, at[1:])
	default:
		return len(at) > 0 && (pattern[0] == "*" || pattern[0] == at[0]) && fits(pattern[1:], at[1:])
	}
}

func plain(s string) string { return strings.Join(strings.Fields(s), " ") }

// visit calls fn for every string that is a member of an object.
func visit(v any, at []string, fn func(at []string, s string)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			below := append(slices.Clone(at), k)
			if s, ok := v[k].(string); ok && plain(s) != "" {
				fn(below, s)
			}
			visit(v[k], below, fn)
		}
	case []any:
		for _, e := range v {
			visit(e, append(slices.Clone(at), "*"), fn)
		}
	}
}

// variants is how often a record is decoded with something changed.
const variants = 4

// unknownFields decodes the record again with members that nobody knows.
func unknownFields(t testing.TB, o Operation, r Response, texts []string) []string {
	strangers := []any{nil, true, 7.0, "a field of next year", []any{"a", map[string]any{"b": nil}}, map[string]any{"state": "new", "list": []any{}}}
	return again(r, func(v any, random *rand.Rand) any {
		return mutate(v, random, func(m map[string]any) { m["recorded_unknown"] = strangers[random.IntN(len(strangers))] })
	}, func(changed Response) string {
		got, err := decode(t, o, changed)
		if err != nil {
			return fmt.Sprintf("with unknown fields: %v", err)
		}
		if !slices.Equal(got, texts) {
			return "with unknown fields: other texts"
		}
		return ""
	})
}

// nulls decodes the record again with members that are null: an error is as
// good as an answer, a panic is none.
func nulls(t testing.TB, o Operation, r Response) []string {
	return again(r, func(v any, random *rand.Rand) any {
		return mutate(v, random, func(m map[string]any) {
			names := slices.Sorted(maps.Keys(m))
			if len(names) > 0 {
				m[names[random.IntN(len(names))]] = nil
			}
		})
	}, func(changed Response) string {
		if _, err := decode(t, o, changed); connectors.ClassOf(err) == connectors.Bug {
			return fmt.Sprintf("with members that are null: %v", err)
		}
		return ""
	})
}

// again decodes changed copies of a record, the same ones each time.
func again(r Response, change func(any, *rand.Rand) any, decode func(Response) string) []string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.Name))
	random := rand.New(rand.NewPCG(h.Sum64(), variants))
	var problems []string
	for range variants {
		var v any
		if json.Unmarshal(r.Body, &v) != nil {
			return nil
		}
		data, err := json.Marshal(change(v, random))
		if err != nil {
			return []string{err.Error()}
		}
		changed := r
		changed.Body = data
		if p := decode(changed); p != "" && !slices.Contains(problems, p) {
			problems = append(problems, p)
		}
	}
	return problems
}

// mutate calls fn for about half of the objects in v.
func mutate(v any, random *rand.Rand, fn func(map[string]any)) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			v[k] = mutate(v[k], random, fn)
		}
		if random.IntN(2) == 0 {
			fn(v)
		}
	case []any:
		for i := range v {
			v[i] = mutate(v[i], random, fn)
		}
	}
	return v
}
