package github

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	canary       = "ghu_kit-canary-91be02f7c4"
	siteMe       = "alice"
	sitePageSize = 3
	sitePerPage  = 3
)

// site is an instance of GitHub under the test's control.
type site struct {
	server *httptest.Server

	mu     sync.Mutex
	now    time.Time
	still  bool
	serial int64
	users  map[string]*siteUser
	orgs   map[string]*siteOrg
	teams  map[string]*siteTeam
	repos  []*siteRepo

	faults []*siteFault
	mended chan struct{}
	bodies int
	asked  []siteRequest
	// refuse answers a request before anything else does.
	refuse func(w http.ResponseWriter, r *http.Request) bool
	// sso is the X-GitHub-SSO header of lists.
	sso string
	// treeLimit is how many entries a recursive tree has at most, perPage the
	// most entries of a page.
	treeLimit int
	compared  int
	// about says that repositories are documents, too.
	about bool
}

type siteRequest struct {
	method, uri string
	status      int
	conditional bool
}

type siteUser struct {
	id    int64
	login string
}

type siteOrg struct {
	id              int64
	login           string
	owners, members map[string]bool
	// base lets every member read every repository.
	base bool
	// suspended and uninstalled say how it has the app.
	suspended, uninstalled bool
}

type siteTeam struct {
	parent, org string
	members     map[string]bool
}

// newSite starts an instance with two organisations, nested teams and no
// repositories.
func newSite(wrap func(http.Handler) http.Handler) *site {
	s := &site{
		now: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), serial: 1000, mended: make(chan struct{}), treeLimit: 100_000,
		users: map[string]*siteUser{}, orgs: map[string]*siteOrg{}, teams: map[string]*siteTeam{},
	}
	for i, login := range []string{"alice", "bob", "carol", "dave", "erin", "frank"} {
		s.users[login] = &siteUser{id: int64(101 + i), login: login}
	}
	s.orgs["harbour"] = &siteOrg{id: 11, login: "harbour", owners: set("alice"), members: set("alice", "bob", "carol")}
	s.orgs["lantern"] = &siteOrg{id: 12, login: "lantern", owners: set("alice", "erin"), members: set("alice", "erin", "dave")}
	s.teams["outer"] = &siteTeam{org: "harbour", members: set("bob")}
	s.teams["inner"] = &siteTeam{org: "harbour", parent: "outer", members: set("carol")}
	s.teams["lamp"] = &siteTeam{org: "lantern", members: set()}
	s.teams["wick"] = &siteTeam{org: "lantern", parent: "lamp", members: set("dave")}
	s.server = httptest.NewServer(wrap(http.HandlerFunc(s.serve)))
	return s
}

