package sandbox

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/internal/sandbox/company"
)

// Sizes of a page.
const (
	defaultPage = 50
	maxPage     = 200
)

func (s *Server) apiRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/about", s.api("account.read", s.about))
	mux.HandleFunc("GET /api/v1/items", s.api("files.read", s.listItems))
	mux.HandleFunc("GET /api/v1/items/{id}", s.api("files.read", s.getItem))
	mux.HandleFunc("GET /api/v1/items/{id}/content", s.api("files.read", s.getContent))
	mux.HandleFunc("GET /api/v1/changes", s.api("files.read", s.listChanges))
	mux.HandleFunc("GET /api/v1/changes/start", s.api("files.read", s.startChanges))
	mux.HandleFunc("GET /api/v1/groups", s.api("groups.read", s.listGroups))
	mux.HandleFunc("GET /api/v1/people", s.api("groups.read", s.listPeople))
	mux.HandleFunc("GET /api/v1/{rest...}", s.api("", func(w http.ResponseWriter, _ *http.Request, _ accessToken) {
		oauthError(w, http.StatusNotFound, "not_found", "the API has no such address")
	}))
}

// api serves an endpoint to tokens that have the scope, within the client's rate limit.
func (s *Server) api(need string, next func(http.ResponseWriter, *http.Request, accessToken)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		t, ok := s.bearer(w, r, need)
		if !ok || !s.limit(w, t.Client) {
			return
		}
		next(w, r, t)
	}
}

// bearer returns the token of the request's Authorization header (RFC 6750 §2.1; the other ways are not served).
func (s *Server) bearer(w http.ResponseWriter, r *http.Request, need string) (accessToken, bool) {
	kind, text, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") || text == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="Sandbox Drive"`)
		oauthError(w, http.StatusUnauthorized, "unauthorized", "send an access token in the Authorization header")
		return accessToken{}, false
	}
	t, ok := s.auth.token(strings.TrimSpace(text))
	if p, known := s.world.Person(t.Person); ok && t.Person != "" && (!known || !p.Active) {
		ok = false
	}
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="Sandbox Drive", error="invalid_token", error_description="the token is unknown, expired or revoked"`)
		oauthError(w, http.StatusUnauthorized, "invalid_token", "the token is unknown, expired or revoked")
		return accessToken{}, false
	}
	if need != "" && !slices.Contains(t.Scopes, need) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="Sandbox Drive", error="insufficient_scope", scope="`+need+`"`)
		oauthError(w, http.StatusForbidden, "insufficient_scope", "the token does not have the scope "+need)
		return accessToken{}, false
	}
	return t, true
}

// readerOf returns whose view of the drive a token shows.
func (d *drive) readerOf(t accessToken) reader {
	if t.Person == "" {
		return reader{all: true}
	}
	return d.reader(t.Person)
}

// sendTagged answers with JSON and an ETag, or with 304 to who has it already.
func sendTagged(w http.ResponseWriter, r *http.Request, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		oauthError(w, http.StatusInternalServerError, "server_error", "encoding the answer")
		return
	}
	sum := sha256.Sum256(body)
	if notModified(w, r, `"`+base64.RawURLEncoding.EncodeToString(sum[:12])+`"`) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// notModified sets the ETag and answers 304 where the request names it (RFC 9110 §13.1.2).
