package gitea

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tributary/connectors/connectortest"
)

const (
	canary    = "kit-canary-93b1f6e0aa"
	subPath   = "/git"
	apiPrefix = subPath + "/api/v1"
	pageSize  = 3
	// serverCap is the server's MAX_RESPONSE_ITEMS: less than is asked for.
	serverCap = 2
)

// site serves a world over Gitea's API.
type site struct {
	server *httptest.Server
	mux    *http.ServeMux

	mu     sync.Mutex
	w      *world
	names  map[string]string // the ids of documents by the names that the kit gave them
	faults []*siteFault
	mended chan struct{}
	bodies int
	asked  []string
	// scopes are those of the token, dead that it stands for nobody any more.
	scopes []string
	dead   bool
	// about says that the repositories' own documents are synced.
	about bool
	// spoil answers instead of the site where it returns true.
	spoil func(w http.ResponseWriter, r *http.Request) bool
}

type siteFault struct {
	connectortest.Fault
	asked, struck int
}

// newSite starts a site. wrap may put something between the network and the site.
func newSite(wrap func(http.Handler) http.Handler) *site {
	s := &site{
		w: newWorld(), names: map[string]string{}, mended: make(chan struct{}),
		scopes: []string{scopeUser, scopeRepository, scopeIssue, scopeOrganization}, mux: http.NewServeMux(),
	}
	s.routes()
	var h http.Handler = http.HandlerFunc(s.serve)
	if wrap != nil {
		h = wrap(h)
	}
	s.server = httptest.NewServer(h)
	return s
}

// client returns an authorised client, and how to let go of its connections.
func (s *site) client() (*http.Client, func()) {
	t := &http.Transport{}
	return &http.Client{Transport: bearer{t}}, t.CloseIdleConnections
}

type bearer struct{ http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+canary)
	return b.RoundTripper.RoundTrip(r)
}

// close ends the site.
func (s *site) close() {
	s.Mend()
	s.server.Close()
}

// answer is what a route returns: a status and what is sent as JSON.
type answer struct {
	status int
	body   any
	header http.Header
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

func no(status int, message string) answer {
	return answer{status: status, body: map[string]any{"message": message, "url": "https://kit.example/api/swagger"}}
}

var missing = no(http.StatusNotFound, "The target couldn't be found.")

func (s *site) routes() {
	route := func(path, scope string, on connectortest.Place, fn func(r *http.Request) answer) {
		s.mux.HandleFunc("GET "+apiPrefix+path, func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(s.scopes, scope) && scope != "" {
				s.send(w, no(http.StatusForbidden, "token does not have at least one of required scope(s), required=["+scope+"], token scope=read:misc"))
				return
			}
			if s.struck(w, r, on, "") {
				return
			}
			s.mu.Lock()
			a := fn(r)
			s.mu.Unlock()
			s.send(w, a)
		})
	}
	const listing, feed, groups = connectortest.OnListing, connectortest.OnFeed, connectortest.OnGroups
	route("/version", "", "", func(*http.Request) answer { return ok(map[string]any{"version": "1.26.0"}) })
	route("/user", scopeUser, "", func(*http.Request) answer { return ok(s.userJSON(alice)) })
	route("/users/search", scopeUser, "", s.serveUsers)
	route("/users/{username}", scopeUser, "", s.serveUser)
	route("/repos/search", scopeRepository, listing, s.serveRepos)
	route("/repos/issues/search", scopeIssue, feed, s.serveIssueSearch)
	route("/repositories/{id}", scopeRepository, "", s.serveRepoByID)
	route("/orgs/{org}/members", scopeOrganization, groups, s.serveOrgMembers)
	route("/orgs/{org}/teams", scopeOrganization, "", s.serveOrgTeams)
	route("/teams/{id}/members", scopeOrganization, groups, s.serveTeamMembers)
	repo := func(path, scope string, on connectortest.Place, fn func(r *http.Request, repo *fakeRepo) answer) {
		route("/repos/{owner}/{repo}"+path, scope, on, func(r *http.Request) answer {
			for _, one := range s.w.repos {
				if one.owner.login == r.PathValue("owner") && one.name == r.PathValue("repo") {
					return fn(r, one)
				}
			}
			return missing
		})
	}
	repo("/collaborators", scopeRepository, "", s.serveCollaborators)
	repo("/collaborators/{collaborator}/permission", scopeRepository, "", s.servePermission)
	repo("/teams", scopeRepository, "", s.serveRepoTeams)
	repo("/branches/{branch}", scopeRepository, listing, s.serveBranch)
	repo("/git/trees/{sha}", scopeRepository, listing, s.serveTree)
	repo("/issues", scopeIssue, listing, s.serveIssues)
	repo("/issues/comments", scopeIssue, listing, s.serveComments)
	repo("/issues/{index}", scopeIssue, "", s.serveIssue)
	repo("/issues/{index}/comments", scopeIssue, "", s.serveIssueComments)
	repo("/pulls/{index}/reviews", scopeRepository, "", s.serveReviews)
	repo("/pulls/{index}/reviews/{id}/comments", scopeRepository, "", s.serveLines)
	repo("/wiki/pages", scopeRepository, listing, s.serveWikiPages)
	repo("/wiki/page/{page}", scopeRepository, "", s.serveWikiPage)
	s.mux.HandleFunc("GET "+apiPrefix+"/repos/{owner}/{repo}/media/{path...}", s.serveMedia)
}

