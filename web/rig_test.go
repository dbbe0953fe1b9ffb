package web_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tributary/internal/audit"
	"tributary/internal/password"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/store"
	"tributary/web"
)

const goodPassword = "wild horses drink tea"

// goodHash is the hash of goodPassword.
var goodHash = sync.OnceValues(func() (string, error) {
	return password.NewHasher().Hash(context.Background(), secret.New(goodPassword))
})

// rig is an instance that is served over HTTP, on a database of its own.
type rig struct {
	t      *testing.T
	db     *pgtest.DB
	store  *store.Store
	web    *web.Server
	server *httptest.Server
	log    *lockedBuffer
	// verified counts the passwords that were compared.
	verified atomic.Int64
}

type countingPasswords struct {
	*password.Hasher
	n *atomic.Int64
}

func (p countingPasswords) Verify(ctx context.Context, hash string, s secret.Text) (bool, error) {
	p.n.Add(1)
	return p.Hasher.Verify(ctx, hash, s)
}

func newRig(t *testing.T, tls bool, change func(*web.Config)) *rig {
	t.Helper()
	return newRigThrough(t, tls, change, func(databaseURL string) string { return databaseURL })
}

// newRigThrough reaches its database by another address.
func newRigThrough(t *testing.T, tls bool, change func(*web.Config), through func(databaseURL string) string) *rig {
	t.Helper()
	r := &rig{t: t, db: pgtest.New(t), log: &lockedBuffer{}}
	var err error
	r.store, err = store.Open(t.Context(), store.Config{URL: through(r.db.URL), Purpose: store.Web})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.store.Close)
	r.server = httptest.NewUnstartedServer(nil)
	scheme := "http"
	if tls {
		scheme = "https"
	}
	cfg := web.Config{
		PublicURL: &url.URL{Scheme: scheme, Host: r.server.Listener.Addr().String()}, Store: r.store, Accounts: r.store,
		Passwords: countingPasswords{password.NewHasher(), &r.verified}, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		// A test is many addresses.
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	}
	cfg.Push = &web.Push{Store: r.store, Pusher: heldPusher{}}
	cfg.Feed = r.store
	if change != nil {
		change(&cfg)
	}
	r.web = web.New(cfg)
	r.server.Config.Handler = judging(t, r.web.Handler())
	if tls {
		r.server.StartTLS()
	} else {
		r.server.Start()
	}
	t.Cleanup(r.server.Close)
	return r
}

// account makes an account whose password is goodPassword.
func (r *rig) account(name string, role store.AccountRole) store.Account {
	r.t.Helper()
	hash, err := goodHash()
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := r.store.CreateAccount(context.Background(), audit.Actor{Kind: audit.System, Name: "test"}, store.NewAccount{Name: name, Role: role, Password: store.Password{Hash: hash}})
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// browser is one person's browser, with cookies.
type browser struct {
	r      *rig
	client *http.Client
	ip     string
}

func (r *rig) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		r.t.Fatal(err)
	}
	c := *r.server.Client()
	c.Jar = jar
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &browser{r: r, client: &c, ip: "192.0.2.1"}
}

// page is an answer that was read.
type page struct {
	status int
	header http.Header
	body   string
	cookie []*http.Cookie
}

func (p page) location() string { return p.header.Get("Location") }

// send sends a request as it is, with the browser's cookies and address.
func (b *browser) send(req *http.Request) page {
	b.r.t.Helper()
	if req.Header.Get("Accept") == "" {
		req.Header.Set("Accept", "text/html")
	}
	req.Header.Set("X-Forwarded-For", b.ip)
	resp, err := b.client.Do(req)
	if err != nil {
		b.r.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.r.t.Fatal(err)
	}
	return page{status: resp.StatusCode, header: resp.Header, body: string(body), cookie: resp.Cookies()}
}

func (b *browser) request(method, path, body string) *http.Request {
	b.r.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, b.r.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.r.t.Fatal(err)
	}
	return req
}

func (b *browser) get(path string) page { return b.send(b.request(http.MethodGet, path, "")) }

// post submits a form of one of the server's pages. fields are names and values
// in turn.
func (b *browser) post(path string, fields ...string) page {
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	req := b.request(http.MethodPost, path, form.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Origin", "null")
	return b.send(req)
}

func (b *browser) signIn(name string) page {
	return b.post("/signin", "name", name, "password", goodPassword)
}

// signedIn returns a browser in which the account of that name is signed in.
func (r *rig) signedIn(name string) *browser {
	r.t.Helper()
	b := r.browser()
	if p := b.signIn(name); p.status != http.StatusSeeOther || !b.isSignedIn() {
		r.t.Fatalf("signing in as %s: got %d\n%s", name, p.status, p.body)
	}
	return b
}

func (b *browser) isSignedIn() bool { return b.get("/account").status == http.StatusOK }

// cookies are what the browser would send.
func (b *browser) cookies() []*http.Cookie {
	u, err := url.Parse(b.r.server.URL)
	if err != nil {
		b.r.t.Fatal(err)
	}
	return b.client.Jar.Cookies(u)
}

// secretOf returns the value of the session cookie.
func (b *browser) secretOf() string {
	for _, c := range b.cookies() {
		if strings.HasSuffix(c.Name, "tributary") {
			return c.Value
		}
	}
	return ""
}

// plant puts a session cookie into the browser.
func (b *browser) plant(value string) {
	u, err := url.Parse(b.r.server.URL)
	if err != nil {
		b.r.t.Fatal(err)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "tributary", Value: value, Path: "/", Secure: u.Scheme == "https"}})
}

// events lists the audit log as "action outcome actor target".
func (r *rig) events() []string {
	r.t.Helper()
	return pgtest.Scalar[[]string](r.t, r.db, `
		SELECT coalesce(array_agg(action || ' ' || outcome || ' ' || actor_kind || ':' || actor || ' ' || target ORDER BY id), '{}') FROM audit_event`)
}

// state is the content of every table but for the marks of use.
func (r *rig) state() string {
	r.t.Helper()
	var out strings.Builder
	tables := pgtest.Scalar[[]string](r.t, r.db, `SELECT array_agg(c.relname::text ORDER BY 1) FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'tributary'::regnamespace`)
	for _, table := range tables {
		out.WriteString(table + ": " + pgtest.Scalar[string](r.t, r.db,
			`SELECT coalesce(string_agg((to_jsonb(t) - 'last_seen_at' - 'last_used_at')::text, E'\n' ORDER BY (to_jsonb(t))::text), '') FROM `+table+` t`) + "\n")
	}
	return out.String()
}
