package store_test

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/store"
)

func openStore(tb testing.TB, db *pgtest.DB) *store.Store {
	tb.Helper()
	st, err := store.Open(tb.Context(), store.Config{URL: db.URL, MaxConns: 20})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(st.Close)
	return st
}

func enter(tb testing.TB, g oauthflow.Gate, key string) (time.Duration, string) {
	tb.Helper()
	wait, why, err := g.Enter(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	return wait, why
}

func leave(tb testing.TB, g oauthflow.Gate, key string, end oauthflow.CallEnd) {
	tb.Helper()
	if err := g.Leave(tb.Context(), key, end); err != nil {
		tb.Fatal(err)
	}
}

var clockStart = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// TestGateBoundsCallsPerSecond: a burst, then the rate, and keys of their own.
func TestGateBoundsCallsPerSecond(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.SetClock(t, clockStart)
	g := openStore(t, db).Gate(store.GateOptions{})
	for _, c := range []struct {
		key   string
		burst int
		wait  time.Duration
	}{{"api:a", 20, 100 * time.Millisecond}, {"api:b", 20, 100 * time.Millisecond}, {"token:a", 5, 500 * time.Millisecond}} {
		for i := range c.burst {
			if wait, _ := enter(t, g, c.key); wait != 0 {
				t.Fatalf("%s: call %d of the burst waits %s", c.key, i, wait)
			}
		}
		wait, why := enter(t, g, c.key)
		if wait < c.wait-time.Millisecond || wait > c.wait+time.Millisecond || why == "" {
			t.Errorf("%s: after the burst: wait %s (%s), want %s", c.key, wait, why, c.wait)
		}
	}
	db.Advance(t, 1050*time.Millisecond)
	n := 0
	for wait, _ := enter(t, g, "api:a"); wait == 0; wait, _ = enter(t, g, "api:a") {
		n++
	}
	if n != 10 {
		t.Errorf("%d calls in the second after the burst, want 10", n)
	}
	// A clock that goes back takes nothing from a bucket that holds some.
	enter(t, g, "api:c")
	db.Advance(t, -time.Hour)
	for range 2 {
		if wait, _ := enter(t, g, "api:c"); wait != 0 {
			t.Errorf("after the clock went back a full bucket waits %s", wait)
		}
	}
	db.Advance(t, time.Hour)
	// A clock that goes back refills nothing and takes nothing.
	db.Advance(t, -time.Hour)
	if wait, _ := enter(t, g, "api:a"); wait <= 0 || wait > time.Second {
		t.Errorf("after the clock went back: wait %s", wait)
	}
}

// TestGateHonoursRetryAfter, up to an hour, also of an answer that is no failure.
func TestGateHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.SetClock(t, clockStart)
	st := openStore(t, db)
	g := st.Gate(store.GateOptions{})
	enter(t, g, "api:a")
	leave(t, g, "api:a", oauthflow.CallEnd{RetryAfter: 90 * time.Second, Reason: "HTTP 429"})
	if wait, why := enter(t, g, "api:a"); wait != 90*time.Second || why != "HTTP 429" {
		t.Errorf("got %s %q", wait, why)
	}
	leave(t, g, "api:a", oauthflow.CallEnd{RetryAfter: 10 * time.Second})
	if wait, _ := enter(t, g, "api:a"); wait != 90*time.Second {
		t.Errorf("a shorter wish shortened the wait to %s", wait)
	}
	list, err := st.Limits(t.Context())
	if err != nil || len(list) != 1 || list[0].Key != "api:a" || list[0].State != "closed" {
		t.Errorf("limits: %+v %v", list, err)
	}
	leave(t, g, "api:a", oauthflow.CallEnd{RetryAfter: 1000 * time.Hour})
	if wait, _ := enter(t, g, "api:a"); wait != time.Hour {
		t.Errorf("an absurd wish: %s", wait)
	}
	db.Advance(t, time.Hour)
	if wait, _ := enter(t, g, "api:a"); wait != 0 {
		t.Errorf("after the wait: %s", wait)
	}
}

