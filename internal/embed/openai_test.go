package embed_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/internal/embed"
	"tributary/internal/embed/embedtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "sk-very-secret-0123456789"

func start(t *testing.T, opts embedtest.Options, change func(*embed.Config)) (*embedtest.Server, *embed.OpenAI) {
	t.Helper()
	s := embedtest.New(opts)
	t.Cleanup(s.Close)
	cfg := embed.Config{URL: s.URL, Model: "m", Dimensions: 8, HTTPClient: s.Client(), MaxBatchInputs: 4}
	if change != nil {
		change(&cfg)
	}
	o, err := embed.NewOpenAI(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

func texts(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("text %d", i)
	}
	return out
}

// want checks that the result holds the right vector of exactly the inputs named.
func want(t *testing.T, inputs []string, res embed.Result, have ...int) {
	t.Helper()
	if len(res.Vectors) != len(inputs) {
		t.Fatalf("got %d vectors for %d inputs", len(res.Vectors), len(inputs))
	}
	for i, v := range res.Vectors {
		switch {
		case slices.Contains(have, i):
			if !slices.Equal(v, embedtest.Vector(inputs[i], len(v))) {
				t.Errorf("input %d has the vector of another text", i)
			}
		case v != nil:
			t.Errorf("input %d has a vector", i)
		}
	}
}

func classOf(t *testing.T, err error) *embed.Error {
	t.Helper()
	e, ok := errors.AsType[*embed.Error](err)
	if !ok {
		t.Fatalf("got %T %v, want *embed.Error", err, err)
	}
	return e
}

func upTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func TestEmbedKeepsOrderAndBatches(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{Key: key}, func(c *embed.Config) { c.APIKey = embed.NewSecret(key) })
	s.Next(embedtest.Fault{Reverse: true}, embedtest.Fault{Extra: true})
	in := texts(10)
	vs, err := o.Embed(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want(t, in, embed.Result{Vectors: vs}, upTo(10)...)
	if s.Requests() != 3 || s.Largest() != 4 {
		t.Errorf("got %d requests, largest %d; want 3 of at most 4", s.Requests(), s.Largest())
	}
}

func TestBatchesAreBoundedByTokens(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{}, func(c *embed.Config) { c.MaxBatchTokens, c.MaxBatchInputs = 50, 100 })
	long := strings.Repeat("word ", 30)
	if _, err := o.Embed(t.Context(), []string{long, long + "b", "short", "c"}); err != nil {
		t.Fatal(err)
	}
	if s.Requests() != 2 || s.Largest() != 3 {
		t.Errorf("got %d requests, largest %d; want 2, largest 3", s.Requests(), s.Largest())
	}
}

func TestFaultsOfOneInputKeepTheRest(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault     embedtest.Fault
		class     embed.Class
		permanent bool
	}{
		"missing index":    {embedtest.Fault{Drop: []int{1}}, embed.Transient, false},
		"duplicate index":  {embedtest.Fault{Twice: []int{1}}, embed.Transient, false},
		"null vector":      {embedtest.Fault{Null: []int{1}}, embed.Transient, false},
		"zero vector":      {embedtest.Fault{Zero: []int{1}}, embed.Invalid, true},
		"infinite numbers": {embedtest.Fault{Infinite: []int{1}}, embed.Invalid, true},
	} {
		for _, encoded := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, base64 %t", name, encoded), func(t *testing.T) {
				t.Parallel()
				s, o := start(t, embedtest.Options{Base64: encoded}, nil)
				s.Next(tc.fault)
				in := texts(6)
				res, err := o.EmbedBatch(t.Context(), in)
				if err != nil {
					t.Fatal(err)
				}
				want(t, in, res, 0, 2, 3, 4, 5)
				e := classOf(t, res.Errs[1])
				if len(res.Errs) != 1 || e.Class != tc.class || slices.Equal(e.Permanent, []int{1}) != tc.permanent {
					t.Errorf("got %v, class %v, permanent %v", res.Errs, e.Class, e.Permanent)
				}
				if s.Requests() != 2 {
					t.Errorf("got %d requests, want 2", s.Requests())
				}
			})
		}
	}
}

