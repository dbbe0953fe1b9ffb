package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/internal/sandbox"
)

func TestTokenFaults(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.Faults().Set(func(o *sandbox.Options) { o.Delay = 30 * time.Millisecond })
	tk := r.connect("bob")
	ask := func() answer { return r.post("/oauth/token", refreshForm(tk.RefreshToken)) }

	for kind, status := range map[sandbox.Kind]int{sandbox.TokenError500: 500, sandbox.TokenError503: 503, sandbox.TokenInvalidGrant: 400} {
		r.Faults().Next(kind, 1)
		a := ask()
		wantStatus(t, kind.String(), a, status)
		if (status == 503) != (a.header.Get("Retry-After") == "2") {
			t.Errorf("%s: Retry-After %q", kind, a.header.Get("Retry-After"))
		}
	}
	if r.Seen().Refreshes != 0 {
		t.Fatalf("an error issued tokens: %+v", r.Seen())
	}
	next, _ := r.token(refreshForm(tk.RefreshToken))
	if next.AccessToken == "" {
		t.Fatal("an error spent the refresh token")
	}

	tk = next
	r.Faults().Next(sandbox.TokenSlow, 1)
	began := time.Now()
	a := ask()
	if wantStatus(t, "slow", a, 200); time.Since(began) < 30*time.Millisecond {
		t.Error("it was not slow")
	}
	a.json(t, &tk)

	for _, kind := range []sandbox.Kind{sandbox.TokenLost, sandbox.TokenTruncated} {
		tk = r.connect("bob")
		before := r.Seen().Refreshes
		r.Faults().Next(kind, 1)
		if a := ask(); a.err == nil {
			t.Errorf("%s: a whole answer %+v", kind, a)
		}
		if r.Seen().Refreshes != before+1 {
			t.Errorf("%s: it was not done before the answer", kind)
		}
		if again, _ := r.token(refreshForm(tk.RefreshToken)); again.Error != "invalid_grant" {
			t.Errorf("%s: the token was not spent: %+v", kind, again)
		}
	}
}

func TestConsentAndRevocationFaults(t *testing.T) {
	t.Parallel()
	r := start(t)
	for kind, want := range map[sandbox.Kind][]string{
		sandbox.ConsentWithoutIss: nil, sandbox.ConsentWrongIss: {"https://issuer.example.net"}, sandbox.ConsentTwoIss: {r.URL, r.URL},
	} {
		r.Faults().Next(kind, 1)
		u, err := r.Browser().Consent(r.authorizeURL(), "bob")
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query()["iss"]; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: iss %q", kind, got)
		}
	}
	tk := r.connect("bob")
	r.Faults().Next(sandbox.RevokeUnavailable, 1)
	wantStatus(t, "revoke", r.post("/oauth/revoke", url.Values{"token": {tk.RefreshToken}}), 503)
	wantStatus(t, "nothing was revoked", r.get("/api/v1/about", tk.AccessToken), 200)
}

func TestListingFaults(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.organisation()
	for kind, status := range map[sandbox.Kind]int{sandbox.ItemsError: 500, sandbox.ItemsExpired: 410, sandbox.RateLimited: 429} {
		r.Faults().Next(kind, 1)
		a := r.get("/api/v1/items", token)
		wantStatus(t, kind.String(), a, status)
		if status == 429 && a.header.Get("Retry-After") != "2" {
			t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
		}
		wantStatus(t, "after "+kind.String(), r.get("/api/v1/items", token), 200)
	}
	first := page(t, r, token, "/api/v1/items?page_size=4")
	r.Faults().Next(sandbox.ItemsRepeat, 1)
	repeated := page(t, r, token, "/api/v1/items?page_size=4&page_token="+first.Next)
	if repeated.Next != first.Next || repeated.Complete || len(repeated.Items) != 4 {
		t.Errorf("repeat: %+v", repeated)
	}
	r.Faults().Next(sandbox.ItemsEmpty, 1)
	empty := page(t, r, token, "/api/v1/items?page_size=4&page_token="+first.Next)
	if len(empty.Items) != 0 || empty.Next == "" || empty.Complete {
		t.Errorf("empty: %+v", empty)
	}
	if rest := page(t, r, token, "/api/v1/items?page_size=4&page_token="+empty.Next); rest.Items[0].ID != repeated.Items[0].ID {
		t.Errorf("the empty page moved on: %+v", rest)
	}
	r.Faults().Next(sandbox.ItemsTruncated, 1)
	a := r.get("/api/v1/items", token)
	if json.Valid([]byte(a.body)) || a.status != 200 || !strings.HasPrefix(a.body, `{"complete"`) {
		t.Errorf("truncated: %d %q", a.status, a.body)
	}
	r.Faults().ExpirePages()
	expired := r.get("/api/v1/items?page_token="+first.Next, token)
	wantStatus(t, "expired pages", expired, http.StatusGone)
	if !strings.Contains(expired.body, `"page_token_expired"`) {
		t.Errorf("%s", expired.body)
	}
	wantStatus(t, "from the start", r.get("/api/v1/items", token), 200)
}

