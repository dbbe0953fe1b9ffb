package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/store"
)

func keysCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "keys", Short: "The API keys of programs",
		Example: "  tributary keys create chatbot --reader ada --connections all\n  tributary keys revoke chatbot",
	}, keysList(a), keysCreate(a), keysRevoke(a))
}

func keysList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the keys; secrets are never shown again", Example: "  tributary keys list --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.ListKeys(ctx)
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
		t := newTable("NAME", "SECRET", "READER", "RIGHTS", "CONNECTIONS", "STATE", "LAST USED")
		for _, k := range list {
			reader := "shared with the key"
			if k.Reader != nil {
				reader = *k.Reader
			}
			where := "all"
			if !k.AllConnections {
				where = strconv.Itoa(len(k.Connections))
			}
			t.add(k.Name, "…"+k.Hint, reader, strings.Join(k.Rights, ","), where, validity(k.RevokedAt, k.ExpiresAt, now), ago(k.LastUsedAt, now))
		}
		return t.write(a.stdout, "There are no keys. Make one: tributary keys create NAME --reader READER --connections all")
	})
}

// keyFlags are the flags of keys create.
type keyFlags struct {
	reader, connections, expires string
	rights                       []string
}

func keysCreate(a *app) *cobra.Command {
	var f keyFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a key and print its secret, once",
		Long: `Make an API key and print its secret, which is not stored and cannot be shown
again.

With --reader the key sees what that reader sees, in the connections named.
Without it the key sees only what was shared with the key itself.`,
		Example: "  tributary keys create chatbot --reader ada --connections docs,wiki\n" +
			"  tributary keys create indexer --reader ada --connections all --rights search,documents --expires 90d",
	}
	cmd.Args = exactArgs("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			p, err := keyParams(ctx, st, args[0], f)
			if err != nil {
				return err
			}
			detail := map[string]string{"name": p.Name, "reader": f.reader, "rights": strings.Join(p.Rights, " "), "connections": f.connections}
			key, secret, err := st.CreateKey(ctx, p, a.event("api_key.create", audit.Target{Kind: "api_key"}, detail))
			if err != nil {
				return err
			}
			return a.printKey(key, secret, s.PublicURL.String(), f.connections)
		})
	}
	cmd.Flags().StringVar(&f.reader, "reader", "", "the reader whose eyes the key has, by name or id")
	cmd.Flags().StringVar(&f.connections, "connections", "", "names of connections, separated by commas, or all (required)")
	cmd.Flags().StringSliceVar(&f.rights, "rights", []string{store.RightSearch, store.RightDocuments}, "what it may do: "+strings.Join(store.KeyRights(), ", "))
	cmd.Flags().StringVar(&f.expires, "expires", "", "how long it is valid, such as 90d or 12h; empty = until it is revoked")
	addListenerFlags(cmd)
	return jsonFlag(a, cmd)
}

func keyParams(ctx context.Context, st *store.Store, name string, f keyFlags) (store.CreateKeyParams, error) {
	p := store.CreateKeyParams{Name: name, Rights: f.rights}
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

var errNotSpan = errors.New("not a time span")

// maxSpanDays keeps a span within time.Duration.
const maxSpanDays = 36_500

// parseSpan reads a positive duration; besides Go's units it knows days.
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n <= 0 || n > maxSpanDays {
			return 0, errNotSpan
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errNotSpan
	}
	return d, nil
}

func (a *app) printKey(key store.Key, secret, publicURL, connections string) error {
	curl := keyExample(key, secret, publicURL, connections)
	if a.json {
		return a.printJSON(struct {
			store.Key
			Secret string `json:"secret"`
			Curl   string `json:"curl"`
		}{key, secret, curl})
	}
	a.printf("%s\n", secret)
	a.printf("\nThis is the secret of key %s. It is not shown again. Try it:\n\n%s\n", key.Name, curl)
	return nil
}

// keyExample is a request that the key may make.
func keyExample(key store.Key, secret, publicURL, connections string) string {
	path, body := "/v1/search", `{"query": "how does this work", "k": 5}`
	switch {
	case slices.Contains(key.Rights, store.RightSearch):
	case slices.Contains(key.Rights, store.RightPush):
		name, _, _ := strings.Cut(connections, ",")
		if key.AllConnections {
			name = "CONNECTION"
		}
		path = "/v1/push/" + strings.TrimSpace(name) + "/batch"
		body = `{"items": [{"id": "hello", "content": "Hello.", "acl": {"all_of": [[{"kind": "anyone"}]]}}]}`
	default:
		return fmt.Sprintf("curl -s %s/v1/documents/ID \\\n  -H 'Authorization: Bearer %s'", publicURL, secret)
	}
	return fmt.Sprintf("curl -s %s%s \\\n  -H 'Authorization: Bearer %s' \\\n  -H 'Content-Type: application/json' \\\n  -d '%s'", publicURL, path, secret, body)
}

func keysRevoke(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "revoke NAME", Short: "End a key, at once and for good", Example: "  tributary keys revoke chatbot",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		if id, err := uuid.Parse(args[0]); err == nil {
			args[0] = id.String()
		}
		if err := st.RevokeKey(ctx, args[0], a.event("api_key.revoke", audit.Target{Kind: "api_key", ID: args[0]}, nil)); err != nil {
			if errors.Is(err, store.ErrNotFound) {
				return &notFoundError{what: fmt.Sprintf("there is no key %q: tributary keys list shows them", args[0])}
			}
			return err
		}
		return a.done("Revoked key "+args[0]+".", map[string]any{"revoked": args[0]})
	})
}