// gateModel says what a Gate must do, in Go.
type gateModel struct {
	now, tokensAt, blocked, probe float64
	tokens                        float64
	state                         string
	failures                      int
	known                         bool
}

func (m *gateModel) enter(r store.Rate, o store.GateOptions) bool {
	if !m.known {
		*m = gateModel{now: m.now, known: true, tokens: float64(r.Burst) - 1, tokensAt: m.now, state: "closed"}
		return true
	}
	have := min(float64(r.Burst), m.tokens+(m.now-m.tokensAt)*r.PerSecond)
	if m.blocked > m.now || m.state == "half_open" && m.probe > m.now || have < 1 {
		return false
	}
	m.tokens, m.tokensAt, m.blocked = have-1, m.now, 0
	if m.state != "closed" {
		m.state, m.probe = "half_open", m.now+o.Probe.Seconds()
	}
	return true
}

func (m *gateModel) leave(o store.GateOptions, end oauthflow.CallEnd) {
	retry := end.RetryAfter.Seconds()
	if retry > 0 {
		m.blocked = max(m.blocked, m.now+retry)
	}
	switch {
	case m.state == "open":
	case !end.Failed && !end.Break:
		if m.state == "half_open" && retry == 0 {
			m.blocked = max(m.blocked, 0)
		}
		m.state, m.failures, m.probe = "closed", 0, 0
	default:
		m.failures++
		if end.Break {
			m.failures = max(m.failures, o.Failures)
		}
		if m.state != "half_open" && m.failures < o.Failures {
			return
		}
		open := o.FirstOpen.Seconds() * math.Pow(2, float64(min(max(m.failures-o.Failures, 0), 20)))
		if open = min(open, o.MaxOpen.Seconds()); end.Break {
			open = o.Refused.Seconds()
		}
		m.state, m.probe, m.blocked = "open", 0, max(m.blocked, m.now+max(open, retry))
	}
}

// TestGateFollowsItsModel: any interleaving of calls, ends and time.
func TestGateFollowsItsModel(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.SetClock(t, clockStart)
	st := openStore(t, db)
	o := store.GateOptions{
		API: store.Rate{PerSecond: 1, Burst: 4}, Failures: 3, FirstOpen: 8 * time.Second, MaxOpen: 30 * time.Second,
		Refused: 100 * time.Second, Probe: 16 * time.Second,
	}
	g := st.Gate(o)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		key := fmt.Sprint("api:", runs)
		m := gateModel{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"enter", "enter", "fail", "fail", "ok", "break", "wait", "retry"}).Draw(rt, "step") {
			case "enter":
				want := m.enter(o.API, o)
				wait, why, err := g.Enter(t.Context(), key)
				if err != nil {
					rt.Fatal(err)
				}
				if (wait == 0) != want {
					rt.Fatalf("enter: wait %s (%s), want to enter: %v; %+v", wait, why, want, m)
				}
				if wait > 0 && m.blocked > m.now && math.Abs(wait.Seconds()-(m.blocked-m.now)) > 0.001 {
					rt.Fatalf("enter: wait %s, want %vs", wait, m.blocked-m.now)
				}
			case "wait":
				// Powers of two keep the model's floating point exact.
				d := rapid.SampledFrom([]float64{0.25, 0.5, 1, 2, 8, 16, 64}).Draw(rt, "seconds")
				m.now += d
				db.Advance(t, time.Duration(d*float64(time.Second)))
			case "ok":
				leaveBoth(rt, t, g, key, &m, o, oauthflow.CallEnd{})
			case "fail":
				leaveBoth(rt, t, g, key, &m, o, oauthflow.CallEnd{Failed: true, Reason: "HTTP 503"})
			case "break":
				leaveBoth(rt, t, g, key, &m, o, oauthflow.CallEnd{Break: true, Reason: "invalid_client"})
			case "retry":
				end := oauthflow.CallEnd{RetryAfter: 4 * time.Second, Failed: rapid.Bool().Draw(rt, "failed")}
				leaveBoth(rt, t, g, key, &m, o, end)
			}
		}
	})
}

