package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"
)

// Limits of a connection and of a request.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 90 * time.Second
	maxHeaderBytes    = 16 << 10
	maxBodyBytes      = 1 << 20
	drainTimeout      = 20 * time.Second
)

// Config says what a Server serves, and for whom.
type Config struct {
	// PublicURL is the only source of links and the only Host answered.
	PublicURL *url.URL
	// TrustedProxies may speak for other addresses; see ListenerIsPublic.
	TrustedProxies []netip.Prefix
	// ListenerIsPublic says that plain http is served on an address that is not
	// loopback: then only TrustedProxies and the machine itself may connect.
	ListenerIsPublic bool
	// Store answers everything about documents and connections.
	Store Store
	// Accounts knows who uses the pages, Passwords compares what they type.
	Accounts  Accounts
	Passwords Passwords
	// OAuth serves registrations, consents, grants and connections; nil serves none of them.
	OAuth *OAuth
	// Admin serves the admin API, beside OAuth; nil serves none.
	Admin *Admin
	// System serves the pages of the instance itself, beside Admin; nil serves none.
	System *System
	// Push takes documents; nil takes none.
	Push *Push
	// Feed serves the feed of changes; nil serves none.
	Feed FeedStore
	// SetUp is called when the first account was made; nil for nothing.
	SetUp func()
	// Embedder turns a query into a vector; nil means that no embedding
	// profile is active, and then hybrid search is keyword search.
	Embedder QueryEmbedder
	// Ready reports what keeps the process from serving, nil if nothing does.
	Ready func(ctx context.Context) error
	// MaxConcurrent bounds the requests that use the database at a time; it
	// should not exceed the size of the store's pool. 0 means 10.
	MaxConcurrent int
	// KeyPerMinute is how many requests a minute an API key may make here that has
	// no limit of its own; 0 means DefaultKeyPerMinute.
	KeyPerMinute int
	// ReadersPerMinute is how many readers a trusted key may name here a minute
	// before a notice is raised; 0 means DefaultReadersPerMinute.
	ReadersPerMinute int
	// AcquireTimeout is how long a request waits for its turn; 0 means 5 s.
	AcquireTimeout time.Duration
	// Version is shown to those who are signed in.
	Version string
	Metrics *Metrics
	Log     *slog.Logger
}

// Server is the HTTP server of one process.
type Server struct {
	cfg      Config
	echo     *echo.Echo
	searcher Searcher
	// authenticator proves who signs in.
	authenticator Authenticator
	// table is every address that is served.
	table []route
	// slots bound the requests that use the database, hashing those that hash a
	// password besides, calling those that call a provider besides, and
	// waiting those that wait for the feed.
	slots, hashing, calling, waiting chan struct{}
	// pushing bounds the requests that store documents, pushed their bytes.
	pushing  chan struct{}
	pushed   *semaphore.Weighted
	refusals refusals
	guesses  guesses
	// rates bound what each API key asks, namings count whom trusted ones name.
	rates   *rates
	namings *namings
	// fills remembers how fast embedding profiles are filled.
	fills    fillRates
	draining atomic.Bool
	// live wakes the pages that are watched; nil where none can be. heartbeat is how often their streams say that they live.
	live      *hub
	heartbeat time.Duration
}

// maxHashing is how many requests may stand in line for hashing a password,
// which takes each about 50 ms of a processor.
const maxHashing = 128

// maxCalling is how many requests may wait for a provider at a time. They use
// the database before and after, and not meanwhile.
const maxCalling = 32

// New returns a Server that is not listening yet.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics()
	}
	if cfg.MaxConcurrent <= 0 {
		cfg.MaxConcurrent = 10
	}
	if cfg.AcquireTimeout <= 0 {
		cfg.AcquireTimeout = 5 * time.Second
	}
	s := &Server{
		cfg: cfg, echo: echo.New(), slots: make(chan struct{}, cfg.MaxConcurrent), hashing: make(chan struct{}, maxHashing), calling: make(chan struct{}, maxCalling), waiting: make(chan struct{}, maxWaiting),
		pushing: make(chan struct{}, maxPushing), pushed: semaphore.NewWeighted(maxPushedBytes),
		rates: newRates(cfg.KeyPerMinute), namings: newNamings(cfg.ReadersPerMinute),
		authenticator: localAccounts{cfg.Accounts, cfg.Passwords},
		searcher:      Searcher{Store: cfg.Store, Embedder: cfg.Embedder, Log: cfg.Log},
	}
	if cfg.Admin != nil {
		s.live, s.heartbeat = newHub(cfg.Admin.Store, cfg.Log), heartbeatEvery
	}
	s.echo.HideBanner, s.echo.HidePort = true, true
	s.echo.HTTPErrorHandler = s.handleError
	s.echo.IPExtractor = extractIP(cfg.TrustedProxies)
	s.routes()
	return s
}

// extractIP believes X-Forwarded-For from the named proxies only.
func extractIP(proxies []netip.Prefix) echo.IPExtractor {
	if len(proxies) == 0 {
		return echo.ExtractIPDirect()
	}
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range proxies {
		trust = append(trust, echo.TrustIPRange(&net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	return echo.ExtractIPFromXFFHeader(trust...)
}

// Handler returns the whole of the server as a handler.
func (s *Server) Handler() http.Handler { return s.echo }

// Serve answers requests on l until ctx ends, then lets those in flight finish.
// certFile and keyFile are empty for plain http.
func (s *Server) Serve(ctx context.Context, l net.Listener, certFile, keyFile string) error {
	defer s.lastRefusals(context.WithoutCancel(ctx))
	return serve(ctx, l, s.echo, s.cfg.Log, certFile, keyFile, s.drain)
}

// drain says that the server is about to end: no probe calls it ready, and streams end.
func (s *Server) drain() {
	s.draining.Store(true)
	if s.live != nil {
		s.live.close()
	}
}

// serve runs an http.Server with the limits above.
func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger, certFile, keyFile string, draining func()) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	done := make(chan error, 1)
	go func() {
		if certFile != "" {
			done <- srv.ServeTLS(l, certFile, keyFile)
			return
		}
		done <- srv.Serve(l)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	draining()
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	err := srv.Shutdown(drain)
	if err != nil {
		err = errors.Join(err, srv.Close())
	}
	if serveErr := <-done; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
