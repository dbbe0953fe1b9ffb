package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/settings"
	"tributary/store"
)

func migrateCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "migrate", Short: "Bring the database's schema up to date, or look at it",
		Example: "  tributary migrate status\n  tributary migrate up",
	}, migrateUpCommand(a), migrateStatusCommand(a))
}

func migrateUpCommand(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "up", Short: "Apply what is missing", Args: exactArgs(),
		Long: `Apply the migrations that the database lacks. It may be interrupted at any
point and run again; several at once wait for each other.

It connects as TRIBUTARY_MIGRATE_DATABASE_URL, a role that may create roles,
schemas and extensions; without it as TRIBUTARY_DATABASE_URL. The managed local
database is migrated by tributary up, and by every command that starts it.`,
		Example: "  tributary migrate up\n  tributary migrate up --migrate-database-url-file /run/secrets/migrate-url",
	})
	addMigrateFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withMigrateURL(cmd.Context(), s, func(ctx context.Context, d *database) error {
			report, err := migrate(ctx, d, a.logger(false))
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(map[string]any{"from": report.From, "to": report.To, "routines": report.Routines})
			}
			switch {
			case report.From == report.To && !report.Routines:
				a.printf("The schema is up to date: version %d.\n", report.To)
			default:
				a.printf("Migrated from version %d to %d.\n", report.From, report.To)
			}
			return nil
		})
	}
	return cmd
}

func migrateStatusCommand(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "status", Short: "List the migrations and when they were applied", Args: exactArgs(),
		Long:    "List the migrations and when they were applied. It exits with 6 when some are missing.",
		Example: "  tributary migrate status --json",
	})
	addMigrateFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withMigrateURL(cmd.Context(), s, func(ctx context.Context, d *database) error {
			list, err := store.Migrations(ctx, d.migrateURL)
			if err != nil {
				return err
			}
			return a.printMigrations(list)
		})
	}
	return cmd
}

func (a *app) printMigrations(list []store.MigrationStatus) error {
	missing := false
	t := newTable("VERSION", "NAME", "APPLIED")
	for _, m := range list {
		applied := "not yet"
		if m.AppliedAt != nil {
			applied = m.AppliedAt.UTC().Format(time.DateTime)
		} else {
			missing = true
		}
		t.add(strconv.FormatInt(m.Version, 10), m.Name, applied)
	}
	var err error
	if a.json {
		err = a.printJSON(list)
	} else {
		err = t.write(a.stdout, "There are no migrations.")
	}
	if err == nil && missing {
		return &silentError{code: exitSchema}
	}
	return err
}

// withMigrateURL finds the database and an address that may change its schema.
func (a *app) withMigrateURL(ctx context.Context, s settings.Settings, fn func(ctx context.Context, d *database) error) error {
	var d *database
	log := a.logger(false)
	switch {
	case s.DatabaseURL.IsSet() || s.MigrateDatabaseURL.IsSet():
		d = configuredDatabase(s)
		if d.migrateURL == "" {
			d.migrateURL = d.url
		}
	default:
		var err error
		if d, err = a.openDatabase(ctx, s, log); err != nil {
			return err
		}
		defer d.close(ctx, log)
	}
	return fn(ctx, d)
}
