package consenttest

import (
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/internal/sandbox"
	"tributary/store"
)

// full reports whether the long forms are asked for: TEST_CONSENT=full.
func full() bool { return os.Getenv("TEST_CONSENT") == "full" }

// TestShortTokens: a sync in real time lives through many tokens of a few seconds; some end early, in the middle of the
// requests that use them, and some downloads end after their token. TEST_CONSENT=full takes tokens of 30 s
// for five minutes.
func TestShortTokens(t *testing.T) {
	t.Parallel()
	files, life, least := 150, 3*time.Second, 15*time.Second
	if full() {
		files, life, least = 2900, 30*time.Second, 5*time.Minute
	}
	jumps := 4
	d := startDrive(t, files)
	d.Faults().Set(func(o *sandbox.Options) { o.TokenLife, o.Delay = life, min(life+time.Second, 25*time.Second) })
	d.Faults().Every(sandbox.ContentSlow, files/4)
	var downloads, jumped atomic.Int64
	d.setFront(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if _, ok := item(r); ok && downloads.Add(1)%int64(files/(jumps+1)) == 0 {
			jumped.Add(1)
			d.Faults().Advance(life) // the token that this request carries is over, which nobody told us
		}
		return false
	})
	// Ten requests a second, as by default.
	r := newRig(t, pgtest.New(t), d, parts{})
	res := r.connect()
	began := time.Now()
	if err := r.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := r.finished(store.Content, least+2*time.Minute)
	took := time.Since(began)
	if run.State != store.RunSucceeded || run.Counts.Added != int64(files) || run.Counts.Quarantined != 0 {
		t.Errorf("the run ended %s (%s): %+v", run.State, run.Error, run.Counts)
	}
	r.wantWhole(files)
	r.wantState(res.Grant, "active", store.StateActive)
	n := d.once(t)
	r.outcomes()
	if took < least || n < int(least/life) {
		t.Errorf("the sync took %s with %d refreshes, want %s and %d", took, n, least, least/life)
	}
	if d.refused() < jumps || int(jumped.Load()) < jumps {
		t.Errorf("%d requests were refused as 401 after %d early ends, want at least %d", d.refused(), jumped.Load(), jumps)
	}
	all, most := d.downloads()
	t.Logf("%s, %d refreshes, %d downloads of %d files (at most %d of one), %d refused as 401 and repeated, %d slow downloads",
		took.Round(time.Millisecond), n, all, files, most, d.refused(), d.Faults().Hits(sandbox.ContentSlow))
}
