package googledrive

import (
	"testing"

	"tributary/connectors"
)

// TestCursorGolden pins the form of stored cursors: another form needs another
// version.
func TestCursorGolden(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		got  connectors.Cursor
		want string
	}{
		{"list", listCursor{At: "0AD", Token: "t"}.encode(), `{"v":1,"list":"files","at":"0AD","token":"t"}`},
		{"list of the account", listCursor{Token: "t"}.encode(), `{"v":1,"list":"files","token":"t"}`},
		{"end", listCursor{At: "0AD", End: true}.encode(), `{"v":1,"list":"files","at":"0AD","end":true}`},
		{"feed", feedCursor{User: "7", Drives: map[string]string{"0B": "2", "0A": "1"}}.encode(), `{"v":1,"list":"changes","user":"7","drives":{"0A":"1","0B":"2"}}`},
		{
			"feed on its way", feedCursor{User: "7", New: &newDrive{ID: "0N", Start: "3", Token: "p"}, Walk: []string{"0A/f", "/g"}, WalkToken: "w", Batch: 1, Walked: 2}.encode(),
			`{"v":1,"list":"changes","user":"7","new":{"id":"0N","start":"3","token":"p"},"walk":["0A/f","/g"],"walk_token":"w","batch":1,"walked":2}`,
		},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
}

func TestForeignCursorsAreExpired(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{`7`, `{}`, `{"v":2,"list":"files"}`, `{"v":1,"list":"changes"}`, `{"v":1,"list":"files","token":7}`, `nonsense`} {
		if _, err := parseListCursor("reading", connectors.Cursor(bad)); connectors.ClassOf(err) != connectors.CursorExpired {
			t.Errorf("list cursor %s: %v", bad, err)
		}
	}
	for _, bad := range []string{
		``, `7`, `{}`, `{"v":2,"list":"changes"}`, `{"v":1,"list":"files"}`, `{"v":1,"list":"changes","batch":1}`,
		`{"v":1,"list":"changes","new":{}}`, `{"v":1,"list":"changes","walk":["a"],"batch":-1}`,
	} {
		if _, err := parseFeedCursor("reading", connectors.Cursor(bad)); connectors.ClassOf(err) != connectors.CursorExpired {
			t.Errorf("feed cursor %s: %v", bad, err)
		}
	}
}
