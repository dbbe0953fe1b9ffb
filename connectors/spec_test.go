package connectors_test

import (
	"context"
	"iter"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

func validSpec() connectors.Spec {
	return connectors.Spec{
		Source: "example", Name: "Example", Description: "An example.", Category: connectors.CategoryFiles, CursorVersion: 1,
		Scopes:   []connectors.Scope{{Name: "files.read", Reason: "to read files"}},
		Settings: []connectors.Setting{{Name: "mode", Type: connectors.Enum, Description: "How.", Options: []string{"a", "b"}}},
		Provides: []connectors.Capability{connectors.CanGroups},
	}
}

func TestSpecValidate(t *testing.T) {
	t.Parallel()
	if err := validSpec().Validate(); err != nil {
		t.Fatalf("a valid spec: %v", err)
	}
	for name, c := range map[string]struct {
		spoil func(*connectors.Spec)
		says  string
	}{
		"a source in capitals":            {func(s *connectors.Spec) { s.Source = "GitHub" }, "GitHub"},
		"a source of one letter":          {func(s *connectors.Spec) { s.Source = "x" }, "source"},
		"no source":                       {func(s *connectors.Spec) { s.Source = "" }, "source"},
		"no name":                         {func(s *connectors.Spec) { s.Name = "" }, "name"},
		"no description":                  {func(s *connectors.Spec) { s.Description = "" }, "description"},
		"no category":                     {func(s *connectors.Spec) { s.Category = "" }, "category"},
		"an unknown category":             {func(s *connectors.Spec) { s.Category = "planets" }, "planets"},
		"no cursor version":               {func(s *connectors.Spec) { s.CursorVersion = 0 }, "cursor version"},
		"a scope without a reason":        {func(s *connectors.Spec) { s.Scopes[0].Reason = "" }, "files.read"},
		"a setting without a description": {func(s *connectors.Spec) { s.Settings[0].Description = "" }, "mode"},
		"a setting twice":                 {func(s *connectors.Spec) { s.Settings = append(s.Settings, s.Settings[0]) }, "mode"},
		"an enum without options":         {func(s *connectors.Spec) { s.Settings[0].Options = nil }, "options"},
		"an unknown capability":           {func(s *connectors.Spec) { s.Provides = append(s.Provides, "fly") }, "fly"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := validSpec()
			c.spoil(&s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that names %q", err, c.says)
			}
		})
	}
}

func TestCategories(t *testing.T) {
	t.Parallel()
	for _, c := range connectors.Categories() {
		if c.Title() == "" || !c.Known() {
			t.Errorf("%s has no title", c)
		}
	}
	of := func(list ...connectors.Category) (specs []connectors.Spec) {
		for _, c := range list {
			specs = append(specs, connectors.Spec{Category: c})
		}
		return specs
	}
	if got := connectors.CategoriesOf(of(connectors.CategoryOwn, "planets", connectors.CategoryCode, connectors.CategoryOwn)); !slices.Equal(got, []connectors.Category{connectors.CategoryCode, connectors.CategoryOwn}) {
		t.Errorf("categories of sources: %v", got)
	}
}

func TestSettingTitle(t *testing.T) {
	t.Parallel()
	for want, set := range map[string]connectors.Setting{
		"Largest file": {Name: "max_file_kb", Label: "Largest file"},
		"Max file kb":  {Name: "max_file_kb"},
		"":             {},
	} {
		if got := set.Title(); got != want {
			t.Errorf("%+v is called %q, want %q", set, got, want)
		}
	}
}

// bare implements the mandatory part alone.
type bare struct{}

func (bare) Snapshot(context.Context, connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(func(connectors.Page, error) bool) {}
}

func (bare) Close(context.Context) error { return nil }

type everything struct {
	bare
	connectors.ChangeFeed
	connectors.IDLister
	connectors.PermissionFeed
	connectors.GroupLister
	connectors.PeopleLister
	connectors.Fetcher
	connectors.Chooser
	connectors.Verifier
	connectors.Realmer
	connectors.PrincipalNamer
	connectors.SelfIdentifier
}

func TestClaims(t *testing.T) {
	t.Parallel()
	one := map[connectors.Capability]connectors.Session{
		connectors.CanChanges: struct {
			bare
			connectors.ChangeFeed
		}{},
		connectors.CanListIDs: struct {
			bare
			connectors.IDLister
		}{},
		connectors.CanPermissions: struct {
			bare
			connectors.PermissionFeed
		}{},
		connectors.CanGroups: struct {
			bare
			connectors.GroupLister
		}{},
		connectors.CanPeople: struct {
			bare
			connectors.PeopleLister
		}{},
		connectors.CanFetch: struct {
			bare
			connectors.Fetcher
		}{},
		connectors.CanChoose: struct {
			bare
			connectors.Chooser
		}{},
		connectors.CanVerify: struct {
			bare
			connectors.Verifier
		}{},
		connectors.CanRealm: struct {
			bare
			connectors.Realmer
		}{},
		connectors.CanName: struct {
			bare
			connectors.PrincipalNamer
		}{},
		connectors.CanSelf: struct {
			bare
			connectors.SelfIdentifier
		}{},
	}
	if len(one) != len(connectors.Capabilities()) {
		t.Errorf("%d capabilities are tested, there are %d", len(one), len(connectors.Capabilities()))
	}
	for _, c := range connectors.Capabilities() {
		if connectors.Claims(bare{}, c) {
			t.Errorf("%s: a bare session implements it", c)
		}
		if !connectors.Claims(everything{}, c) {
			t.Errorf("%s: a session of everything does not implement it", c)
		}
		for made, s := range one {
			if connectors.Claims(s, c) != (made == c) {
				t.Errorf("a session with %s: claims %s %t", made, c, connectors.Claims(s, c))
			}
		}
		if !(connectors.Spec{Provides: []connectors.Capability{c}}).Has(c) || (connectors.Spec{}).Has(c) {
			t.Errorf("Has(%s) does not read Provides", c)
		}
	}
	if connectors.Claims(everything{}, "fly") {
		t.Error("an unknown capability is implemented")
	}
}
