package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/settings"
	"tributary/store"
)

func readersCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "readers", Short: "The people and applications for whom questions are asked",
		Example: "  tributary readers create ada --link unix:ada\n  tributary readers list",
	}, readersList(a), readersShow(a), readersCreate(a), readersImport(a), readersIdentity(a), readersEmail(a),
		readersLink(a), readersUnlink(a), readersUnmatched(a), readersDisable(a, true), readersDisable(a, false), readersDelete(a))
}

func readersList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the readers", Example: "  tributary readers list --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.ListReaders(ctx)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		t := newTable("NAME", "KIND", "STATE", "LINKED TO", "ID")
		for _, r := range list {
			t.add(r.Name, string(r.Kind), readerState(r), links(r), r.ID.String())
		}
		return t.write(a.stdout, "There are no readers. Make one: tributary readers create NAME --link unix:ACCOUNT")
	})
}

func readerState(r store.Reader) string {
	if r.DisabledAt != nil {
		return "disabled"
	}
	return "enabled"
}

func links(r store.Reader) string {
	var list []string
	for _, l := range r.Links {
		name := l.Source + " " + string(l.Kind) + " " + l.ExternalID
		if l.Name != "" {
			name += " (" + l.Name + ")"
		}
		list = append(list, name)
	}
	if len(list) == 0 {
		return "nobody"
	}
	return strings.Join(list, ", ")
}

func readersShow(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "show NAME", Short: "Show one reader", Example: "  tributary readers show ada",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		r, err := st.Reader(ctx, args[0])
		if err != nil {
			return err
		}
		return a.printReader(r)
	})
}

func (a *app) printReader(r store.Reader) error {
	if a.json {
		return a.printJSON(r)
	}
	t := newTable("FIELD", "VALUE")
	t.add("name", r.Name)
	t.add("id", r.ID.String())
	t.add("kind", string(r.Kind))
	t.add("state", readerState(r))
	for _, i := range r.Identities {
		t.add("identity", i.Subject+" at "+i.Issuer)
	}
	for _, e := range r.Emails {
		t.add("e-mail", e)
	}
	t.add("linked to", links(r))
	t.add("created", r.CreatedAt.UTC().Format(time.DateTime))
	return t.write(a.stdout, "")
}

func readersCreate(a *app) *cobra.Command {
	var kind string
	var principals, emails, identity []string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a reader, and link it to who it is at the sources",
		Long: `Make a reader. A reader sees what the principals see that it is linked to; a
reader without links sees nothing.

A principal is written as its source writes it: unix:NAME is an account of this
machine. The source must be connected. An identity is the issuer and the subject
of the tokens of an identity provider; an address links the reader where mapping
by e-mail is on, see tributary readers email add.`,
		Example: `  tributary readers create ada --link unix:ada
  tributary readers create ada --identity https://login.example.com,00u1a2b3 --email ada@example.com
  tributary readers create chatbot --kind application`,
	}
	cmd.Args = exactArgs("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n := store.NewReader{Name: args[0], Kind: store.ReaderKind(kind), Emails: emails}
		for _, i := range identity {
			issuer, subject, ok := strings.Cut(i, ",")
			if !ok {
				return usagef("--identity %q: write the issuer, a comma and the subject", i)
			}
			n.Identities = append(n.Identities, store.ReaderIdentity{Issuer: issuer, Subject: subject})
		}
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			r, err := a.createReader(ctx, st, s, n, principals, store.LinkManual)
			if err != nil {
				return err
			}
			return a.printReader(r)
		})
	}
	cmd.Flags().StringVar(&kind, "kind", string(store.Person), "person or application")
	cmd.Flags().StringArrayVar(&principals, "link", nil, "a principal that the reader is, such as unix:NAME; may be repeated")
	cmd.Flags().StringArrayVar(&identity, "identity", nil, "who the reader is to an identity provider, as ISSUER,SUBJECT; may be repeated")
	cmd.Flags().StringArrayVar(&emails, "email", nil, "an address of the reader; may be repeated")
	return jsonFlag(a, cmd)
}

// createReader makes a reader with its links. The principals are resolved
// first, so that a misspelt one leaves no reader behind.
func (a *app) createReader(ctx context.Context, st *store.Store, s settings.Settings, n store.NewReader, principals []string, how store.LinkHow) (store.Reader, error) {
	var resolved []store.PrincipalIn
	for _, p := range principals {
		found, err := a.resolvePrincipal(ctx, st, s, p)
		if err != nil {
			return store.Reader{}, err
		}
		resolved = append(resolved, found...)
	}
	return a.makeReader(ctx, st, n, principals, resolved, how)
}

// makeReader makes a reader with links to principals; written is how they were
// written.
func (a *app) makeReader(ctx context.Context, st *store.Store, n store.NewReader, written []string, resolved []store.PrincipalIn, how store.LinkHow) (store.Reader, error) {
	detail := map[string]string{"name": n.Name, "kind": string(n.Kind), "links": strings.Join(written, " "), "emails": strings.Join(n.Emails, " ")}
	for _, i := range n.Identities {
		detail["identities"] = strings.TrimSpace(detail["identities"] + " " + i.Issuer + "," + i.Subject)
	}
	r, err := st.MakeReader(ctx, n, a.event("reader.create", audit.Target{Kind: "reader"}, detail))
	if err != nil {
		return r, err
	}
	for _, p := range resolved {
		if err := st.LinkReader(ctx, r.ID, p, how, a.linkEvent("reader.link", r, p.Principal)); err != nil {
			return r, err
		}
	}
	return st.Reader(ctx, r.ID.String())
}

