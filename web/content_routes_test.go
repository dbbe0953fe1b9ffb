package web_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"tributary/internal/visibility"
	"tributary/store"
)

// TestEveryContentRouteIsCompared: an address that a key asks is either one that
// the comparison with the oracle asks, or gives out no content.
func TestEveryContentRouteIsCompared(t *testing.T) {
	t.Parallel()
	var got []string
	for _, info := range newRig(t, false, nil).web.Table() {
		if info.Access == "key" {
			got = append(got, info.Method+" "+info.Path)
		}
	}
	want := visibility.Routes()
	// What pushes documents reads none.
	for _, r := range got {
		if !slices.Contains(want, r) && !strings.Contains(r, " /v1/push/") {
			t.Errorf("%s is not compared with the oracle: add it to the routes of internal/visibility and ask it there", r)
		}
	}
	for _, r := range want {
		if !slices.Contains(got, r) {
			t.Errorf("%s is compared with the oracle and is not served", r)
		}
	}
}

// TestAdminsAreGivenContentInOnePlace: of the admin API only the search in the
// place of a reader, which answers by the path that is compared, gives out text
// of documents.
func TestAdminsAreGivenContentInOnePlace(t *testing.T) {
	t.Parallel()
	content := []reflect.Type{
		reflect.TypeFor[store.SearchResult](), reflect.TypeFor[store.DocumentText](), reflect.TypeFor[store.DocumentChunk](), reflect.TypeFor[store.CitedChunk](),
		reflect.TypeFor[store.ExportedDocument](), reflect.TypeFor[store.Neighbour](), reflect.TypeFor[store.Section](), reflect.TypeFor[store.Lineage](),
	}
	var got []string
	for _, info := range newOAuthRig(t).web.Table() {
		if info.Gives != nil && mentions(info.Gives, content, map[reflect.Type]bool{}) {
			got = append(got, info.Method+" "+info.Path)
		}
	}
	if want := []string{"POST /v1/admin/search"}; !slices.Equal(got, want) {
		t.Errorf("%v give out content, not %v alone", got, want)
	}
}

// mentions reports whether a value of type t may hold one of the types.
func mentions(t reflect.Type, types []reflect.Type, seen map[reflect.Type]bool) bool {
	if slices.Contains(types, t) {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() { //nolint:exhaustive // the others hold nothing
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return mentions(t.Elem(), types, seen)
	case reflect.Struct:
		for field := range t.Fields() {
			if mentions(field.Type, types, seen) {
				return true
			}
		}
	}
	return false
}