func notModified(w http.ResponseWriter, r *http.Request, tag string) bool {
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "private, no-cache")
	for seen := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		seen = strings.TrimSpace(seen)
		if seen == "*" || strings.TrimPrefix(seen, "W/") == tag {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

func (s *Server) about(w http.ResponseWriter, r *http.Request, t accessToken) {
	id, name, domain := s.world.Organisation()
	sendTagged(w, r, map[string]any{
		"organisation": map[string]string{"id": id, "name": name, "domain": domain},
		"account":      s.accountOf(t),
	})
}

// position is where a page token continues.
type position struct {
	list  string // what is listed: "items", "changes", "groups", "people"
	epoch int
	after string
}

// encode writes a page token that only this server can have made.
func (s *Server) encode(p position) string {
	text := p.list + "\n" + strconv.Itoa(p.epoch) + "\n" + p.after
	return base64.RawURLEncoding.EncodeToString([]byte(text + "\n" + s.auth.sign("page", text)))
}

// decode reads a page token of that list.
func (s *Server) decode(token, list string) (position, bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	text, tag, _ := cutLast(string(b))
	parts := strings.SplitN(text, "\n", 3)
	if err != nil || len(parts) != 3 || parts[0] != list || !equal(tag, s.auth.sign("page", text)) {
		return position{}, false
	}
	epoch, err := strconv.Atoi(parts[1])
	return position{list: list, epoch: epoch, after: parts[2]}, err == nil
}

// cutLast cuts s around its last line break.
func cutLast(s string) (before, after string, found bool) {
	i := strings.LastIndexByte(s, '\n')
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// paging reads page_size and page_token, and answers what is wrong with them.
func (s *Server) paging(w http.ResponseWriter, r *http.Request, list string) (size int, from position, ok bool) {
	size = defaultPage
	if v := r.URL.Query().Get("page_size"); v != "" {
		var err error
		if size, err = strconv.Atoi(v); err != nil || size < 1 || size > maxPage {
			oauthError(w, http.StatusBadRequest, "invalid_page_size", "page_size is 1 to "+strconv.Itoa(maxPage))
			return 0, position{}, false
		}
	}
	pages, feed := s.faults.epochs()
	epoch := pages
	if list == "changes" {
		epoch = feed
	}
	from = position{list: list, epoch: epoch}
	token := r.URL.Query().Get("page_token")
	if token == "" {
		return size, from, true
	}
	if from, ok = s.decode(token, list); !ok {
		oauthError(w, http.StatusBadRequest, "invalid_page_token", "page_token is not one of this listing")
		return 0, position{}, false
	}
	if from.epoch != epoch {
		pageExpired(w)
		return 0, position{}, false
	}
	return size, from, true
}

func pageExpired(w http.ResponseWriter) {
	oauthError(w, http.StatusGone, "page_token_expired", "the listing changed too much since; start from its beginning")
}

// pageOf returns the part of a list that is sorted by id which follows after, and whether that is its end.
func pageOf[T any](list []T, id func(T) string, after string, size int) (page []T, last bool) {
	from, _ := slices.BinarySearchFunc(list, after, func(e T, key string) int { return strings.Compare(id(e), key) })
	for from < len(list) && id(list[from]) <= after {
		from++
	}
	end := min(from+size, len(list))
	return list[from:end], end == len(list)
}

// member is a member of a group, as the API tells it.
type member struct {
	Kind  string `json:"kind"`
	ID    string `json:"id"`
	Name  string `json:"name"`
	Email string `json:"email"`
}

func (s *Server) listGroups(w http.ResponseWriter, r *http.Request, _ accessToken) {
	size, from, ok := s.paging(w, r, "groups")
	if !ok {
		return
	}
	groups, people := s.world.Groups(), s.world.People()
	page, last := pageOf(groups, func(g company.Group) string { return g.ID }, from.after, size)
	type row struct {
		ID      string   `json:"id"`
		Name    string   `json:"name"`
		Members []member `json:"members"`
	}
	rows, next := []row{}, ""
	for _, g := range page {
		gr := row{ID: g.ID, Name: g.Name, Members: []member{}}
		for _, m := range g.Members {
			gr.Members = append(gr.Members, named(m, groups, people))
		}
		rows = append(rows, gr)
	}
	if !last {
		from.after = page[len(page)-1].ID
		next = s.encode(from)
	}
	sendTagged(w, r, map[string]any{"groups": rows, "next_page_token": next, "complete": last})
}

func named(m company.Ref, groups []company.Group, people []company.Person) member {
	out := member{Kind: m.Kind, ID: m.ID}
	for _, p := range people {
		if m.Kind == kindUser && p.ID == m.ID {
			out.Name, out.Email = p.Name, p.Email
		}
	}
	for _, g := range groups {
		if m.Kind == kindGroup && g.ID == m.ID {
			out.Name = g.Name
		}
	}
	return out
}

func (s *Server) listPeople(w http.ResponseWriter, r *http.Request, _ accessToken) {
	size, from, ok := s.paging(w, r, "people")
	if !ok {
		return
	}
	page, last := pageOf(s.world.People(), func(p company.Person) string { return p.ID }, from.after, size)
	type row struct {
		account
		Title  string `json:"title"`
		Active bool   `json:"active"`
	}
	rows, next := []row{}, ""
	for _, p := range page {
		rows = append(rows, row{account{ID: p.ID, Name: p.Name, Email: p.Email, EmailVerified: p.Verified}, p.Title, p.Active})
	}
	if !last {
		from.after = page[len(page)-1].ID
		next = s.encode(from)
	}
	sendTagged(w, r, map[string]any{"people": rows, "next_page_token": next, "complete": last})
}

// timeText writes times as the API does.
func timeText(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func contentTag(it *record) string { return fmt.Sprintf("%q", it.ID+"-"+strconv.Itoa(it.Revision)) }
