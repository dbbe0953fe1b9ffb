package connectortest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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
	// asked are addresses that the connector asked itself, not by a redirect.
	asked []string
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

// fence is the authorised client's transport as the engine hands it out: what is
// for the trap goes without the connection's credential.
type fence struct {
	trap  *trap
	inner http.RoundTripper
	plain *http.Transport
}

// RoundTrip passes a request on.
func (f fence) RoundTrip(r *http.Request) (*http.Response, error) {
	if "http://"+r.URL.Host != f.trap.URL {
		return f.inner.RoundTrip(r)
	}
	if r.Response == nil {
		f.trap.mu.Lock()
		f.trap.asked = append(f.trap.asked, r.URL.Path)
		f.trap.mu.Unlock()
	}
	return f.plain.RoundTrip(r)
}

// elsewhere lets everything that can be redirected be so.
func elsewhere(p *probe) {
	if p.fix.Env.HTTP == nil {
		p.skip("the connector is handed no client")
	}
	items := p.corpus()
	trap, plain := newTrap(), &http.Transport{}
	p.tb.Cleanup(trap.Close)
	p.tb.Cleanup(plain.CloseIdleConnections)
	client := *p.fix.Env.HTTP
	inner := client.Transport
	if inner == nil {
		inner = http.DefaultTransport
	}
	client.Transport = fence{trap: trap, inner: inner, plain: plain}
	env := p.env()
	env.HTTP = &client
	s, end := p.openEnv(env)
	p.tb.Cleanup(end)
	set := 0
	for _, kind := range []FaultKind{Elsewhere, NextElsewhere} {
		for _, f := range []Fault{{On: OnListing}, {On: OnFeed}, {On: OnBody, Name: items[0].Name}, {On: OnGroups}} {
			f.Kind, f.To = kind, trap.URL
			if !p.supported(p.fix.Site.Fail(f), "redirect") {
				continue
			}
			set++
			p.lead(s, items[0].ID)
			p.fix.Site.Mend()
		}
	}
	p.judged(set, "redirect")
	trap.mu.Lock()
	defer trap.mu.Unlock()
	p.tb.Logf("%d requests reached the other host", len(trap.seen))
	for _, at := range trap.asked {
		p.fail("the connector asks another host for %q because the site named it", at)
	}
	if p.fix.Secret != "" {
		p.lookFor(spelled(p.fix.Secret), "what was sent to another host", strings.Join(trap.seen, "\n"))
	}
}

// lead makes s read what the site misleads.
func (p *probe) lead(s connectors.Session, id string) {
	for _, c := range p.read(s.Snapshot(p.ctx, nil), nil, nil).changes() {
		if c.Ref.ID == id && c.Document != nil && c.Document.Open != nil {
			_, _ = p.body(p.ctx, c)
		}
	}
	p.everything(s)
}
