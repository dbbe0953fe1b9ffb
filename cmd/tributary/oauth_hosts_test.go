package main

import (
	"slices"
	"testing"

	"tributary/connectors"
	"tributary/oauthflow"
)

// TestTokenHosts: a token goes to the hosts of its own service only.
func TestTokenHosts(t *testing.T) {
	t.Parallel()
	both := connectors.Spec{Hosts: []string{"api.example.com", "{base}"}}
	for name, c := range map[string]struct {
		spec connectors.Spec
		base string
		want []string
	}{
		"the vendor's own service":     {both, "", []string{"api.example.com"}},
		"a server that people host":    {both, "https://git.corp.example:8443/sub", []string{"git.corp.example:8443"}},
		"one that nobody hosts":        {connectors.Spec{Hosts: []string{"api.example.com"}}, "https://x.example", []string{"api.example.com"}},
		"an address that is no server": {both, "nonsense", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &oauthflow.Registration{BaseURL: c.base}
			if got := tokenHosts(c.spec, r, &oauthflow.Grant{}); !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
