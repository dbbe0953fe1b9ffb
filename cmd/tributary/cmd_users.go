package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/internal/password"
	"tributary/internal/secret"
	"tributary/internal/settings"
	"tributary/store"
)

func usersCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "users", Short: "The accounts that sign in to the web pages",
		Example: "  tributary users create ada --role admin\n  tributary users reset-password ada",
	}, usersList(a), usersShow(a), usersCreate(a), usersSetRole(a), usersDisable(a, true), usersDisable(a, false),
		usersResetPassword(a), usersEndSessions(a), usersDelete(a), usersSetupToken(a))
}

// cliActor is who the audit log says acts on the command line: the system's
// account and host. Nothing authenticates it but that it holds the database.
func (a *app) cliActor() audit.Actor {
	name, err := a.account()
	if err != nil {
		name = "uid:" + strconv.Itoa(os.Geteuid())
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return audit.Actor{Kind: audit.CLI, Name: printable(name + "@" + host)}
}

func usersList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the accounts", Example: "  tributary users list --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.Accounts(ctx)
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
		t := newTable("NAME", "ROLE", "STATE", "LAST SIGN-IN", "SESSIONS")
		for _, u := range list {
			t.add(u.Name, string(u.Role), accountState(u, now), ago(u.LastSignInAt, now), strconv.Itoa(u.Sessions))
		}
		return t.write(a.stdout, "There are no accounts. Make the first on the page /setup with: tributary users setup-token")
	})
}

func accountState(u store.Account, now time.Time) string {
	switch {
	case u.DisabledAt != nil:
		return "disabled"
	case u.PasswordExpiresAt == nil:
		return "enabled"
	case u.PasswordExpiresAt.After(now):
		return "one-time password for " + span(u.PasswordExpiresAt.Sub(now))
	default:
		return "one-time password ran out"
	}
}

func usersShow(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "show NAME", Short: "Show one account with where it is signed in", Example: "  tributary users show ada",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		u, err := findAccount(ctx, st, args[0])
		if err != nil {
			return err
		}
		sessions, err := st.Sessions(ctx, u.ID)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(struct {
				store.Account
				Sessions []store.Session `json:"sessions"`
			}{u, nonNil(sessions)})
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		t := newTable("FIELD", "VALUE")
		t.add("name", u.Name)
		t.add("id", u.ID.String())
		t.add("role", string(u.Role))
		t.add("state", accountState(u, now))
		t.add("password set", ago(u.PasswordChangedAt, now))
		t.add("last sign-in", ago(u.LastSignInAt, now))
		t.add("created", u.CreatedAt.UTC().Format(time.DateTime))
		for _, s := range sessions {
			t.add("session", "from "+s.IP+", seen "+ago(&s.LastSeenAt, now)+", "+shorten(s.UserAgent, 60))
		}
		return t.write(a.stdout, "")
	})
}

func findAccount(ctx context.Context, st *store.Store, name string) (store.Account, error) {
	u, err := st.Account(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return u, &notFoundError{what: "there is no account " + strconv.Quote(name) + ": tributary users list shows them"}
	}
	return u, err
}

const passwordFileHelp = "file whose first line is the password, - for standard input; without it a one-time password is made"

