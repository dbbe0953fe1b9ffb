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
	}, keysList(a), keysShow(a), keysCreate(a), keysRotate(a), keysRevoke(a), keysSigners(a))
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
		t := newTable("NAME", "SECRET", "MODE", "ASKS FOR", "RIGHTS", "CONNECTIONS", "STATE", "LAST USED")
		for _, k := range list {
			t.add(k.Name, "…"+k.Hint, modeWord(k.Mode), asksFor(k), strings.Join(k.Rights, ","), keyReach(k), validity(k.RevokedAt, k.ExpiresAt, now), ago(k.LastUsedAt, now))
		}
		return t.write(a.stdout, "There are no keys. Make one: tributary keys create NAME --reader READER --connections all")
	})
}

// modeWord is the mode of a key; a trusted one is flagged.
func modeWord(m store.KeyMode) string {
	if m == store.KeyTrusted {
		return "TRUSTED"
	}
	return string(m)
}

// asksFor says for whom a key asks; one that reads its connections whole is flagged.
func asksFor(k store.Key) string {
	switch k.Mode {
	case store.KeyAssertion:
		return "whom " + strconv.Itoa(len(k.Signers)) + " signers name"
	case store.KeyTrusted:
		return "anybody"
	case store.KeyBound:
		if k.Reader != nil {
			return *k.Reader
		}
	case store.KeyOwn:
		if k.Whole {
			return "nobody: READS ALL of its connections"
		}
	}
	return "nobody: what is shared with the key"
}

func keyReach(k store.Key) string {
	if k.AllConnections {
		return "all"
	}
	return strconv.Itoa(len(k.Connections))
}

func keysShow(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "show NAME", Short: "Show one key: its mode, rights, connections, limit, use and signers", Example: "  tributary keys show chatbot",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		k, err := st.Key(ctx, args[0])
		if err != nil {
			return keyProblem(err, args[0])
		}
		return a.showKey(ctx, st, k)
	})
}

func (a *app) showKey(ctx context.Context, st *store.Store, k store.Key) error {
	if a.json {
		return a.printJSON(k)
	}
	now, err := st.Now(ctx)
	if err != nil {
		return err
	}
	conns, err := st.Connections(ctx)
	if err != nil {
		return err
	}
	reach := []string{}
	for _, c := range conns {
		if slices.Contains(k.Connections, c.ID) {
			reach = append(reach, c.Name)
		}
	}
	if k.AllConnections {
		reach = []string{"all"}
	}
	limit := "the usual"
	if k.PerMinute != nil {
		limit = strconv.Itoa(*k.PerMinute)
	}
	t := newTable("", "")
	t.add("Name", k.Name)
	t.add("ID", k.ID.String())
	t.add("Secret", "…"+k.Hint)
	t.add("Mode", modeWord(k.Mode))
	t.add("Asks for", asksFor(k))
	t.add("Rights", strings.Join(k.Rights, ", "))
	t.add("Connections", strings.Join(reach, ", "))
	t.add("Requests a minute", limit)
	t.add("State", validity(k.RevokedAt, k.ExpiresAt, now))
	t.add("Last used", ago(k.LastUsedAt, now))
	if k.PreviousUntil != nil {
		t.add("Secret before", "counts until "+k.PreviousUntil.Format(time.RFC3339))
	}
	t.add("Made", k.CreatedAt.Format(time.RFC3339)+" "+k.CreatedBy)
	for _, s := range k.Signers {
		t.add("Signer", s.Algorithm+" kid "+s.KeyID+", SHA-256 "+s.Fingerprint)
	}
	return t.write(a.stdout, "")
}

// keyProblem names the key that is not there.
func keyProblem(err error, name string) error {
	if errors.Is(err, store.ErrNotFound) {
		return &notFoundError{what: fmt.Sprintf("there is no key %q, or it has ended: tributary keys list shows them", name)}
	}
	return err
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
	names := ""
	switch key.Mode {
	case store.KeyAssertion:
		names = " \\\n  -H \"Tributary-Reader: $ASSERTION\""
	case store.KeyTrusted:
		names = " \\\n  -H 'Tributary-Reader: READER-ID'"
	case store.KeyBound, store.KeyOwn:
	}
	path, body := "/v1/search", `{"query": "how does this work", "k": 5}`
	switch {
	case slices.Contains(key.Rights, store.RightSearch):
	case slices.Contains(key.Rights, store.RightPush):
		name, _, _ := strings.Cut(connections, ",")
		if key.AllConnections {
			name = "CONNECTION"
		}
		names = ""
		path = "/v1/push/" + strings.TrimSpace(name) + "/batch"
		body = `{"items": [{"id": "hello", "content": "Hello.", "acl": {"all_of": [[{"kind": "anyone"}]]}}]}`
	default:
		return fmt.Sprintf("curl -s %s/v1/documents/ID \\\n  -H 'Authorization: Bearer %s'%s", publicURL, secret, names)
	}
	return fmt.Sprintf("curl -s %s%s \\\n  -H 'Authorization: Bearer %s'%s \\\n  -H 'Content-Type: application/json' \\\n  -d '%s'", publicURL, path, secret, names, body)
}

func keysRevoke(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "revoke NAME", Short: "End a key, at once and for good", Example: "  tributary keys revoke chatbot",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		if id, err := uuid.Parse(args[0]); err == nil {
			args[0] = id.String()
		}
		if err := st.RevokeKey(ctx, args[0], a.event("api_key.revoke", audit.Target{Kind: "api_key", ID: args[0]}, nil)); err != nil {
			return keyProblem(err, args[0])
		}
		return a.done("Revoked key "+args[0]+".", map[string]any{"revoked": args[0]})
	})
}

func keysRotate(a *app) *cobra.Command {
	var grace string
	cmd := &cobra.Command{
		Use: "rotate NAME", Short: "Give a key another secret and print it, once",
		Long: `Give a key another secret and print it. Everything else of the key stays. The
secret before ends at once, or after --grace, of 7 days at most.`,
		Example: "  tributary keys rotate chatbot --grace 1h",
	}
	cmd.Args = exactArgs("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		var d time.Duration
		if grace != "" {
			if d, err = parseSpan(grace); err != nil {
				return usagef("--grace %q: write a time span such as 1h or 2d", grace)
			}
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			event := a.event("api_key.rotate", audit.Target{Kind: "api_key", ID: args[0]}, map[string]string{"grace": d.String()})
			key, secret, err := st.RotateKey(ctx, args[0], d, event)
			if err != nil {
				return keyProblem(err, args[0])
			}
			return a.printKey(key, secret, s.PublicURL.String(), "CONNECTION")
		})
	}
	cmd.Flags().StringVar(&grace, "grace", "", "how long the secret before counts beside the new one, such as 1h; empty = not at all")
	addListenerFlags(cmd)
	return jsonFlag(a, cmd)
}
