package connectors_test

import (
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

// wideSpec has scopes of two providers, one of them for a setting only.
func wideSpec() connectors.Spec {
	s := validSpec()
	s.Provider, s.OtherProviders, s.Hosts = "example-app", []string{"example-oauth"}, []string{"api.example.com"}
	s.Settings = append(s.Settings,
		connectors.Setting{Name: "issues", Type: connectors.Bool, Description: "Reads issues.", Default: "true"},
		connectors.Setting{Name: "groups", Type: connectors.Enum, Description: "Where groups come from.", Default: "off", Options: []string{"off", "directory", "all"}},
	)
	s.Scopes = []connectors.Scope{
		{Name: "files", Reason: "Reads files."},
		{Name: "repo", Reason: "Reads files.", Providers: []string{"example-oauth"}},
		{Name: "issues", Reason: "Reads issues.", When: []connectors.Condition{{Setting: "issues", Value: "true"}}},
		{Name: "groups", Reason: "Reads groups.", When: []connectors.Condition{{Setting: "groups", Value: "directory"}, {Setting: "groups", Value: "all"}}},
	}
	s.Problems = []connectors.Problem{{Code: "api_not_enabled", Class: connectors.ClientRejected, Sign: "The API is off.", Remedy: "Switch it on."}}
	return s
}

func TestScopesForWhatIsSynced(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		provider string
		settings map[string]string
		want     string
	}{
		"defaults":                        {"example-app", nil, "files issues"},
		"another provider knows its own":  {"example-oauth", nil, "files repo issues"},
		"a setting that is off":           {"example-app", map[string]string{"issues": "false"}, "files"},
		"an empty setting is its default": {"example-app", map[string]string{"issues": ""}, "files issues"},
		"one condition is enough":         {"example-app", map[string]string{"groups": "all"}, "files issues groups"},
		"and so is the other":             {"example-app", map[string]string{"groups": "directory"}, "files issues groups"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, sc := range wideSpec().ScopesFor(c.provider, c.settings) {
				got = append(got, sc.Name)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("scopes %q, want %q", got, c.want)
			}
		})
	}
}

func TestSpecAccepts(t *testing.T) {
	t.Parallel()
	s := wideSpec()
	if !s.Accepts("example-app") || !s.Accepts("example-oauth") || s.Accepts("other") || s.Accepts("") || (connectors.Spec{}).Accepts("") {
		t.Error("a grant is accepted where its provider is named, and nowhere else")
	}
}

func TestSpecProblem(t *testing.T) {
	t.Parallel()
	s := wideSpec()
	err := s.Problem("listing files", "api_not_enabled")
	if err.Class != connectors.ClientRejected || err.Code != "api_not_enabled" || err.Error() != "listing files: The API is off. Switch it on." {
		t.Errorf("class %s, code %q, text %q", err.Class, err.Code, err)
	}
	if err := s.Problem("listing files", "unheard_of"); err.Class != connectors.Bug {
		t.Errorf("a code that is not in the Spec: class %s", err.Class)
	}
}

func TestSpecValidateParts(t *testing.T) {
	t.Parallel()
	if err := wideSpec().Validate(); err != nil {
		t.Fatalf("a valid spec: %v", err)
	}
	for name, c := range map[string]struct {
		spoil func(*connectors.Spec)
		says  string
	}{
		"a scope of a provider that is not accepted": {func(s *connectors.Spec) { s.Scopes[1].Providers = []string{"stranger"} }, "stranger"},
		"a scope for a setting that is not there":    {func(s *connectors.Spec) { s.Scopes[2].When[0].Setting = "pulls" }, "pulls"},
		"other providers without a first":            {func(s *connectors.Spec) { s.Provider, s.Hosts, s.Scopes = "", nil, nil }, "other providers"},
		"a problem without a remedy":                 {func(s *connectors.Spec) { s.Problems[0].Remedy = "" }, "api_not_enabled"},
		"a problem without a sign":                   {func(s *connectors.Spec) { s.Problems[0].Sign = "" }, "api_not_enabled"},
		"a problem twice":                            {func(s *connectors.Spec) { s.Problems = slices.Repeat(s.Problems, 2) }, "api_not_enabled"},
		"a problem's code in words":                  {func(s *connectors.Spec) { s.Problems[0].Code = "API is off" }, "API is off"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := wideSpec()
			c.spoil(&s)
			if err := s.Validate(); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that names %q", err, c.says)
			}
		})
	}
}
