package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tributary/internal/assertion"
	"tributary/internal/audit"
	"tributary/store"
)

// signerFlags name a public key.
type signerFlags struct{ publicKey, kid, algorithm string }

func (f *signerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.publicKey, "public-key", "", "PEM file of the public key whose holder signs assertions")
	cmd.Flags().StringVar(&f.kid, "kid", "", "the kid of what it signs; empty = the thumbprint of the key (RFC 7638)")
	cmd.Flags().StringVar(&f.algorithm, "algorithm", "", strings.Join(assertion.Algorithms(), ", ")+"; empty = the usual one of the key")
}

// keyFlags are the flags of keys create.
type keyFlags struct {
	reader, connections, expires, mode string
	rights                             []string
	perMinute                          int

	signerFlags
}

func keysCreate(a *app) *cobra.Command {
	var f keyFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a key and print its secret, once",
		Long: `Make an API key and print its secret, which is not stored and cannot be shown
again.

How a key names the reader for whom it asks is its mode:
  bound      the reader of --reader, always
  assertion  a JWT with each request, signed by the holder of --public-key
  trusted    whom it says, by id. Who holds such a key reads as anybody: its
             connections are listed, and it ends within 90 days
  own        nobody: it sees what was shared with the key itself
Without --mode a key with --reader is bound, and one without is its own.`,
		Example: "  tributary keys create chatbot --reader ada --connections docs,wiki\n" +
			"  tributary keys create indexer --reader ada --connections all --rights search,documents --expires 90d\n" +
			"  tributary keys create portal --mode assertion --public-key portal.pem --connections all\n" +
			"  tributary keys create backend --mode trusted --connections docs --expires 30d --per-minute 600",
	}
	cmd.Args = exactArgs("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			p, err := keyParams(ctx, st, args[0], a.cliActor().Name, f)
			if err != nil {
				return err
			}
			detail := map[string]string{"name": p.Name, "mode": string(p.EffectiveMode()), "reader": f.reader, "rights": strings.Join(p.Rights, " "), "connections": f.connections, "reads_whole": strconv.FormatBool(p.ReadsWhole())}
			key, secret, err := st.CreateKey(ctx, p, a.event("api_key.create", audit.Target{Kind: "api_key"}, detail))
			if err != nil {
				return err
			}
			if key.Mode == store.KeyTrusted {
				_, _ = fmt.Fprintln(a.stderr, "Warning: who holds this key reads as any reader, in the connections listed. Keep it in a backend only; --mode assertion proves each reader instead.")
			}
			if key.Whole {
				_, _ = fmt.Fprintln(a.stderr, "Warning: who holds this key reads everything in the connections listed, with their permissions, by the feed. Keep it where the copy is made only.")
			}
			return a.printKey(key, secret, s.PublicURL.String(), f.connections)
		})
	}
	cmd.Flags().StringVar(&f.mode, "mode", "", "how it names its reader: bound, assertion, trusted or own")
	cmd.Flags().StringVar(&f.reader, "reader", "", "the reader whose eyes a bound key has, by name or id")
	cmd.Flags().StringVar(&f.connections, "connections", "", "names of connections, separated by commas, or all (required)")
	cmd.Flags().StringSliceVar(&f.rights, "rights", []string{store.RightSearch, store.RightDocuments}, "what it may do: "+strings.Join(store.KeyRights(), ", "))
	cmd.Flags().StringVar(&f.expires, "expires", "", "how long it is valid, such as 90d or 12h; empty = until it is revoked")
	cmd.Flags().IntVar(&f.perMinute, "per-minute", 0, "how many requests it may make a minute in each process; 0 = the usual")
	f.add(cmd)
	addListenerFlags(cmd)
	return jsonFlag(a, cmd)
}

// readSigner reads the public key of a file.
func readSigner(f signerFlags) (assertion.Signer, error) {
	text, err := os.ReadFile(f.publicKey)
	if err != nil {
		return assertion.Signer{}, usagef("--public-key: %v", err)
	}
	s, err := assertion.NewSigner(string(text), f.kid, f.algorithm)
	if err != nil {
		return s, usagef("--public-key %s: it %v", f.publicKey, err)
	}
	return s, nil
}

