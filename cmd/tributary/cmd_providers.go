package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tributary/oauthflow"
	"tributary/store"
)

func providersCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "providers", Short: "The providers that Tributary knows, as data",
		Example: "  tributary providers list\n  tributary providers show gitea",
	}, providersList(a), providersShow(a))
}

func providersList(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "list", Short: "List the providers that come with the program", Args: exactArgs(),
		Long: `List the providers that come with the program. Any other OAuth 2.0 server can be
registered by its issuer, or by a document with its endpoints.`,
		Example: "  tributary providers list --json",
	})
	cmd.RunE = func(*cobra.Command, []string) error {
		shipped, err := oauthflow.Shipped()
		if err != nil {
			return err
		}
		var list []*oauthflow.Profile
		t := newTable("NAME", "TITLE", "AT", "GRANTS", "SOURCES")
		for _, name := range slices.Sorted(maps.Keys(shipped)) {
			p := shipped[name]
			at := strings.Join(p.Hosts(), ", ")
			if p.Hosting == oauthflow.HostingInstance {
				at = "an address of your own"
			}
			list = append(list, p)
			t.add(p.Name, p.Title, at, joined(p.Grants, ", "), strings.Join(a.sourcesOf(p.Name), ", "))
		}
		if a.json {
			return a.printJSON(list)
		}
		return t.write(a.stdout, "There are none.")
	}
	return cmd
}

// sourcesOf returns the sources that need a registration at a provider.
func (a *app) sourcesOf(provider string) []string {
	var out []string
	for _, c := range a.connectors() {
		if spec := c.Spec(); spec.Accepts(provider) {
			out = append(out, spec.Source)
		}
	}
	return out
}

// joined writes a list of words of one kind.
func joined[T ~string](list []T, separator string) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, separator)
}

func providersShow(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Show a provider as the JSON document that describes it", Args: exactArgs("NAME"),
		Long: `Show a provider as the JSON document that describes it. A document of this form
registers any other server: tributary registrations create NAME --profile FILE.`,
		Example: "  tributary providers show gitea > my-server.json",
	}
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		shipped, err := oauthflow.Shipped()
		if err != nil {
			return err
		}
		p, ok := shipped[args[0]]
		if !ok {
			return &notFoundError{what: "there is no provider " + args[0] + ": tributary providers list shows them"}
		}
		return a.printJSON(p)
	}
	return cmd
}

// onGrants runs fn with the store and what a process has to do with grants.
func (a *app) onGrants(cmd *cobra.Command, fn func(ctx context.Context, st *store.Store, c *consent) error) error {
	s, err := a.settings(cmd)
	if err != nil {
		return err
	}
	return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
		c, err := openConsent(ctx, s, st, a.logger(false))
		if err != nil {
			return err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
			defer cancel()
			if err := c.close(ctx); err != nil {
				a.notef("tributary: closing: %s\n", oneLine(err.Error()))
			}
		}()
		return fn(ctx, st, c)
	})
}

// by is who the command line acts as: it holds the database and the key, so nothing is closed to it.
func (a *app) by() oauthflow.By { return oauthflow.By{Actor: a.cliActor(), Owner: true} }
