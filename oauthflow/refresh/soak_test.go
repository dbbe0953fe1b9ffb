package refresh_test

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// TestRF4 : a server that is slow, resets connections and cuts answers off. Every presentation beyond the first is
// recorded, every loss is counted, and only losses that nobody can undo need consent.
func TestRF4(t *testing.T) {
	t.Parallel()
	length := 5 * time.Second
	if v := os.Getenv("TEST_RF4_SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatal(err)
		}
		length = d
	}
	for _, class := range []string{"G", "S", "F"} {
		t.Run("RF-4 class "+class, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, class)
			r.server.life = time.Second
			timing := quick()
			timing.Send, timing.Lease = 600*time.Millisecond, 1200*time.Millisecond
			var mu sync.Mutex
			random := rand.New(rand.NewPCG(4, uint64(class[0])))
			r.server.setPlan(func(int, string) fault {
				mu.Lock()
				defer mu.Unlock()
				var f fault
				// Up to 3 x D in a third of the requests; around D nobody can say who gives up first, so none is there.
				if d := random.Int64N(9); d < 2 {
					f.before = time.Duration(random.Int64N(int64(timing.Send / 2)))
				} else if d == 2 {
					f.after = timing.Send*2 + time.Duration(random.Int64N(int64(timing.Send)))
				}
				switch x := random.IntN(100); {
				case x < 10:
					f.resetBefore = true
				case x < 20:
					f.resetAfter = true
				case x < 30:
					f.truncate = true
				}
				return f
			})
			cfg := r.config(timing)
			seen := &witness{Sender: cfg.Sender, late: map[string]bool{}}
			cfg.Sender = seen
			keepers := []*refresh.Keeper{r.running(cfg), r.running(cfg)}
			end := time.Now().Add(length)
			var wg sync.WaitGroup
			var grants []uuid.UUID
			for range 12 {
				wg.Go(func() {
					for time.Now().Before(end) {
						g := r.consent(-time.Minute)
						mu.Lock()
						grants = append(grants, g)
						mu.Unlock()
						for time.Now().Before(end) && r.row(g).State == "active" {
							ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
							_, _ = keepers[rand.IntN(2)].Access(ctx, g)
							cancel()
							<-time.After(10 * time.Millisecond)
						}
					}
				})
			}
			wg.Wait()
			// What is on its way ends.
			until(t, 30*time.Second, "the last requests", func() bool {
				var n int
				_ = r.db.Owner.QueryRow(context.Background(), `SELECT count(*) FROM credential WHERE phase = 'in_flight'`).Scan(&n)
				return n == 0
			})
			var lost, sent, rotated, reauth int64
			for _, k := range keepers {
				s := k.Stats()
				lost, sent, rotated = lost+s.Lost, sent+s.Sent, rotated+s.Rotated
			}
			r.server.mu.Lock()
			injected, used := r.server.losses, maps.Clone(r.server.lossOf)
			r.server.mu.Unlock()
			seen.mu.Lock()
			defer seen.mu.Unlock()
			for _, g := range grants {
				v := r.row(g)
				if extra := r.unrecorded(g); extra != "" {
					t.Errorf("grant %s: %s", g, extra)
				}
				if v.State == "needs_reauth" {
					reauth++
					if !used[g.String()] && !seen.late[g.String()] || v.Class != "lost_response" {
						t.Errorf("grant %s needs consent because of %q, and no answer of a used token was lost", g, v.Class)
					}
				} else if v.Phase == "idle" && !r.server.good(g.String(), r.token(g)) {
					t.Errorf("grant %s is active with a token that the server does not accept: %+v", g, v)
				}
			}
			// What is not injected is an answer that came after D, because this machine was busy.
			busy := seen.lost - injected
			if lost != int64(seen.lost) || busy < 0 || busy > seen.timeouts {
				t.Errorf("%d uncertain records of %d losses; %d were injected, %d requests ran out of time", lost, seen.lost, injected, seen.timeouts)
			}
			if class == "G" && reauth > 0 {
				t.Errorf("class G: %d grants need consent", reauth)
			}
			t.Logf("RF-4 class %s, %s: %d grants, %d requests, %d rotations, %d losses injected and %d by a busy machine, %d uncertain records, %d grants need consent", class, length, len(grants), sent, rotated, injected, busy, lost, reauth)
		})
	}
}

// witness sees what a keeper is told of its requests.
type witness struct {
	refresh.Sender

	mu             sync.Mutex
	lost, timeouts int
	late           map[string]bool // grants of which a request ran out of time
}

func (w *witness) Send(ctx context.Context, r refresh.Request, trace *oauthflow.Trace) (*oauthflow.Token, error) {
	token, err := w.Sender.Send(ctx, r, trace)
	refusal, answered := errors.AsType[*oauthflow.TokenError](err)
	if err == nil || answered && refusal.Definitive || !answered && !trace.MaybeSent() {
		return token, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost++
	if ctx.Err() != nil {
		w.timeouts++
		w.late[r.Grant.ID.String()] = true
	}
	return token, err
}