func keyParams(ctx context.Context, st *store.Store, name, by string, f keyFlags) (store.CreateKeyParams, error) {
	p := store.CreateKeyParams{Name: name, Mode: store.KeyMode(f.mode), Rights: f.rights, CreatedBy: by}
	if f.perMinute > 0 {
		p.PerMinute = &f.perMinute
	}
	if f.publicKey != "" {
		signer, err := readSigner(f.signerFlags)
		if err != nil {
			return p, err
		}
		p.Signers = []assertion.Signer{signer}
	}
	if f.connections == "" {
		return p, usagef("--connections is missing: name the connections that the key may use, or all")
	}
	if p.AllConnections = f.connections == "all"; !p.AllConnections {
		for c := range strings.SplitSeq(f.connections, ",") {
			conn, err := st.Connection(ctx, strings.TrimSpace(c))
			if err != nil {
				return p, err
			}
			p.Connections = append(p.Connections, conn.ID)
		}
	}
	if f.reader != "" {
		r, err := st.Reader(ctx, f.reader)
		if err != nil {
			return p, err
		}
		p.ReaderID = &r.ID
	}
	if f.expires != "" {
		d, err := parseSpan(f.expires)
		if err != nil {
			return p, usagef("--expires %q: write a time span such as 90d or 12h", f.expires)
		}
		now, err := st.Now(ctx)
		if err != nil {
			return p, err
		}
		at := now.Add(d)
		p.ExpiresAt = &at
	}
	return p, nil
}

func keysSigners(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "signers", Short: "Who signs the assertions of a key",
		Example: "  tributary keys signers add portal --public-key next.pem\n  tributary keys signers remove portal KID",
	}, signersList(a), signersAdd(a), signersRemove(a))
}

func signersList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list KEY", Short: "List the public keys whose holders sign assertions of a key", Example: "  tributary keys signers list portal",
	}, []string{"KEY"}, func(ctx context.Context, st *store.Store, args []string) error {
		k, err := st.Key(ctx, args[0])
		if err != nil {
			return keyProblem(err, args[0])
		}
		if a.json {
			return a.printJSON(nonNil(k.Signers))
		}
		t := newTable("KID", "ALGORITHM", "SHA-256", "SINCE")
		for _, s := range k.Signers {
			t.add(s.KeyID, s.Algorithm, s.Fingerprint, s.CreatedAt.Format("2006-01-02 15:04"))
		}
		return t.write(a.stdout, "Nobody signs for this key. Add a signer: tributary keys signers add "+k.Name+" --public-key FILE")
	})
}

func signersAdd(a *app) *cobra.Command {
	var f signerFlags
	cmd := storeCommand(a, &cobra.Command{
		Use: "add KEY", Short: "Let the holder of a public key sign assertions of a key", Example: "  tributary keys signers add portal --public-key next.pem",
	}, []string{"KEY"}, func(ctx context.Context, st *store.Store, args []string) error {
		if f.publicKey == "" {
			return usagef("--public-key is missing: name the PEM file of the public key")
		}
		signer, err := readSigner(f)
		if err != nil {
			return err
		}
		event := a.event("api_key.signer_add", audit.Target{Kind: "api_key", ID: args[0]}, map[string]string{"kid": signer.KeyID, "algorithm": signer.Algorithm})
		k, err := st.AddSigner(ctx, args[0], signer, event)
		if err != nil {
			return keyProblem(err, args[0])
		}
		return a.done("Added signer "+signer.KeyID+" to key "+k.Name+".", k)
	})
	f.add(cmd)
	return cmd
}

func signersRemove(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "remove KEY KID", Short: "End what a signer may sign, at once", Example: "  tributary keys signers remove portal KID",
	}, []string{"KEY", "KID"}, func(ctx context.Context, st *store.Store, args []string) error {
		event := a.event("api_key.signer_remove", audit.Target{Kind: "api_key", ID: args[0]}, map[string]string{"kid": args[1]})
		k, err := st.RemoveSigner(ctx, args[0], args[1], event)
		if err != nil {
			return keyProblem(err, args[0]+" with signer "+args[1])
		}
		return a.done("Removed signer "+args[1]+" from key "+k.Name+".", k)
	})
}
