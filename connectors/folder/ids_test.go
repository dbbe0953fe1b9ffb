package folder

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tributary/connectors"
)

// drawName draws a file name as bytes, with what makes escaping hard.
func drawName(t *rapid.T) string {
	part := rapid.SampledFrom([]string{"a", "%", "%25", "%FF", "%ff", "%8", "2", "5", "F", "\xff", "\x80", "é", "\xc3", "\uFFFD", " ", ".html"})
	return strings.Join(rapid.SliceOfN(part, 1, 8).Draw(t, "name"), "")
}

func TestIDsAreReversibleText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := drawName(t)
		id := itemID(name)
		if !utf8.ValidString(id) {
			t.Fatalf("the id of %q is %q: not text", name, id)
		}
		if back := decodeID(id); back != name {
			t.Fatalf("%q became %q and then %q", name, id, back)
		}
	})
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"plain/path.md":      "plain/path.md",
		"déjà vu.md":         "déjà vu.md",
		"100%.txt":           "100%.txt",
		"a%20b.html":         "a%20b.html",
		"a%25b":              "a%2525b",
		"a%FFb":              "a%25FFb",
		"latin-\xe9.txt":     "latin-%E9.txt",
		"%\xff":              "%%FF",
		"replacement \uFFFD": "replacement \uFFFD",
	} {
		if got := itemID(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzIDs(f *testing.F) {
	f.Add("a%FF\xff", "a%25FF%FF")
	f.Fuzz(func(t *testing.T, a, b string) {
		if decodeID(itemID(a)) != a {
			t.Fatalf("%q does not come back", a)
		}
		if a != b && itemID(a) == itemID(b) {
			t.Fatalf("%q and %q share the id %q", a, b, itemID(a))
		}
	})
}

// TestCursorGolden pins the stored form of a cursor.
func TestCursorGolden(t *testing.T) {
	t.Parallel()
	const stored = `{"v":1,"walk":"00112233","after":"a/b%FF.md"}`
	c := cursor{Version: 1, Walk: "00112233", After: itemID("a/b\xff.md")}
	if got := string(c.encode()); got != stored {
		t.Errorf("encoded as %s, stored cursors are %s", got, stored)
	}
	back, err := decodeCursor(connectors.Cursor(stored), "00112233")
	if err != nil || back != c {
		t.Errorf("%+v, %v", back, err)
	}
	const end = `{"v":1,"walk":"00112233","done":1}`
	if got := string(cursor{Version: 1, Walk: "00112233", Done: 1}.encode()); got != end {
		t.Errorf("encoded as %s, stored cursors are %s", got, end)
	}
}

func TestForeignCursorsAreExpired(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]string{
		"another version":   `{"v":2,"walk":"w"}`,
		"another walk":      `{"v":1,"walk":"x"}`,
		"not JSON":          `x`,
		"outside the root":  `{"v":1,"walk":"w","after":"../x"}`,
		"an absolute place": `{"v":1,"walk":"w","after":"/x"}`,
	} {
		if _, err := decodeCursor(connectors.Cursor(c), "w"); connectors.ClassOf(err) != connectors.CursorExpired {
			t.Errorf("%s: %v", name, err)
		}
	}
}