func usersCreate(a *app) *cobra.Command {
	var role, file string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make an account, and print its one-time password",
		Long: `Make an account for the web pages. Without --password-file a password is made
and printed, once: whoever signs in with it has to choose another, within 72
hours. A password from a file is good until it is changed.`,
		Example: "  tributary users create ada --role admin\n  tributary users create ops --role owner --password-file /run/secrets/ops-password",
	}
	cmd.Args = exactArgs("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := store.ParseAccountRole(role)
		if err != nil {
			return usagef("--role %q: write owner, admin or auditor", role)
		}
		name, err := store.AccountName(args[0])
		if err != nil {
			return err
		}
		p, plain, err := a.passwordFrom(cmd.Context(), name, file)
		if err != nil {
			return err
		}
		return a.onStore(cmd, func(ctx context.Context, st *store.Store, s settings.Settings) error {
			u, err := st.CreateAccount(ctx, a.cliActor(), store.NewAccount{Name: name, Role: r, Password: p})
			if err != nil {
				return err
			}
			if err := removeSetupToken(s); err != nil {
				return err
			}
			return a.printPassword("Made account "+u.Name+", role "+string(u.Role)+".", u, plain, nil, s.PublicURL.String())
		})
	}
	cmd.Flags().StringVar(&role, "role", string(store.RoleAdmin), "owner, admin or auditor")
	cmd.Flags().StringVar(&file, "password-file", "", passwordFileHelp)
	addListenerFlags(cmd)
	return jsonFlag(a, cmd)
}

// onStore runs fn with the store and the settings of cmd.
func (a *app) onStore(cmd *cobra.Command, fn func(ctx context.Context, st *store.Store, s settings.Settings) error) error {
	s, err := a.settings(cmd)
	if err != nil {
		return err
	}
	return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error { return fn(ctx, st, s) })
}

// passwordFrom hashes the password of a file, or one that it makes; that one is
// returned to be printed.
//
// SECURITY: no password is an argument, where every account of the machine reads it.
func (a *app) passwordFrom(ctx context.Context, account, file string) (p store.Password, made secret.Text, err error) {
	plain := password.Generate()
	if file == "" {
		made, p.ChangeWith = plain, store.OneTimePassword
	} else if plain, err = a.readPassword(file); err != nil {
		return p, made, err
	}
	if err := password.Check(account, plain); err != nil {
		return p, made, &usageError{msg: err.Error()}
	}
	p.Hash, err = password.NewHasher().Hash(ctx, plain)
	return p, made, err
}

const maxPasswordFile = 4096

func (a *app) readPassword(file string) (secret.Text, error) {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return secret.Text{}, usagef("--password-file: %s", err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxPasswordFile))
	if err != nil {
		return secret.Text{}, usagef("--password-file: %s", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	return secret.New(strings.TrimSuffix(line, "\r")), nil
}

// printPassword tells what was done, and the password that was made for it.
func (a *app) printPassword(done string, u store.Account, made secret.Text, ended *store.Ended, publicURL string) error {
	if a.json {
		return a.printJSON(struct {
			store.Account
			Password string       `json:"password,omitempty"`
			Ended    *store.Ended `json:"ended,omitempty"`
		}{u, made.Reveal(), ended})
	}
	a.printf("%s\n", done)
	if made.IsSet() {
		a.printf("\n  %s\n\nThis one-time password is not shown again. It signs in at %s/signin within 72 hours,\nand has to be changed there.\n", made.Reveal(), publicURL)
	}
	return nil
}

func usersSetRole(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "set-role NAME ROLE", Short: "Make an account owner, admin or auditor", Example: "  tributary users set-role ada auditor",
	}, []string{"NAME", "ROLE"}, func(ctx context.Context, st *store.Store, args []string) error {
		role, err := store.ParseAccountRole(args[1])
		if err != nil {
			return usagef("%q is no role: write owner, admin or auditor", args[1])
		}
		u, err := findAccount(ctx, st, args[0])
		if err != nil {
			return err
		}
		if err := st.SetAccountRole(ctx, a.cliActor(), u.ID, role); err != nil {
			return err
		}
		return a.done("Account "+u.Name+" is "+string(role)+".", map[string]any{"id": u.ID, "name": u.Name, "role": role})
	})
}

