package store_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/store"
)

// open returns the codes and subjects of the open notices.
func openNotices(tb testing.TB, st *store.Store) []string {
	tb.Helper()
	list, err := st.Notices(tb.Context(), store.NoticeFilter{})
	if err != nil {
		tb.Fatal(err)
	}
	var out []string
	for _, n := range list {
		out = append(out, strings.TrimSuffix(n.Code+" "+n.Subject, " "))
	}
	slices.Sort(out)
	return out
}

func TestNoticeIsOneWhileItIsOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "docs", "realm")
	n := store.Notice{ConnectionID: &s.conn, Subject: "content", Code: store.NoticeLimitReached, Detail: "first"}
	for _, detail := range []string{"first", "second"} {
		n.Detail = detail
		if err := r.store.RaiseNotice(t.Context(), nil, n); err != nil {
			t.Fatal(err)
		}
	}
	list, err := r.store.Notices(t.Context(), store.NoticeFilter{Connection: s.conn})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d notices, want one: %v", len(list), err)
	}
	if got := list[0]; got.Detail != "second" || got.Connection != "docs" || got.Severity != store.SeverityError || !strings.Contains(got.Remedy, "connections limits docs") {
		t.Errorf("notice = %+v", got)
	}
	for _, other := range []*uuid.UUID{nil, {1}} {
		if err := r.store.ClearNotice(t.Context(), nil, other, n.Code, n.Subject); err != nil {
			t.Fatal(err)
		}
	}
	if got := openNotices(t, r.store); !slices.Equal(got, []string{"limit_reached content"}) {
		t.Errorf("another connection's cause cleared it: open are %q", got)
	}
	if err := r.store.ClearNotice(t.Context(), nil, &s.conn, n.Code, n.Subject); err != nil {
		t.Fatal(err)
	}
	if got := openNotices(t, r.store); len(got) > 0 {
		t.Errorf("still open: %q", got)
	}
	if err := r.store.RaiseNotice(t.Context(), nil, n); err != nil {
		t.Fatal(err)
	}
	if list, err = r.store.Notices(t.Context(), store.NoticeFilter{All: true}); err != nil || len(list) != 2 || list[0].ClearedAt != nil || list[1].ClearedAt == nil {
		t.Errorf("a cause that came back is %+v, want an open notice before the cleared one: %v", list, err)
	}
}

func TestNoticeOfUnknownCodeIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if err := r.store.RaiseNotice(t.Context(), nil, store.Notice{Code: "no_such_code", Detail: "x"}); err == nil || !strings.Contains(err.Error(), "code") {
		t.Errorf("err = %v, want an error of the field code", err)
	}
}

func TestEveryNoticeKindSaysWhatToDo(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	seen := map[string]bool{}
	for _, k := range store.NoticeKinds() {
		if !code.MatchString(k.Code) || seen[k.Code] {
			t.Errorf("code %q is not usable, or twice there", k.Code)
		}
		seen[k.Code] = true
		if k.Means == "" || k.Remedy == "" || !slices.Contains([]store.Severity{store.SeverityError, store.SeverityWarning, store.SeverityInfo}, k.Severity) {
			t.Errorf("%s: severity %q, means %q, remedy %q", k.Code, k.Severity, k.Means, k.Remedy)
		}
	}
}