func set(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
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

// tick lets a second pass, unless time stands still.
func (s *site) tick() time.Time {
	if !s.still {
		s.now = s.now.Add(time.Second)
	}
	return s.now
}

func (s *site) nextID() int64 {
	s.serial++
	return s.serial
}

// name returns a Git object's name for whatever parts.
func name(parts ...any) string {
	sum := sha1.Sum([]byte(fmt.Sprint(parts...)))
	return hex.EncodeToString(sum[:])
}

// answer is what a handler sends.
type answer struct {
	status int
	header map[string]string
	kind   string
	body   []byte
}

func ok(v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return answer{status: http.StatusOK, kind: "application/json; charset=utf-8", body: body}
}

func no(status int, message string) answer {
	body := map[string]any{"message": message, "documentation_url": "https://docs.github.com/rest"}
	if status < http.StatusInternalServerError {
		body["status"] = strconv.Itoa(status)
	}
	a := ok(body)
	a.status = status
	return a
}

func missing() answer { return no(http.StatusNotFound, "Not Found") }

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	rec := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked = append(s.asked, siteRequest{r.Method, r.URL.RequestURI(), rec.status, r.Header.Get("If-None-Match") != ""})
	}()
	switch {
	case r.Header.Get("Authorization") != "Bearer "+canary:
		s.send(rec, r, no(http.StatusUnauthorized, "Bad credentials"))
		return
	case r.Header.Get("User-Agent") == "" || r.Header.Get("X-GitHub-Api-Version") != "2022-11-28":
		s.send(rec, r, no(http.StatusForbidden, "Request forbidden by administrative rules."))
		return
	case refuse != nil && refuse(rec, r):
		return
	}
	for _, f := range s.placesOf(r) {
		if s.struck(rec, r, f.on, f.name) {
			return
		}
	}
	s.mu.Lock()
	a := s.route(r)
	s.mu.Unlock()
	s.send(rec, r, a)
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// send answers with an ETag, and with 304 to who has the answer.
func (s *site) send(w http.ResponseWriter, r *http.Request, a answer) {
	s.mu.Lock()
	w.Header().Set("Date", s.now.UTC().Format(http.TimeFormat))
	s.mu.Unlock()
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.status == http.StatusOK {
		sum := sha256.Sum256(append(a.body, r.URL.String()...))
		tag := `W/"` + hex.EncodeToString(sum[:]) + `"`
		w.Header().Set("Etag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body)
}

// route answers what concerns no single repository; the rest is repoRoute's.
func (s *site) route(r *http.Request) answer {
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	elems := strings.Split(path, "/")
	switch {
	case path == "user":
		return ok(s.userJSON(s.users[siteMe]))
	case path == "user/repos":
		return s.page(r, "", s.reposJSON(nil))
	case path == "installation/repositories":
		return s.page(r, "repositories", s.reposJSON(nil))
	case path == "user/installations":
		return s.page(r, "installations", s.installationsJSON())
	case len(elems) == 4 && elems[0] == "user" && elems[3] == "repositories":
		return s.page(r, "repositories", s.reposJSON(func(repo *siteRepo) bool { return strconv.FormatInt(s.orgs[repo.owner].id, 10) == elems[2] }))
	case len(elems) == 2 && elems[0] == "users" && s.users[elems[1]] != nil:
		return ok(s.userJSON(s.users[elems[1]]))
	case len(elems) == 2 && elems[0] == "orgs" && s.orgs[elems[1]] != nil:
		return ok(s.orgJSON(s.orgs[elems[1]]))
	case len(elems) == 3 && elems[0] == "orgs" && elems[2] == "members" && s.orgs[elems[1]] != nil:
		var rows []any
		for _, login := range loginsOf(s.orgs[elems[1]].members) {
			rows = append(rows, s.simpleUser(login))
		}
		return s.page(r, "", rows)
	case elems[0] == "repos" && len(elems) >= 3:
		repo, moved := s.find(elems[1] + "/" + elems[2])
		if repo == nil {
			return missing()
		}
		rest := strings.Join(elems[3:], "/")
		if moved {
			a := no(http.StatusMovedPermanently, "Moved Permanently")
			a.header = map[string]string{"Location": s.server.URL + strings.TrimSuffix(fmt.Sprintf("/repositories/%d/%s", repo.id, rest), "/") + query(r)}
			return a
		}
		return s.repoRoute(r, repo, rest)
	case elems[0] == "repositories" && len(elems) >= 2:
		for _, repo := range s.repos {
			if strconv.FormatInt(repo.id, 10) == elems[1] {
				return s.repoRoute(r, repo, strings.Join(elems[2:], "/"))
			}
		}
	}
	return missing()
}

func query(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	return "?" + r.URL.RawQuery
}

// page answers one page of rows, with a link to the next.
func (s *site) page(r *http.Request, wrapped string, rows []any) answer {
	q := r.URL.Query()
	per, _ := strconv.Atoi(q.Get("per_page"))
	if per <= 0 {
		per = 30
	}
	at, _ := strconv.Atoi(q.Get("page"))
	at = max(at, 1)
	from, to := min((at-1)*per, len(rows)), min(at*per, len(rows))
	part := append([]any{}, rows[from:to]...)
	a := ok(part)
	if wrapped != "" {
		a = ok(map[string]any{"total_count": len(rows), wrapped: part})
	}
	a.header = map[string]string{}
	if to < len(rows) {
		q.Set("page", strconv.Itoa(at+1))
		a.header["Link"] = fmt.Sprintf(`<%s%s?%s>; rel="next", <%s/other>; rel="last"`, s.server.URL, s.linkPath(r), q.Encode(), s.server.URL)
	}
	if s.sso != "" {
		a.header["X-Github-Sso"] = s.sso
	}
	return a
}

// linkPath is where links lead: for issues below the repository's number.
func (s *site) linkPath(r *http.Request) string {
	elems := strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if len(elems) == 4 && elems[0] == "repos" && elems[3] == "issues" {
		if repo, _ := s.find(elems[1] + "/" + elems[2]); repo != nil {
			return fmt.Sprintf("/repositories/%d/issues", repo.id)
		}
	}
	return r.URL.EscapedPath()
}
