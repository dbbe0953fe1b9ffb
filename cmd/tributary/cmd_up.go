package main

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"tributary/internal/settings"
	"tributary/store"
)

// upFlags are the flags of up.
type upFlags struct {
	demo, noDemo bool
	workers      int
}

func upCommand(a *app) *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Start everything: database, schema, web server and workers",
		Long: `Start everything in one process: the managed local PostgreSQL, unless
TRIBUTARY_DATABASE_URL is set; the schema's migrations; the web server; and the
workers. Ctrl-C stops it gracefully.

--demo connects folders of real documents that are present wherever Tributary
was built, makes a reader for the account that runs it, and syncs. It serves
Sandbox Drive too, at localhost:8090 unless TRIBUTARY_SANDBOX_ADDR says where or
off, and connects it as a newcomer would with a browser: it makes the first
account and prints its password once, registers a client, and consents. It may
be repeated: what stands is left as it is.`,
		Example: "  tributary up\n  tributary up --demo\n  TRIBUTARY_ADDR=127.0.0.1:9000 tributary up",
		Args:    exactArgs(),
	}
	addListenerFlags(cmd)
	addSandboxFlag(cmd)
	addMigrateFlags(cmd)
	cmd.Flags().BoolVar(&f.demo, "demo", false, "connect and sync demo documents")
	cmd.Flags().BoolVar(&f.noDemo, "no-demo", false, "leave the demo out, whatever else is said")
	cmd.Flags().IntVar(&f.workers, "workers", 0, "how many syncs run at once; 0 = 4")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		f.demo = f.demo && !f.noDemo
		if f.demo && !a.sandboxSet(cmd) {
			s.SandboxAddr = demoSandboxAddr
		}
		if f.demo && s.FolderRoots != nil {
			for _, d := range demoFolders(cmd.Context()) {
				s.FolderRoots = append(s.FolderRoots, d.path)
			}
		}
		return a.up(cmd.Context(), s, f)
	}
	return cmd
}

// sandboxSet reports whether somebody said where the sandbox is served, or that
// it is not.
func (a *app) sandboxSet(cmd *cobra.Command) bool {
	return a.env("TRIBUTARY_SANDBOX_ADDR") != "" || cmd.Flags().Changed("sandbox-addr")
}

func (a *app) up(ctx context.Context, s settings.Settings, f upFlags) error {
	log := a.logger(false)
	if err := refuseLoneMigrateURL(s); err != nil {
		return err
	}
	// The ports come first: a taken one is told before anything is started.
	ports, err := listenAll(ctx, s)
	if err != nil {
		return err
	}
	defer ports.close()
	box, err := a.openSandbox(ctx, s)
	if err != nil {
		return err
	}
	defer box.close()
	d, err := a.upDatabase(ctx, s)
	if err != nil {
		return err
	}
	defer d.close(ctx, log)
	srv, err := a.newService(ctx, s, d, ports, parts{web: true, workers: true, workerCount: f.workers, purpose: store.Worker, quiet: true})
	if err != nil {
		return err
	}
	srv.sandbox = box
	return srv.run(ctx, func(ctx context.Context) error {
		a.announce(srv.public, d)
		a.announceSandbox(box)
		if !f.demo {
			return srv.offerSetup(ctx, a)
		}
		return a.demo(ctx, s, srv)
	})
}

// upDatabase starts or finds the database and brings its schema up to date.
func (a *app) upDatabase(ctx context.Context, s settings.Settings) (*database, error) {
	log := a.logger(false)
	if !s.DatabaseURL.IsSet() {
		return a.startManaged(ctx, s, log)
	}
	d := configuredDatabase(s)
	if d.migrateURL == "" {
		return d, nil
	}
	_, err := migrate(ctx, d, log)
	return d, err
}

// announce says where to find the server.
func (a *app) announce(public string, d *database) {
	where := "the configured database"
	if d.managed {
		where = "a managed local PostgreSQL"
	}
	a.printf("Tributary %s is running at %s, on %s.\n", version, public, where)
	if u, err := url.Parse(public); err == nil {
		if line := sshLine(u, a.env("SSH_CONNECTION")); line != "" {
			a.printf("From your machine: %s, then open %s\n", line, public)
		}
	}
}
