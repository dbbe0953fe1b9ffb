package httpx

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/connectors"
)

// slow answers each connection's request with script, then waits for the client to hang up. Without a script it says nothing.
func slow(t *testing.T, script string) (address string, wrote <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 16)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if script != "" { // an answer before its request would be an error of its own
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, script)
			}
			done <- struct{}{}
			_, _ = io.Copy(io.Discard, c) // ends when the client hangs up
			c.Close()
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), done
}

type outcome struct {
	n   int64
	err error
}

// fetch reads an answer in a goroutine of its own.
func fetch(ctx context.Context, c *http.Client, address string) <-chan outcome {
	out := make(chan outcome, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			out <- outcome{err: err}
			return
		}
		resp, err := Do(c, req)
		if err != nil {
			out <- outcome{err: err}
			return
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		out <- outcome{n, err}
	}()
	return out
}

func result(t *testing.T, from <-chan outcome) outcome {
	t.Helper()
	select {
	case o := <-from:
		return o
	case <-time.After(patience):
		t.Fatal("the request goes on")
		return outcome{}
	}
}

func running(t *testing.T, from <-chan outcome) {
	t.Helper()
	select {
	case o := <-from:
		t.Fatalf("ended early with %d bytes: %v", o.n, o.err)
	default:
	}
}

// TestSlowHeader: ten seconds for the header, also when a part of it arrives and for a handshake that never does.
func TestSlowHeader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ scheme, script string }{
		"half a header":    {"http", "HTTP/1.1 200 OK\r\nX-Slow: lor"},
		"nothing":          {"http", ""},
		"only interim":     {"http", "HTTP/1.1 103 Early Hints\r\n\r\n"},
		"no TLS handshake": {"https", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address, wrote := slow(t, c.script)
			clock := newClock()
			cl := client(t, Options{Clock: clock, PlainLoopback: true, Allow: allow(t, address)})
			out := fetch(t.Context(), cl, c.scheme+"://"+address)
			clock.await(t, 10*time.Second)
			<-wrote
			clock.advance(10*time.Second - 1)
			running(t, out)
			clock.advance(1)
			wantError(t, result(t, out).err, errHeaderTime, connectors.Transient)
			if !clock.idle() {
				t.Error("a timer is left")
			}
		})
	}
}

// TestSlowBody: thirty seconds for the next byte.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	address, _ := slow(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
	clock := newClock()
	c := client(t, Options{Clock: clock, PlainLoopback: true, Allow: allow(t, address)})
	out := fetch(t.Context(), c, "http://"+address)
	clock.await(t, 30*time.Second) // for the ten bytes
	clock.await(t, 30*time.Second) // for the eleventh
	clock.advance(30*time.Second - 1)
	running(t, out)
	clock.advance(1)
	got := result(t, out)
	wantError(t, got.err, errIdle, connectors.Transient)
	if got.n != 10 || !clock.idle() {
		t.Errorf("%d bytes, want 10; all timers stopped: %t", got.n, clock.idle())
	}
}

// TestTotal ends a body that keeps every other limit.
func TestTotal(t *testing.T) {
	t.Parallel()
	address, _ := slow(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
	clock := newClock()
	c := client(t, Options{
		Clock: clock, PlainLoopback: true, Allow: allow(t, address),
		Limits: Limits{Total: 45 * time.Second, Idle: time.Hour, RateWindow: 2 * time.Hour},
	})
	out := fetch(t.Context(), c, "http://"+address)
	clock.await(t, time.Hour) // for the ten bytes
	clock.await(t, time.Hour) // for the eleventh
	clock.advance(45*time.Second - 1)
	running(t, out)
	clock.advance(1)
	wantError(t, result(t, out).err, errTotal, connectors.Transient)
}

// drip gives n bytes at each read, each of which takes a while.
type drip struct {
	clock *fakeClock
	each  time.Duration
	n     int
	ended func() error
	fast  int // so many reads bring all that is asked for
}

func (d *drip) Read(p []byte) (int, error) {
	d.clock.advance(d.each)
	if err := d.ended(); err != nil {
		return 0, err
	}
	if d.fast--; d.fast >= 0 {
		return len(p), nil
	}
	return min(d.n, len(p)), nil
}

func (d *drip) Close() error { return nil }

// TestMinimumRate: 1 KiB/s over each minute of waiting.
func TestMinimumRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		each  time.Duration
		n     int
		pause time.Duration // of the reader
		fails bool
		fast  int
	}{
		"a byte a second":                        {time.Second, 1, 0, true, 0},
		"a byte within the idle limit":           {29 * time.Second, 1, 0, true, 0},
		"just too slow":                          {time.Second, 1023, 0, true, 0},
		"just fast enough":                       {time.Second, 1050, 0, false, 0},
		"in portions":                            {29 * time.Second, 61440, 0, false, 0},
		"a slow reader is not a slow server":     {time.Millisecond, 10, time.Minute, false, 0},
		"a slow reader saves no slow server":     {10 * time.Second, 10, time.Minute, true, 0},
		"fast, so that windows are hardly begun": {0, 1, 0, false, 0},
		"fast at first":                          {20 * time.Second, 1, 0, true, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			tr := &transport{clock: clock, limits: DefaultLimits()}
			resp := &http.Response{Request: &http.Request{}, Body: &drip{clock, c.each, c.n, ctx.Err, c.fast}, ContentLength: -1}
			b := tr.newBody(ctx, target{host: "a.test"}, resp, cancel, func() {})
			buf := make([]byte, 100<<10)
			var err error
			for range 500 {
				if _, err = b.Read(buf); err != nil {
					break
				}
				clock.advance(c.pause)
			}
			if !c.fails && err != nil {
				t.Fatal(err)
			}
			if c.fails {
				wantError(t, err, errRate, connectors.Transient)
				if _, again := b.Read(buf); !errors.Is(again, errRate) {
					t.Errorf("the next read says %v", again)
				}
			}
		})
	}
}

