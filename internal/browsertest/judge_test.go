package browsertest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestJudgeSees: what a page is judged by finds what is wrong with one.
func TestJudgeSees(t *testing.T) {
	t.Parallel()
	axe := AxeSource(t)
	b := Start(t)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/none" {
			w.WriteHeader(http.StatusNotFound)
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'")
		if r.URL.Path == "/good" {
			_, _ = fmt.Fprint(w, `<!DOCTYPE html><html lang="en"><title>x</title><link rel="icon" href="data:,"><main><h1>x</h1></main>`)
			return
		}
		_, _ = fmt.Fprint(w, `<!DOCTYPE html><html lang="en"><title>x</title><meta name="viewport" content="width=device-width"><main><h1>x</h1><svg width="2000" height="1"></svg><img src="/x.png"><input type="text"></main><script>1</script>`)
	}))
	defer s.Close()
	for _, v := range Views() {
		b.Look(v)
		b.Open(s.URL + "/bad")
		got := b.Judge(axe)
		for _, want := range []string{"image-alt: ", "label: ", "px wider than the window", "Content Security Policy"} {
			if !slices.ContainsFunc(got, func(p string) bool { return strings.Contains(p, want) }) {
				t.Errorf("at %s nothing is found of %q: %q", v, want, got)
			}
		}
	}
	b.Open(s.URL + "/good")
	if got := b.Axe(axe); len(got) > 0 || b.Overflow() > 0 {
		t.Errorf("of a good page: %q", got)
	}
	b.Open(s.URL + "/none")
	if got := b.Status(); got != http.StatusNotFound {
		t.Errorf("a page that is not there has the status %d", got)
	}
}
