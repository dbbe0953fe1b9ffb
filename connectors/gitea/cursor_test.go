package gitea

import (
	"testing"

	"tributary/connectors"
)

// TestCursorForm pins what is stored: a change of it needs another cursorVersion.
func TestCursorForm(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]cursor{
		`{"v":1,"list":"all","at":{"r":7,"p":1,"n":3,"t":140}}`:     {List: listAll, At: &place{Repo: 7, Part: partIssues, Page: 3, Total: 140}},
		`{"v":1,"list":"all","at":{"r":7,"n":2,"c":"3f2a"}}`:        {List: listAll, At: &place{Repo: 7, Page: 2, Commit: "3f2a"}},
		`{"v":1,"list":"all","end":true}`:                           {List: listAll, End: true},
		`{"v":1,"list":"changes","since":1740000000,"seen":"ab12"}`: {List: listChanges, Since: 1740000000, Seen: "ab12"},
		`{"v":1,"list":"changes","since":5,"until":9,"next":"cd","after":3,"repos":[{"r":3,"s":"sh","a":"ab","h":"he","i":4,"n":6,"c":2,"l":11,"m":8,"e":"se","w":"wi","g":{"Home":"0123"},"k":{"r":3,"p":2}}]}`: {
			List: listChanges, Since: 5, Until: 9, Next: "cd", After: 3, Repos: []repoState{{
				ID: 3, Shape: "sh", About: "ab", Head: "he", Issues: 4, Newest: 6, Comments: 2, LastComment: 11, CommentsSince: 8, CommentsSeen: "se",
				Wiki: "wi", Pages: map[string]string{"Home": "0123"}, Walk: &place{Repo: 3, Part: partWiki},
			}},
		},
	} {
		if got := string(c.encode()); got != want {
			t.Errorf("the form is %s, want %s", got, want)
		}
		back, err := parseCursor("reading", c.List, connectors.Cursor(want))
		if err != nil || string(back.encode()) != want {
			t.Errorf("%s comes back as %s (%v)", want, back.encode(), err)
		}
	}
}

func TestCursorOfAnotherForm(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{}`, `[]`, `"x"`, `{"v":2,"list":"all","at":{}}`, `{"v":1,"list":"changes"}`, `{"v":1,"list":"all"}`, `nonsense`} {
		if _, err := parseCursor("reading", listAll, connectors.Cursor(text)); connectors.ClassOf(err) != connectors.CursorExpired {
			t.Errorf("%s: class %s, want %s", text, connectors.ClassOf(err), connectors.CursorExpired)
		}
	}
	if _, err := parseCursor("reading", listChanges, nil); connectors.ClassOf(err) != connectors.CursorExpired {
		t.Errorf("no position of the feed: %v", err)
	}
}

// TestCursorStaysSmall: what a cursor keeps of wikis is bounded.
func TestCursorStaysSmall(t *testing.T) {
	t.Parallel()
	var c cursor
	var pages []wikiMeta
	for i := range maxWikiPages {
		pages = append(pages, wikiMeta{SubURL: number(int64(i)), LastCommit: wikiCommit{SHA: "0123456789abcdef"}})
	}
	for id := range int64(100) {
		st := repoState{ID: id + 1}
		st.setWiki(pages)
		c.put(st)
	}
	kept := 0
	for _, st := range c.Repos {
		kept += len(st.Pages)
		if st.Wiki == "" {
			t.Errorf("repository %d has no digest of its wiki", st.ID)
		}
	}
	if kept > maxPages || kept == 0 || len(c.Repos) != 100 {
		t.Errorf("%d wiki pages of %d repositories are kept, want at most %d of 100", kept, len(c.Repos), maxPages)
	}
	var st repoState
	if st.setWiki(append(pages, wikiMeta{SubURL: "one more"})); st.Pages != nil {
		t.Errorf("%d pages of one wiki are kept, want none of so many", len(st.Pages))
	}
}
