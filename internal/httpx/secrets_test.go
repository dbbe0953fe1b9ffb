package httpx

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/connectors"
)

const canary = "canary-5e2f1c"

func secretClient(t *testing.T, o Options, addresses ...string) *http.Client {
	t.Helper()
	o.PlainLoopback, o.Allow, o.CredentialHosts = true, allow(t, addresses...), append(o.CredentialHosts, addresses...)
	c, err := NewForSecrets(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func form() io.Reader {
	return strings.NewReader(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {canary}}.Encode())
}

// TestSecretsFollowNoRedirect: whatever the status, the second host receives no byte, though it would be trusted.
func TestSecretsFollowNoRedirect(t *testing.T) {
	t.Parallel()
	second := listenDead(t, "127.0.0.1:0")
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			var requests atomic.Int64
			s := server(t, func(w http.ResponseWriter, _ *http.Request) {
				requests.Add(1)
				w.Header().Set("Location", "http://"+second.Addr().String()+"/token?"+canary)
				w.WriteHeader(status)
			})
			c := secretClient(t, Options{}, s.Listener.Addr().String(), second.Addr().String())
			_, err := send(t, c, method, s.URL, form())
			wantError(t, err, ErrRedirect, connectors.Invalid)
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error quotes: %v", err)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d: %d requests, want 1", status, n)
			}
			// Nor does a client that somebody builds around the transport.
			own := &http.Client{Transport: c.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return nil }}
			_, err = send(t, own, method, s.URL, form())
			wantError(t, err, ErrRedirect, connectors.Invalid)
		}
	}
	if c, b := second.connects.Load(), second.bytes.Load(); c != 0 || b != 0 {
		t.Errorf("the second host saw %d connections and %d bytes, want 0", c, b)
	}
}

// TestSecretsStayAtTheirHosts: an allowed host is not yet one for secrets.
func TestSecretsStayAtTheirHosts(t *testing.T) {
	t.Parallel()
	other := listenDead(t, "127.0.0.1:0")
	c, err := NewForSecrets(Options{
		PlainLoopback: true, Allow: allow(t, other.Addr().String()), CredentialHosts: []string{"127.0.0.1", "login.example.com"},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = send(t, c, http.MethodPost, "http://"+other.Addr().String(), form())
	wantError(t, err, ErrRefused, connectors.Invalid)
	if n := other.connects.Load(); n != 0 {
		t.Errorf("%d connections, want 0", n)
	}
	if _, err := NewForSecrets(Options{}); err == nil {
		t.Error("a client for secrets without hosts")
	}
	for _, host := range []string{"", "https://login.example.com", "login.example.com/token", "*.example.com", "a:b:c", "x:0", "user@x", "127.1"} {
		if _, err := New(Options{CredentialHosts: []string{host}}); err == nil {
			t.Errorf("credential host %q was accepted", host)
		}
	}
}

// TestSecretsAreSentOnce: a server that answers one request and hangs up after the next sees that one once.
func TestSecretsAreSentOnce(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n := requests.Add(1); n%2 == 0 {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.Close()
		}
	})
	c := secretClient(t, Options{}, s.Listener.Addr().String())
	for i, method := range []string{http.MethodPost, http.MethodGet} {
		resp, err := send(t, c, http.MethodPost, s.URL, form())
		text(t, resp, err)
		var body io.Reader
		if method == http.MethodPost {
			body = form()
		}
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+canary)
		req.Header.Set("Idempotency-Key", "1") // which makes net/http repeat a POST
		_, err = Do(c, req)
		wantError(t, err, ErrNoAnswer, connectors.Transient)
		if n := requests.Load(); n != int64(2*i+2) {
			t.Errorf("%s: %d requests in all, want %d", method, n, 2*i+2)
		}
		tr := c.Transport.(*transport)
		if to, err := tr.admit(req); err != nil || tr.outgoing(t.Context(), req, to).GetBody != nil {
			t.Errorf("%s: net/http could rewind the body: %v", method, err)
		}
	}
}

// TestSecretLimits: a token answer is small and soon.
func TestSecretLimits(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20+1)) })
	resp, err := send(t, secretClient(t, Options{}, s.Listener.Addr().String()), http.MethodPost, s.URL, form())
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, resp.Body)
	wantError(t, err, ErrTooLarge, connectors.Transient)
	if n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
	address, _ := slow(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0")
	clock := newClock()
	out := fetch(t.Context(), secretClient(t, Options{Clock: clock}, address), "http://"+address)
	clock.await(t, 10*time.Second)
	clock.await(t, 30*time.Second) // for the byte
	clock.await(t, 30*time.Second) // for the next
	clock.advance(30 * time.Second)
	if err := result(t, out).err; connectors.ClassOf(err) != connectors.Transient {
		t.Errorf("after 30 s: %v", err)
	}
}

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotBefore: time.Now().Add(-100 * time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return authority{cert, key, pool}
}

// issue signs a certificate, or lets it sign itself.
func (a authority) issue(t *testing.T, until time.Time, self bool, name string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-50 * time.Hour), NotAfter: until}
	if ip := net.ParseIP(name); ip != nil {
		tmpl.IPAddresses = []net.IP{ip}
	} else {
		tmpl.DNSNames = []string{name}
	}
	parent, signer := a.cert, a.key
	if self {
		parent, signer = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestTLS: only a valid certificate of the right host over TLS 1.2 or newer gets a request.
func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	later := time.Now().Add(time.Hour)
	for name, c := range map[string]struct {
		cert  tls.Certificate
		max   uint16
		cause error
		says  string
	}{
		"valid":       {ca.issue(t, later, false, "127.0.0.1"), 0, nil, ""},
		"TLS 1.2":     {ca.issue(t, later, false, "127.0.0.1"), tls.VersionTLS12, nil, ""},
		"TLS 1.1":     {ca.issue(t, later, false, "127.0.0.1"), tls.VersionTLS11, ErrNoAnswer, ""},
		"self-signed": {ca.issue(t, later, true, "127.0.0.1"), 0, ErrCertificate, "issuer is unknown"},
		"expired":     {ca.issue(t, time.Now().Add(-time.Hour), false, "127.0.0.1"), 0, ErrCertificate, "expired"},
		"wrong host":  {ca.issue(t, later, false, "other.example.com"), 0, ErrCertificate, "another host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				fmt.Fprint(w, r.Proto)
			}))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{c.cert}, MinVersion: tls.VersionTLS10, MaxVersion: c.max}
			s.EnableHTTP2 = true
			s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
			s.StartTLS()
			t.Cleanup(s.Close)
			address := s.Listener.Addr().String()
			content := client(t, Options{Allow: allow(t, address), RootCAs: ca.pool})
			for _, cl := range []*http.Client{content, secretClient(t, Options{RootCAs: ca.pool}, address)} {
				resp, err := send(t, cl, http.MethodPost, "https://"+address, form())
				if c.cause == nil {
					if got, want := text(t, resp, err), "HTTP/1.1"; got != want && cl != content {
						t.Errorf("protocol %s, want %s", got, want)
					}
					continue
				}
				wantError(t, err, c.cause, connectors.Transient)
				if !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v does not say %q", err, c.says)
				}
			}
			if c.cause != nil && requests.Load() != 0 {
				t.Errorf("%d requests, want 0", requests.Load())
			}
		})
	}
}
