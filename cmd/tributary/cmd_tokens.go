package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/internal/settings"
	"tributary/store"
)

func tokensCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "tokens", Short: "The tokens of the admin API",
		Example: "  tributary tokens create deploy --role admin --account ada\n  tributary tokens revoke deploy",
	}, tokensList(a), tokensCreate(a), tokensRevoke(a))
}

func tokensList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the tokens; secrets are never shown again", Example: "  tributary tokens list --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.AdminTokens(ctx, uuid.Nil)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		t := newTable("NAME", "SECRET", "ROLE", "ACCOUNT", "STATE", "LAST USED")
		for _, k := range list {
			account := "none"
			if k.Account != nil {
				account = *k.Account
			}
			t.add(k.Name, "…"+k.Hint, string(k.Role), account, validity(k.RevokedAt, k.ExpiresAt, now), ago(k.LastUsedAt, now))
		}
		return t.write(a.stdout, "There are no tokens. Make one: tributary tokens create NAME --role auditor")
	})
}

func tokensCreate(a *app) *cobra.Command {
	var role, account, expires string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token of the admin API and print its secret, once",
		Long: `Make a token for programs that look after this instance over HTTP, under
/v1/admin, and print its secret, which is not stored and cannot be shown again.

An auditor reads, an admin changes connections, an owner also accounts and
tokens. With --account the token never may more than that account, and ends
with it; without, it stands for itself.`,
		Example: "  tributary tokens create deploy --role admin --account ada\n  tributary tokens create report --role auditor --expires 30d",
	}
	cmd.Args = exactArgs("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := store.ParseAccountRole(role)
		if err != nil {
			return usagef("--role %q: write owner, admin or auditor", role)
		}
		life, err := parseSpan(expires)
		if err != nil {
			return usagef("--expires %q: write a time span such as 90d or 12h", expires)
		}
		return a.onStore(cmd, func(ctx context.Context, st *store.Store, s settings.Settings) error {
			n := store.NewAdminToken{Name: args[0], Role: r, Life: life}
			if account != "" {
				u, err := findAccount(ctx, st, account)
				if err != nil {
					return err
				}
				n.Account = u.ID
			}
			detail := map[string]string{"name": n.Name, "role": role, "account": account}
			token, secret, err := st.CreateAdminToken(ctx, n, a.event("admin_token.create", audit.Target{Kind: "admin_token"}, detail))
			if err != nil {
				return err
			}
			return a.printToken(token, secret.Reveal(), s.PublicURL.String())
		})
	}
	cmd.Flags().StringVar(&role, "role", string(store.RoleAuditor), "owner, admin or auditor")
	cmd.Flags().StringVar(&account, "account", "", "whose token it is; empty = nobody's")
	cmd.Flags().StringVar(&expires, "expires", "90d", "how long it is valid, such as 90d or 12h; at most 366d")
	addListenerFlags(cmd)
	return jsonFlag(a, cmd)
}

func (a *app) printToken(token store.AdminToken, secret, publicURL string) error {
	curl := fmt.Sprintf(`curl -s %s/v1/admin/connections \
  -H 'Authorization: Bearer %s'`, publicURL, secret)
	if a.json {
		return a.printJSON(struct {
			store.AdminToken
			Secret string `json:"secret"`
			Curl   string `json:"curl"`
		}{token, secret, curl})
	}
	a.printf("%s\n", secret)
	a.printf("\nThis is the secret of token %s, role %s. It is not shown again. Try it:\n\n%s\n", token.Name, token.Role, curl)
	return nil
}

func tokensRevoke(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "revoke NAME", Short: "End a token, at once and for good", Example: "  tributary tokens revoke deploy",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		token, err := st.AdminToken(ctx, args[0])
		if errors.Is(err, store.ErrNotFound) {
			return &notFoundError{what: fmt.Sprintf("there is no token %q: tributary tokens list shows them", args[0])}
		}
		if err != nil {
			return err
		}
		event := a.event("admin_token.revoke", audit.Target{Kind: "admin_token", ID: token.ID.String()}, map[string]string{"name": token.Name})
		if err := st.RevokeAdminToken(ctx, token.ID, event); err != nil {
			return err
		}
		return a.done("Revoked token "+token.Name+".", map[string]any{"revoked": token.ID, "name": token.Name})
	})
}

// validity says how long a secret may still be used.
func validity(revoked, expires *time.Time, now time.Time) string {
	switch {
	case revoked != nil:
		return "revoked"
	case expires == nil:
		return "valid"
	case !expires.After(now):
		return "expired"
	default:
		return "valid for " + span(expires.Sub(now))
	}
}
