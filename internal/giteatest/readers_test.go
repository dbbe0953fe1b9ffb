package giteatest

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/connectors"
)

func scopes() []string {
	return []string{"read:user", "read:repository", "read:issue", "read:organization"}
}

// TestReaders proves, for every document and everybody, that the connector says what the server itself says: of an open server and
// of one that asks everybody to sign in.
func TestReaders(t *testing.T) {
	for _, c := range []struct {
		name           string
		signInRequired bool
		public         string
		most           int // entries of a list
	}{{"open", false, "everybody", 3}, {"signed in", true, "accounts", 50}} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.signInRequired, c.most)
			s.populate()
			app := s.register("ann")
			token := app.consent("ann", scopes()...).Access.Reveal()
			settings := map[string]string{"public": c.public}
			e := s.open(token, settings)
			began, err := as[connectors.ChangeFeed](e).Start(t.Context())
			must(t, err)
			s.requests()
			e.snapshot()
			n := len(s.requests())
			summary, err := as[connectors.Verifier](e).Verify(t.Context())
			must(t, err)
			t.Logf("%s; %d documents, %d requests", summary, len(e.docs), n)
			s.judgeReaders(e)
			s.judgeContent(e)
			s.judgeChanges(e, began, token, settings, c.most)
			s.judgeWalls(app)
		})
	}
}

// judgeReaders asks the server about every document, as everybody and as nobody.
func (s *server) judgeReaders(e *engine) {
	s.t.Helper()
	circles := e.groups()
	ids := map[string]string{"": ""}
	for _, who := range people() {
		var u struct {
			ID int64 `json:"id"`
		}
		s.do(who, http.MethodGet, "user", nil, &u)
		ids[who] = strconv.FormatInt(u.ID, 10)
	}
	judged, granted := 0, 0
	for _, id := range slices.Sorted(maps.Keys(e.docs)) {
		for who, account := range ids {
			status, _ := s.call(who, http.MethodGet, s.address(id, e.docs[id]), nil)
			theirs, ours := status == http.StatusOK, reads(e.docs[id].acl, circles[account])
			judged++
			if theirs {
				granted++
			}
			if theirs != ours {
				s.t.Errorf("%s (%s): the server answers %q %d, we say %t (%v)", id, e.docs[id].path, who, status, ours, e.docs[id].acl)
			}
		}
	}
	s.t.Logf("%d pairs of document and reader, %d of them may read", judged, granted)
	if granted == 0 || granted == judged {
		s.t.Error("the server lets everybody or nobody read everything, which proves nothing")
	}
}

// address is where the API shows what a document was made of.
func (s *server) address(id string, d document) string {
	elems := strings.SplitN(id, ":", 4)
	owner, rest, _ := strings.Cut(d.path, "/")
	repo, _, _ := strings.Cut(rest, "/")
	at := words("repos", owner, repo)
	if len(elems) == 2 {
		return at
	}
	switch elems[2] {
	case "file":
		parts := strings.Split(elems[3], "/")
		for i, p := range parts {
			parts[i] = url.PathEscape(p)
		}
		return words(at, "raw", strings.Join(parts, "/"))
	case "issue":
		return words(at, "issues", elems[3])
	default:
		return words(at, "wiki", "page", elems[3])
	}
}

// judgeContent looks for what was written.
func (s *server) judgeContent(e *engine) {
	s.t.Helper()
	for path, want := range map[string][]string{
		"org-private/priv":                     {"About priv."},
		"org-private/priv/docs/deep/notes.txt": {"The text of priv."},
		"org-private/priv/déjà vu.md":          {"Seen before."},
		"org-private/priv/a#b.md":              {"An odd name."},
		"org-private/priv/issues/1":            {"# Issue 0 of priv", "It does not work.", "Remark on issue 1."},
		"org-private/priv/pulls/5":             {"# Pull of priv", "Please take it.", "A remark on the pull request.", "The review of it.", "This line."},
		"org-private/priv/wiki/Été":            {"The page Été of priv."},
		"ben/benpriv/wiki/Home":                {"The page Home of benpriv."},
		"org-limited/pub/README.md":            {"pub"},
	} {
		for _, words := range want {
			if text := e.docs[e.id(path)].text; !strings.Contains(text, words) {
				s.t.Errorf("%s lacks %q:\n%s", path, words, text)
			}
		}
	}
	for _, p := range e.paths() {
		if strings.HasPrefix(p, "dan/") {
			s.t.Errorf("%s is of a repository that the account cannot see", p)
		}
	}
	if want := 8*(1+1+2+1) + 4 + 3 + 2; len(e.docs) != want || len(e.blocked)+len(e.skipped) > 0 {
		s.t.Errorf("%d documents, want %d; blocked %v, skipped %v", len(e.docs), want, e.blocked, e.skipped)
	}
	for id, d := range e.docs {
		got, err := as[connectors.Fetcher](e).Fetch(s.t.Context(), id)
		must(s.t, err)
		if got.Ref.Revision != d.revision || fmt.Sprint(got.ACL) != fmt.Sprint(d.acl) {
			s.t.Errorf("%s: fetched %v %v, listed %v %v", id, got.Ref, got.ACL, d.revision, d.acl)
		}
	}
}
