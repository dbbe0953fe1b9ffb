package main

import (
	"context"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/oauthflow"
	"tributary/store"
)

func registrationsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "registrations", Short: "The clients that are registered at providers",
		Long: `The clients that are registered at providers. A registration is made in two
steps, because a provider wants the redirect URI before it gives out a client:
create prints it, and update enters what the provider gave.`,
		Example: "  tributary registrations create work --provider google\n" +
			"  tributary registrations update work --client-id ID --secret-file client-secret.txt",
	}, registrationsList(a), registrationsShow(a), registrationsCreate(a), registrationsUpdate(a), registrationsCheck(a), registrationsDelete(a))
}

func registrationsList(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "list", Short: "List the registrations", Args: exactArgs(), Example: "  tributary registrations list --json",
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
			list, err := st.Registrations(ctx)
			if err != nil {
				return err
			}
			views := []registrationView{}
			t := newTable("NAME", "PROVIDER", "STATE", "CLIENT ID", "CREDENTIALS EXPIRE", "HOSTS")
			for _, r := range list {
				views = append(views, viewRegistration(r))
				t.add(r.Name, r.Provider, registrationState(r), r.ClientID, dayOr(r.CredentialExpiresAt, "unknown"), strings.Join(r.Profile.Hosts(), ", "))
			}
			warnings, err := c.registrations.Warnings(ctx)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(views)
			}
			for _, w := range warnings {
				a.notef("tributary: registration %s: %s\n", w.Registration.Name, w.Text)
			}
			return t.write(a.stdout, "There are no registrations. Make one: tributary registrations create NAME --provider PROVIDER")
		})
	}
	return cmd
}

func registrationState(r oauthflow.Registration) string {
	if r.StateReason == "" {
		return string(r.State)
	}
	return string(r.State) + ": " + shorten(r.StateReason, 60)
}

func dayOr(t *time.Time, otherwise string) string {
	if t == nil {
		return otherwise
	}
	return t.UTC().Format(time.DateOnly)
}

// registrationView is a registration as JSON shows it.
type registrationView struct {
	ID          string                     `json:"id"`
	Name        string                     `json:"name"`
	Provider    string                     `json:"provider"`
	State       string                     `json:"state"`
	StateReason string                     `json:"state_reason,omitempty"`
	BaseURL     string                     `json:"base_url,omitempty"`
	RedirectURI string                     `json:"redirect_uri"`
	Hosts       []string                   `json:"hosts"`
	AllowHosts  []string                   `json:"allow_hosts,omitempty"`
	ClientID    string                     `json:"client_id,omitempty"`
	Subject     string                     `json:"subject,omitempty"`
	Credentials []oauthflow.CredentialKind `json:"credentials"`
	ExpiresAt   *time.Time                 `json:"credentials_expire_at,omitempty"`
	Grants      []oauthflow.GrantType      `json:"grants"`
	Checks      []oauthflow.Check          `json:"checks,omitempty"`
}

func viewRegistration(r oauthflow.Registration) registrationView {
	return registrationView{
		ID: r.ID.String(), Name: r.Name, Provider: r.Provider, State: string(r.State), StateReason: r.StateReason, BaseURL: r.BaseURL,
		RedirectURI: r.RedirectURI, Hosts: nonNil(r.Profile.Hosts()), AllowHosts: r.AllowHosts, ClientID: r.ClientID, Subject: r.Subject,
		Credentials: nonNil(r.CredentialKinds), ExpiresAt: r.CredentialExpiresAt, Grants: nonNil(r.Profile.Grants),
	}
}

func registrationsShow(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "show NAME", Short: "Show a registration, and what is done at the provider", Args: exactArgs("NAME"), Example: "  tributary registrations show work",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, _ *consent) error {
			r, err := findRegistration(ctx, st, args[0])
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(viewRegistration(*r))
			}
			return a.printRegistration(r)
		})
	}
	return cmd
}