func TestFaultsOfARequestStopAndKeepWhatCameBefore(t *testing.T) {
	t.Parallel()
	date := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	for name, tc := range map[string]struct {
		fault    embedtest.Fault
		class    embed.Class
		min, max time.Duration
	}{
		"429 with seconds":        {embedtest.Fault{Status: 429, RetryAfter: "7"}, embed.RateLimited, 7 * time.Second, 7 * time.Second},
		"429 with a date":         {embedtest.Fault{Status: 429, RetryAfter: date}, embed.RateLimited, 60 * time.Second, 90 * time.Second},
		"429 with an absurd wait": {embedtest.Fault{Status: 429, RetryAfter: "99999999999"}, embed.RateLimited, time.Hour, time.Hour},
		"429 without a wait":      {embedtest.Fault{Status: 429}, embed.RateLimited, 0, 0},
		"503 with a wait":         {embedtest.Fault{Status: 503, RetryAfter: "3"}, embed.Transient, 3 * time.Second, 3 * time.Second},
		"500 after the work":      {embedtest.Fault{Status: 500, AfterWork: true}, embed.Transient, 0, 0},
		"401":                     {embedtest.Fault{Status: 401}, embed.Auth, 0, 0},
		"404":                     {embedtest.Fault{Status: 404}, embed.Invalid, 0, 0},
		"redirect":                {embedtest.Fault{Redirect: "http://example.invalid/"}, embed.Invalid, 0, 0},
		"truncated body":          {embedtest.Fault{Truncate: true}, embed.Transient, 0, 0},
		"not JSON":                {embedtest.Fault{Garbage: true}, embed.Transient, 0, 0},
		"broken connection":       {embedtest.Fault{Disconnect: true}, embed.Transient, 0, 0},
		"wrong dimensions":        {embedtest.Fault{Dimensions: 5}, embed.Invalid, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, o := start(t, embedtest.Options{}, nil)
			s.Next(embedtest.Fault{}, tc.fault)
			in := texts(10)
			res, err := o.EmbedBatch(t.Context(), in)
			e := classOf(t, err)
			if e.Class != tc.class || e.RetryAfter < tc.min || e.RetryAfter > tc.max {
				t.Errorf("got class %v, wait %v: %v", e.Class, e.RetryAfter, err)
			}
			want(t, in, res, 0, 1, 2, 3)
			if s.Requests() != 2 || len(res.Errs) != 0 {
				t.Errorf("got %d requests, errors %v; a failed request is not repeated", s.Requests(), res.Errs)
			}
		})
	}
}

func TestTooLongInputIsFoundBySplitting(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{MaxInputBytes: 100}, func(c *embed.Config) { c.MaxBatchInputs = 16 })
	in := texts(16)
	in[11] = strings.Repeat("long ", 40)
	res, err := o.EmbedBatch(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want(t, in, res, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15)
	e := classOf(t, res.Errs[11])
	if e.Class != embed.TooLarge || !slices.Equal(e.Permanent, []int{11}) {
		t.Errorf("got class %v, permanent %v", e.Class, e.Permanent)
	}
	for text, n := range s.Computed() {
		if n != 1 {
			t.Errorf("%q was paid for %d times", text, n)
		}
	}
}

func TestBatchOverTheEndpointsLimitIsSplit(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{MaxInputs: 3}, func(c *embed.Config) { c.MaxBatchInputs = 10 })
	in := texts(10)
	res, err := o.EmbedBatch(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want(t, in, res, upTo(10)...)
	if twice := s.DeliveredTwice(); twice != nil {
		t.Errorf("paid twice: %q", twice)
	}
}

