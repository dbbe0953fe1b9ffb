package httpx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tributary/connectors"
)

// Options say where a client may go, with what and for how long.
type Options struct {
	// Allow opens private hosts and other ports than 80 and 443.
	Allow AllowList
	// PlainLoopback permits http to loopback addresses that Allow opens, for development. All else is https.
	PlainLoopback bool
	// CredentialHosts may receive credentials, as "host" for port 443 (for http 80) or "host:port". Requests to other hosts
	// lose theirs; the client of [NewForSecrets] refuses other hosts altogether.
	CredentialHosts []string
	// CredentialHeaders carry credentials besides Authorization, Proxy-Authorization and Cookie: "Private-Token".
	CredentialHeaders []string
	// Limits that are zero have the values of [DefaultLimits] or [SecretLimits].
	Limits Limits
	// RootCAs replaces the machine's trusted certificates; nil keeps them.
	RootCAs *x509.CertPool
	// UserAgent is sent where the request names none; empty sends "tributary".
	UserAgent string
	// Clock is the machine's when nil.
	Clock Clock
}

// Limits bound one request. A redirect that is followed starts a request with limits of its own.
type Limits struct {
	// Header is the time from the start of the request to the answer's header.
	Header time.Duration
	// Idle is the longest wait for the next byte of the body.
	Idle time.Duration
	// MinRate is the least number of bytes in a second, over each RateWindow of waiting. What the reader of the body
	// spends between two reads counts neither here nor for Idle.
	MinRate    int64
	RateWindow time.Duration
	// Total is the time from the start to the end of the body.
	Total time.Duration
	// Body is the most that can be read of an answer, after decompression.
	Body int64
}

// DefaultLimits are those of a connector's client.
func DefaultLimits() Limits {
	return Limits{
		Header: 10 * time.Second, Idle: 30 * time.Second, MinRate: 1 << 10, RateWindow: time.Minute,
		Total: 15 * time.Minute, Body: 256 << 20,
	}
}

// SecretLimits are those of a client for secrets.
func SecretLimits() Limits {
	l := DefaultLimits()
	l.Total, l.Body = 30*time.Second, 1<<20
	return l
}

func (l Limits) or(d Limits) Limits {
	if l.Header <= 0 {
		l.Header = d.Header
	}
	if l.Idle <= 0 {
		l.Idle = d.Idle
	}
	if l.MinRate <= 0 {
		l.MinRate = d.MinRate
	}
	if l.RateWindow <= 0 {
		l.RateWindow = d.RateWindow
	}
	if l.Total <= 0 {
		l.Total = d.Total
	}
	if l.Body <= 0 {
		l.Body = d.Body
	}
	return l
}

const (
	maxRedirects   = 5
	maxHeaderBytes = 256 << 10
	maxIdlePerHost = 8
	idleConnection = 90 * time.Second
)

// New returns a client for content. It follows at most five redirects, each judged like a first request; credentials go to
// Options.CredentialHosts only and never from one host to another. Every guarantee is the transport's, so that it may be
// wrapped. Errors are those of errors.go inside a *url.Error: call it through [Do], or pass errors through [Redact].
// CloseIdleConnections releases it.
func New(o Options) (*http.Client, error) {
	t, err := newTransport(o, DefaultLimits())
	if err != nil {
		return nil, err
	}
	return &http.Client{Transport: t}, nil
}

// NewForSecrets returns a client for endpoints that receive secrets: token, revocation, introspection, discovery, userinfo.
// It calls Options.CredentialHosts only, answers ErrRedirect instead of following one, opens a connection for each request
// and sends nothing twice.
func NewForSecrets(o Options) (*http.Client, error) {
	if len(o.CredentialHosts) == 0 {
		return nil, errors.New("credential hosts are missing; name the hosts of the endpoints")
	}
	t, err := newTransport(o, SecretLimits())
	if err != nil {
		return nil, err
	}
	t.secrets, t.tooLarge = true, connectors.Transient
	// SECURITY: net/http repeats a request only after a connection that was used before; here there is none.
	for _, rt := range []*http.Transport{t.secure, t.plain} {
		rt.DisableKeepAlives = true
		rt.ForceAttemptHTTP2 = false
		rt.Protocols = new(http.Protocols)
		rt.Protocols.SetHTTP1(true)
	}
	return &http.Client{Transport: t}, nil
}

func newTransport(o Options, limits Limits) (*transport, error) {
	t := &transport{
		guard:     &guard{allow: o.Allow, plain: o.PlainLoopback},
		limits:    o.Limits.or(limits),
		clock:     o.Clock,
		userAgent: o.UserAgent,
		headers:   append([]string{"Authorization", "Proxy-Authorization", "Cookie"}, o.CredentialHeaders...),
		hosts:     map[string]bool{},
		tooLarge:  connectors.ItemSkipped,
	}
	if t.clock == nil {
		t.clock = systemClock{}
	}
	if t.userAgent == "" {
		t.userAgent = "tributary"
	}
	for _, host := range o.CredentialHosts {
		if err := t.addCredentialHost(host); err != nil {
			return nil, fmt.Errorf("reading credential host %.80q: %w", host, err)
		}
	}
	t.secure, t.plain = t.wire("https", o.RootCAs), t.wire("http", nil)
	return t, nil
}

// wire returns the transport for one scheme.
func (t *transport) wire(scheme string, roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // SECURITY: a proxy of the environment would see every token and reach every address.
		DialContext:            t.guard.dialer(scheme),
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout:    connectTimeout,
		ForceAttemptHTTP2:      true,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleConnection,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}
