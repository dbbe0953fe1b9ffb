package web_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"tributary/store"
)

func TestSearchPage(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	id := l.add(l.content.ada, hostile, "alpha "+hostile+" beta")
	l.add(l.bob, "secret", "alpha canary")
	ada := l.oauthRig.ada
	p := ada.get("/search?as=bob")
	p.says(t, http.StatusOK, "Search", "stands in no address", "tributary search QUESTION --as READER --plan")
	p.has(t, `value="bob"`, `<option value="ada"></option>`, `method="post" action="/search"`)
	p = ada.post("/search", "q", "Alpha's beta", "mode", "keyword", "k", "5")
	p.says(t, http.StatusOK, "1 result for ada", "alpha "+hostile+" beta", "score 1.0", "Visible chunks met", "Permissions of docs", "The same in curl", "The same in TypeScript")
	p.has(t, "<mark>alpha</mark>", "<mark>beta</mark>", `href="/documents/`+id.String()+`?chunk=1#chunk-1"`, `/access?reader=ada"`)
	p.without(t, "canary", "<script>a", "Next results")
	if got := l.lastRead(t); got != "search: ada in the place of ada, 1 documents" {
		t.Errorf("recorded: %s", got)
	}
	p = ada.post("/search", "q", "alpha", "as", "bob", "mode", "keyword")
	p.says(t, http.StatusOK, "1 result for bob", "alpha canary", "You see what bob is answered", "Read in the document")
	p.without(t, id.String())
	if got := l.lastRead(t); got != "search: ada in the place of bob, 1 documents" {
		t.Errorf("recorded: %s", got)
	}
	bob, err := l.oauthRig.store.Reader(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	ada.post("/search", "q", "alpha", "as", bob.ID.String(), "mode", "keyword").says(t, http.StatusOK, "1 result for bob")
	if n := strings.Count(strings.Join(l.oauthRig.events(), "\n"), "reader.view_as ok account:ada"); n != 3 {
		t.Errorf("2 questions in bob's place and one as ada, who did not consent, are recorded %d times", n)
	}
	if strings.Contains(l.oauthRig.log.String(), "alpha") {
		t.Error("the log holds a question")
	}
}

func TestSearchPageRefuses(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.add(l.bob, "secret", "alpha canary")
	l.exec(`UPDATE reader_principal SET how = 'consent' WHERE reader_id = (SELECT id FROM reader WHERE name = 'ada')`)
	ada := l.oauthRig.ada
	for name, tc := range map[string]struct {
		fields []string
		says   string
	}{
		"no question":              {[]string{"q", " "}, "must not be empty"},
		"a long question":          {[]string{"q", strings.Repeat("a", 2001)}, "2000 characters"},
		"another mode":             {[]string{"q", "alpha", "mode", "magic"}, "must be one of"},
		"no results":               {[]string{"q", "alpha", "k", "0"}, "must be 1 to 100"},
		"a number of letters":      {[]string{"q", "alpha", "k", "many"}, "must be 1 to 100"},
		"another day":              {[]string{"q", "alpha", "after", "soon"}, "must be a day"},
		"nobody":                   {[]string{"q", "alpha", "as", "carl"}, "there is no such reader"},
		"a cursor of another kind": {[]string{"q", "alpha", "cursor", "?"}, "next_cursor"},
	} {
		p := ada.post("/search", tc.fields...)
		p.without(t, "canary")
		if p.status != http.StatusUnprocessableEntity || !strings.Contains(strings.ToLower(p.text()), strings.ToLower(tc.says)) {
			t.Errorf("%s: %d\n%s", name, p.status, p.text())
		}
	}
	if p := ada.post("/search", "q", "alpha", "key", "x"); p.status != http.StatusBadRequest {
		t.Errorf("a field more: %d", p.status)
	}
	if n := strings.Count(strings.Join(l.oauthRig.events(), "\n"), "reader.view_as"); n != 0 {
		t.Errorf("%d questions that were not asked are recorded", n)
	}
	auditor, admin := l.as("eve", store.RoleAuditor), l.as("bob", store.RoleAdmin)
	if p := auditor.get("/search"); p.status != http.StatusForbidden {
		t.Errorf("an auditor: %d", p.status)
	}
	if strings.Contains(auditor.get("/documents").body, `href="/search"`+"\n") || strings.Contains(auditor.get("/").body, `<a href="/search"`) {
		t.Error("an auditor is led to the search")
	}
	p := admin.get("/search")
	p.says(t, http.StatusOK, "Your account is no reader", "An owner can ask in the place of a reader")
	p.without(t, "<form method=\"post\" action=\"/search\"", "In the place of")
	p = admin.post("/search", "q", "alpha", "mode", "keyword")
	p.says(t, http.StatusUnprocessableEntity, "Your account is no reader, so that you may read nothing yourself")
	p.without(t, "canary")
	if p := admin.post("/search", "q", "alpha", "as", "bob"); p.status != http.StatusForbidden {
		t.Errorf("an admin asks in another's place: %d", p.status)
	}
	l.exec(`UPDATE reader_principal SET how = 'consent' WHERE reader_id = (SELECT id FROM reader WHERE name = 'bob')`)
	p = admin.post("/search", "q", "alpha", "mode", "keyword")
	p.says(t, http.StatusOK, "alpha canary")
	p.without(t, "Visible chunks met", "In the place of")
}

func TestSearchPageAnswers(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	ada := l.oauthRig.ada
	ada.post("/search", "q", "zebra", "mode", "keyword").says(t, http.StatusOK, "Nothing found for ada", "may read no document of what was asked")
	l.add(l.content.ada, "one", "alpha one", "alpha two", "alpha three")
	ada.post("/search", "q", "zebra", "mode", "keyword").says(t, http.StatusOK, "Nothing that ada may read matches")
	ada.post("/search", "q", "alpha").says(t, http.StatusOK, "only words were compared")
	ada.post("/search", "q", "alpha", "mode", "vector").says(t, http.StatusServiceUnavailable, "could not be embedded")
	ada.post("/search", "q", "alpha", "mode", "keyword", "path", "two").says(t, http.StatusOK, "Nothing")
	ada.post("/search", "q", "alpha", "mode", "keyword", "after", "2100-01-01").says(t, http.StatusOK, "Nothing")
	p := ada.post("/search", "q", `it's "alpha"`, "mode", "keyword", "connection", "docs", "source", "test", "type", "file", "path", "one", "after", "2020-01-01", "k", "2")
	p.says(t, http.StatusOK, "2 results for ada", "Next results", "from above")
	fields, seen := []string{}, map[string]bool{}
	form := regexp.MustCompile(`(?s)<form method="post" action="/search" class="acts">.*?</form>`).FindString(p.body)
	for _, m := range regexp.MustCompile(`name="([a-z]+)" value="([^"]*)"`).FindAllStringSubmatch(form, -1) {
		fields = append(fields, m[1], html.UnescapeString(m[2]))
	}
	hits := func(p page) {
		for _, m := range regexp.MustCompile(`#(chunk-\d+)"`).FindAllStringSubmatch(p.body, -1) {
			seen[m[1]] = true
		}
	}
	hits(p)
	next := ada.post("/search", fields...)
	next.says(t, http.StatusOK, "1 result for ada")
	if hits(next); len(seen) != 3 {
		t.Errorf("the pages give %v", seen)
	}
	text := html.UnescapeString(p.body)
	for _, want := range []string{
		`--data '{"query":"it'\''s \"alpha\"","mode":"keyword","k":2,"filters":{"connection":["docs"],"source":["test"],"type":["file"],"path":["one"],"updated_after":"2020-01-01T00:00:00Z"}}'`,
		`question = {"query":"it's \"alpha\"","mode":"keyword","k":2,`, `body: JSON.stringify({"query":"it's \"alpha\"",`, `Authorization: Bearer $TRIBUTARY_KEY`, `os.environ["TRIBUTARY_KEY"]`, "process.env.TRIBUTARY_KEY",
		l.oauthRig.server.URL + "/v1/search",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the copies do not say %s", want)
		}
	}
	p.without(t, l.keys["ada"], "trib_")
	l.exec(`DELETE FROM reader_principal WHERE reader_id = (SELECT id FROM reader WHERE name = 'ada')`)
	ada.post("/search", "q", "alpha", "mode", "keyword").says(t, http.StatusOK, "ada is nobody at any source", "tributary readers link")
}
