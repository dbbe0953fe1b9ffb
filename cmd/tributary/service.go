package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"tributary/internal/password"
	"tributary/internal/seal"
	"tributary/internal/settings"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web"
)

// parts says what a process does.
type parts struct {
	web, workers bool
	workerCount  int
	purpose      store.Purpose
	// quiet keeps the log to warnings: a person reads this process's output.
	quiet bool
}

// service is a process that stays: web server, workers, metrics.
type service struct {
	settings settings.Settings
	parts    parts
	ports    *ports
	db       *database
	log      *slog.Logger
	// store serves the workers and this process's own work, web the requests:
	// a pool each, so that neither starves the other.
	store, webStore *store.Store
	// ring opens what is sealed; where it is nil, noRing says why.
	ring    *seal.Ring
	noRing  error
	consent *consent
	engine  *engine
	server  *web.Server
	metrics *web.Metrics
	public  string
	// sandbox is Sandbox Drive, nil where none is served.
	sandbox *sandboxService
}

func (a *app) newService(ctx context.Context, s settings.Settings, d *database, p *ports, what parts) (*service, error) {
	if d.managed {
		a.cleanURL = d.migrateURL
	}
	srv := &service{settings: s, parts: what, ports: p, db: d, log: a.logger(!what.quiet), metrics: web.NewMetrics()}
	if err := srv.open(ctx, a); err != nil {
		srv.close(ctx)
		return nil, err
	}
	return srv, nil
}

func (srv *service) open(ctx context.Context, a *app) error {
	var err error
	if srv.store, err = openStore(ctx, srv.db, srv.parts.purpose, a.cleanURL, a.readAudit(srv.settings), srv.log); err != nil {
		return err
	}
	// SECURITY: nothing is served from a database whose roles or functions are not those that were migrated.
	if err := srv.store.CheckDatabase(ctx); err != nil {
		return err
	}
	if err := ensureProfile(ctx, srv.store); err != nil {
		return err
	}
	if srv.ring, srv.noRing, err = openVault(ctx, srv.settings, srv.store, srv.log); err != nil {
		return err
	}
	srv.metrics.SetGauges(srv.gauges(gauges(srv.store)))
	public := srv.settings.PublicURL
	if srv.parts.web {
		public = withPort(public, srv.ports.web.Addr())
		if srv.webStore, err = openStore(ctx, srv.db, store.Web, a.cleanURL, a.readAudit(srv.settings), srv.log); err != nil {
			return err
		}
	}
	srv.public = public.String()
	srv.consent, err = newConsent(consentConfig{
		settings: srv.settings, store: srv.store, pages: srv.webStore, ring: srv.ring, noRing: srv.noRing, public: srv.public,
		returns: func(path string) bool { return srv.server.Returns(path) }, log: srv.log,
	})
	if err != nil {
		return err
	}
	// A process without workers asks for runs and leaves them to others.
	if srv.engine, err = a.newEngine(ctx, srv.settings, srv.store, srv.consent, srv.log, srv.parts.workerCount); err != nil {
		return err
	}
	if srv.parts.web {
		return srv.openWeb(a, public) //nolint:contextcheck // handlers take the context of their request
	}
	return nil
}

// openWeb makes the server of the pages and the API.
func (srv *service) openWeb(a *app, public *url.URL) error {
	providers, err := oauthflow.Shipped()
	if err != nil {
		return err
	}
	pages := &web.OAuth{
		Store: srv.webStore, Registrations: srv.consent.registrations, Flows: srv.consent.flows, Grants: srv.consent.grants,
		Refresher: srv.consent.keeper, Syncer: srv.engine.runner, Chooser: srv.engine.runner, Opener: srv.engine.runner, FolderRoots: srv.settings.FolderRoots, Providers: providers, KeyProblem: srv.consent.keyProblem,
		Sandbox: srv.sandboxBase,
	}
	for _, c := range a.connectors() {
		pages.Sources = append(pages.Sources, c.Spec())
	}
	srv.server = web.New(web.Config{
		PublicURL: public, TrustedProxies: srv.settings.TrustedProxies,
		ListenerIsPublic: srv.settings.TLSCert == "" && web.ListensPublicly(srv.ports.web.Addr()),
		Store:            srv.webStore, Embedder: queryEmbedder{srv.webStore}, Ready: srv.ready,
		Accounts: srv.webStore, Passwords: password.NewHasher(), SetUp: func() { srv.forgetSetupToken() },
		OAuth: pages, Feed: srv.webStore,
		Push: &web.Push{Store: srv.webStore, Pusher: srv.engine.runner}, Admin: &web.Admin{Store: srv.webStore, Runner: srv.engine.runner},
		KeyPerMinute: srv.settings.KeyPerMinute, ReadersPerMinute: srv.settings.KeyReadersPerMinute,
		System:  srv.systemPages(),
		Version: version, Metrics: srv.metrics, Log: srv.log,
	})
	return nil
}

// feedStore is the store whose waiting requests the feed wakes.
func (srv *service) feedStore() *store.Store {
	if srv.webStore != nil {
		return srv.webStore
	}
	return srv.store
}

// ready reports why the process cannot do its work: the database does not
// answer, or takes no writes.
func (srv *service) ready(ctx context.Context) error {
	for _, st := range []*store.Store{srv.webStore, srv.store} {
		if st == nil {
			continue
		}
		if err := st.Ping(ctx); err != nil {
			return err
		}
		if err := st.Writable(ctx); err != nil {
			return err
		}
	}
	return nil
}