// serve looks at what every request has to pass.
func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	dead, spoil := s.dead, s.spoil
	w.Header().Set("Date", s.w.now.UTC().Format(http.TimeFormat))
	s.mu.Unlock()
	if spoil != nil && spoil(w, r) {
		return
	}
	if dead || r.Header.Get("Authorization") != "Bearer "+canary {
		s.send(w, no(http.StatusUnauthorized, "invalid username, password or token"))
		return
	}
	if elems := strings.Split(strings.TrimPrefix(r.URL.Path, apiPrefix+"/"), "/"); elems[0] == "repos" && len(elems) > 3 {
		if to := s.movedTo(elems[1]); to != "" {
			http.Redirect(w, r, strings.Replace(r.URL.RequestURI(), "/"+elems[1]+"/", "/"+to+"/", 1), http.StatusMovedPermanently)
			return
		}
		if s.struck(w, r, connectortest.OnContainer, elems[2]) || elems[3] == "collaborators" && s.struckACL(w, r, elems[2]) {
			return
		}
		if name := s.bodyName(elems); name != "" && s.struck(w, r, connectortest.OnBody, name) {
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

// movedTo is the name of an owner who had another, "" of others.
func (s *site) movedTo(login string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.w.owners {
		if o.former == login {
			return o.login
		}
	}
	return ""
}

// bodyName is the kit's name of the issue or the wiki page that a request is for, "" of others.
func (s *site) bodyName(elems []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.w.repos {
		if r.owner.login != elems[1] || r.name != elems[2] {
			continue
		}
		id := ""
		switch {
		case len(elems) == 5 && elems[3] == "issues":
			id = r.repository().id() + ":issue:" + elems[4]
		case len(elems) == 6 && elems[3] == "wiki" && elems[4] == "page":
			id = r.repository().wikiID(wikiSub(elems[5]))
		}
		for name, other := range s.names {
			if other == id {
				return name
			}
		}
	}
	return ""
}

// send answers with JSON.
func (s *site) send(w http.ResponseWriter, a answer) {
	maps.Copy(w.Header(), a.header)
	body, err := json.Marshal(a.body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(a.status)
	_, _ = w.Write(body)
}

// page cuts a list as the server does; linked lists say where the next page is, all say how long they are.
func (s *site) page(r *http.Request, list []any, linked bool) answer {
	q := r.URL.Query()
	page, _ := strconv.Atoi(q.Get("page"))
	limit, _ := strconv.Atoi(q.Get("limit"))
	page, limit = max(page, 1), min(max(limit, 1), s.w.cap)
	from := min((page-1)*limit, len(list))
	to := min(from+limit, len(list))
	h := http.Header{"X-Total-Count": {strconv.Itoa(len(list))}}
	if linked && len(list) > limit {
		link := func(rel string, n int) string {
			u := url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path}
			next := maps.Clone(q)
			next.Set("page", strconv.Itoa(n))
			u.RawQuery = next.Encode()
			return fmt.Sprintf("<%s>; rel=%q", u.String(), rel)
		}
		var links []string
		if to < len(list) {
			links = append(links, link("next", page+1), link("last", (len(list)+limit-1)/limit))
		}
		if page > 1 {
			links = append(links, link("first", 1), link("prev", page-1))
		}
		h.Set("Link", strings.Join(links, ","))
	}
	return answer{status: http.StatusOK, body: append([]any{}, list[from:to]...), header: h}
}

// data wraps the body of a search.
func (a answer) data() answer {
	a.body = map[string]any{"ok": true, "data": a.body}
	return a
}

// struckACL answers the question for the readers of a repository that a fault hits: kinds of an item are those of its repository.
func (s *site) struckACL(w http.ResponseWriter, r *http.Request, repo string) bool {
	s.mu.Lock()
	var name string
	for _, f := range s.faults {
		if f.On == connectortest.OnACL && strings.HasPrefix(f.Name, repo+"/") {
			name = f.Name
		}
	}
	s.mu.Unlock()
	return name != "" && s.struck(w, r, connectortest.OnACL, name)
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
	code, err := strconv.Atoi(string(f.Kind))
	if err != nil {
		return false
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	message := "user should have specific read permission or be a repo admin or a site admin"
	if on == connectortest.OnListing || on == connectortest.OnFeed || on == connectortest.OnGroups {
		message = "token does not have at least one of required scope(s), required=[read:repository], token scope=read:user"
	}
	s.send(w, no(code, message))
	return true
}

func (s *site) strike(on connectortest.Place, name string) *siteFault {
	for _, f := range s.faults {
		if f.On != on || f.Name != name {
			continue
		}
		if f.asked++; f.asked < f.Page || f.Times > 0 && f.struck >= f.Times {
			continue
		}
		f.struck++
		return f
	}
	return nil
}
