package oauthflow_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/httpx"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// limited has consents wait for answers no longer than d.
func (r *rig) limited(d time.Duration) {
	r.client = oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true, Limits: httpx.Limits{Header: d, Idle: d, Total: d}})
	r.flows = oauthflow.NewFlows(oauthflow.FlowsConfig{Store: r.store, Vault: r.ring, Client: r.client, PublicURL: publicURL})
}

// testHanging: the server takes the code and never answers; it is asked once, and the person starts again.
func testHanging(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.limited(300 * time.Millisecond)
	release := make(chan struct{})
	defer close(release)
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.After = func(http.ResponseWriter, *http.Request) bool { <-release; return true }
	})
	to := r.start(t, plan("a"))
	before := r.server.Count("token")
	_, err := r.back(t, to)
	if e := flowRefused(t, err, oauthflow.FlowTimeout); !strings.Contains(e.Remedy, "Start the connection again") || !strings.Contains(e.Remedy, "not sent a second time") {
		t.Errorf("got %+v", e)
	}
	_, err = r.back(t, to)
	flowRefused(t, err, oauthflow.FlowUnknownState)
	if n := r.server.Count("token") - before; n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
}

// testInjectedCode: the code of another transaction is refused by the server, and not tried again.
func testInjectedCode(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	stolen := r.start(t, plan("a")).Query().Get("code")
	_, err := r.back(t, with(r.start(t, plan("b")), func(q url.Values) { q.Set("code", stolen) }))
	flowRefused(t, err, oauthflow.FlowCodeRefused)
	if r.tokens() != 1 {
		t.Errorf("%d token requests, want 1", r.tokens())
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM oauth_grant`); n != 0 {
		t.Errorf("%d grants", n)
	}
}

// testOneStyle: a client proves itself in the one way of its profile; what fails is not tried in another.
func testOneStyle(t *testing.T) {
	t.Parallel()
	for _, auth := range []string{"client_secret_basic", "client_secret_post"} {
		r := newRig(t, oauthtest.Generic(), "", func(m map[string]any) { m["client_auth"] = auth })
		r.server.Set(func(b *oauthtest.Behaviour) { b.Auth = auth })
		p := r.pair(t, r.connect(t, plan("a")).Grant)
		for _, status := range []int{http.StatusBadGateway, http.StatusUnauthorized, http.StatusBadRequest} {
			before := r.server.Count("token")
			r.server.Set(func(b *oauthtest.Behaviour) {
				b.Before = func(_ string, w http.ResponseWriter, q *http.Request) bool {
					if _, _, basic := q.BasicAuth(); basic != (auth == "client_secret_basic") {
						t.Errorf("%s: basic is %t", auth, basic)
					}
					w.WriteHeader(status)
					return true
				}
			})
			if _, err := r.refresh(t, p); err == nil {
				t.Errorf("%d: no error", status)
			}
			if n := r.server.Count("token") - before; n != 1 {
				t.Errorf("%d with %s: %d requests, want 1", status, auth, n)
			}
		}
	}
	lint, err := os.ReadFile("../.golangci.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, banned := range []string{`oauth2\.AuthStyleAutoDetect`, `oauth2\.Config\.(Exchange`} {
		if !strings.Contains(string(lint), banned) {
			t.Errorf("the linter lets %s pass", banned)
		}
	}
}

// certificate issues one for a host, signed by itself or by the authority.
func certificate(t *testing.T, host string, ends time.Time, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true, IsCA: by == nil,
	}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	parent, signer := c, any(key)
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// testCertificates: a server that is not proven gets no request.
func testCertificates(t *testing.T) {
	t.Parallel()
	later, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	authority := certificate(t, "authority", later, nil)
	roots := x509.NewCertPool()
	roots.AddCert(authority.Leaf)
	for name, c := range map[string]struct {
		cert tls.Certificate
		max  uint16
		good bool
	}{
		"good": {cert: certificate(t, "127.0.0.1", later, &authority), good: true}, "self-signed": {cert: certificate(t, "127.0.0.1", later, nil)},
		"expired": {cert: certificate(t, "127.0.0.1", past, &authority)}, "wrong host": {cert: certificate(t, "other.example.com", later, &authority)},
		"TLS 1.1": {cert: certificate(t, "127.0.0.1", later, &authority), max: tls.VersionTLS11},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"access_token":"at","token_type":"bearer"}`))
			}))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{c.cert}, MinVersion: tls.VersionTLS10, MaxVersion: c.max}
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
			s.StartTLS()
			t.Cleanup(s.Close)
			client := oauthflow.NewTokenClient(oauthflow.TokenClientConfig{RootCAs: roots})
			_, err := client.Code(t.Context(), clientAt(t, s.URL), oauthflow.CodeRequest{Code: secret.New("a-code")}, nil)
			if (err == nil) != c.good || requests.Load() > 0 != c.good {
				t.Errorf("got %v and %d requests", err, requests.Load())
			}
			if err != nil && strings.Contains(err.Error(), "a-code") {
				t.Errorf("the error tells the code: %v", err)
			}
		})
	}
}

