package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/store"
)

func grantsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "grants", Short: "What accounts of providers have allowed",
		Long: `What accounts of providers have allowed: each grant holds the tokens of one
consent, or of a client that acts for itself. A grant is named by its id, by the
beginning of it, or by a connection that uses it.`,
		Example: "  tributary grants list\n  tributary grants check my-drive",
	}, grantsList(a), grantsShow(a), grantsCheck(a), grantsRefresh(a), grantsRevoke(a), grantsExpire(a))
}

// grantCommand makes a command about the grant that its argument names.
func grantCommand(a *app, cmd *cobra.Command, fn func(ctx context.Context, st *store.Store, c *consent, g *oauthflow.GrantView) error) *cobra.Command {
	cmd.Args = exactArgs("GRANT")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
			g, err := findGrant(ctx, st, c, args[0])
			if err != nil {
				return err
			}
			return fn(ctx, st, c, g)
		})
	}
	return jsonFlag(a, cmd)
}

const minGrantPrefix = 4

// findGrant returns the grant that name stands for.
func findGrant(ctx context.Context, st *store.Store, c *consent, name string) (*oauthflow.GrantView, error) {
	list, err := c.grants.List(ctx)
	if err != nil {
		return nil, err
	}
	var found []uuid.UUID
	for _, g := range list {
		if len(name) >= minGrantPrefix && strings.HasPrefix(g.ID.String(), strings.ToLower(name)) {
			found = append(found, g.ID)
		}
	}
	if len(found) == 0 {
		conn, err := st.Connection(ctx, name)
		if err == nil && conn.GrantID == nil {
			return nil, &notFoundError{what: "connection " + conn.Name + " has no grant"}
		}
		if err == nil {
			found = append(found, *conn.GrantID)
		}
	}
	switch len(found) {
	case 0:
		return nil, &notFoundError{what: "there is no grant " + name + ", and no connection of that name: tributary grants list shows the grants"}
	case 1:
		return c.grants.Get(ctx, found[0])
	default:
		return nil, usagef("%d grants begin with %s: write more of the id", len(found), name)
	}
}

// grantView is a grant as JSON shows it. It holds no token.
type grantView struct {
	ID              string              `json:"id"`
	Registration    string              `json:"registration"`
	Kind            oauthflow.GrantType `json:"kind"`
	Account         string              `json:"account"`
	Subject         string              `json:"subject,omitempty"`
	State           string              `json:"state"`
	StateSince      time.Time           `json:"state_since"`
	Problem         string              `json:"problem,omitempty"`
	Scopes          []string            `json:"scopes"`
	Connections     []string            `json:"connections"`
	Missing         map[string][]string `json:"missing,omitempty"`
	ConsentedAt     time.Time           `json:"consented_at"`
	AccessExpires   *time.Time          `json:"access_expires_at,omitempty"`
	IdleExpires     *time.Time          `json:"idle_expires_at,omitempty"`
	AbsoluteExpires *time.Time          `json:"absolute_expires_at,omitempty"`
	ExpiresAt       *time.Time          `json:"expires_at,omitempty"`
	AtExpiry        oauthflow.AtExpiry  `json:"at_expiry,omitempty"`
	ClosedAt        *time.Time          `json:"closed_at,omitempty"`
	CloseNote       string              `json:"close_note,omitempty"`
}

func viewGrant(g *oauthflow.GrantView) grantView {
	v := grantView{
		ID: g.ID.String(), Registration: g.Registration.Name, Kind: g.Kind, Account: g.Account, Subject: g.Subject, State: grantState(g.Grant),
		StateSince: g.Health.StateSince, Problem: g.Health.FailNote, Scopes: nonNil(g.Scopes), Connections: []string{}, Missing: g.Missing,
		ConsentedAt: g.ConsentedAt, AccessExpires: g.Health.AccessExpires, IdleExpires: g.Health.IdleExpires, AbsoluteExpires: g.Health.AbsoluteExpires,
		ExpiresAt: g.ExpiresAt, AtExpiry: g.AtExpiry, ClosedAt: g.ClosedAt, CloseNote: g.CloseNote,
	}
	for _, c := range g.Connections {
		v.Connections = append(v.Connections, c.Name)
	}
	return v
}

func grantState(g oauthflow.Grant) string {
	if g.ClosedAt != nil {
		return "closed"
	}
	return string(g.Health.State)
}