func TestContentFaults(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.organisation()
	r.Faults().Set(func(o *sandbox.Options) { o.Delay, o.RedirectTo = 30*time.Millisecond, "http://files.example.net/x" })
	for kind, status := range map[sandbox.Kind]int{sandbox.ContentForbidden: 403, sandbox.ContentGone: 404, sandbox.ContentError: 500, sandbox.ContentRedirect: 302} {
		r.Faults().OnItem(kind, "plan")
		a := r.get("/api/v1/items/plan/content", token)
		wantStatus(t, kind.String(), a, status)
		if status == 302 && a.header.Get("Location") != "http://files.example.net/x" {
			t.Errorf("leads to %q", a.header.Get("Location"))
		}
		wantStatus(t, "another item", r.get("/api/v1/items/rules/content", token), 200)
		options := r.Faults().Options()
		r.Faults().Clear()
		r.Faults().Set(func(o *sandbox.Options) { *o = options })
	}
	r.Faults().Next(sandbox.ContentTruncated, 1)
	if a := r.get("/api/v1/items/plan/content", token); a.err == nil {
		t.Errorf("truncated: whole answer %q", a.body)
	}
	r.Faults().Next(sandbox.ContentSlow, 1)
	began := time.Now()
	if a := r.get("/api/v1/items/plan/content", token); a.body != "# Plan\n\nShip it.\n" || time.Since(began) < 30*time.Millisecond {
		t.Errorf("slow: %q after %s", a.body, time.Since(began))
	}
	r.Faults().Every(sandbox.ContentError, 3)
	var got []string
	for range 6 {
		got = append(got, strconv.Itoa(r.get("/api/v1/items/plan/content", token).status))
	}
	if strings.Join(got, " ") != "200 200 500 200 200 500" || r.Faults().Hits(sandbox.ContentError) != 2 {
		t.Errorf("every third: %v, %d", got, r.Faults().Hits(sandbox.ContentError))
	}
}

func TestFeedFaults(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.organisation()
	from := feedStart(t, r, token)
	for _, id := range []string{"rules", "diary"} {
		if err := r.World().Delete(id); err != nil {
			t.Fatal(err)
		}
	}
	r.Faults().Next(sandbox.TombstoneDropped, 1)
	if got := feed(t, r, token, from); len(got.Changes) != 1 || got.Changes[0].ItemID != "diary" {
		t.Errorf("%+v", got)
	}
	r.Faults().Set(func(o *sandbox.Options) { o.FeedLength = 1 })
	wantStatus(t, "older than the feed", r.get("/api/v1/changes?page_token="+from, token), http.StatusGone)
	now := feedStart(t, r, token)
	r.Faults().ExpireFeed()
	wantStatus(t, "expired by a switch", r.get("/api/v1/changes?page_token="+now, token), http.StatusGone)
	r.Faults().Clear()
	now = feedStart(t, r, token)
	if err := r.World().StartOver(); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "from before everything was put back", r.get("/api/v1/changes?page_token="+now, token), http.StatusGone)
	wantStatus(t, "what was deleted is back", r.get("/api/v1/items/rules", token), http.StatusOK)
}

func TestRateLimit(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.Faults().Set(func(o *sandbox.Options) { o.RateBurst, o.RatePerSecond = 3, 1 })
	token := r.organisation()
	var got []string
	for range 4 {
		a := r.get("/api/v1/about", token)
		got = append(got, strconv.Itoa(a.status)+":"+a.header.Get("X-RateLimit-Remaining")+":"+a.header.Get("Retry-After"))
		if reset, err := strconv.ParseInt(a.header.Get("X-RateLimit-Reset"), 10, 64); err != nil || reset <= r.clock.now().Unix() || a.header.Get("X-RateLimit-Limit") != "3" {
			t.Errorf("%v", a.header)
		}
	}
	if strings.Join(got, " ") != "200:2: 200:1: 200:0: 429:0:1" {
		t.Errorf("%v", got)
	}
	id, secret := r.id, r.secret
	var err error
	if r.id, r.secret, err = r.Register(redirectURI); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "another client", r.get("/api/v1/about", r.organisation()), 200)
	r.id, r.secret = id, secret
	r.clock.advance(time.Second)
	wantStatus(t, "as Retry-After said", r.get("/api/v1/about", token), 200)
	wantStatus(t, "and no more", r.get("/api/v1/about", token), 429)
}

func TestEveryKindHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, k := range sandbox.Kinds() {
		if name := k.String(); name == "" || seen[name] || strings.HasPrefix(name, "Kind(") {
			t.Errorf("kind %d is called %q", int(k), name)
		} else {
			seen[name] = true
		}
	}
	if sandbox.Kind(-1).String() != "Kind(-1)" || len(seen) < 23 {
		t.Errorf("%d kinds", len(seen))
	}
}
