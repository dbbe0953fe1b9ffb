package main

import (
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/store"
)

// maxSecretFile bounds a file with a credential.
const maxSecretFile = 64 << 10

// updateFlags are the flags of registrations update.
type updateFlags struct {
	place                                            placeFlags
	clientID, subject, keyID, expires                string
	secretFile, keyFile, serviceAccountFile, confirm string
	force, yes                                       bool
}

func registrationsUpdate(a *app) *cobra.Command {
	var f updateFlags
	cmd := jsonFlag(a, &cobra.Command{
		Use: "update NAME", Short: "Enter what the provider gave out, or point a registration elsewhere", Args: exactArgs("NAME"),
		Long: `Enter what the provider gave out: a client ID with a secret, a private key or a
service account's file. It is checked at the provider and stored encrypted; what
is not given stays as it is. Secrets are read from files, or from standard input
with -, never from arguments.

With --provider, --issuer or --profile the registration points elsewhere. Another
server gets nothing that was made for the first: the credentials are forgotten
and the grants end, which --yes confirms.`,
		Example: "  tributary registrations update work --client-id ID --secret-file client-secret.txt\n" +
			"  pass show client | tributary registrations update work --secret-file -\n" +
			"  tributary registrations update robot --service-account-file account.json --expires 2027-06-30",
	})
	flags := cmd.Flags()
	flags.StringVar(&f.clientID, "client-id", "", "the client ID")
	flags.StringVar(&f.secretFile, "secret-file", "", "file whose first line is the client secret; - is standard input")
	flags.StringVar(&f.keyFile, "private-key-file", "", "file with the private key, PEM; - is standard input")
	flags.StringVar(&f.keyID, "key-id", "", "the key's name at the provider")
	flags.StringVar(&f.serviceAccountFile, "service-account-file", "", "the JSON file of a service account; - is standard input")
	flags.StringVar(&f.subject, "subject", "", "who a token between servers is for, such as a GitHub App's ID")
	flags.StringVar(&f.expires, "expires", "", "the day on which the credentials expire, such as 2027-06-30; never takes it away")
	flags.StringVar(&f.confirm, "confirm-hosts", "", "the hosts that secrets may go to, separated by commas; needed where the server named others than its address")
	flags.BoolVar(&f.force, "force", false, "save although a check at the provider failed")
	flags.BoolVar(&f.yes, "yes", false, "really point it elsewhere")
	f.place.add(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
			r, err := findRegistration(ctx, st, args[0])
			if err != nil {
				return err
			}
			if r, err = a.moveRegistration(ctx, c, r, &f); err != nil {
				return err
			}
			return a.saveRegistration(ctx, cmd, c, r, &f)
		})
	}
	return cmd
}

// moveRegistration points a registration elsewhere, where the flags say so.
func (a *app) moveRegistration(ctx context.Context, c *consent, r *oauthflow.Registration, f *updateFlags) (*oauthflow.Registration, error) {
	p := f.place
	if p.provider+p.issuer+p.profile+p.baseURL == "" && len(p.allowHosts) == 0 && !p.private {
		return r, nil
	}
	if p.provider+p.issuer+p.profile == "" {
		p.provider = r.Provider
	}
	d, err := p.draft(r.Name)
	if err != nil {
		return nil, err
	}
	if !f.yes {
		return nil, usagef("pointing registration %s elsewhere forgets its credentials and ends its grants: say --yes", r.Name)
	}
	next, err := c.registrations.Change(ctx, a.by(), r.ID, d)
	if err == nil && !a.json {
		a.printf("Registration %s points to %s.\n", next.Name, strings.Join(next.Profile.Hosts(), ", "))
	}
	return next, err
}

// saveRegistration enters credentials, where the flags give any.
func (a *app) saveRegistration(ctx context.Context, cmd *cobra.Command, c *consent, r *oauthflow.Registration, f *updateFlags) error {
	given := false
	for _, name := range []string{"client-id", "secret-file", "private-key-file", "service-account-file", "subject", "expires", "key-id"} {
		given = given || cmd.Flags().Changed(name)
	}
	if !given {
		if a.json {
			return a.printJSON(viewRegistration(*r))
		}
		if f.yes {
			return nil
		}
		return usagef("there is nothing to change; see %s --help", cmd.CommandPath())
	}
	p, err := a.saveParams(cmd, r, f)
	if err != nil {
		return err
	}
	saved, checks, err := c.registrations.Save(ctx, a.by(), p)
	if err != nil {
		if refused, ok := errors.AsType[*oauthflow.RefusedError](err); ok && !a.json {
			a.printChecks(refused.Checks)
		}
		return err
	}
	if a.json {
		v := viewRegistration(*saved)
		v.Checks = checks
		return a.printJSON(v)
	}
	a.printChecks(checks)
	a.printf("Saved registration %s. Its credentials are encrypted, and shown nowhere.\n", saved.Name)
	for _, source := range a.sourcesOf(saved.Profile.Name) {
		a.printf("Connect it: tributary connect %s --name my-%s --registration %s\n", source, source, saved.Name)
	}
	return nil
}

