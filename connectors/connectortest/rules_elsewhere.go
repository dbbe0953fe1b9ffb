package connectortest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"

	"tributary/connectors"
)

func elsewhereRules() []Rule {
	return []Rule{
		{ID: "elsewhere", Says: "Another host that the site redirects to or names never sees a credential, and is never asked as if it were the site.", run: elsewhere},
	}
}

// trap is a server that nobody was told to trust.
type trap struct {
	*httptest.Server
	mu sync.Mutex
	// seen is what was sent to it, with all that could hold a credential.
	seen []string
}

func newTrap() *trap {
	t := &trap{}
	t.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.seen = append(t.seen, fmt.Sprintf("%s %s\n%v", r.Method, r.URL, r.Header))
		w.WriteHeader(http.StatusNotFound)
	}))
	return t
}

// fence stands between the connector and its site: it makes answers mislead to
// the trap, and lets nothing go to a host that the connector did not ask before.
type fence struct {
	trap  *trap
	inner http.RoundTripper
	plain *http.Transport

	mu    sync.Mutex
	hosts map[string]bool
	// learning says that the hosts that are asked are the site's.
	learning bool
	// redirect is the number of the request that is redirected, naming says that
	// the site's own addresses in answers become the trap's.
	redirect, asked int
	naming          bool
	strays          []string
}

var errFenced = errors.New("the kit lets nothing go to this host")

// RoundTrip answers one request of the connector's.
func (f *fence) RoundTrip(r *http.Request) (*http.Response, error) {
	f.mu.Lock()
	f.asked++
	redirect, naming := f.asked == f.redirect, f.naming
	if f.learning {
		f.hosts[r.URL.Host] = true
	}
	known := f.hosts[r.URL.Host]
	stray := !known && r.Response == nil
	if stray {
		f.strays = append(f.strays, r.URL.Host+r.URL.Path)
	}
	f.mu.Unlock()
	switch {
	case "http://"+r.URL.Host == f.trap.URL:
		return f.plain.RoundTrip(r) // without the credential, as the engine's client does
	case !known:
		return nil, errFenced
	case redirect:
		return f.redirected(r), nil
	}
	resp, err := f.inner.RoundTrip(r)
	if err != nil || !naming {
		return resp, err
	}
	return f.renamed(resp)
}

func (f *fence) redirected(r *http.Request) *http.Response {
	if r.Body != nil {
		_ = r.Body.Close()
	}
	return &http.Response{
		StatusCode: http.StatusFound, Status: "302 Found", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Location": {f.trap.URL + r.URL.RequestURI()}}, Body: http.NoBody, Request: r,
	}
}

// renamed makes every address of the site in an answer one of the trap.
func (f *fence) renamed(resp *http.Response) (*http.Response, error) {
	site := resp.Request.URL.Scheme + "://" + resp.Request.URL.Host
	for _, values := range resp.Header {
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], site, f.trap.URL)
		}
	}
	data, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	data = bytes.ReplaceAll(data, []byte(site), []byte(f.trap.URL))
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	resp.Header.Set("Content-Length", strconv.Itoa(len(data)))
	return resp, nil
}

// mislead sets what the fence does from then on.
func (f *fence) mislead(redirect int, naming bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.learning, f.asked, f.redirect, f.naming = false, 0, redirect, naming
}

// elsewhere reads all that there is once in peace, and then misled.
func elsewhere(p *probe) {
	if p.fix.Env.HTTP == nil {
		p.skip("the connector is handed no client")
	}
	id := p.corpus()[0].ID
	f := &fence{trap: newTrap(), plain: &http.Transport{}, inner: p.fix.Env.HTTP.Transport, hosts: map[string]bool{}, learning: true}
	p.tb.Cleanup(f.trap.Close)
	p.tb.Cleanup(f.plain.CloseIdleConnections)
	if f.inner == nil {
		f.inner = http.DefaultTransport
	}
	client := *p.fix.Env.HTTP
	client.Transport = f
	env := p.env()
	env.HTTP = &client
	p.lead(env, id)
	requests := f.asked
	for k := 1; k <= requests; k += 1 + k/4 {
		f.mislead(k, false)
		p.lead(env, id)
	}
	f.mislead(0, true)
	p.lead(env, id)
	f.trap.mu.Lock()
	defer f.trap.mu.Unlock()
	p.tb.Logf("%d requests reached the other host", len(f.trap.seen))
	for _, at := range f.strays {
		p.fail("the connector asks another host because the site named it: %s", at)
	}
	if p.fix.Secret != "" {
		p.lookFor(spelled(p.fix.Secret), "what was sent to another host", strings.Join(f.trap.seen, "\n"))
	}
}

// lead reads everything that a session offers, and one body.
func (p *probe) lead(env connectors.Env, id string) {
	s, err := p.fix.Connector.Open(p.ctx, env)
	if p.seen(err) != nil {
		return
	}
	for _, c := range p.read(s.Snapshot(p.ctx, nil), nil, nil).changes() {
		if c.Ref.ID == id && c.Document != nil && c.Document.Open != nil {
			_, _ = p.body(p.ctx, c)
		}
	}
	p.everything(s)
	_ = p.seen(s.Close(p.ctx))
}
