package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"tributary/internal/settings"
	"tributary/store"
)

// demo connects, syncs and shows what there is to try.
func (a *app) demo(ctx context.Context, s settings.Settings, srv *service) error {
	name, err := a.account()
	if err != nil {
		return err
	}
	drive, err := a.demoDrive(ctx, srv)
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
	if drive != nil {
		connections = append(connections, *drive)
	}
	if err := a.demoSync(ctx, srv, connections); err != nil {
		return err
	}
	tour := driveTour{}
	if drive != nil {
		if tour, err = a.demoPeople(ctx, srv, drive.ID); err != nil {
			return err
		}
	}
	a.printTour(s, name, tour)
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
			conn, err = st.CreateConnection(ctx, n, a.connectionEvent("connection.create", n))
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
	_, err = a.createReader(ctx, st, s, store.NewReader{Name: name, Kind: store.Person}, []string{"unix:" + name}, store.LinkSetup)
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
		if err := a.demoSyncOne(ctx, srv, c, line); err != nil {
			return err
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

// demoSyncOne syncs a connection, unless that has happened meanwhile.
func (a *app) demoSyncOne(ctx context.Context, srv *service, c store.Connection, line *progress) error {
	c, err := srv.store.Connection(ctx, c.ID.String())
	if err != nil || (c.ContentAsOf != nil && c.PermissionsAsOf != nil) {
		return err
	}
	runs, err := srv.engine.runner.RequestLanes(ctx, c, syncFlags{}.lanes(), "setup", false)
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
	return nil
}

// printTour prints commands that work: three for the folders, and two for the
// drive where it is connected.
func (a *app) printTour(s settings.Settings, reader string, drive driveTour) {
	dataDir := ""
	if plain, err := settings.Load(settings.Source{Environ: []string{"HOME=" + a.env("HOME"), "XDG_DATA_HOME=" + a.env("XDG_DATA_HOME")}, UID: os.Geteuid()}); err != nil || plain.DataDir != s.DataDir {
		dataDir = s.DataDir
	}
	self := a.self(dataDir)
	a.printf("\nTry in another terminal:\n")
	a.printf("  %s search \"how are permissions enforced\" --as %s\n", self, shellQuote(reader))
	a.printf("  %s documents list --as %s --limit 10\n", self, shellQuote("unix:"+reader))
	a.printf("  %s keys create first --reader %s --connections all\n", self, shellQuote(reader))
	a.printDriveTour(self, drive)
	a.printf("\nCtrl-C stops Tributary.\n")
}
