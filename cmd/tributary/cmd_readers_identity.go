package main

import (
	"context"

	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/store"
)

// readerEvent is about a reader.
func (a *app) readerEvent(action string, r store.Reader, detail map[string]string) audit.Event {
	if detail == nil {
		detail = map[string]string{}
	}
	detail["name"] = r.Name
	return a.event(action, audit.Target{Kind: "reader", ID: r.ID.String()}, detail)
}

// changeReader makes a command that changes the reader that its first argument
// names, and prints it.
func changeReader(a *app, cmd *cobra.Command, names []string, change func(ctx context.Context, st *store.Store, r store.Reader, args []string) error) *cobra.Command {
	return storeCommand(a, cmd, names, func(ctx context.Context, st *store.Store, args []string) error {
		r, err := st.Reader(ctx, args[0])
		if err != nil {
			return err
		}
		if err := change(ctx, st, r, args); err != nil {
			return err
		}
		if r, err = st.Reader(ctx, r.ID.String()); err != nil {
			return err
		}
		return a.printReader(r)
	})
}

func readersIdentity(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "identity", Short: "Who readers are to identity providers",
		Example: "  tributary readers identity add ada https://login.example.com 00u1a2b3",
	}, readersIdentityAdd(a), readersIdentityRemove(a))
}

func readersIdentityAdd(a *app) *cobra.Command {
	return changeReader(a, &cobra.Command{
		Use: "add NAME ISSUER SUBJECT", Short: "Say who a reader is to an identity provider",
		Long: `Say who a reader is to an identity provider: the issuer and the subject (iss and
sub) of its tokens, which are compared byte for byte. An identity is one reader's.`,
		Example: "  tributary readers identity add ada https://login.example.com 00u1a2b3",
	}, []string{"NAME", "ISSUER", "SUBJECT"}, func(ctx context.Context, st *store.Store, r store.Reader, args []string) error {
		return st.AddReaderIdentity(ctx, r.ID, store.ReaderIdentity{Issuer: args[1], Subject: args[2]},
			a.readerEvent("reader.identity_add", r, map[string]string{"issuer": args[1], "subject": args[2]}))
	})
}

func readersIdentityRemove(a *app) *cobra.Command {
	return changeReader(a, &cobra.Command{
		Use: "remove NAME ISSUER SUBJECT", Short: "Take an identity from a reader; it takes effect with the next question",
		Example: "  tributary readers identity remove ada https://login.example.com 00u1a2b3",
	}, []string{"NAME", "ISSUER", "SUBJECT"}, func(ctx context.Context, st *store.Store, r store.Reader, args []string) error {
		return st.RemoveReaderIdentity(ctx, r.ID, store.ReaderIdentity{Issuer: args[1], Subject: args[2]},
			a.readerEvent("reader.identity_remove", r, map[string]string{"issuer": args[1], "subject": args[2]}))
	})
}

func readersEmail(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "email", Short: "The addresses that map readers to people of sources",
		Example: "  tributary readers email add ada ada@example.com\n  tributary connections map-email my-drive on",
	}, readersEmailAdd(a), readersEmailRemove(a))
}

func readersEmailAdd(a *app) *cobra.Command {
	return changeReader(a, &cobra.Command{
		Use: "add NAME ADDRESS", Short: "Say that an address is a reader's",
		Long: `Say that an address is a reader's. It makes the reader the one person of a realm
whose address that is, where the source says that the address is verified and
mapping by e-mail is on for a connection: tributary connections map-email.

Addresses are compared byte by byte, but for the case of the domain. An address
that several people of a realm or several readers have maps to nobody:
tributary readers unmatched lists them.`,
		Example: "  tributary readers email add ada ada@example.com",
	}, []string{"NAME", "ADDRESS"}, func(ctx context.Context, st *store.Store, r store.Reader, args []string) error {
		_, err := st.AddReaderEmail(ctx, r.ID, args[1], a.readerEvent("reader.email_add", r, map[string]string{"email": args[1]}))
		return err
	})
}

func readersEmailRemove(a *app) *cobra.Command {
	return changeReader(a, &cobra.Command{
		Use: "remove NAME ADDRESS", Short: "Take an address from a reader, with the links that it made", Example: "  tributary readers email remove ada ada@example.com",
	}, []string{"NAME", "ADDRESS"}, func(ctx context.Context, st *store.Store, r store.Reader, args []string) error {
		_, err := st.RemoveReaderEmail(ctx, r.ID, args[1], a.readerEvent("reader.email_remove", r, map[string]string{"email": args[1]}))
		return err
	})
}

func readersDelete(a *app) *cobra.Command {
	var yes bool
	cmd := storeCommand(a, &cobra.Command{
		Use: "delete NAME", Short: "Delete a reader, and revoke its keys",
		Long: `Delete a reader with its links, identities and addresses. Its keys end at once and
for good. To be able to undo it: tributary readers disable.`,
		Example: "  tributary readers delete ada --yes",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		r, err := st.Reader(ctx, args[0])
		if err != nil {
			return err
		}
		if !yes {
			return usagef("deleting reader %s revokes its keys for good: say --yes, or tributary readers disable %s", r.Name, r.Name)
		}
		if err := st.DeleteReader(ctx, r.ID, a.readerEvent("reader.delete", r, nil)); err != nil {
			return err
		}
		return a.done("Deleted reader "+r.Name+".", map[string]any{"deleted": r.ID, "name": r.Name})
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really delete")
	return cmd
}

func connectionsMapEmail(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "map-email NAME on|off", Short: "Say whether verified e-mail addresses make readers people of a connection",
		Long: `Say whether a verified address makes a reader the person of this connection's
realm who has it. The source has to say that the address is verified, and the
reader has to have it: tributary readers email add. Off, as it is at first, ends
the links that it made.`,
		Example: "  tributary connections map-email my-drive on",
	}, []string{"NAME", "on|off"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		if args[1] != "on" && args[1] != "off" {
			return usagef("%q is neither on nor off", args[1])
		}
		m, err := st.SetMapEmail(ctx, c.ID, args[1] == "on", a.event("connection.map_email", connectionTarget(c), map[string]string{"name": c.Name, "map_email": args[1]}))
		if err != nil {
			return err
		}
		a.notef("%d links were made, %d ended.\n", m.Made, m.Ended)
		return a.done("Mapping by e-mail is "+args[1]+" for "+c.Name+".", map[string]any{"id": c.ID, "name": c.Name, "map_email": args[1] == "on", "made": m.Made, "ended": m.Ended})
	})
}