func usersDisable(a *app, disable bool) *cobra.Command {
	cmd := &cobra.Command{Use: "enable NAME", Short: "Undo disable", Example: "  tributary users enable ada"}
	if disable {
		cmd = &cobra.Command{Use: "disable NAME", Short: "Keep an account from signing in, and end its sessions and admin tokens at once", Example: "  tributary users disable ada"}
	}
	return storeCommand(a, cmd, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		u, err := findAccount(ctx, st, args[0])
		if err != nil {
			return err
		}
		if !disable {
			if err := st.EnableAccount(ctx, a.cliActor(), u.ID); err != nil {
				return err
			}
			return a.done("Enabled account "+u.Name+".", map[string]any{"id": u.ID, "name": u.Name, "disabled": false})
		}
		ended, err := st.DisableAccount(ctx, a.cliActor(), u.ID)
		if err != nil {
			return err
		}
		return a.done("Disabled account "+u.Name+": "+ended.String()+".", map[string]any{"id": u.ID, "name": u.Name, "disabled": true, "ended": ended})
	})
}

func usersResetPassword(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "reset-password NAME", Short: "Give an account another password, and end its sessions and admin tokens",
		Long: `Give an account another password, end its sessions and revoke its tokens of the
admin API: whoever had the password before keeps no way in. Without --password-file a
password is made and printed, once: whoever signs in with it has to choose
another, within 72 hours. A password from a file is good until it is changed.`,
		Example: "  tributary users reset-password ada\n  tributary users reset-password ops --password-file /run/secrets/ops-password",
	}
	cmd.Args = exactArgs("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onStore(cmd, func(ctx context.Context, st *store.Store, s settings.Settings) error {
			u, err := findAccount(ctx, st, args[0])
			if err != nil {
				return err
			}
			p, plain, err := a.passwordFrom(ctx, u.Name, file)
			if err != nil {
				return err
			}
			ended, err := st.ResetPassword(ctx, a.cliActor(), u.ID, p)
			if err != nil {
				return err
			}
			if u, err = st.Account(ctx, u.ID.String()); err != nil {
				return err
			}
			return a.printPassword("Account "+u.Name+" has another password: "+ended.String()+".", u, plain, &ended, s.PublicURL.String())
		})
	}
	cmd.Flags().StringVar(&file, "password-file", "", passwordFileHelp)
	addListenerFlags(cmd)
	return jsonFlag(a, cmd)
}

func usersEndSessions(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "end-sessions NAME", Short: "Sign an account out everywhere", Example: "  tributary users end-sessions ada",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		u, err := findAccount(ctx, st, args[0])
		if err != nil {
			return err
		}
		n, err := st.EndSessions(ctx, a.cliActor(), u.ID, uuid.Nil)
		if err != nil {
			return err
		}
		return a.done("Ended "+strconv.Itoa(n)+" sessions of account "+u.Name+".", map[string]any{"id": u.ID, "name": u.Name, "ended": n})
	})
}

func usersDelete(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "delete NAME", Short: "Delete an account; what it connected stays", Example: "  tributary users delete ada",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		u, err := findAccount(ctx, st, args[0])
		if err != nil {
			return err
		}
		ended, err := st.DeleteAccount(ctx, a.cliActor(), u.ID)
		if err != nil {
			return err
		}
		return a.done("Deleted account "+u.Name+": "+ended.String()+".", map[string]any{"deleted": u.Name, "ended": ended})
	})
}

func usersSetupToken(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "setup-token", Short: "Make another token for the first account, while there is none",
		Long: `Make another token for the page /setup, which makes the first account, an owner.
It is valid for 30 minutes and for one use, and ends the one before it. Once
there is an account this is refused.`,
		Example: "  tributary users setup-token",
	}
	cmd.Args = exactArgs()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.onStore(cmd, func(ctx context.Context, st *store.Store, s settings.Settings) error {
			token, err := newSetupToken(ctx, st, a.cliActor())
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"token": token.Reveal(), "url": s.PublicURL.String() + "/setup", "minutes": store.SetupTokenLife.Minutes()})
			}
			a.printSetupToken(s.PublicURL.String(), token, "")
			return nil
		})
	}
	addListenerFlags(cmd)
	return jsonFlag(a, cmd)
}