func leaveBoth(rt *rapid.T, t *testing.T, g oauthflow.Gate, key string, m *gateModel, o store.GateOptions, end oauthflow.CallEnd) {
	if err := g.Leave(t.Context(), key, end); err != nil {
		rt.Fatal(err)
	}
	if m.known {
		m.leave(o, end)
	}
}

// TestHalfOpenBreakerLetsOneProbeThrough: of 16 callers at once, on pools of their own as processes have them.
func TestHalfOpenBreakerLetsOneProbeThrough(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.SetClock(t, clockStart)
	gates := make([]oauthflow.Gate, 4)
	for i := range gates {
		gates[i] = openStore(t, db).Gate(store.GateOptions{})
	}
	for round := range 20 {
		key := fmt.Sprint("api:", round)
		enter(t, gates[0], key)
		leave(t, gates[0], key, oauthflow.CallEnd{Failed: true, Break: true, Reason: "invalid_client"})
		if wait, why := enter(t, gates[1], key); wait != 10*time.Minute || why != "invalid_client" {
			t.Fatalf("open: %s %q", wait, why)
		}
		db.Advance(t, 10*time.Minute)
		var probes atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				if wait, _, err := gates[i%len(gates)].Enter(t.Context(), key); err == nil && wait == 0 {
					probes.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := probes.Load(); n != 1 {
			t.Fatalf("%d probes", n)
		}
	}
}

// TestGateTakesNoTokenTwice: callers of several processes together get the burst and no more.
func TestGateTakesNoTokenTwice(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.SetClock(t, clockStart)
	a, b := openStore(t, db).Gate(store.GateOptions{}), openStore(t, db).Gate(store.GateOptions{})
	var in atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 5 {
				if wait, _, err := []oauthflow.Gate{a, b}[i%2].Enter(t.Context(), "api:x"); err != nil {
					t.Error(err)
				} else if wait == 0 {
					in.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if in.Load() != 20 {
		t.Errorf("%d calls got in, want the burst of 20", in.Load())
	}
}

// TestSavingARegistrationClosesItsBreaker, so that mended credentials are tried at once.
func TestSavingARegistrationClosesItsBreaker(t *testing.T) {
	t.Parallel()
	st := openStore(t, pgtest.New(t))
	profiles, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	p := profiles["google"]
	r := oauthflow.Registration{ID: uuid.New(), Name: "docs", Provider: p.Name, Profile: p, Digest: p.Digest(), RedirectURI: "https://tributary.example.org/oauth/callback/x", State: oauthflow.RegistrationDraft}
	event := audit.Event{Actor: audit.Actor{Kind: audit.System, Name: "test"}, Action: "registration.save", Outcome: audit.OK}
	if err := st.CreateRegistration(t.Context(), r, event); err != nil {
		t.Fatal(err)
	}
	g := st.Gate(store.GateOptions{})
	for _, key := range []string{"token:" + r.ID.String(), "api:" + r.ID.String()} {
		enter(t, g, key)
		leave(t, g, key, oauthflow.CallEnd{Break: true, Reason: "invalid_client"})
	}
	if list, err := st.Limits(t.Context()); err != nil || len(list) != 2 || list[0].State != "open" {
		t.Fatalf("limits: %+v %v", list, err)
	}
	if err := st.SaveRegistration(t.Context(), oauthflow.RegistrationUpdate{Registration: r}, event); err != nil {
		t.Fatal(err)
	}
	if list, err := st.Limits(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("limits after saving: %+v %v", list, err)
	}
}

// BenchmarkGate is a call on the hot path: enter and leave, alone.
func BenchmarkGate(b *testing.B) {
	g := openStore(b, pgtest.New(b)).Gate(store.GateOptions{API: store.Rate{PerSecond: 1e6, Burst: 1 << 20}})
	for b.Loop() {
		enter(b, g, "api:x")
		leave(b, g, "api:x", oauthflow.CallEnd{})
	}
}
