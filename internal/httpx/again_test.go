package httpx

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"tributary/connectors"
)

// answersMap keeps everything.
type answersMap map[string]connectors.Answer

func (m answersMap) Kept(key string) *connectors.Answer {
	if a, ok := m[key]; ok {
		return &a
	}
	return nil
}

func (m answersMap) Keep(key string, a connectors.Answer) { m[key] = a }

// TestAPIAgain: an answer that still holds is not sent again, with all its pages, and one that does not replaces it.
func TestAPIAgain(t *testing.T) {
	t.Parallel()
	version, more, sent, held := map[string]int{"1": 1, "2": 1}, true, 0, 0
	a, _ := service(t, func(w http.ResponseWriter, r *http.Request) {
		page := r.URL.Query().Get("page")
		if page == "" {
			page = "1"
		}
		tag := fmt.Sprintf(`"%s-%d"`, page, version[page])
		w.Header().Set("Etag", tag)
		if r.Header.Get("If-None-Match") == tag {
			held++
			w.WriteHeader(http.StatusNotModified) // without the Link, as servers may
			return
		}
		sent++
		if page == "1" && more {
			w.Header().Set("Link", `</v1/list?page=2>; rel="next"`)
		}
		fmt.Fprintf(w, `["%s.%d"]`, page, version[page])
	})
	a.Answers = answersMap{}
	read := func(size int) (all []string) {
		t.Helper()
		for e, err := range Links[string](t.Context(), a, Call{Op: opTest, Path: "list", Again: size}) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, e)
		}
		return all
	}
	for i, step := range []struct {
		size       int
		want       []string
		sent, held int
	}{
		{9, []string{"1.1", "2.1"}, 2, 0},
		{9, []string{"1.1", "2.1"}, 0, 2},
		{0, []string{"1.1", "2.1"}, 2, 0},
		{9, []string{"1.1", "2.2"}, 1, 1},
		{9, []string{"1.1", "2.2"}, 0, 2},
		{1, []string{"1.2"}, 1, 0},        // a full page, behind which there is none
		{1, []string{"1.2", "2.2"}, 1, 1}, // and now there is
	} {
		switch i {
		case 3:
			version["2"]++
		case 5:
			version["1"]++
			more = false
		case 6:
			more = true
		}
		sent, held = 0, 0
		if got := read(step.size); !slices.Equal(got, step.want) || sent != step.sent || held != step.held {
			t.Errorf("step %d: %v, %d sent, %d held", i, got, sent, held)
		}
	}
}

// TestAPIAgainKeepsNoMistake: what is no JSON of its form is not kept, and neither is an answer without a validator or a refusal.
func TestAPIAgainKeepsNoMistake(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"another form": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"x"`)
			fmt.Fprint(w, `{"message": "no list"}`)
		},
		"no JSON":      func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Etag", `"x"`); fmt.Fprint(w, `[`) },
		"no validator": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `[]`) },
		"a refusal": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `[]`)
		},
		"not modified, though nothing was asked": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
	} {
		a, _ := service(t, h)
		kept := answersMap{}
		a.Answers = kept
		var list []string
		_, err := a.JSON(t.Context(), Call{Op: opTest, Path: "list", Again: 9}, &list)
		if len(kept) != 0 || (err == nil) != (name == "no validator") {
			t.Errorf("%s: %d kept, error %v", name, len(kept), err)
		}
	}
}
