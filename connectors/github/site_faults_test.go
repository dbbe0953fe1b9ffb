package github

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"tributary/connectors/connectortest"
)

type struckPlace struct {
	on   connectortest.Place
	name string
}

// placesOf returns the kinds of requests that r is.
func (s *site) placesOf(r *http.Request) []struckPlace {
	s.mu.Lock()
	defer s.mu.Unlock()
	elems := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	q := r.URL.Query()
	if elems[0] != "repos" || len(elems) < 3 {
		if strings.HasSuffix(r.URL.Path, "/repos") || strings.HasSuffix(r.URL.Path, "/repositories") {
			return []struckPlace{{connectortest.OnListing, ""}}
		}
		return nil
	}
	repo, _ := s.find(elems[1] + "/" + elems[2])
	if repo == nil {
		return nil
	}
	rest := strings.Join(elems[3:], "/")
	var all []struckPlace
	add := func(on connectortest.Place, name string) { all = append(all, struckPlace{on, name}) }
	switch {
	case rest == "" || strings.HasPrefix(rest, "branches/"):
		add(connectortest.OnContainer, repo.name)
		if rest != "" {
			add(connectortest.OnListing, "")
		}
	case strings.HasPrefix(rest, "git/trees/"), (rest == "issues" || rest == "pulls") && q.Get("direction") == "asc":
		add(connectortest.OnListing, "")
	case strings.HasPrefix(rest, "compare/"), q.Get("direction") == "desc":
		add(connectortest.OnFeed, "")
	case rest == "collaborators":
		add(connectortest.OnGroups, "")
	case strings.HasPrefix(rest, "git/blobs/"):
		for _, p := range repo.paths(elems[len(elems)-1]) {
			add(connectortest.OnBody, repo.name+"/"+p)
		}
	case strings.HasPrefix(rest, "issues/") && strings.HasSuffix(rest, "/comments") && rest != "issues/comments":
		add(connectortest.OnBody, repo.name+"/issues/"+elems[4])
	}
	return all
}

// struck answers a request that a fault hits.
func (s *site) struck(w http.ResponseWriter, r *http.Request, on connectortest.Place, name string) bool {
	s.mu.Lock()
	f, mended := s.strike(on, name), s.mended
	s.mu.Unlock()
	if f == nil {
		return false
	}
	if f.Kind == connectortest.Slow {
		select {
		case <-mended:
		case <-r.Context().Done():
		}
		return false
	}
	if f.Kind == connectortest.Truncated {
		s.mu.Lock()
		a := s.route(r)
		s.mu.Unlock()
		w.Header().Set("Content-Type", a.kind)
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
		_, _ = w.Write(a.body[:len(a.body)/2])
		panic(http.ErrAbortHandler)
	}
	code, err := strconv.Atoi(string(f.Kind))
	if err != nil {
		return false
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	s.send(w, r, no(code, faultMessage(on, code)))
	return true
}

// faultMessage is what GitHub says: an app that lacks a permission is told so
// in lists, a repository that is closed in its own requests.
func faultMessage(on connectortest.Place, code int) string {
	switch {
	case code == http.StatusForbidden && (on == connectortest.OnListing || on == connectortest.OnFeed):
		return "Resource not accessible by integration"
	case code == http.StatusForbidden && on == connectortest.OnGroups:
		return "Must have push access to view repository collaborators."
	case code == http.StatusForbidden:
		return "Repository access blocked"
	}
	return http.StatusText(code)
}

func (s *site) strike(on connectortest.Place, name string) *siteFault {
	for _, f := range s.faults {
		if f.On != on || f.Name != name {
			continue
		}
		first := f.Page
		if on == connectortest.OnGroups {
			first = 2 // part way
		}
		if f.asked++; f.asked < first || f.Times > 0 && f.struck >= f.Times {
			continue
		}
		f.struck++
		return f
	}
	return nil
}

type siteFault struct {
	connectortest.Fault
	asked, struck int
}
