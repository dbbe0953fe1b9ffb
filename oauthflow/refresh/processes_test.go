package refresh_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// scale returns n, or what the environment variable says: the long forms of make test-refresh.
func scale(tb testing.TB, name string, n int) int {
	tb.Helper()
	v := os.Getenv(name)
	if v == "" {
		return n
	}
	got, err := strconv.Atoi(v)
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
	return got
}

// TestRF1 : processes that all find the token expired, again and again, present each refresh token once, to a server
// that revokes everything at the second presentation.
func TestRF1(t *testing.T) {
	processes, calls, rounds := scale(t, "TEST_RF1_PROCESSES", 4), scale(t, "TEST_RF1_CALLS", 200), scale(t, "TEST_RF1_ROUNDS", 3)
	r := newRig(t, "F")
	r.server.life = time.Second // so that it expires within a round too
	timing := refresh.Timing{Poll: 5 * time.Millisecond}
	o := r.order(timing)
	o.Calls, o.Parallel = calls, 20
	var children []*process
	for range processes {
		children = append(children, start(t, o))
	}
	ok, refreshes := 0, 0
	for round := range rounds {
		g := r.consent(-time.Minute)
		for _, c := range children {
			c.round(g)
		}
		for i, c := range children {
			res := c.result()
			ok += res.OK
			if len(res.Errors) > 0 {
				t.Fatalf("round %d, process %d: %d errors, the first: %s", round, i, len(res.Errors), res.Errors[0])
			}
		}
		v := r.row(g)
		if v.State != "active" || v.Connection != "active" || v.Spares != 0 || v.Gen < 1 {
			t.Fatalf("round %d: row %+v", round, v)
		}
		refreshes += int(v.Gen)
	}
	if twice := r.server.twice(); len(twice) > 0 {
		t.Errorf("presented twice: %d tokens", len(twice))
	}
	if n := r.server.count(); n != refreshes || r.server.reuse != 0 {
		t.Errorf("%d requests for %d rotations, %d families revoked", n, refreshes, r.server.reuse)
	}
	t.Logf("RF-1: %d processes x %d calls x %d rounds: %d calls ok, %d refreshes, each token presented once, 0 grants lost", processes, calls, rounds, ok, refreshes)
}

// killRig is a class with a process that survives.
type killRig struct {
	*rig
	survivor *refresh.Keeper
	first    int // the point of the first kill: few kills reach all points over the classes
	missed   atomic.Int64
	mu       sync.Mutex
	byPoint  map[refresh.Point]int
	reauth   map[refresh.Point]int
	left     sync.Map // grants that the survivor leaves to the process that is to be killed
}

// leavingStore sweeps nothing that is left to others.
type leavingStore struct {
	refresh.Store
	left *sync.Map
}

func (s *leavingStore) Overdue(ctx context.Context, limit int) ([]uuid.UUID, error) {
	ids, err := s.Store.Overdue(ctx, limit)
	return slices.DeleteFunc(ids, func(id uuid.UUID) bool { _, left := s.left.Load(id); return left }), err
}

func (s *leavingStore) Silent(ctx context.Context, quiet time.Duration, limit int) ([]refresh.Attempt, error) {
	list, err := s.Store.Silent(ctx, quiet, limit)
	return slices.DeleteFunc(list, func(a refresh.Attempt) bool { _, left := s.left.Load(a.Grant); return left }), err
}

// TestRF2 : a process that is killed at any point leaves a row that the others bring to an end: with a good token
// wherever one can be had.
func TestRF2(t *testing.T) {
	t.Parallel()
	kills := scale(t, "TEST_RF2_KILLS", 10)
	for nth, class := range []string{"N", "S", "F", "G"} {
		t.Run("RF-2 class "+class, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, class)
			k := &killRig{rig: r, first: nth * 5, byPoint: map[refresh.Point]int{}, reauth: map[refresh.Point]int{}}
			cfg := r.config(quick())
			cfg.Store = &leavingStore{Store: cfg.Store, left: &k.left}
			k.survivor = r.running(cfg)
			slots := make(chan int, kills)
			for i := range kills {
				slots <- i
			}
			close(slots)
			var wg sync.WaitGroup
			for range 5 {
				wg.Go(func() {
					for i := range slots {
						k.kill(t, i)
					}
				})
			}
			wg.Wait()
			killed, reauth := 0, 0
			for _, n := range k.byPoint {
				killed += n
			}
			for point, n := range k.reauth {
				reauth += n
				if class == "N" || class == "G" || !slices.Contains(losing(), point) {
					t.Errorf("class %s: %d grants need consent after kills at %s, where no answer is lost", class, n, point)
				}
			}
			t.Logf("RF-2 class %s: %d kills at %d points, %d processes ended their work before theirs, %d grants need consent, each with its answer lost; kills by point: %v; consents by point: %v",
				class, killed, len(k.byPoint), k.missed.Load(), reauth, k.byPoint, k.reauth)
			if killed < kills*6/10 { // the rest ended before their point was due
				t.Errorf("only %d of %d processes were killed", killed, kills)
			}
		})
	}
}