func grantsList(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "list", Short: "List the grants with their health", Args: exactArgs(), Example: "  tributary grants list --json",
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
			list, err := c.grants.List(ctx)
			if err != nil {
				return err
			}
			now, err := st.Now(ctx)
			if err != nil {
				return err
			}
			views := []grantView{}
			t := newTable("GRANT", "ACCOUNT", "REGISTRATION", "STATE", "SINCE", "CONNECTIONS", "PROBLEM")
			for _, g := range list {
				full, err := c.grants.Get(ctx, g.ID)
				if err != nil {
					return err
				}
				v := viewGrant(full)
				views = append(views, v)
				t.add(v.ID[:8], orDash(v.Account), v.Registration, v.State, ago(&v.StateSince, now), orDash(strings.Join(v.Connections, ", ")), shorten(v.Problem+v.CloseNote, 70))
			}
			if a.json {
				return a.printJSON(views)
			}
			return t.write(a.stdout, "There are no grants. A source with consent makes one: tributary connect --help")
		})
	}
	return cmd
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func grantsShow(a *app) *cobra.Command {
	return grantCommand(a, &cobra.Command{
		Use: "show GRANT", Short: "Show one grant with its newest refreshes", Example: "  tributary grants show my-drive",
	}, func(ctx context.Context, st *store.Store, _ *consent, g *oauthflow.GrantView) error {
		v := viewGrant(g)
		if a.json {
			return a.printJSON(v)
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		t := newTable("FIELD", "VALUE")
		t.add("id", v.ID)
		t.add("account", orDash(v.Account))
		t.add("registration", v.Registration)
		t.add("kind", string(v.Kind))
		t.add("state", v.State+", since "+ago(&v.StateSince, now))
		t.add("problem", orDash(v.Problem+v.CloseNote))
		t.add("granted", strings.Join(v.Scopes, " "))
		t.add("connections", orDash(strings.Join(v.Connections, ", ")))
		for name, scopes := range v.Missing {
			t.add("missing for "+name, strings.Join(scopes, " "))
		}
		t.add("consented", ago(&v.ConsentedAt, now))
		t.add("access token ends", momentOr(v.AccessExpires, now))
		t.add("ends unused", momentOr(v.IdleExpires, now))
		t.add("ends anyway", momentOr(v.AbsoluteExpires, now))
		t.add("to be ended", momentOr(v.ExpiresAt, now))
		for _, try := range g.Attempts {
			t.add("refresh "+ago(&try.Started, now), orDash(try.Outcome)+" "+try.Error)
		}
		return t.write(a.stdout, "")
	})
}

func momentOr(t *time.Time, now time.Time) string {
	if t == nil {
		return "not known"
	}
	return ago(t, now)
}

func grantTarget(g *oauthflow.GrantView) audit.Target {
	return audit.Target{Kind: "grant", ID: g.ID.String()}
}

func grantsCheck(a *app) *cobra.Command {
	var address string
	cmd := grantCommand(a, &cobra.Command{
		Use: "check GRANT", Short: "Obtain a valid token and call the provider with it",
		Long: `Obtain a valid token, refreshing where that is due, and call the provider's
account endpoint with it, or an address on the hosts of its connectors. The
token is not printed. It exits with 1 when the provider refuses.`,
		Example: "  tributary grants check my-drive\n  tributary grants check my-drive --url http://localhost:8090/api/v1/about",
	}, func(ctx context.Context, st *store.Store, c *consent, g *oauthflow.GrantView) error {
		if err := a.record(ctx, st, "grant.check", grantTarget(g), map[string]string{"url": address}); err != nil {
			return err
		}
		seen, err := c.grants.Check(ctx, g.ID, address, a.hostsOf(g))
		if err != nil {
			return err
		}
		if a.json {
			err = a.printJSON(map[string]any{
				"address": seen.Address, "status": seen.Status, "ok": seen.OK, "account": seen.Account, "token_seconds_left": int(seen.Expires.Seconds()), "remedy": seen.Remedy,
			})
		} else {
			a.printOutcome(seen)
		}
		if err == nil && !seen.OK {
			return &silentError{code: exitFailure}
		}
		return err
	})
	cmd.Flags().StringVar(&address, "url", "", "an address to call instead of the account endpoint")
	return cmd
}

// hostsOf returns the hosts that the connectors of a grant call.
func (a *app) hostsOf(g *oauthflow.GrantView) []string {
	var hosts []string
	for _, conn := range g.Connections {
		for _, c := range a.connectors() {
			if spec := c.Spec(); spec.Source == conn.Source {
				hosts = append(hosts, tokenHosts(spec, g.Registration, &g.Grant)...)
			}
		}
	}
	return hosts
}

func (a *app) printOutcome(seen *oauthflow.Outcome) {
	a.printf("%s answered %d.\n", printable(seen.Address), seen.Status)
	if seen.Account != "" {
		a.printf("Account: %s\n", printable(seen.Account))
	}
	if seen.Expires > 0 {
		a.printf("The token is valid for %s more.\n", span(seen.Expires))
	}
	if seen.Remedy != "" {
		a.printf("%s\n", seen.Remedy)
	}
}

func grantsRefresh(a *app) *cobra.Command {
	return grantCommand(a, &cobra.Command{
		Use: "refresh GRANT", Short: "Obtain new tokens, whether or not that is due", Example: "  tributary grants refresh my-drive",
	}, func(ctx context.Context, st *store.Store, c *consent, g *oauthflow.GrantView) error {
		if err := a.record(ctx, st, "grant.refresh", grantTarget(g), nil); err != nil {
			return err
		}
		access, err := c.keeper.Refresh(ctx, g.ID)
		if err != nil {
			return err
		}
		sentence := "The grant has new tokens."
		if access.Expires != nil {
			sentence = fmt.Sprintf("The grant has new tokens, valid until %s.", access.Expires.UTC().Format(time.DateTime+" UTC"))
		}
		return a.done(sentence, map[string]any{"id": g.ID, "access_expires_at": access.Expires})
	})
}

func grantsRevoke(a *app) *cobra.Command {
	var yes bool
	cmd := grantCommand(a, &cobra.Command{
		Use: "revoke GRANT", Short: "End a grant, here and at the provider",
		Long: `End a grant: its tokens are revoked at the provider where that is possible, and
forgotten here. The connections that use it wait for a new consent; what they
stored stays.`,
		Example: "  tributary grants revoke my-drive --yes",
	}, func(ctx context.Context, _ *store.Store, c *consent, g *oauthflow.GrantView) error {
		if !yes {
			return usagef("revoking the grant of %s stops %d connections until somebody grants again: say --yes", orDash(g.Account), len(g.Connections))
		}
		closed, err := c.grants.Revoke(ctx, a.by(), g.ID)
		if err != nil {
			return err
		}
		return a.done(closeSentence(closed), map[string]any{"id": g.ID, "done": closed.Done, "revoked": closed.Revoked, "note": closed.Note, "manage_url": closed.ManageURL})
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really revoke")
	return cmd
}

func closeSentence(c *oauthflow.Closed) string {
	if c.ManageURL == "" || c.Revoked {
		return c.Note
	}
	return c.Note + " There: " + c.ManageURL
}

func grantsExpire(a *app) *cobra.Command {
	var at, then string
	cmd := grantCommand(a, &cobra.Command{
		Use: "expire GRANT", Short: "Say when a grant ends, and what becomes of its documents",
		Example: "  tributary grants expire my-drive --at 90d --documents hide\n  tributary grants expire my-drive --at 2027-06-30\n  tributary grants expire my-drive --at never",
	}, func(ctx context.Context, st *store.Store, c *consent, g *oauthflow.GrantView) error {
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		moment, err := parseEnd(at, now)
		if err != nil {
			return err
		}
		documents := oauthflow.AtExpiry(then)
		if documents != oauthflow.KeepDocuments && documents != oauthflow.HideDocuments {
			return usagef("--documents %q: write keep or hide", then)
		}
		if err := c.grants.SetExpiry(ctx, a.by(), g.ID, moment, documents); err != nil {
			return err
		}
		sentence := "The grant ends by itself no more."
		if moment != nil {
			sentence = fmt.Sprintf("The grant ends at %s; its documents are then: %s.", moment.UTC().Format(time.DateTime+" UTC"), documents)
		}
		return a.done(sentence, map[string]any{"id": g.ID, "expires_at": moment, "at_expiry": documents})
	})
	cmd.Flags().StringVar(&at, "at", "", "when: a span from now such as 90d, a day such as 2027-06-30, a time, or never (required)")
	cmd.Flags().StringVar(&then, "documents", string(oauthflow.KeepDocuments), "what becomes of the documents then: keep or hide")
	return cmd
}

// parseEnd reads when something ends; nil is never.
func parseEnd(text string, now time.Time) (*time.Time, error) {
	if text == "never" {
		return nil, nil //nolint:nilnil // nil is never
	}
	var at time.Time
	if d, err := parseSpan(text); err == nil {
		at = now.Add(d)
	} else if at, err = parseMoment("--at", text, now); err != nil || at.IsZero() {
		return nil, usagef("--at %q: write a span from now such as 90d, a day such as 2027-06-30, or never", text)
	}
	if !at.After(now) {
		return nil, usagef("--at %s: that is over; write a time to come", text)
	}
	return &at, nil
}
