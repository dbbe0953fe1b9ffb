package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/secret"
	"tributary/store"
)

// TestPushFromAFile: each line is taken or named, twice is once, and a server that is killed meanwhile is waited for.
func TestPushFromAFile(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t, "TRIBUTARY_METRICS_ADDR=off")
	up := s.start("up", "--no-demo")
	up.await("is running")
	s.must(exitOK, "connect", "push", "--name", "wiki")
	key, _, _ := strings.Cut(s.must(exitOK, "keys", "create", "wiki", "--rights", "push", "--connections", "wiki").stdout, "\n")
	const acl = `"acl": {"all_of": [[{"kind": "group", "id": "keepers"}]]}`
	s.write(".", map[string]string{"key": key + "\n", "wrong.key": "trib_" + strings.Repeat("A", 43) + "\n", "some.jsonl": strings.Join([]string{
		`{"op": "group", "id": "keepers", "members": [{"kind": "user", "id": "bob"}]}`,
		`{"id": "a", "content": "Walruses sleep.", ` + acl + `}`,
		`{"id": "b", "content": "Nobody.", "acl": {"all_of": [[{"kind": "team", "id": "x"}]]}}`,
		``,
		`{"id": "c", "content": "cut off`,
		`{"op": "delete", "id": "none"}`,
		`{"op": "group", "id": "gone", "members": 7}`,
		`{"op": "delete_group", "id": "gone"}`,
		`{"id": "big", "content": "` + strings.Repeat("Large text. ", 800_000) + `", ` + acl + `}`,
		`{"op": "delete", "id": "a", "content": "x"}`,
	}, "\n")})
	r := mustJSON[pushReport](s, exitPartial, "push", "wiki", "some.jsonl", "--key-file", "key")
	var refused []string
	for _, l := range r.Refused {
		refused = append(refused, fmt.Sprintf("%d %s %s %s", l.Line, l.ID, l.Code, l.Field))
	}
	if want := []string{"5  invalid_item ", "3 b invalid_item /acl/all_of/0/0/kind", "7 gone invalid_item /members", "10 a invalid_item "}; !slices.Equal(refused, want) {
		t.Errorf("refused are %q, want %q", refused, want)
	}
	if got := r.counts(); got != "+2 ~1 -1 =1 !4" || r.Lines != 9 {
		t.Errorf("counts of %d lines: %s", r.Lines, got)
	}
	again := s.must(exitPartial, "push", "wiki", "some.jsonl", "--key-file", "key")
	if !strings.Contains(again.stdout, "Pushed 9 lines to wiki: +0 ~0 -1 =4 !4") || !strings.Contains(again.stderr, "! line 3, b: /acl/all_of/0/0/kind") {
		t.Errorf("again: %s%s", again.stdout, again.stderr)
	}
	s.must(exitUsage, "push", "wiki", "some.jsonl")
	s.must(exitUsage, "push", "wiki", "no.jsonl", "--key-file", "key")
	s.must(exitUsage, "push", "wiki", "some.jsonl", "--key-file", "key", "--url", "ftp://somewhere")
	if r := s.must(exitFailure, "push", "wiki", "some.jsonl", "--key-file", "wrong.key"); !strings.Contains(r.stderr, "401") || strings.Contains(r.stderr, "AAAA") {
		t.Errorf("a wrong key: %s", r.stderr)
	}
	if r := s.must(exitFailure, "push", "elsewhere", "some.jsonl", "--key-file", "key"); !strings.Contains(r.stderr, "403") {
		t.Errorf("another connection: %s", r.stderr)
	}

	var many strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&many, `{"id": "doc-%d", "content": "Document %d speaks of %d.", %s}`+"\n", i, i, i%97, acl)
	}
	s.write(".", map[string]string{"many.jsonl": many.String()})
	push := s.start("push", "wiki", "many.jsonl", "--key-file", "key")
	stored := func() int64 {
		n := int64(0)
		for _, run := range mustJSON[[]store.Run](s, exitOK, "runs", "list", "--connection", "wiki") {
			n += run.Counts.Added
		}
		return n - 2
	}
	waitUntil(t, commandLimit, "something to be stored", func() bool { return stored() > 0 })
	_ = up.cmd.Process.Kill()
	<-up.exited
	s.start("up", "--no-demo").await("is running")
	<-push.exited
	if code := push.cmd.ProcessState.ExitCode(); code != exitOK || stored() != 2000 {
		t.Errorf("the push ended with %d, %d are stored:\n%s", code, stored(), push.out)
	}
	if left := s.must(exitOK, "push", "wiki", "many.jsonl", "--key-file", "key").stdout; left != "Pushed 2000 lines to wiki: +0 ~0 -0 =2000 !0\n" {
		t.Errorf("pushing all of it again: %s", left)
	}
}

// TestPushClientWaits: what passes is tried again, no earlier than the server asks for; what does not pass is told at once.
func TestPushClientWaits(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch n := asked.Add(1); {
		case r.URL.Path == "/at/v1/push/a%20b/gone" || r.URL.Path == "/at/v1/push/a b/gone":
			w.WriteHeader(http.StatusGone)
			_, _ = w.Write([]byte(`{"code": "gone", "detail": "it is being deleted"}`))
		case r.URL.Path == "/at/v1/push/a b/moved":
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		case n == 1:
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		case n == 2:
			panic(http.ErrAbortHandler) // no answer
		default:
			_, _ = w.Write([]byte(`{}`))
		}
	}))
	t.Cleanup(server.Close)
	var waits []time.Duration
	c, err := newPushClient(server.URL+"/at/", "a b", secret.New("trib_x"), func(_ string, d time.Duration) { waits = append(waits, d) })
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := c.send(t.Context(), http.MethodPost, "/batch", []byte(`{}`)); err != nil || string(answer) != "{}" {
		t.Errorf("%s, %v", answer, err)
	}
	if len(waits) != 2 || waits[0] < 2*time.Second || waits[1] > 3*time.Second {
		t.Errorf("it waited %v", waits)
	}
	for path, want := range map[string]string{"/gone": "410 gone", "/moved": "307"} {
		before := asked.Load()
		if _, err := c.send(t.Context(), http.MethodPut, path, nil); err == nil || !strings.Contains(err.Error(), want) || asked.Load() != before+1 {
			t.Errorf("%s: %v after %d requests", path, err, asked.Load()-before)
		}
	}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{"": 0, "7": 7 * time.Second, "-3": 0, "soon": 0, "Wed, 02 Jan 2030 03:04:35 GMT": 30 * time.Second, "Wed, 02 Jan 2030 03:04:00 GMT": 0} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("Retry-After %q is %s, want %s", text, got, want)
		}
	}
}
