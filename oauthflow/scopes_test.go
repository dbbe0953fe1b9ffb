package oauthflow_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/all"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// TestOA11: what providers and connectors ask for, each with its reason, is what was reviewed, and a consent asks for no
// more than that.
func TestOA11(t *testing.T) {
	t.Parallel()
	profiles, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		for _, s := range profiles[name].Scopes.Known {
			when := "on demand"
			if s.Always {
				when = "always"
			}
			text.WriteString("provider " + name + "\t" + s.Name + "\t" + when + "\t" + s.Reason + "\n")
		}
	}
	list := all.New(all.Config{}).All()
	for _, c := range list {
		spec := c.Spec()
		for _, s := range spec.Scopes {
			text.WriteString("connector " + spec.Source + "\t" + s.Name + "\t" + whenAsked(s) + "\t" + s.Reason + "\n")
			if strings.TrimSpace(s.Reason) == "" {
				t.Errorf("%s gives no reason for %s", spec.Source, s.Name)
			}
			for name, p := range profiles {
				if !spec.Accepts(name) || len(s.Providers) > 0 && !slices.Contains(s.Providers, name) {
					continue
				}
				if !slices.ContainsFunc(p.Scopes.Known, func(k oauthflow.Scope) bool { return k.Name == s.Name }) {
					t.Errorf("%s needs %s, which provider %q does not list", spec.Source, s.Name, name)
				}
			}
		}
	}
	golden(t, "scopes.golden.txt", text.String())
	for _, c := range list {
		for name, p := range profiles {
			if spec := c.Spec(); spec.Accepts(name) {
				t.Run(spec.Source+" at "+name, func(t *testing.T) {
					t.Parallel()
					asksWhatIsNeeded(t, spec, p)
				})
			}
		}
	}
}

// whenAsked says where a connector's scope is needed.
func whenAsked(s connectors.Scope) string {
	text := "needed"
	for _, c := range s.When {
		text += " with " + c.Setting + "=" + c.Value
	}
	if len(s.Providers) > 0 {
		text += " at " + strings.Join(s.Providers, ", ")
	}
	return text
}

// asksWhatIsNeeded: the authorization request has what the provider always
// needs and what the settings' defaults need, and nothing else.
func asksWhatIsNeeded(t *testing.T, spec connectors.Spec, p *oauthflow.Profile) {
	t.Helper()
	r := newRig(t, oauthtest.Generic(), p.Name, func(m map[string]any) { m["client_auth"] = "client_secret_basic" })
	var needed, want []string
	for _, k := range p.Scopes.Known {
		if k.Always {
			want = append(want, k.Name)
		}
	}
	for _, s := range spec.ScopesFor(p.Name, nil) {
		needed = append(needed, s.Name)
		if !slices.Contains(want, s.Name) {
			want = append(want, s.Name)
		}
	}
	r.start(t, plan("a", needed...))
	if asked := strings.Fields(r.server.Log("authorize")[0].Form["scope"]); !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}
