package all

import (
	"testing"
)

func TestEveryConnectorIsFoundByItsSource(t *testing.T) {
	t.Parallel()
	list := New(Config{})
	seen := map[string]bool{}
	for _, c := range list.All() {
		spec := c.Spec()
		if err := spec.Validate(); err != nil {
			t.Errorf("%s: %v", spec.Source, err)
		}
		if seen[spec.Source] {
			t.Errorf("%s stands twice in the list", spec.Source)
		}
		seen[spec.Source] = true
		for _, f := range spec.Settings {
			if f.Label == "" {
				t.Errorf("%s: setting %s has no label for the pages", spec.Source, f.Name)
			}
		}
		if got, ok := list.Get(spec.Source); !ok || got != c {
			t.Errorf("%s is not found by its source", spec.Source)
		}
	}
	for _, source := range []string{"folder", "github", "gitea", "googledrive", "sandbox", "push"} {
		if !seen[source] {
			t.Errorf("%s is missing", source)
		}
	}
	if _, ok := list.Get("nosuchsource"); ok {
		t.Error("a source that does not exist is found")
	}
}