// clientAt is a client of a server by the standards at an address.
func clientAt(t *testing.T, address string) oauthflow.Client {
	t.Helper()
	rules := oauthflow.Rules{LoopbackHTTP: true, PrivateAddresses: true}
	p, err := oauthflow.ParseProfile((&oauthtest.Server{URL: address}).Profile(t, "", nil), rules)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return oauthflow.Client{
		Registration: &oauthflow.Registration{Profile: p, ClientID: "client", AllowHosts: []string{u.Host}}, Credentials: oauthflow.Credentials{Secret: secret.New("the-secret")},
	}
}

// testSlowLoris: a server that keeps sending, a byte at a time, is given up on at the deadline.
func testSlowLoris(t *testing.T) {
	t.Parallel()
	for name, opening := range map[string]string{
		"in the header": "HTTP/1.1 200 OK\r\nX-Slow: ", "in the body": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			var accepted atomic.Int32
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					accepted.Add(1)
					go drip(conn, opening)
				}
			}()
			client := oauthflow.NewTokenClient(oauthflow.TokenClientConfig{
				LoopbackHTTP: true, Limits: httpx.Limits{Header: 400 * time.Millisecond, Idle: 300 * time.Millisecond, Total: 600 * time.Millisecond},
			})
			start := time.Now()
			var trace oauthflow.Trace
			_, err = client.Code(t.Context(), clientAt(t, "http://"+l.Addr().String()), oauthflow.CodeRequest{Code: secret.New("a-code")}, &trace)
			if err == nil || time.Since(start) > 5*time.Second || !trace.MaybeSent() || accepted.Load() != 1 {
				t.Errorf("got %v after %s over %d connections", err, time.Since(start), accepted.Load())
			}
			if te, ok := errors.AsType[*oauthflow.TokenError](err); ok && te.Definitive {
				t.Errorf("an answer that was cut off counts as a clear refusal: %+v", te)
			}
		})
	}
}

// drip answers for ever.
func drip(conn net.Conn, opening string) {
	defer func() { _ = conn.Close() }()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		return
	}
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for _, err := conn.Write([]byte(opening)); err == nil; _, err = conn.Write([]byte("x")) {
		<-tick.C
	}
}

// testHostileTexts: what a provider says is text of one line, wherever it is kept or shown.
func testHostileTexts(t *testing.T) {
	t.Parallel()
	const hostile = "Ada\x1b[31m\x1b]0;title\x07\u202egnp.exe\r\nSet-Cookie: x=1\u200b\u2028"
	r := newRig(t, oauthtest.Generic(), "", nil)
	var shown []string
	refused := func(err error) {
		t.Helper()
		e, ok := errors.AsType[*oauthflow.FlowError](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		if len(e.Came) > 410 { // an error and a description, of 200 characters each
			t.Errorf("%d characters", len(e.Came))
		}
		shown = append(shown, e.Error(), e.Title, e.Sent, e.Came, e.Remedy)
	}
	for _, field := range []string{"error", "error_description"} {
		_, err := r.back(t, with(r.start(t, plan("a")), func(q url.Values) {
			q.Del("code")
			q.Set("error", "server_error")
			q.Set(field, hostile+strings.Repeat("y ", 500))
		}))
		refused(err)
	}
	_, err := r.back(t, with(r.start(t, plan("a")), func(q url.Values) { q.Set("iss", hostile) }))
	refused(err)
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Errors = map[string]string{"invalid_grant": hostile}
	})
	_, err = r.back(t, with(r.start(t, plan("a")), func(q url.Values) { q.Set("code", "x") }))
	refused(err)
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Errors, b.Account, b.Extra = nil, hostile, []string{"scope\x1b[31m", "\u202escope", `scope"quoted`, "s\r\nx"}
	})
	res, err := r.back(t, r.start(t, plan("a", "files.read")))
	if err != nil {
		t.Fatal(err)
	}
	shown = append(shown, res.Account, strings.Join(res.Granted, " "), strings.Join(res.Broader, " "))
	if !strings.HasPrefix(res.Account, "Ada") {
		t.Errorf("the account is shown as %q", res.Account)
	}
	for _, column := range []string{"audit_event.detail", "oauth_grant.account", "oauth_grant.scopes", "connection.state_reason", "audit_event.actor"} {
		table, name, _ := strings.Cut(column, ".")
		shown = append(shown, pgtest.Scalar[string](t, r.db, `SELECT coalesce(string_agg(`+name+`::text, ' '), '') FROM `+table))
	}
	for _, s := range shown {
		for _, bad := range []string{"\x1b", "\r", "\n", "\x00", "\a", "\u202e", "\u200b", "\u2028", `\u001b`, `\u202e`, `\r`, `\n`, `\u0000`, `\u2028`} {
			if strings.Contains(s, bad) {
				t.Errorf("%q holds %q", s, bad)
			}
		}
	}
	if len(shown) < 25 {
		t.Errorf("only %d texts were looked at", len(shown))
	}
}
