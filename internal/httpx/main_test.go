package httpx

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"tributary/connectors"
)

const patience = 20 * time.Second

// proxied counts connections to the proxy that the environment names for every test.
var proxied atomic.Int64

func TestMain(m *testing.M) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			proxied.Add(1)
			c.Close()
		}
	}()
	// net/http reads them once per process.
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		if err := os.Setenv(name, "http://"+l.Addr().String()); err != nil {
			panic(err)
		}
	}
	os.Unsetenv("NO_PROXY")
	os.Unsetenv("no_proxy")
	code := m.Run()
	l.Close()
	if err := goleak.Find(); err != nil && code == 0 {
		os.Stderr.WriteString(err.Error() + "\n")
		code = 1
	}
	os.Exit(code)
}

// fakeClock moves when told. Timers fire in the goroutine that moves it.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*fakeTimer]bool
	armed  chan time.Duration
}

type fakeTimer struct {
	at time.Time
	f  func()
}

func newClock() *fakeClock {
	return &fakeClock{
		now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), timers: map[*fakeTimer]bool{}, armed: make(chan time.Duration, 1<<16),
	}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	timer := &fakeTimer{at: c.now.Add(d), f: f}
	c.timers[timer] = true
	c.mu.Unlock()
	c.armed <- d
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		there := c.timers[timer]
		delete(c.timers, timer)
		return there
	}
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []func()
	for timer := range c.timers {
		if !timer.at.After(c.now) {
			due = append(due, timer.f)
			delete(c.timers, timer)
		}
	}
	c.mu.Unlock()
	for _, f := range due {
		f()
	}
}

// await returns when a timer of d was started.
func (c *fakeClock) await(t *testing.T, d time.Duration) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case got := <-c.armed:
			if got == d {
				return
			}
		case <-deadline:
			t.Fatalf("no timer of %s was started", d)
		}
	}
}

// idle reports whether no timer is left.
func (c *fakeClock) idle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.timers) == 0
}

func allow(t *testing.T, entries ...string) AllowList {
	t.Helper()
	list, err := ParseAllowList(entries)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// plain returns a client that may speak http to the servers.
func plain(t *testing.T, o Options, servers ...*httptest.Server) *http.Client {
	t.Helper()
	hosts := make([]string, 0, len(servers))
	for _, s := range servers {
		hosts = append(hosts, s.Listener.Addr().String())
	}
	o.Allow, o.PlainLoopback = allow(t, hosts...), true
	return client(t, o)
}

func client(t *testing.T, o Options) *http.Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func server(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func get(t *testing.T, c *http.Client, address string) (*http.Response, error) {
	t.Helper()
	return send(t, c, http.MethodGet, address, nil)
}

func send(t *testing.T, c *http.Client, method, address string, body io.Reader) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Do(c, req)
	if err == nil {
		t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

// text reads an answer to its end.
func text(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return string(b)
}

func wantError(t *testing.T, err, cause error, class connectors.Class) {
	t.Helper()
	if !errors.Is(err, cause) {
		t.Fatalf("error %v, want %v", err, cause)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		t.Errorf("error %v still quotes the address", err)
	}
	if got := connectors.ClassOf(err); got != class {
		t.Errorf("class %s of %v, want %s", got, err, class)
	}
}

// dead listens and counts connections, none of which is answered.
type dead struct {
	net.Listener
	connects atomic.Int64
	bytes    atomic.Int64
}

func listenDead(t *testing.T, address string) *dead {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	d := &dead{Listener: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.connects.Add(1)
			n, _ := io.Copy(io.Discard, io.LimitReader(c, 1))
			d.bytes.Add(n)
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return d
}

// names answers A questions for names from a script whose last line repeats; every other question has no answer.
func names(t *testing.T, script map[string][]string) *net.Resolver {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		asked := map[string]int{}
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			if out := answer(buf[:n], script, asked); out != nil {
				_, _ = pc.WriteTo(out, from)
			}
		}
	})
	t.Cleanup(func() { pc.Close(); wg.Wait() })
	return &net.Resolver{PreferGo: true, Dial: func(_ context.Context, _, _ string) (net.Conn, error) {
		return net.Dial("udp", pc.LocalAddr().String())
	}}
}

func answer(packet []byte, script map[string][]string, asked map[string]int) []byte {
	var m dnsmessage.Message
	if m.Unpack(packet) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	lines, known := script[strings.TrimSuffix(q.Name.String(), ".")]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	if known && q.Type == dnsmessage.TypeA {
		name := q.Name.String()
		for addr := range strings.FieldsSeq(lines[min(asked[name], len(lines)-1)]) {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(addr).As4()},
			})
		}
		asked[name]++
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}