func findRegistration(ctx context.Context, st *store.Store, name string) (*oauthflow.Registration, error) {
	r, err := st.RegistrationNamed(ctx, name)
	if err == nil && r == nil {
		err = &notFoundError{what: "there is no registration " + name + ": tributary registrations list shows them"}
	}
	return r, err
}

func (a *app) printRegistration(r *oauthflow.Registration) error {
	t := newTable("FIELD", "VALUE")
	t.add("name", r.Name)
	t.add("id", r.ID.String())
	t.add("provider", r.Profile.Title)
	t.add("state", registrationState(*r))
	t.add("redirect URI", r.RedirectURI)
	t.add("hosts", strings.Join(r.Profile.Hosts(), ", "))
	if len(r.AllowHosts) > 0 {
		t.add("opened although private", strings.Join(r.AllowHosts, ", "))
	}
	t.add("client ID", r.ClientID)
	t.add("credentials", joined(r.CredentialKinds, ", "))
	t.add("credentials expire", dayOr(r.CredentialExpiresAt, "unknown"))
	if err := t.write(a.stdout, ""); err != nil {
		return err
	}
	a.printSteps(r)
	return nil
}

// printSteps says what is done at the provider.
func (a *app) printSteps(r *oauthflow.Registration) {
	steps := r.Profile.Setup.Steps
	if len(steps) == 0 {
		steps = []string{"Register a client of the type web or confidential with the redirect URI below.", "Copy its client ID, and its secret or key."}
	}
	if u := r.Profile.Setup.ConsoleURL; u != "" {
		steps = slices.Insert(slices.Clone(steps), 0, "Open "+u)
	}
	a.printf("\nAt %s:\n", printable(r.Profile.Title))
	for i, s := range steps {
		a.printf("  %d. %s\n", i+1, printable(s))
	}
	a.printf("\nRedirect URI, to the letter:\n  %s\n", r.RedirectURI)
	if len(r.Profile.Scopes.Known) > 0 {
		a.printf("\nPermissions:\n")
		for _, k := range r.Profile.Scopes.Known {
			a.printf("  %s  %s\n", printable(k.Name), printable(k.Reason))
		}
	}
	a.printf("\nSecrets and tokens go to: %s\n", strings.Join(r.Profile.Hosts(), ", "))
}

// placeFlags say which provider a registration is for.
type placeFlags struct {
	provider, baseURL, issuer, clientAuth, profile string
	grants, allowHosts                             []string
	private                                        bool
}

func (f *placeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.provider, "provider", "", "a provider that comes with the program: tributary providers list")
	flags.StringVar(&f.baseURL, "base-url", "", "its address, where people host it themselves, such as https://git.example.com")
	flags.StringVar(&f.issuer, "issuer", "", "any other server, by its issuer; its metadata is read there")
	flags.StringVar(&f.clientAuth, "client-auth", "", "with --issuer: client_secret_basic, client_secret_post, private_key_jwt or none")
	flags.StringSliceVar(&f.grants, "grants", nil, "with --issuer: authorization_code, client_credentials")
	flags.StringVar(&f.profile, "profile", "", "any other server, by a file with a document as providers show prints it")
	flags.BoolVar(&f.private, "private", false, "the address is in a private network or on this machine; without it such are refused")
	flags.StringArrayVar(&f.allowHosts, "allow-host", nil, "another private host to open, as host:port or network; may be repeated")
}

// draft reads the flags.
func (f *placeFlags) draft(name string) (oauthflow.Draft, error) {
	d := oauthflow.Draft{
		Name: name, Provider: f.provider, BaseURL: f.baseURL, Issuer: f.issuer, ClientAuth: oauthflow.ClientAuth(f.clientAuth),
		AllowHosts: slices.Clone(f.allowHosts),
	}
	for _, g := range f.grants {
		d.Grants = append(d.Grants, oauthflow.GrantType(g))
	}
	named := 0
	for _, s := range []string{f.provider, f.issuer, f.profile} {
		if s != "" {
			named++
		}
	}
	if named != 1 {
		return d, usagef("say which server it is for: one of --provider NAME, --issuer URL and --profile FILE")
	}
	if f.profile != "" {
		var err error
		if d.Document, err = os.ReadFile(f.profile); err != nil {
			return d, usagef("--profile: %s", err)
		}
	}
	if f.private {
		u, err := url.Parse(f.baseURL + f.issuer)
		if err != nil || u.Hostname() == "" {
			return d, usagef("--private: it opens the host of --base-url or --issuer; name others with --allow-host")
		}
		d.AllowHosts = append(d.AllowHosts, hostPort(u))
	}
	return d, nil
}