// saveParams reads the flags and the files that they name.
func (a *app) saveParams(cmd *cobra.Command, r *oauthflow.Registration, f *updateFlags) (oauthflow.SaveParams, error) {
	p := oauthflow.SaveParams{ID: r.ID, ClientID: r.ClientID, Subject: r.Subject, ExpiresAt: r.CredentialExpiresAt, Force: f.force}
	if cmd.Flags().Changed("client-id") {
		p.ClientID = f.clientID
	}
	if cmd.Flags().Changed("subject") {
		p.Subject = f.subject
	}
	var err error
	if p.Digest, err = confirmed(r, f.confirm); err != nil {
		return p, err
	}
	switch f.expires {
	case "":
	case "never":
		p.ExpiresAt = nil
	default:
		day, err := time.Parse(time.DateOnly, f.expires)
		if err != nil {
			return p, usagef("--expires %q: write a day such as 2027-06-30, or never", f.expires)
		}
		p.ExpiresAt = &day
	}
	p.Credentials.KeyID = f.keyID
	stdin := 0
	for _, in := range []struct {
		flag, file string
		whole      bool
		to         *secret.Text
	}{
		{"--secret-file", f.secretFile, false, &p.Credentials.Secret},
		{"--private-key-file", f.keyFile, true, &p.Credentials.PrivateKey},
		{"--service-account-file", f.serviceAccountFile, true, &p.Credentials.ServiceAccount},
	} {
		if in.file == "" {
			continue
		}
		if in.file == "-" {
			stdin++
		}
		if stdin > 1 {
			return p, usagef("%s: standard input is read once; name a file", in.flag)
		}
		if *in.to, err = a.readSecret(in.flag, in.file, in.whole); err != nil {
			return p, err
		}
	}
	return p, nil
}

// confirmed returns the digest of a registration's endpoints where its hosts are those that somebody named: the
// address, or the list of --confirm-hosts.
//
// SECURITY: the metadata of a server may name any host; secrets go there only when a person has seen it.
func confirmed(r *oauthflow.Registration, list string) (string, error) {
	hosts := r.Profile.Hosts()
	var named []string
	for h := range strings.SplitSeq(list, ",") {
		if h = strings.TrimSpace(h); h != "" {
			named = append(named, h)
		}
	}
	if len(named) > 0 {
		slices.Sort(named)
		sorted := slices.Sorted(slices.Values(hosts))
		if !slices.Equal(named, sorted) {
			return "", usagef("--confirm-hosts: the hosts are %s", strings.Join(sorted, ","))
		}
		return r.Digest, nil
	}
	shipped, err := oauthflow.Shipped()
	if err != nil {
		return "", err
	}
	if _, ok := shipped[r.Provider]; ok || r.State != oauthflow.RegistrationDraft {
		return r.Digest, nil
	}
	if issuer, err := url.Parse(r.Profile.Issuer); err == nil && len(hosts) == 1 && hosts[0] == issuer.Host {
		return r.Digest, nil
	}
	return "", usagef("secrets and tokens would go to %s: if these are right, say --confirm-hosts %s", strings.Join(hosts, ", "), strings.Join(hosts, ","))
}

// readSecret reads a credential: the whole file, or its first line.
//
// SECURITY: no secret is an argument, where every account of the machine reads it.
func (a *app) readSecret(flag, file string, whole bool) (secret.Text, error) {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return secret.Text{}, usagef("%s: %s", flag, err)
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxSecretFile+1))
	if err != nil {
		return secret.Text{}, usagef("%s: %s", flag, err)
	}
	text := string(raw)
	if !whole {
		text, _, _ = strings.Cut(text, "\n")
		text = strings.TrimSuffix(text, "\r")
	}
	switch {
	case len(raw) > maxSecretFile:
		return secret.Text{}, usagef("%s: the file is larger than a credential", flag)
	case strings.TrimSpace(text) == "":
		return secret.Text{}, usagef("%s: the file is empty", flag)
	}
	return secret.New(text), nil
}
