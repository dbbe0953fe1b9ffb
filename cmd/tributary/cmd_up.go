package main

import (
	"context"
	"errors"
	"fmt"

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
was built, makes a reader for the account that runs it, and syncs. It may be
repeated: what stands is left as it is.`,
		Example: "  tributary up\n  tributary up --demo\n  TRIBUTARY_ADDR=127.0.0.1:9000 tributary up",
		Args:    exactArgs(),
	}
	addListenerFlags(cmd)
	addMigrateFlags(cmd)
	cmd.Flags().BoolVar(&f.demo, "demo", false, "connect and sync demo documents")
	cmd.Flags().BoolVar(&f.noDemo, "no-demo", false, "leave the demo out, whatever else is said")
	cmd.Flags().IntVar(&f.workers, "workers", 0, "how many syncs run at once; 0 = 4")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.up(cmd.Context(), s, f)
	}
	return cmd
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
	d, err := a.upDatabase(ctx, s)
	if err != nil {
		return err
	}
	defer d.close(ctx, log)
	srv, err := a.newService(ctx, s, d, ports, parts{web: true, workers: true, workerCount: f.workers, purpose: store.Worker})
	if err != nil {
		return err
	}
	return srv.run(ctx, func(ctx context.Context) error {
		a.announce(srv.public, d)
		if !f.demo || f.noDemo {
			return nil
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
	if u, err := parseURL(public); err == nil {
		if line := sshLine(u, a.env("SSH_CONNECTION")); line != "" {
			a.printf("From your machine: %s, then open %s\n", line, public)
		}
	}
}

// demo connects, syncs and shows what there is to try.
func (a *app) demo(ctx context.Context, s settings.Settings, srv *service) error {
	name, err := a.account()
	if err != nil {
		return err
	}
	connections, err := a.demoConnections(ctx, s, srv.store)
	if err != nil {
		return err
	}
	if err := a.demoReader(ctx, s, srv.store, name); err != nil {
		return err
	}
	if err := a.demoSync(ctx, srv, connections); err != nil {
		return err
	}
	a.printTour(s, name)
	return nil
}

// demoConnections makes the demo's connections where they do not exist.
func (a *app) demoConnections(ctx context.Context, s settings.Settings, st *store.Store) ([]store.Connection, error) {
	c, _ := a.connectorList(s).Get("folder")
	var list []store.Connection
	for _, f := range demoFolders(ctx) {
		conn, err := st.Connection(ctx, f.name)
		if errors.Is(err, store.ErrNotFound) {
			n := store.NewConnection{Name: f.name, Source: "folder", Settings: map[string]string{"path": f.path}, Selection: f.selection}
			probe, verr := verify(ctx, c, n, a.logger(false))
			if verr != nil {
				a.notef("tributary: leaving %s out: %s\n", f.name, oneLine(verr.Error()))
				continue
			}
			n.Realm = probe.realm
			conn, err = st.CreateConnection(ctx, n)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, conn)
	}
	if len(list) == 0 {
		return nil, errNothingToSync
	}
	return list, nil
}

// demoReader makes a reader for the account that runs the program.
func (a *app) demoReader(ctx context.Context, s settings.Settings, st *store.Store, name string) error {
	_, err := st.Reader(ctx, name)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	_, err = a.createReader(ctx, st, s, name, store.Person, []string{"unix:" + name}, store.LinkSetup)
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// demoSync waits until every connection has been synced once.
func (a *app) demoSync(ctx context.Context, srv *service, connections []store.Connection) error {
	line := newProgress(a.stderr)
	defer line.done()
	for _, c := range connections {
		if c.ContentAsOf != nil && c.PermissionsAsOf != nil {
			continue
		}
		runs, err := srv.engine.requestSync(ctx, c, syncFlags{}.lanes(), "setup", false)
		if err != nil {
			return err
		}
		for _, run := range runs {
			ended, err := srv.engine.runner.Await(ctx, run.ID, func(r store.Run) { line.update("Syncing " + progressOf(c.Name, r, line.began)) })
			if err != nil {
				return err
			}
			if ended.State == store.RunFailed {
				return fmt.Errorf("syncing %s: %s", c.Name, ended.Error)
			}
		}
		line.done()
		totals, err := srv.store.Totals(ctx, c.ID)
		if err != nil {
			return err
		}
		a.printf("Synced %s: %d documents in %d chunks.\n", c.Name, totals.Documents, totals.Chunks)
	}
	return nil
}

// printTour prints three commands that work.
func (a *app) printTour(s settings.Settings, reader string) {
	dataDir := ""
	if plain, err := settings.Load(settings.Source{Environ: []string{"HOME=" + a.env("HOME"), "XDG_DATA_HOME=" + a.env("XDG_DATA_HOME")}, UID: effectiveUID()}); err != nil || plain.DataDir != s.DataDir {
		dataDir = s.DataDir
	}
	self := a.self(dataDir)
	a.printf("\nTry in another terminal:\n")
	a.printf("  %s search \"how are permissions enforced\" --as %s\n", self, shellQuote(reader))
	a.printf("  %s documents list --as %s --limit 10\n", self, shellQuote("unix:"+reader))
	a.printf("  %s keys create first --reader %s --connections all\n\nCtrl-C stops Tributary.\n", self, shellQuote(reader))
}
