package main

import (
	"context"

	"github.com/spf13/cobra"

	"tributary/internal/settings"
	"tributary/store"
)

func serveCommand(a *app) *cobra.Command {
	var workers int
	var webOnly bool
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the web server and workers on a migrated database",
		Long: `Run the web server, with workers in the same process, on the database of
TRIBUTARY_DATABASE_URL. It refuses a schema that is older than this program; any
number of serve and worker processes may share a database.`,
		Example: "  TRIBUTARY_DATABASE_URL_FILE=/run/secrets/database-url tributary serve\n  tributary serve --web-only",
		Args:    exactArgs(),
	}
	addListenerFlags(cmd)
	cmd.Flags().BoolVar(&webOnly, "web-only", false, "leave the workers to tributary worker")
	cmd.Flags().IntVar(&workers, "workers", 0, "how many syncs run at once; 0 = 4")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.externalSettings(cmd)
		if err != nil {
			return err
		}
		p, err := listenAll(cmd.Context(), s)
		if err != nil {
			return err
		}
		defer p.close()
		what := parts{web: true, workers: !webOnly, workerCount: workers, purpose: store.Worker}
		if webOnly {
			what.purpose = store.CLI
		}
		return a.runService(cmd.Context(), s, p, what)
	}
	return cmd
}

func workerCommand(a *app) *cobra.Command {
	var workers int
	cmd := &cobra.Command{
		Use: "worker", Short: "Run workers alone on a migrated database",
		Long: `Run workers without a web server on the database of TRIBUTARY_DATABASE_URL. It
refuses a schema that is older than this program. Health and metrics are on
TRIBUTARY_METRICS_ADDR.`,
		Example: "  tributary worker --workers 8",
		Args:    exactArgs(),
	}
	addListenerFlags(cmd)
	cmd.Flags().IntVar(&workers, "workers", 0, "how many syncs run at once; 0 = 4")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.externalSettings(cmd)
		if err != nil {
			return err
		}
		p, err := listenMetrics(cmd.Context(), s)
		if err != nil {
			return err
		}
		defer p.close()
		return a.runService(cmd.Context(), s, p, parts{workers: true, workerCount: workers, purpose: store.Worker})
	}
	return cmd
}

// externalSettings are the settings of a process that brings no database of its
// own.
func (a *app) externalSettings(cmd *cobra.Command) (settings.Settings, error) {
	s, err := a.settings(cmd)
	if err == nil && !s.DatabaseURL.IsSet() {
		err = &settings.Error{Setting: "TRIBUTARY_DATABASE_URL", Problem: "is not set", Remedy: "name the database, or use tributary up, which brings one"}
	}
	return s, err
}

func (a *app) runService(ctx context.Context, s settings.Settings, p *ports, what parts) error {
	srv, err := a.newService(ctx, s, configuredDatabase(s), p, what)
	if err != nil {
		return err
	}
	return srv.run(ctx, func(ctx context.Context) error {
		if what.web {
			srv.log.Info("serving", "url", srv.public, "workers", what.workers)
		} else {
			srv.log.Info("working")
		}
		return srv.offerSetup(ctx, a)
	})
}