// losing are the points at which a pair is in the memory of the process, or on its way, and nowhere else.
func losing() []refresh.Point {
	return []refresh.Point{
		refresh.AfterWrite, refresh.AfterHeaders, refresh.AfterBody, refresh.BeforeSettle, refresh.InSettle, refresh.BeforeSpool, anyMoment,
	}
}

// anyMoment is a kill from outside, at a random time of a refresh.
const anyMoment refresh.Point = "any_moment"

// kill prepares a grant, has a process killed at a point, and waits for the end of it.
func (k *killRig) kill(t *testing.T, i int) {
	points := append(refresh.Points(), anyMoment, anyMoment, anyMoment)
	point := points[(k.first+i)%len(points)]
	g := k.prepare(point)
	defer k.left.Delete(g)
	o := k.order(quick())
	o.Grant, o.Conns = g, 3
	if point != anyMoment {
		o.Point = point
	}
	p := start(t, o)
	if point == anyMoment {
		<-time.After(rand.N(40 * time.Millisecond))
		_ = p.cmd.Process.Kill()
	}
	killed := p.ended(4 * time.Second)
	if killed { // another process may have done the work before it
		k.mu.Lock()
		k.byPoint[point]++
		k.mu.Unlock()
	} else {
		k.missed.Add(1)
		_ = p.cmd.Process.Kill()
	}
	_ = p.cmd.Wait() // its pipes are given back before the next thousand
	k.left.Delete(g)
	timing := quick()
	// No row stays in flight: lease, and a sweep at every heartbeat of anyone.
	inFlight := time.Now()
	limit := timing.Lease + timing.Quiet + 12*time.Second
	deadline := time.Now().Add(limit)
	for {
		v, err := k.look(g)
		if err != nil {
			t.Error(err)
			return
		}
		if v.Phase != "in_flight" {
			inFlight = time.Now()
		} else if time.Since(inFlight) > timing.Lease+5*time.Second {
			t.Errorf("%s: in flight for %s", point, time.Since(inFlight))
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		a, err := k.survivor.Access(ctx, g)
		cancel()
		if v, _ = k.look(g); (err == nil && v.Phase == "idle" && v.Gen > 0 && a.Gen == v.Gen) || v.State == "needs_reauth" && v.Spares == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: not settled within %s: %+v, %v", point, limit, v, err)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	k.verify(t, g, point, killed)
}

// prepare returns a grant whose next refresh comes past the point.
func (k *killRig) prepare(point refresh.Point) uuid.UUID {
	g := k.consent(-time.Minute)
	k.left.Store(g, true)
	switch point {
	case refresh.BeforeOutcome, refresh.AfterOutcome:
		k.server.mu.Lock()
		refused := map[string]bool{}
		before := k.server.plan
		k.server.plan = func(n int, grant string) fault {
			k.server.mu.Lock()
			defer k.server.mu.Unlock()
			if grant == g.String() {
				if !refused[grant] {
					refused[grant] = true
					return fault{status: 503, code: "temporarily_unavailable"}
				}
				return fault{}
			}
			if before == nil {
				return fault{}
			}
			k.server.mu.Unlock()
			f := before(n, grant)
			k.server.mu.Lock()
			return f
		}
		k.server.mu.Unlock()
	case refresh.InSweep:
		// A process died before it wrote.
		a := uuid.New()
		k.db.MustExec(k.tb, `INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder) VALUES ($1, $2, 1, 0, $3, 'dead')`, a, g, []byte(g.String()))
		k.db.MustExec(k.tb, `UPDATE credential SET phase = 'in_flight', attempt_id = $2, holder = 'dead', t_first = clock(), lease_until = clock() WHERE grant_id = $1`, g, a)
	case refresh.InOrphan:
		// A process died before it wrote, and the row went on without it.
		k.db.MustExec(k.tb, `INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder) VALUES (gen_random_uuid(), $1, 1, 0, $2, 'dead')`, g, []byte(g.String()))
	case refresh.InPromote:
		// A pair came late, after a refusal.
		n, _ := k.server.present(g.String(), 0)
		ct, err := oauthflow.SealPair(k.ring, oauthflow.PairPlace(g, 1, 0, oauthflow.FieldSpare), oauthflow.Pair{Access: secret.New(atOf(g, n)), Refresh: secret.New(refreshToken(g.String(), n)), Type: "bearer"})
		if err != nil {
			k.tb.Fatal(err)
		}
		k.db.MustExec(k.tb, `INSERT INTO credential_spare (attempt_id, grant_id, epoch, base_gen, secret_ct, rt_hmac) VALUES (gen_random_uuid(), $1, 1, 0, $2, $3)`, g, ct, []byte("spare"+g.String()))
		k.db.MustExec(k.tb, `UPDATE credential SET state = 'needs_reauth', fail_class = 'lost_response' WHERE grant_id = $1`, g)
	default: // every refresh comes past it, or arm leads it there
	}
	return g
}

// verify checks a settled grant against what the server knows.
func (k *killRig) verify(t *testing.T, g uuid.UUID, point refresh.Point, killed bool) {
	v, err := k.look(g)
	if err != nil {
		t.Error(err)
		return
	}
	if v.State == "active" && !k.server.good(g.String(), k.token(g)) {
		t.Errorf("%s: active with token %d, which the server does not accept: %+v", point, k.token(g), v)
	}
	if v.State == "needs_reauth" && killed { // one that was not may have waited too long for an answer
		k.mu.Lock()
		k.reauth[point]++
		k.mu.Unlock()
	}
	if v.State == "needs_reauth" && v.Class != "lost_response" {
		t.Errorf("%s: needs_reauth because of %q", point, v.Class)
	}
	if v.State == "needs_reauth" && k.server.good(g.String(), k.token(g)) {
		t.Errorf("%s: needs_reauth although the row's token is good", point)
	}
	if extra := k.unrecorded(g); extra != "" {
		t.Errorf("%s: %s", point, extra)
	}
}

// unrecorded reports tokens that were presented more often than the attempts say: once, and again only as a recorded
// replay or after a refusal.
func (r *rig) unrecorded(g uuid.UUID) string {
	r.server.mu.Lock()
	most := 0
	seen := map[string]int{}
	for _, token := range r.server.order {
		if of, _ := grantOf(token); of == g.String() {
			seen[token]++
			most = max(most, seen[token])
		}
	}
	r.server.mu.Unlock()
	var again int
	if err := r.db.Owner.QueryRow(context.Background(), `SELECT count(*) FROM refresh_attempt WHERE grant_id = $1 AND (replay OR outcome = 'refused' OR outcome = 'rotated' AND $2)`, g, r.server.class == "N").Scan(&again); err != nil {
		return err.Error()
	}
	if most > 1+again {
		return fmt.Sprintf("a token was presented %d times with %d recorded reasons", most, again)
	}
	return ""
}

// TestRF5 : a process that stands still between two steps and goes on later sends nothing too late, and its pair is not
// lost.
func TestRF5(t *testing.T) {
	t.Parallel()
	timing := quick()
	timing.Quiet = 3 * time.Second
	// As 90 s are to L = 60 s and Q = 120 s: past the lease, within Q.
	within := timing.Lease + timing.Quiet/4
	for _, c := range []struct {
		name, class string
		point       refresh.Point
		pause       time.Duration
		token       int
		requests    int
	}{
		{"RF-5 between claim and send, class S", "S", refresh.AfterClaim, within, 1, 1},
		{"RF-5 between claim and send, class F", "F", refresh.AfterClaim, within, 1, 1},
		{"RF-5 between claim and send for longer than Q, class F", "F", refresh.AfterClaim, timing.Lease + timing.Quiet + time.Second, 1, 1},
		{"RF-5 between answer and T2, class S", "S", refresh.BeforeSettle, within, 1, 1},
		{"RF-5 between answer and T2, class F", "F", refresh.BeforeSettle, within, 1, 1},
		{"RF-5 between answer and T2 for longer than Q, class S: the late pair heals", "S", refresh.BeforeSettle, timing.Lease + timing.Quiet + 2*time.Second, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, c.class)
			g := r.consent(-time.Minute)
			survivor := r.running(r.config(timing))
			// The survivor has been connected for as long as Q.
			ready := time.Now().Add(timing.Quiet)
			until(t, 30*time.Second, "Q", func() bool { return time.Now().After(ready) })
			o := r.order(timing)
			o.Grant, o.Point, o.Stop = g, c.point, true
			p := start(t, o)
			until(t, 30*time.Second, "the process to stop", p.stopped)
			stopped := time.Now()
			until(t, 30*time.Second, "the pause", func() bool {
				ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
				defer cancel()
				_, _ = survivor.Access(ctx, g)
				return time.Since(stopped) > c.pause
			})
			if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
				t.Fatal(err)
			}
			a := accessUntil(t, survivor, g, 30*time.Second)
			v := r.row(g)
			if v.State != "active" || v.Connection != "active" || !r.server.good(g.String(), r.token(g)) || r.token(g) != c.token {
				t.Errorf("row %+v, token %d", v, r.token(g))
			}
			if n := r.server.count(); n != c.requests || r.server.reuse != 0 {
				t.Errorf("%d requests, want %d; %d revocations", n, c.requests, r.server.reuse)
			}
			if a.Token.Reveal() != atOf(g, c.token) {
				t.Errorf("got another token")
			}
		})
	}
}