// linkEvent is about a link of a reader to a principal.
func (a *app) linkEvent(action string, r store.Reader, p connectors.Principal) audit.Event {
	return a.event(action, audit.Target{Kind: "reader", ID: r.ID.String()}, map[string]string{"name": r.Name, "principal": string(p.Kind) + ":" + p.ID})
}

func readersLink(a *app) *cobra.Command {
	var connection, consent string
	cmd := &cobra.Command{
		Use: "link NAME [PRINCIPAL]", Short: "Link a reader to who it is at a source",
		Long: `Link a reader to a principal, written as its source writes it: unix:NAME is an
account of this machine. With --connection it is one of the realm of that
connection, by the source's own id: user:ID, group:ID, domain:ID or anyone. With
--consent it is the account that consented to that connection.`,
		Example: "  tributary readers link ada unix:ada\n  tributary readers link ada user:ada --connection wiki\n  tributary readers link ada --consent my-drive",
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if consent != "" {
			return exactArgs("NAME")(cmd, args)
		}
		return exactArgs("NAME", "PRINCIPAL")(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if consent != "" && connection != "" {
			return usagef("--consent says which connection: leave out --connection")
		}
		if consent != "" {
			return a.linkConsent(cmd, args[0], consent)
		}
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			r, err := st.Reader(ctx, args[0])
			if err != nil {
				return err
			}
			found, err := a.principalOf(ctx, st, s, connection, args[1])
			if err != nil {
				return err
			}
			for _, p := range found {
				if err := st.LinkReader(ctx, r.ID, p, store.LinkManual, a.linkEvent("reader.link", r, p.Principal)); err != nil {
					return err
				}
			}
			if r, err = st.Reader(ctx, r.ID.String()); err != nil {
				return err
			}
			return a.printReader(r)
		})
	}
	addConnectionFlag(cmd, &connection)
	cmd.Flags().StringVar(&consent, "consent", "", "link the account that consented to this connection, in place of PRINCIPAL")
	return jsonFlag(a, cmd)
}

func addConnectionFlag(cmd *cobra.Command, connection *string) {
	cmd.Flags().StringVar(connection, "connection", "", "the connection in whose realm the user, group or domain is")
}

// principalOf is resolvePrincipal, or connectionPrincipal where a connection is
// named.
func (a *app) principalOf(ctx context.Context, st *store.Store, s settings.Settings, connection, written string) ([]store.PrincipalIn, error) {
	if connection != "" {
		return connectionPrincipal(ctx, st, connection, written)
	}
	return a.resolvePrincipal(ctx, st, s, written)
}

func readersUnlink(a *app) *cobra.Command {
	var connection string
	cmd := &cobra.Command{
		Use: "unlink NAME PRINCIPAL", Short: "Remove a link; it takes effect with the next question",
		Example: "  tributary readers unlink ada unix:ada\n  tributary readers unlink ada user:ada --connection wiki",
	}
	cmd.Args = exactArgs("NAME", "PRINCIPAL")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			r, err := st.Reader(ctx, args[0])
			if err != nil {
				return err
			}
			found, err := a.principalOf(ctx, st, s, connection, args[1])
			if err != nil {
				return err
			}
			if err := a.unlink(ctx, st, r, found, args[1]); err != nil {
				return err
			}
			if r, err = st.Reader(ctx, r.ID.String()); err != nil {
				return err
			}
			return a.printReader(r)
		})
	}
	addConnectionFlag(cmd, &connection)
	return jsonFlag(a, cmd)
}

func (a *app) unlink(ctx context.Context, st *store.Store, r store.Reader, found []store.PrincipalIn, principal string) error {
	removed := 0
	for _, p := range found {
		conn, err := st.Connection(ctx, p.Connection.String())
		if err != nil {
			return err
		}
		for _, l := range r.Links {
			if l.Kind != p.Principal.Kind || l.ExternalID != p.Principal.ID || conn.RealmID == nil || l.RealmID != *conn.RealmID {
				continue
			}
			if err := st.UnlinkReader(ctx, r.ID, l.PrincipalID, a.linkEvent("reader.unlink", r, p.Principal)); err != nil {
				return err
			}
			removed++
		}
	}
	if removed == 0 {
		return &notFoundError{what: r.Name + " is not linked to " + principal}
	}
	return nil
}

func readersDisable(a *app, disable bool) *cobra.Command {
	cmd := &cobra.Command{Use: "enable NAME", Short: "Undo disable", Example: "  tributary readers enable ada"}
	done := "Enabled reader "
	if disable {
		cmd = &cobra.Command{Use: "disable NAME", Short: "End what a reader and its keys may see, at once", Example: "  tributary readers disable ada"}
		done = "Disabled reader "
	}
	return storeCommand(a, cmd, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		r, err := st.Reader(ctx, args[0])
		if err != nil {
			return err
		}
		change, action := st.EnableReader, "reader.enable"
		if disable {
			change, action = st.DisableReader, "reader.disable"
		}
		if err := change(ctx, r.ID, a.event(action, audit.Target{Kind: "reader", ID: r.ID.String()}, map[string]string{"name": r.Name})); err != nil {
			return err
		}
		return a.done(done+r.Name+".", map[string]any{"id": r.ID, "name": r.Name, "disabled": disable})
	})
}
