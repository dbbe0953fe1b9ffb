package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/jobs"
	"tributary/store"
)

func connectPush(a *app, spec connectors.Spec) *cobra.Command {
	var name, realm, age string
	cmd := jsonFlag(a, &cobra.Command{
		Use: spec.Source, Short: strings.TrimSuffix(spec.Description, "."), Long: connectHelp(spec), Args: exactArgs(),
		Example: "  tributary connect push --name wiki\n  tributary connect push --name wiki --realm acme --max-permission-age 24h",
	})
	cmd.Flags().StringVar(&name, "name", "", "the connection's name: a-z, 0-9, dot, dash and underscore (required)")
	cmd.Flags().StringVar(&realm, "realm", "", "where the ids of its users and groups are unique; connections of one realm share them; empty = the connection's name")
	cmd.Flags().StringVar(&age, "max-permission-age", "", "hide its documents when nothing was pushed for that long, such as 24h or 7d; empty = never")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if name == "" {
			return usagef("--name is missing: give the connection a name, such as --name wiki")
		}
		n := store.NewConnection{Name: name, Source: spec.Source, Realm: realm, MaxPermissionAge: store.PermissionsForever}
		if realm == "" {
			n.Realm = name
		}
		if !store.UsableID(n.Realm) {
			return usagef("--realm: must have 1 to %d bytes of text", store.MaxID)
		}
		if age != "" {
			var err error
			if n.MaxPermissionAge, err = parseSpan(age); err != nil {
				return usagef("--max-permission-age %q: write a time span such as 24h or 7d", age)
			}
		}
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			made, err := st.CreateConnection(ctx, n, a.connectionEvent("connection.create", n))
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(made)
			}
			a.printf("Connected %s: documents are pushed to it.\nMake a key for it with: tributary keys create %s-push --rights push --connections %s\n", made.Name, made.Name, made.Name)
			return nil
		})
	}
	return cmd
}

// connectionPrincipal reads KIND:ID as a principal of a connection's realm, by the
// source's own id; nothing need have named it yet.
func connectionPrincipal(ctx context.Context, st *store.Store, connection, written string) ([]store.PrincipalIn, error) {
	conn, err := st.Connection(ctx, connection)
	if err != nil {
		return nil, err
	}
	kind, id, _ := strings.Cut(written, ":")
	if kind == string(connectors.Anyone) && id == "" && conn.Source != store.PushSource {
		return nil, usagef("%q: write anyone:ID, with the id of the organisation at the source", written)
	}
	p, err := jobs.PushPrincipal(kind, id, "")
	if err != nil {
		return nil, usagef("%q is not a principal: write it as user:ID, group:ID, domain:ID or anyone", written)
	}
	return []store.PrincipalIn{{Connection: conn.ID, Principal: p}}, nil
}
