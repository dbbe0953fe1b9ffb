package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/store"
	"tributary/web"
)

func mustURL(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}

func testGuesses(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	r.db.SetClock(t, time.Date(2031, 5, 1, 8, 0, 0, 0, time.UTC))
	attacker := r.browser()
	attacker.ip = "203.0.113.66"
	const guesses = 10_000
	throttled := 0
	for i := range guesses {
		if i%25 == 0 {
			r.db.Advance(t, 9*time.Second) // ten thousand are an hour
		}
		p := attacker.post("/signin", "name", "ada", "password", fmt.Sprintf("guess number %d", i))
		switch p.status {
		case http.StatusTooManyRequests:
			throttled++
			if p.header.Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		case http.StatusUnauthorized:
		default:
			t.Fatalf("guess %d: got %d", i, p.status)
		}
	}
	tried := int(r.verified.Load())
	t.Logf("%d of %d guesses were tried in an hour", tried, guesses)
	if tried > 100 || tried < 5 || tried+throttled != guesses {
		t.Errorf("%d tried, %d throttled", tried, throttled)
	}
	// The right password does not help there before the wait is over, and the
	// holder comes in from elsewhere at once.
	if p := attacker.signIn("ada"); p.status != http.StatusTooManyRequests {
		t.Errorf("the right password from there: %d", p.status)
	}
	holder := r.browser()
	holder.ip = "198.51.100.7"
	if p := holder.signIn("ada"); p.status != http.StatusSeeOther {
		t.Errorf("the holder from elsewhere: %d", p.status)
	}
	r.db.Advance(t, 6*time.Minute)
	if p := attacker.signIn("ada"); p.status != http.StatusSeeOther {
		t.Errorf("the holder from there, after the wait: %d", p.status)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM audit_event WHERE action = 'session.refused'`); n > tried || n < 5 {
		t.Errorf("%d refusals are recorded", n)
	}
}

func testParallelGuesses(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	r.db.SetClock(t, time.Date(2031, 5, 1, 8, 0, 0, 0, time.UTC))
	var wg sync.WaitGroup
	for i := range 100 {
		b := r.browser()
		b.ip = "203.0.113.66"
		wg.Go(func() { b.post("/signin", "name", "ada", "password", fmt.Sprintf("guess number %d", i)) })
	}
	wg.Wait()
	if n := r.verified.Load(); n != 5 {
		t.Errorf("%d of a hundred guesses at the same time were tried", n)
	}
}

func testManyAddresses(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	ctx := t.Context()
	known := r.browser()
	known.ip = "198.51.100.7"
	known.signIn("ada")
	var longest time.Duration
	for i := range 400 {
		attempt, err := r.store.BeginSignIn(ctx, "ada", fmt.Sprintf("2001:db8:%x::1", i))
		if err != nil || attempt.RetryAfter != 0 {
			t.Fatalf("address %d: %+v, %v", i, attempt, err)
		}
		longest = max(longest, attempt.Slow)
		if i < 40 && attempt.Slow != 0 {
			t.Fatalf("attempt %d is slow", i)
		}
	}
	if longest < 3*time.Second || longest > 5*time.Second {
		t.Errorf("the longest wait is %s", longest)
	}
	for ip, slow := range map[string]bool{"198.51.100.7": false, "198.51.100.8": true} {
		attempt, err := r.store.BeginSignIn(ctx, "ada", ip)
		if err != nil || attempt.RetryAfter != 0 || (attempt.Slow > 0) != slow {
			t.Errorf("from %s: %+v, %v", ip, attempt, err)
		}
	}
	// A network of IPv6 is one address.
	for i := range 6 {
		attempt, err := r.store.BeginSignIn(ctx, "bob", fmt.Sprintf("2001:db8:ffff:ffff:%x::1", i))
		if err != nil {
			t.Fatal(err)
		}
		if refused := attempt.RetryAfter > 0; refused != (i >= 5) {
			t.Errorf("attempt %d from one network: %+v", i, attempt)
		}
	}
	// One address that tries many names is bounded too.
	tried := 0
	for i := range 500 {
		attempt, err := r.store.BeginSignIn(ctx, fmt.Sprintf("user%d", i), "203.0.113.9")
		if err != nil {
			t.Fatal(err)
		}
		if attempt.RetryAfter == 0 {
			tried++
		}
	}
	if tried < 40 || tried > 45 {
		t.Errorf("%d of 500 names were tried from one address", tried)
	}
}

var requestIDs = regexp.MustCompile(`Request <code>[^<]*</code>`)

func testUniform(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	bob := r.account("bob", store.RoleAdmin)
	if _, err := r.store.DisableAccount(t.Context(), audit.Actor{Kind: audit.System, Name: "test"}, bob.ID); err != nil {
		t.Fatal(err)
	}
	answers := map[string]page{}
	for i, c := range []struct{ what, name, password string }{
		{"a wrong password", "ada", "some other password"},
		{"no such account", "eve", "some other password"},
		{"a disabled account", "bob", goodPassword},
		{"no password", "ada", ""},
		{"a name that cannot be one", "<b>", "some other password"},
		{"an endless password", "ada", strings.Repeat("x", 20_000)},
	} {
		b := r.browser()
		b.ip = fmt.Sprintf("192.0.2.%d", 10+i)
		p := b.post("/signin", "name", c.name, "password", c.password)
		p.body = strings.ReplaceAll(requestIDs.ReplaceAllString(p.body, ""), `value="`+c.name+`"`, `value=""`)
		p.body = strings.ReplaceAll(p.body, `value="&lt;b&gt;"`, `value=""`)
		answers[c.what] = p
	}
	first := answers["a wrong password"]
	if first.status != http.StatusUnauthorized || !strings.Contains(first.body, "The name or the password is not right") {
		t.Errorf("got %d\n%s", first.status, first.body)
	}
	for what, p := range answers {
		if p.status != first.status || p.body != first.body || len(p.cookie) != len(first.cookie) || len(p.header) != len(first.header) {
			t.Errorf("%s is told apart: %d, %v\n%s", what, p.status, p.header, p.body)
		}
	}
	if events := strings.Join(r.events(), "\n"); strings.Contains(events, "eve") || !strings.Contains(events, "session.refused refused anonymous:visitor ada") {
		t.Errorf("the audit log: %s", events)
	}
}

// testTiming compares how long the refusal of a known and of an unknown name
// takes, in turns, and believes the best of six rounds.
func testTiming(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	next := 0
	took := func(name string) time.Duration {
		b := r.browser()
		next++
		b.ip = fmt.Sprintf("198.51.%d.%d", next/200, next%200)
		began := time.Now()
		if p := b.post("/signin", "name", name, "password", "some other password"); p.status != http.StatusUnauthorized {
			t.Fatalf("got %d", p.status)
		}
		return time.Since(began)
	}
	var ratios []float64
	for round := range 6 {
		r.db.MustExec(t, `DELETE FROM sign_in_throttle`)
		var known, unknown []time.Duration
		for range 15 {
			known, unknown = append(known, took("ada")), append(unknown, took(fmt.Sprintf("nobody%d", round)))
		}
		slices.Sort(known)
		slices.Sort(unknown)
		ratio := float64(unknown[7]) / float64(known[7])
		ratios = append(ratios, ratio)
		if ratio > 0.75 && ratio < 1.25 {
			t.Logf("medians: known %s, unknown %s", known[7], unknown[7])
			return
		}
	}
	t.Errorf("an unknown name takes %.2f of the time of a known one", ratios)
}

// testRefusalsBounded: sixty are recorded in a minute, and the next one tells
// how many were not.
func testRefusalsBounded(t *testing.T) {
	admit := web.Refusals()
	at := time.Date(2031, 5, 1, 8, 0, 0, 0, time.UTC)
	recorded := 0
	for range 1000 {
		at = at.Add(50 * time.Millisecond)
		if left, ok := admit("session.refused", at); ok {
			recorded++
			if left != 0 {
				t.Errorf("%d were left out before the bound", left)
			}
		}
	}
	if recorded != 60 {
		t.Errorf("%d of 1,000 refusals within a minute are recorded", recorded)
	}
	if left, ok := admit("oauth.refused", at); !ok || left != 0 {
		t.Error("refusals of one kind hide those of another")
	}
	if left, ok := admit("session.refused", at.Add(11*time.Second)); !ok || left != 940 {
		t.Errorf("the next minute: %v, %d were left out", ok, left)
	}
}

func testObvious(t *testing.T) {
	r := newRig(t, false, nil)
	ada := r.account("adalovelace", store.RoleOwner)
	b := r.signedIn("adalovelace")
	for i, p := range []string{"", "short", "elevenchars", "adalovelace1", "AdaLovelace!!", "tributary123", "aaaaaaaaaaaaaaaa", "abcdefghijklmnop", "123456789012", "qwertyuiopas", strings.Repeat("x y", 60)} {
		got := b.post("/account/password", "current", goodPassword, "password", p, "again", p)
		if got.status != http.StatusUnprocessableEntity {
			t.Errorf("%q: got %d", p, got.status)
		}
		made := b.post("/users", "name", fmt.Sprintf("adalovelace%d", i), "role", "admin", "password", p)
		if p != "" && !strings.Contains(strings.ToLower(p), "lovelace") && made.status != http.StatusUnprocessableEntity {
			t.Errorf("%q for another account: got %d", p, made.status)
		}
	}
	if got := b.post("/account/password", "current", goodPassword, "password", "green bicycles fly", "again", "green bicycles fell"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("two different ones: got %d", got.status)
	}
	if a, err := r.store.Account(t.Context(), ada.ID.String()); err != nil || !a.PasswordChangedAt.Equal(*ada.PasswordChangedAt) {
		t.Error("the password changed")
	}
}

// token makes the one set-up token.
func (r *rig) token() string {
	r.t.Helper()
	value := "SETUP" + strings.Repeat("T", 21)
	if err := r.store.SetSetupToken(r.t.Context(), audit.Actor{Kind: audit.System, Name: "start"}, secret.New(value)); err != nil {
		r.t.Fatal(err)
	}
	return value
}

func (b *browser) setUp(token, name string) page {
	return b.post("/setup", "token", token, "name", name, "password", goodPassword, "again", goodPassword)
}

func testParallelSetups(t *testing.T) {
	r := newRig(t, false, nil)
	token := r.token()
	var mu sync.Mutex
	statuses := map[int]int{}
	var wg sync.WaitGroup
	for i := range 100 {
		b := r.browser()
		wg.Go(func() {
			p := b.setUp(token, fmt.Sprintf("admin%d", i))
			mu.Lock()
			defer mu.Unlock()
			statuses[p.status]++
		})
	}
	wg.Wait()
	t.Logf("statuses of 100 set-ups at the same time: %v", statuses)
	if statuses[http.StatusSeeOther] != 1 || statuses[http.StatusInternalServerError] != 0 {
		t.Errorf("got %v", statuses)
	}
	list, err := r.store.Accounts(t.Context())
	if err != nil || len(list) != 1 || list[0].Role != store.RoleOwner {
		t.Errorf("the accounts are %+v, %v", list, err)
	}
	b := r.browser()
	if p := b.get("/setup"); p.status != http.StatusNotFound {
		t.Errorf("the page afterwards: %d", p.status)
	}
	if p := b.setUp(token, "late"); p.status != http.StatusNotFound {
		t.Errorf("the token afterwards: %d", p.status)
	}
}

func testSetupOver(t *testing.T) {
	called := 0
	r := newRig(t, false, func(c *web.Config) { c.SetUp = func() { called++ } })
	token := r.token()
	b := r.browser()
	if p := b.get("/signin"); p.status != http.StatusSeeOther || p.location() != "/setup" {
		t.Errorf("signing in before set-up: %d to %q", p.status, p.location())
	}
	if p := b.get("/"); !strings.Contains(p.body, `href="/setup"`) {
		t.Error("the start page does not lead to set-up")
	}
	// What is wrong with the form does not use the token up.
	if p := b.post("/setup", "token", token, "name", "ada", "password", "short", "again", "short"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("a short password: %d", p.status)
	}
	if p := b.setUp(token, "no/name"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("a bad name: %d", p.status)
	}
	if p := b.setUp(token, " Ada "); p.status != http.StatusSeeOther || !b.isSignedIn() {
		t.Errorf("set-up: %d\n%s", p.status, p.body)
	}
	events := strings.Join(r.events(), "\n")
	for _, want := range []string{"setup.token ok", "setup.redeem ok anonymous:set-up token ada", "account.create ok", "session.start ok account:ada"} {
		if !strings.Contains(events, want) {
			t.Errorf("the audit log lacks %q:\n%s", want, events)
		}
	}
	if err := r.store.SetSetupToken(t.Context(), audit.Actor{Kind: audit.System, Name: "start"}, secret.New("x")); err == nil {
		t.Error("a token can be made when there is an account")
	}
	if called != 1 {
		t.Errorf("the token's file is forgotten %d times", called)
	}
}

func testSetupTokenEnds(t *testing.T) {
	r := newRig(t, false, nil)
	r.db.SetClock(t, time.Now())
	token := r.token()
	b := r.browser()
	if p := b.setUp(strings.ToLower(token), "ada"); p.status != http.StatusForbidden {
		t.Errorf("another token: %d", p.status)
	}
	if r.verified.Load() != 0 {
		t.Error("a password was compared")
	}
	r.db.Advance(t, 31*time.Minute)
	if p := b.setUp(token, "ada"); p.status != http.StatusForbidden {
		t.Errorf("after 31 minutes: %d", p.status)
	}
	fresh := r.token()
	if p := b.setUp(fresh, "ada"); p.status != http.StatusSeeOther {
		t.Errorf("a new token: %d", p.status)
	}
	if events := strings.Join(r.events(), "\n"); strings.Count(events, "setup.refused refused anonymous:visitor") != 2 {
		t.Errorf("the audit log: %s", events)
	}
}
