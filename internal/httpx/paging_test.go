package httpx

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

func TestNextLink(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		give []string
		want string
	}{
		"none":                              {nil, ""},
		"one":                               {[]string{`<https://a/?page=2>; rel="next"`}, "https://a/?page=2"},
		"the second":                        {[]string{`<https://a/1>; rel="prev", <https://a/3>; rel="next", <https://a/9>; rel="last"`}, "https://a/3"},
		"without spaces":                    {[]string{`<https://a/1>;rel="prev",<https://a/3>;rel="next"`}, "https://a/3"},
		"more spaces":                       {[]string{"<https://a/1> ; rel = \"prev\" ,\t <https://a/3> ;\t rel=next"}, "https://a/3"},
		"another header line":               {[]string{`<https://a/1>; rel="prev"`, `<https://a/3>; rel="next"`}, "https://a/3"},
		"empty members":                     {[]string{`, ,<https://a/3>; rel=next,`}, "https://a/3"},
		"a token":                           {[]string{`<https://a/3>; rel=next`}, "https://a/3"},
		"upper case":                        {[]string{`<https://a/3>; REL="NEXT"`}, "https://a/3"},
		"several relations":                 {[]string{`<https://a/3>; rel="last  next"`}, "https://a/3"},
		"a comma in the address":            {[]string{`<https://a/?ids=1,<2,3>; rel="next"`}, "https://a/?ids=1,<2,3"},
		"another parameter first":           {[]string{`<https://a/3>; title="x"; rel="next"`}, "https://a/3"},
		"a parameter without value":         {[]string{`<https://a/3>; flag; rel="next"`}, "https://a/3"},
		"relative":                          {[]string{`<?page=2>; rel="next"`}, "?page=2"},
		"no relation":                       {[]string{`<https://a/3>`}, ""},
		"other relations":                   {[]string{`<https://a/3>; rel="nextish previous"`}, ""},
		"a name that ends so":               {[]string{`<https://a/3>; xrel="next"`}, ""},
		"a title that says so":              {[]string{`<https://evil/>; title="; rel=next"; rel="prev"`}, ""},
		"a title that holds a link":         {[]string{`<https://a/1>; title=", <https://evil/>; rel=next"; rel="prev", <https://a/3>; rel=next`}, "https://a/3"},
		"a quote in a title":                {[]string{`<https://a/1>; title="\", <https://evil/>; rel=next"; rel="prev"`}, ""},
		"only the first relation counts":    {[]string{`<https://a/1>; rel="prev"; rel="next"`}, ""},
		"about another page":                {[]string{`<https://a/1>; anchor="/other"; rel="next", <https://a/3>; rel="next"`}, "https://a/3"},
		"not closed":                        {[]string{`<https://a/3; rel="next"`}, ""},
		"not opened":                        {[]string{`https://a/3>; rel="next"`}, ""},
		"a quote that does not end":         {[]string{`<https://a/3>; rel="next`}, ""},
		"a quote that ends in an escape":    {[]string{`<https://a/3>; rel="next\`}, ""},
		"words behind":                      {[]string{`<https://a/3>; rel="next" what`}, ""},
		"rubbish, then another header line": {[]string{`<<<>>;;"",`, `<https://a/3>; rel="next"`}, "https://a/3"},
		"an empty target":                   {[]string{`<>; rel="next"`}, ""},
	} {
		if got := NextLink(http.Header{"Link": c.give}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzNextLink(f *testing.F) {
	for _, s := range []string{`<a>; rel=next`, `<a>; rel="x next", <b>`, `<;>=",\`, `<a>;rel="\"";rel=next`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := NextLink(http.Header{"Link": {s}})
		if got != "" && !strings.Contains(s, "<"+got+">") {
			t.Errorf("%q names no %q", s, got)
		}
		if again := NextLink(http.Header{"Link": {`<prefix>; title="` + `"; rel=prev, ` + s}}); again != got {
			t.Errorf("%q: %q behind another link, %q alone", s, again, got)
		}
	})
}

// TestPaged: every page once, the first error ends, and no circle goes on.
func TestPaged(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		next map[string]string
		fail string // the page that fails
		want []string
		err  error
		most int
	}{
		"one page":               {map[string]string{"": ""}, "-", []string{"", "'"}, nil, 1},
		"three pages":            {map[string]string{"": "a", "a": "b", "b": ""}, "-", []string{"", "'", "a", "a'", "b", "b'"}, nil, 3},
		"the second fails":       {map[string]string{"": "a", "a": "b"}, "a", []string{"", "'"}, broken, 2},
		"a page repeats":         {map[string]string{"": "a", "a": "a"}, "-", nil, errRepeats, 2},
		"two pages take turns":   {map[string]string{"": "a", "a": "b", "b": "a"}, "-", nil, errRepeats, 6},
		"a circle behind a lane": {map[string]string{"": "1", "1": "2", "2": "3", "3": "4", "4": "5", "5": "3"}, "-", nil, errRepeats, 16},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			var err error
			pages := 0
			for e, failure := range Paged(t.Context(), opTest, func(_ context.Context, at string) ([]string, string, error) {
				if pages++; pages > 1000 {
					t.Fatal("it does not end")
				}
				if at == c.fail {
					return []string{"lost"}, "x", broken
				}
				return []string{at, at + "'"}, c.next[at], nil
			}) {
				if failure != nil {
					err = failure
					continue
				}
				got = append(got, e)
			}
			if !errors.Is(err, c.err) || pages > c.most || c.want != nil && !slices.Equal(got, c.want) {
				t.Errorf("%q after %d pages: %v", got, pages, err)
			}
			if errors.Is(err, errRepeats) && connectors.ClassOf(err) != connectors.Transient {
				t.Errorf("class %s", connectors.ClassOf(err))
			}
		})
	}
	t.Run("a list without end", func(t *testing.T) {
		t.Parallel()
		pages := 0
		var last error
		for _, err := range Paged(t.Context(), opTest, func(context.Context, string) ([]int, string, error) {
			pages++
			return nil, fmt.Sprint(pages), nil
		}) {
			last = err
		}
		if !errors.Is(last, errEndless) || pages != maxPages {
			t.Errorf("%v after %d pages", last, pages)
		}
	})
	t.Run("who has enough asks no more", func(t *testing.T) {
		t.Parallel()
		pages := 0
		for range Paged(t.Context(), opTest, func(context.Context, string) ([]int, string, error) {
			pages++
			return []int{1, 2}, fmt.Sprint(pages), nil
		}) {
			break
		}
		if pages != 1 {
			t.Errorf("%d pages", pages)
		}
	})
}

// TestLinks: pages are followed at this server alone, from where each of them is, and the validators of the first go with it alone.
func TestLinks(t *testing.T) {
	t.Parallel()
	other := listenDead(t, "127.0.0.1:0")
	var asked []string
	a, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.RequestURI+" "+r.Header.Get("If-None-Match"))
		switch r.RequestURI {
		case "/v1/deep/things?n=2":
			w.Header().Set("Link", `<?n=2&page=2>; rel="next"`)
			fmt.Fprint(w, `[1,2]`)
		case "/v1/deep/things?n=2&page=2":
			w.Header().Set("Link", `<http://`+r.Host+`/v1/deep/things?n=2&page=3>; rel="next"`)
			fmt.Fprint(w, `[3]`)
		case "/v1/deep/things?n=2&page=3":
			fmt.Fprint(w, `[]`)
		case "/v1/lure":
			w.Header().Set("Link", `<http://`+other.Addr().String()+`/v1/lure?page=2>; rel="next"`)
			fmt.Fprint(w, `[7]`)
		}
	})
	read := func(c Call) (got []int, err error) {
		c.Op = opTest
		for e, failure := range Links[int](t.Context(), a, c) {
			if failure != nil {
				return got, failure
			}
			got = append(got, e)
		}
		return got, nil
	}
	got, err := read(Call{Path: "deep/things", Query: map[string][]string{"n": {"2"}}, Kept: Validators{ETag: `"1"`}})
	if err != nil || !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	if want := []string{`/v1/deep/things?n=2 "1"`, "/v1/deep/things?n=2&page=2 ", "/v1/deep/things?n=2&page=3 "}; !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
	if got, err = read(Call{Path: "lure"}); !errors.Is(err, errElsewhere) || !slices.Equal(got, []int{7}) || other.connects.Load() != 0 {
		t.Errorf("%v, %v, %d connections", got, err, other.connects.Load())
	}
}