// withPort fills in the port that the system chose for port 0.
func withPort(u *url.URL, addr net.Addr) *url.URL {
	if u.Port() != "0" {
		return u
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return u
	}
	out := *u
	out.Host = net.JoinHostPort(u.Hostname(), port)
	return &out
}

// run serves until ctx ends, the managed database ends, or a part fails. first
// runs once everything is up.
func (srv *service) run(ctx context.Context, first func(ctx context.Context) error) error {
	defer srv.close(ctx)
	group, inner := errgroup.WithContext(ctx)
	if srv.parts.workers {
		if err := srv.engine.runner.Start(inner); err != nil {
			return err
		}
	}
	group.Go(func() error { return srv.consent.run(inner) })
	group.Go(func() error { return srv.engine.runner.WatchHealth(inner) })
	group.Go(func() error { return srv.feedStore().KeepFeed(inner, srv.settings.FeedRetention) })
	if srv.server != nil {
		group.Go(func() error { return srv.webStore.KeepReads(inner) })
		group.Go(func() error { return srv.server.Serve(inner, srv.ports.web, srv.settings.TLSCert, srv.settings.TLSKey) })
	}
	if srv.ports.metrics != nil {
		group.Go(func() error { return srv.metrics.ServeMetrics(inner, srv.ports.metrics, srv.ready, srv.log) })
	}
	if srv.sandbox != nil {
		group.Go(func() error { return srv.sandbox.serve(inner) })
	}
	if srv.db.server != nil {
		group.Go(func() error { return srv.watchDatabase(inner) })
	}
	group.Go(func() error { return first(inner) })
	group.Go(func() error {
		<-inner.Done()
		return nil
	})
	err := srv.endOf(ctx, group.Wait())
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		// Being asked to stop is the normal end.
		return nil
	}
	return err
}

// watchDatabase ends the process when the managed PostgreSQL has ended by
// itself: the next start recovers it.
func (srv *service) watchDatabase(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-srv.db.server.Done():
		return srv.databaseEnded()
	}
}

func (srv *service) databaseEnded() error {
	cause := srv.db.server.Err()
	if cause == nil {
		cause = errors.New("it was stopped")
	}
	return &databaseError{fmt.Errorf("the managed PostgreSQL has ended: %w; start again, it recovers by itself", cause)}
}

// endOf returns what ended the parts: where one of them noticed the end of the
// managed PostgreSQL before the watch did, that end.
func (srv *service) endOf(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || srv.db.server == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	if srv.store.Ping(ctx) == nil {
		return err
	}
	select {
	case <-srv.db.server.Done():
		return srv.databaseEnded()
	case <-ctx.Done():
		return err
	}
}

// close lets jobs in flight commit and closes what open opened.
func (srv *service) close(ctx context.Context) {
	timeout := closeTimeout
	if srv.db.gone() {
		// Nothing can be committed any more.
		timeout = goneTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if srv.engine != nil {
		if err := srv.engine.close(ctx); err != nil {
			srv.log.Warn("stopping the workers", "error", err)
		}
		srv.engine = nil
	}
	if srv.consent != nil {
		if err := srv.consent.close(ctx); err != nil {
			srv.log.Warn("stopping refreshes", "error", err)
		}
		srv.consent = nil
	}
	for _, st := range []*store.Store{srv.webStore, srv.store} {
		if st != nil {
			st.Close()
		}
	}
	srv.webStore, srv.store = nil, nil
}

// gauges adds to others what this process knows by itself.
func (srv *service) gauges(others func(ctx context.Context) ([]web.Sample, error)) func(ctx context.Context) ([]web.Sample, error) {
	return func(ctx context.Context) ([]web.Sample, error) {
		samples, err := others(ctx)
		if srv.webStore != nil {
			samples = append(samples, web.Sample{Name: "tributary_read_audit_lost", Help: "Reads of documents that this process could not record.", Value: float64(srv.webStore.LostReads())})
		}
		return samples, err
	}
}

// gauges reports the connections' freshness.
func gauges(st *store.Store) func(ctx context.Context) ([]web.Sample, error) {
	return func(ctx context.Context) ([]web.Sample, error) {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		samples := []web.Sample{{
			Name: "tributary_build_info", Help: "The running version.", Value: 1,
			Labels: [][2]string{{"version", version}, {"commit", commit}, {"go", runtime.Version()}},
		}}
		connections, err := st.Connections(ctx)
		if err != nil {
			return samples, err
		}
		now, err := st.Now(ctx)
		if err != nil {
			return samples, err
		}
		states := map[[2]string]int{}
		oldest := map[string]float64{}
		for _, c := range connections {
			states[[2]string{c.Source, string(c.State)}]++
			if c.PermissionsAsOf != nil {
				oldest[c.Source] = max(oldest[c.Source], now.Sub(*c.PermissionsAsOf).Seconds())
			}
		}
		for k, n := range states {
			samples = append(samples, web.Sample{Name: "tributary_connections", Help: "Connections by source and state.", Labels: [][2]string{{"source", k[0]}, {"state", k[1]}}, Value: float64(n)})
		}
		notices, err := noticeGauges(ctx, st)
		if err != nil {
			return samples, err
		}
		samples = append(samples, notices...)
		feed, err := feedGauges(ctx, st)
		if err != nil {
			return samples, err
		}
		samples = append(samples, feed...)
		for source, age := range oldest {
			samples = append(samples, web.Sample{Name: "tributary_permissions_age_seconds", Help: "Age of the oldest permission snapshot.", Labels: [][2]string{{"source", source}}, Value: age})
		}
		return samples, nil
	}
}