// TestEndlessBody reads up to the cap in bounded memory. It measures the process, so it runs alone.
func TestEndlessBody(t *testing.T) {
	const most = 128 << 20
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 1<<20)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	c := plain(t, Options{Limits: Limits{Body: most}}, s)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	resp, err := get(t, c, s.URL)
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	peak := uint64(0)
	for buf := make([]byte, 64<<10); err == nil; {
		var k int
		k, err = resp.Body.Read(buf)
		if n += int64(k); n%(8<<20) < int64(k) {
			runtime.ReadMemStats(&after)
			peak = max(peak, after.HeapInuse)
		}
	}
	wantError(t, err, ErrTooLarge, connectors.ItemSkipped)
	if n != most {
		t.Errorf("%d bytes, want %d", n, int64(most))
	}
	if limit := before.HeapInuse + 64<<20; peak > limit {
		t.Errorf("heap of %d MiB from %d MiB", peak>>20, before.HeapInuse>>20)
	}
	t.Logf("%d MiB read, heap %d MiB at first and %d MiB at most", n>>20, before.HeapInuse>>20, peak>>20)
}

// TestBodyCap counts what is read after decompression and says so before reading where the length is announced.
func TestBodyCap(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 10<<20))
	z.Close()
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/exact":
			fmt.Fprint(w, strings.Repeat("x", 1000))
		case "/chunked":
			fmt.Fprint(w, strings.Repeat("x", 500))
			w.(http.Flusher).Flush()
			fmt.Fprint(w, strings.Repeat("x", 501))
		case "/announced":
			w.Header().Set("Content-Length", "1001")
			fmt.Fprint(w, strings.Repeat("x", 1001))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}
	})
	c := plain(t, Options{Limits: Limits{Body: 1000}}, s)
	for path, want := range map[string]struct {
		n     int
		fails bool
	}{"/exact": {1000, false}, "/chunked": {1000, true}, "/announced": {0, true}, "/bomb": {1000, true}} {
		resp, err := get(t, c, s.URL+path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if len(b) != want.n {
			t.Errorf("%s: %d bytes, want %d", path, len(b), want.n)
		}
		if want.fails {
			wantError(t, err, ErrTooLarge, connectors.ItemSkipped)
		} else if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	if resp, err := send(t, c, http.MethodHead, s.URL+"/announced", nil); err != nil || resp.ContentLength != 1001 {
		t.Errorf("HEAD: %v", err)
	} else if _, err := io.ReadAll(resp.Body); err != nil {
		t.Errorf("HEAD: %v", err)
	}
}

// TestHugeHeader ends at the header's cap.
func TestHugeHeader(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Huge", strings.Repeat("x", 2*maxHeaderBytes))
	})
	_, err := get(t, plain(t, Options{}, s), s.URL)
	wantError(t, err, ErrNoAnswer, connectors.Transient)
}

// TestCallerEnds: the caller's cancellation is no failure, its deadline is Transient; before and within the body.
func TestCallerEnds(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789"} {
		address, wrote := slow(t, script)
		clock := newClock()
		c := client(t, Options{Clock: clock, PlainLoopback: true, Allow: allow(t, address)})
		ctx, cancel := context.WithCancel(t.Context())
		out := fetch(ctx, c, "http://"+address)
		<-wrote
		cancel()
		if err := result(t, out).err; !errors.Is(err, context.Canceled) || connectors.ClassOf(err) != connectors.Unknown {
			t.Errorf("cancelled: %v", err)
		}
		ctx, cancel = context.WithDeadline(t.Context(), time.Now())
		err := result(t, fetch(ctx, c, "http://"+address)).err
		cancel()
		wantError(t, err, context.DeadlineExceeded, connectors.Transient)
	}
}

// TestTruncated: an answer that ends early is never taken for a whole one.
func TestTruncated(t *testing.T) {
	t.Parallel()
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "secret-of-the-body")
	})
	resp, err := get(t, plain(t, Options{}, s), s.URL)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(resp.Body)
	wantError(t, err, ErrNoAnswer, connectors.Transient)
}