// hostPort is where an address leads, with the port spelled out.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
		if u.Scheme == "http" {
			port = "80"
		}
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func registrationsCreate(a *app) *cobra.Command {
	var f placeFlags
	cmd := jsonFlag(a, &cobra.Command{
		Use: "create NAME", Short: "Make a registration, and print what is done at the provider", Args: exactArgs("NAME"),
		Long: `Make a registration and print its redirect URI and what is done at the provider.
What the provider gives out is entered with tributary registrations update.`,
		Example: "  tributary registrations create work --provider google\n" +
			"  tributary registrations create try --provider sandbox --base-url http://localhost:8090 --private\n" +
			"  tributary registrations create sso --issuer https://id.example.com\n" +
			"  tributary registrations create own --profile my-server.json",
	})
	f.add(cmd)
	addListenerFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		d, err := f.draft(args[0])
		if err != nil {
			return err
		}
		return a.onGrants(cmd, func(ctx context.Context, _ *store.Store, c *consent) error {
			r, err := c.registrations.Draft(ctx, a.by(), d)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(viewRegistration(*r))
			}
			a.printf("Made registration %s.\n", r.Name)
			a.printSteps(r)
			a.printf("\nThen: tributary registrations update %s --client-id ID --secret-file FILE\n", r.Name)
			return nil
		})
	}
	return cmd
}

func registrationsCheck(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "check NAME", Short: "Look at the provider whether the client is accepted", Args: exactArgs("NAME"),
		Long: `Look at the provider whether the client is accepted. Nothing is granted by it.
It exits with 1 when the provider refuses.`,
		Example: "  tributary registrations check work",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
			r, err := findRegistration(ctx, st, args[0])
			if err != nil {
				return err
			}
			checks, err := c.registrations.Check(ctx, r.ID)
			if err != nil {
				return err
			}
			if len(checks) == 0 {
				return usagef("registration %s has no credentials to look with: tributary registrations update %s --client-id ID --secret-file FILE", r.Name, r.Name)
			}
			if a.json {
				err = a.printJSON(checks)
			} else {
				a.printChecks(checks)
			}
			for _, k := range checks {
				if err == nil && !k.OK && !k.Unclear {
					return &silentError{code: exitFailure}
				}
			}
			return err
		})
	}
	return cmd
}

// printChecks prints what was sent to the provider and what came back.
func (a *app) printChecks(checks []oauthflow.Check) {
	for _, k := range checks {
		word := "refused"
		switch {
		case k.OK:
			word = "confirmed"
		case k.Unclear:
			word = "not clear"
		}
		a.printf("%s: %s\n  sent: %s\n  came: %s\n", k.Name, word, printable(k.Sent), printable(k.Came))
		if k.Remedy != "" {
			a.printf("  what to do: %s\n", printable(k.Remedy))
		}
	}
}

func registrationsDelete(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "delete NAME", Short: "Delete a registration that no grant uses", Args: exactArgs("NAME"), Example: "  tributary registrations delete work",
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
			r, err := findRegistration(ctx, st, args[0])
			if err != nil {
				return err
			}
			if err := c.registrations.Delete(ctx, a.by(), r.ID); err != nil {
				return err
			}
			return a.done("Deleted registration "+r.Name+". The client at the provider is still there; remove it there.", map[string]any{"deleted": r.ID, "name": r.Name})
		})
	}
	return cmd
}
