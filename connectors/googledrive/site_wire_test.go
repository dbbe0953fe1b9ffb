package googledrive

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// parseFields reads a partial-response selector: "a,b(c,d),e/f".
func parseFields(text string) map[string]any {
	out := map[string]any{}
	depth, start := 0, 0
	one := func(part string) {
		name, below := part, any(nil)
		if i := strings.IndexAny(part, "(/"); i >= 0 {
			name, below = part[:i], parseFields(strings.TrimSuffix(part[i+1:], ")"))
		}
		out[name] = below
	}
	for i, c := range text {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			one(text[start:i])
			start = i + 1
		}
	}
	one(text[start:])
	return out
}

func selected(v, fields any) any {
	want, ok := fields.(map[string]any)
	if !ok {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, below := range want {
			if value, ok := v[name]; ok {
				out[name] = selected(value, below)
			}
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, selected(e, fields))
		}
		return out
	default:
		return v
	}
}

// page cuts one page out of all entries, by a token that an expiry forgets and
// that names the last entry before, by its key or its place, and belongs to the
// search; false says that the request was answered.
func (s *site) page(x *exchange, list string, all int, keys []string) (from, to int, next string, ok bool) {
	if token := x.get("pageToken"); token != "" {
		epoch, at, found := strings.Cut(token, "~")
		if query, rest, ok := strings.Cut(at, "~"); keys != nil && ok {
			at, found = rest, found && query == sum(x.get("q")+x.get("driveId"))
		}
		if from, _ = strconv.Atoi(at); keys != nil {
			from, _ = slices.BinarySearch(keys, at+"\x00")
		}
		if !found || epoch != strconv.Itoa(s.epochs[list]) {
			fail(x, http.StatusBadRequest, "invalid")
			return 0, 0, "", false
		}
	}
	size, _ := strconv.Atoi(x.get("pageSize") + x.get("maxResults"))
	to = min(from+max(size, 1), all)
	if from = min(from, to); to < all {
		next = s.token(list, to)
		if keys != nil {
			next = s.token(list, sum(x.get("q")+x.get("driveId"))+"~"+keys[to-1])
		}
	}
	return from, to, next, true
}

func (s *site) token(list string, at any) string { return fmt.Sprintf("%d~%v", s.epochs[list], at) }
