package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/connectors"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	ms := RetryHeaders{Milliseconds: []string{"Retry-After-Ms"}}
	reset := RetryHeaders{EpochSeconds: []string{"X-RateLimit-Reset"}, Remaining: []string{"X-RateLimit-Remaining"}}
	for name, c := range map[string]struct {
		headers RetryHeaders
		give    http.Header
		want    time.Duration
	}{
		"nothing":             {RetryHeaders{}, http.Header{}, 0},
		"seconds":             {RetryHeaders{}, http.Header{"Retry-After": {"120"}}, 2 * time.Minute},
		"spaces":              {RetryHeaders{}, http.Header{"Retry-After": {" 7 "}}, 7 * time.Second},
		"a fraction":          {RetryHeaders{}, http.Header{"Retry-After": {"1.5"}}, 1500 * time.Millisecond},
		"zero":                {RetryHeaders{}, http.Header{"Retry-After": {"0"}}, 0},
		"negative":            {RetryHeaders{}, http.Header{"Retry-After": {"-5"}}, 0},
		"absurd":              {RetryHeaders{}, http.Header{"Retry-After": {"99999999"}}, time.Hour},
		"beyond any number":   {RetryHeaders{}, http.Header{"Retry-After": {strings.Repeat("9", 400)}}, time.Hour},
		"infinity":            {RetryHeaders{}, http.Header{"Retry-After": {"inf"}}, 0},
		"an exponent":         {RetryHeaders{}, http.Header{"Retry-After": {"1e3"}}, 0},
		"nonsense":            {RetryHeaders{}, http.Header{"Retry-After": {"soon"}}, 0},
		"two points":          {RetryHeaders{}, http.Header{"Retry-After": {"1.2.3"}}, 0},
		"a date":              {RetryHeaders{}, http.Header{"Retry-After": {now.Add(90 * time.Second).Format(http.TimeFormat)}}, 90 * time.Second},
		"an RFC 850 date":     {RetryHeaders{}, http.Header{"Retry-After": {now.Add(time.Minute).Format("Monday, 02-Jan-06 15:04:05 GMT")}}, time.Minute},
		"a past date":         {RetryHeaders{}, http.Header{"Retry-After": {now.Add(-time.Minute).Format(http.TimeFormat)}}, 0},
		"a far date":          {RetryHeaders{}, http.Header{"Retry-After": {now.AddDate(1, 0, 0).Format(http.TimeFormat)}}, time.Hour},
		"a server's own time": {RetryHeaders{}, http.Header{"Date": {now.Add(time.Hour).Format(http.TimeFormat)}, "Retry-After": {now.Add(time.Hour + time.Minute).Format(http.TimeFormat)}}, time.Minute},
		"milliseconds":        {ms, http.Header{"Retry-After-Ms": {"250"}, "Retry-After": {"1"}}, 250 * time.Millisecond},
		"absurd milliseconds": {ms, http.Header{"Retry-After-Ms": {"9999999999"}}, time.Hour},
		"bad milliseconds":    {ms, http.Header{"Retry-After-Ms": {"x"}, "Retry-After": {"1"}}, time.Second},
		"not asked for":       {RetryHeaders{}, http.Header{"Retry-After-Ms": {"250"}}, 0},
		"a reset time":        {reset, http.Header{"X-Ratelimit-Reset": {fmt.Sprint(now.Unix() + 60)}, "X-Ratelimit-Remaining": {"0"}}, time.Minute},
		"a reset not needed":  {reset, http.Header{"X-Ratelimit-Reset": {fmt.Sprint(now.Unix() + 60)}, "X-Ratelimit-Remaining": {"9"}}, 0},
		"a reset in the past": {reset, http.Header{"X-Ratelimit-Reset": {"1"}, "X-Ratelimit-Remaining": {"0"}}, 0},
		"a reset of nonsense": {reset, http.Header{"X-Ratelimit-Reset": {"1e99"}, "X-Ratelimit-Remaining": {"0"}}, 0},
	} {
		if got := c.headers.RetryAfter(c.give, now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestUsedUp: the last call that a source gives says so, whatever it answers.
func TestUsedUp(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	in := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
	named := RetryHeaders{EpochSeconds: []string{"X-RateLimit-Reset"}, Remaining: []string{"X-RateLimit-Remaining"}}
	for name, c := range map[string]struct {
		headers RetryHeaders
		give    map[string]string
		want    time.Duration
	}{
		"calls are left":          {named, map[string]string{"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": in(time.Minute)}, 0},
		"none is left":            {named, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": in(time.Minute)}, time.Minute},
		"by the server's clock":   {named, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": in(time.Minute), "Date": now.Add(50 * time.Second).Format(http.TimeFormat)}, 10 * time.Second},
		"for long":                {named, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": in(48 * time.Hour)}, time.Hour},
		"it has started again":    {named, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": in(-time.Minute)}, 0},
		"no time":                 {named, map[string]string{"X-RateLimit-Remaining": "0"}, 0},
		"nonsense":                {named, map[string]string{"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": in(time.Minute)}, 0},
		"no counter":              {named, map[string]string{"X-RateLimit-Reset": in(time.Minute)}, 0},
		"no counter is named":     {RetryHeaders{EpochSeconds: named.EpochSeconds}, map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": in(time.Minute)}, 0},
		"Retry-After of a 200":    {named, map[string]string{"Retry-After": "5"}, 0},
		"a limit of another kind": {named, map[string]string{"X-Search-Remaining": "0", "X-RateLimit-Reset": in(time.Minute)}, 0},
	} {
		h := http.Header{}
		for k, v := range c.give {
			h.Set(k, v)
		}
		if got := c.headers.UsedUp(h, now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"1", "Wed, 02 Jan 2030 03:04:05 GMT", "-1", "1e9", ".", "99999999999999999999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		all := RetryHeaders{Milliseconds: []string{"A"}, EpochSeconds: []string{"A"}}
		for _, h := range []http.Header{{"A": {s}}, {"Retry-After": {s}}, {"Retry-After": {s}, "Date": {s}}} {
			if d := all.RetryAfter(h, time.Unix(1e9, 0)); d < 0 || d > time.Hour {
				t.Errorf("%q asks for %s", s, d)
			}
		}
	})
}

func TestCheckStatus(t *testing.T) {
	t.Parallel()
	wait := http.Header{"Retry-After": {"9"}}
	for _, c := range []struct {
		code  int
		give  http.Header
		class connectors.Class
		after time.Duration
	}{
		{401, wait, connectors.GrantLost, 0},
		{403, nil, connectors.ScopeDenied, 0},
		{403, wait, connectors.RateLimited, 9 * time.Second},
		{404, nil, connectors.Unknown, 0},
		{408, nil, connectors.Transient, 0},
		{410, nil, connectors.CursorExpired, 0},
		{425, nil, connectors.Transient, 0},
		{429, nil, connectors.RateLimited, 0},
		{429, wait, connectors.RateLimited, 9 * time.Second},
		{500, nil, connectors.Transient, 0},
		{503, wait, connectors.Transient, 9 * time.Second},
		{599, nil, connectors.Transient, 0},
	} {
		err := CheckStatus("listing", &http.Response{StatusCode: c.code, Header: c.give}, RetryHeaders{})
		if connectors.ClassOf(err) != c.class || connectors.RetryAfterOf(err) != c.after {
			t.Errorf("%d: %v, class %s after %s", c.code, err, connectors.ClassOf(err), connectors.RetryAfterOf(err))
		}
		if e, ok := errors.AsType[*StatusError](err); !ok || e.Code != c.code {
			t.Errorf("%d: the status is lost in %v", c.code, err)
		}
	}
	for _, code := range []int{200, 204, 304, 399} {
		if err := CheckStatus("listing", &http.Response{StatusCode: code}, RetryHeaders{}); err != nil {
			t.Errorf("%d: %v", code, err)
		}
	}
}

// waits records what a retry waited for and never waits.
type waits struct {
	*fakeClock
	list []time.Duration
}

func (w *waits) AfterFunc(d time.Duration, f func()) func() bool {
	w.list = append(w.list, d)
	f()
	return func() bool { return false }
}

// TestRetry: what is repeated, how often, and what comes back.
func TestRetry(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		retry    Retry
		method   string
		body     func() io.Reader
		statuses []int // the last repeats
		after    string
		requests int
		status   int
	}{
		"success at once":                       {Retry{}, "GET", nil, []int{200}, "", 1, 200},
		"success in the end":                    {Retry{}, "GET", nil, []int{503, 429, 200}, "", 3, 200},
		"no success":                            {Retry{}, "GET", nil, []int{503}, "", 4, 503},
		"attempts":                              {Retry{Attempts: 2}, "GET", nil, []int{503}, "", 2, 503},
		"no use in trying":                      {Retry{}, "GET", nil, []int{404}, "", 1, 404},
		"a lost grant":                          {Retry{}, "GET", nil, []int{401}, "", 1, 401},
		"a post":                                {Retry{}, "POST", form, []int{503}, "", 1, 503},
		"a put":                                 {Retry{}, "PUT", form, []int{503}, "", 1, 503},
		"a delete":                              {Retry{}, "DELETE", nil, []int{503}, "", 1, 503},
		"a harmless post":                       {Retry{Harmless: true}, "POST", form, []int{503, 200}, "", 2, 200},
		"a body that cannot be had again":       {Retry{Harmless: true}, "POST", func() io.Reader { return io.MultiReader(form()) }, []int{503}, "", 1, 503},
		"a wait that is short enough":           {Retry{}, "GET", nil, []int{429, 200}, "10", 2, 200},
		"a wait that would hold the worker":     {Retry{}, "GET", nil, []int{429, 200}, "11", 1, 429},
		"a reset that would hold the worker":    {Retry{Headers: RetryHeaders{Milliseconds: []string{"Retry-After"}}}, "GET", nil, []int{429}, "10001", 1, 429},
		"403 with a wait is a rate limit":       {Retry{}, "GET", nil, []int{403, 200}, "1", 2, 200},
		"403 without a wait is a missing right": {Retry{}, "GET", nil, []int{403, 200}, "", 1, 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			s := server(t, func(w http.ResponseWriter, r *http.Request) {
				n := int(requests.Add(1))
				if b, err := io.ReadAll(r.Body); err != nil || c.body != nil && !strings.Contains(string(b), canary) {
					t.Errorf("request %d has body %q: %v", n, b, err)
				}
				if c.after != "" {
					w.Header().Set("Retry-After", c.after)
				}
				w.WriteHeader(c.statuses[min(n, len(c.statuses))-1])
				fmt.Fprint(w, n)
			})
			clock := &waits{fakeClock: newClock()}
			c.retry.Clock = clock
			var body io.Reader
			if c.body != nil {
				body = c.body()
			}
			req, err := http.NewRequestWithContext(t.Context(), c.method, s.URL, body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := c.retry.Do(plain(t, Options{}, s), req)
			if got := text(t, resp, err); got != fmt.Sprint(c.requests) || resp.StatusCode != c.status {
				t.Errorf("answer %s to request %s, want %d to %d", resp.Status, got, c.status, c.requests)
			}
			if len(clock.list) != c.requests-1 {
				t.Fatalf("waits %v", clock.list)
			}
			for i, d := range clock.list {
				base := 500 * time.Millisecond << i
				low, high := base/2, base*3/2
				if c.after != "" {
					low = time.Second
					high = 10*time.Second + base
				}
				if d < low || d > high {
					t.Errorf("wait %d is %s, not within %s and %s", i+1, d, low, high)
				}
			}
		})
	}
}

// TestRetryOfErrors: broken connections are tried again, refusals are not, and a cancelled wait ends.
func TestRetryOfErrors(t *testing.T) {
	t.Parallel()
	var requests atomic.Int64
	s := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) < 3 {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprint(w, "third")
	})
	clock := &waits{fakeClock: newClock()}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := plain(t, Options{}, s)
	resp, err := Retry{Clock: clock}.Do(c, req)
	if got := text(t, resp, err); got != "third" {
		t.Errorf("answer %q", got)
	}

	refused, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	n := len(clock.list)
	_, err = Retry{Clock: clock}.Do(c, refused)
	wantError(t, err, ErrRefused, connectors.Invalid)
	if len(clock.list) != n {
		t.Errorf("waited %v for a refusal", clock.list[n:])
	}

	ctx, cancel := context.WithCancel(t.Context())
	busy := server(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	still := newClock()
	done := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, busy.URL, nil)
		if err == nil {
			var resp *http.Response
			if resp, err = (Retry{Clock: still}).Do(plain(t, Options{}, busy), req); err == nil {
				resp.Body.Close()
			}
		}
		done <- err
	}()
	<-still.armed
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled while waiting: %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the wait goes on")
	}
}

// TestConditional: a version that is still current costs no content.
func TestConditional(t *testing.T) {
	t.Parallel()
	const modified = "Wed, 02 Jan 2030 03:04:05 GMT"
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `W/"7"`)
		w.Header().Set("Last-Modified", modified)
		switch {
		case r.URL.Path == "/odd":
			w.Header().Set("Etag", strings.Repeat("x", maxValidator+1))
			w.Header().Set("Last-Modified", "yesterday")
		case r.URL.Path == "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		case r.Header.Get("If-None-Match") == `W/"7"` && r.Header.Get("If-Modified-Since") == modified:
			w.WriteHeader(http.StatusNotModified)
		}
	})
	c := plain(t, Options{}, s)
	resp, err := get(t, c, s.URL)
	if err != nil || NotModified(resp) {
		t.Fatalf("the first request: %v", err)
	}
	v := ValidatorsOf(resp)
	if want := (Validators{`W/"7"`, modified}); v != want {
		t.Errorf("validators %v, want %v", v, want)
	}
	for method, want := range map[string]bool{http.MethodGet: true, http.MethodHead: true, http.MethodPost: false} {
		req, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		v.Apply(req)
		resp, err := Do(c, req)
		if err != nil || NotModified(resp) != want {
			t.Errorf("%s again: not modified %t, want %t: %v", method, err == nil && NotModified(resp), want, err)
			continue
		}
		if want && ValidatorsOf(resp) != v {
			t.Errorf("%s: the validators are lost", method)
		}
		resp.Body.Close()
	}
	for _, path := range []string{"/odd", "/broken"} {
		resp, err := get(t, c, s.URL+path)
		if err != nil || ValidatorsOf(resp) != (Validators{}) {
			t.Errorf("%s: validators %v: %v", path, ValidatorsOf(resp), err)
		}
	}
}