// picky refuses texts that contain "bad" without saying why.
func picky(t *testing.T) *embed.OpenAI {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Input []string }
		if json.NewDecoder(r.Body).Decode(&body) != nil || strings.Contains(strings.Join(body.Input, " "), "bad") {
			http.Error(w, `{"error":"cannot process"}`, http.StatusUnprocessableEntity)
			return
		}
		var data []map[string]any
		for i, text := range body.Input {
			data = append(data, map[string]any{"index": i, "embedding": embedtest.Vector(text, 8)})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(s.Close)
	o, err := embed.NewOpenAI(embed.Config{URL: s.URL, Model: "m", Dimensions: 8, HTTPClient: s.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestUnexplainedRefusalNamesTheInput(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		in   []string
		have []int
		bad  int
	}{
		"among others": {[]string{"a", "b", "bad", "c"}, []int{0, 1, 3}, 2},
		"first":        {[]string{"bad", "b"}, []int{1}, 0},
		"alone":        {[]string{"bad"}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := picky(t).EmbedBatch(t.Context(), tc.in)
			if err != nil {
				t.Fatal(err)
			}
			want(t, tc.in, res, tc.have...)
			if e := classOf(t, res.Errs[tc.bad]); e.Class != embed.Invalid || !slices.Equal(e.Permanent, []int{tc.bad}) {
				t.Errorf("got class %v, permanent %v", e.Class, e.Permanent)
			}
		})
	}
}

func TestRefusalOfEverythingBlamesTheSettings(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{}, nil)
	s.Always(&embedtest.Fault{Status: http.StatusBadRequest, Message: "encoding_format is unknown"})
	res, err := o.EmbedBatch(t.Context(), texts(4))
	if e := classOf(t, err); e.Class != embed.Invalid || e.Permanent != nil || !strings.Contains(e.Msg, "encoding_format") {
		t.Errorf("got %v, permanent %v", err, e.Permanent)
	}
	if res.Done() != 0 || len(res.Errs) != 0 || s.Requests() > 4 {
		t.Errorf("got %d vectors, errors %v after %d requests", res.Done(), res.Errs, s.Requests())
	}
}

func TestEmptyInputsAreNotSent(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{}, nil)
	in := []string{"a", "", " \n\t", "b"}
	res, err := o.EmbedBatch(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	want(t, in, res, 0, 3)
	if len(res.Errs) != 2 || s.Requests() != 1 {
		t.Errorf("got errors %v, %d requests", res.Errs, s.Requests())
	}
}

// TestNothingIsPaidForTwice drives a client through a script of faults the way the drainer does: keep what came, send the rest again.
func TestNothingIsPaidForTwice(t *testing.T) {
	t.Parallel()
	s, o := start(t, embedtest.Options{MaxInputBytes: 200}, func(c *embed.Config) { c.MaxBatchInputs = 7 })
	s.Next(
		embedtest.Fault{Drop: []int{0, 3}}, embedtest.Fault{Status: 429, RetryAfter: "1"}, embedtest.Fault{Reverse: true}, embedtest.Fault{Twice: []int{2}},
		embedtest.Fault{Status: 500}, embedtest.Fault{Extra: true, Drop: []int{6}}, embedtest.Fault{Truncate: true}, embedtest.Fault{Null: []int{1}}, embedtest.Fault{Status: 503},
	)
	in := texts(100)
	in[42] = strings.Repeat("x", 300)
	have := make([]embed.Vector, len(in))
	dead := map[int]bool{}
	for round := 0; ; round++ {
		var rest []int
		var batch []string
		for i := range in {
			if have[i] == nil && !dead[i] {
				rest, batch = append(rest, i), append(batch, in[i])
			}
		}
		if len(rest) == 0 {
			break
		}
		if round > 20 {
			t.Fatalf("no end after %d rounds", round)
		}
		res, err := o.EmbedBatch(t.Context(), batch)
		if err != nil {
			classOf(t, err)
		}
		for i, n := range rest {
			have[n] = res.Vectors[i]
			if e := res.Errs[i]; e != nil && len(classOf(t, e).Permanent) > 0 {
				dead[n] = true
			}
		}
	}
	if len(dead) != 1 || !dead[42] {
		t.Errorf("gave up on %v", dead)
	}
	have[42] = nil
	want(t, in, embed.Result{Vectors: have}, slices.DeleteFunc(upTo(100), func(i int) bool { return i == 42 })...)
	if twice := s.DeliveredTwice(); twice != nil {
		t.Errorf("paid twice for %q", twice)
	}
}
