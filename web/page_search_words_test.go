package web

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/web/pages"
)

// written writes parts with brackets around what is marked.
func written(parts []pages.Part) string {
	var b strings.Builder
	for _, p := range parts {
		if p.Mark {
			b.WriteString("[" + p.Text + "]")
		} else {
			b.WriteString(p.Text)
		}
	}
	return b.String()
}

func TestMarkedWords(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ asked, text, want string }{
		"words of the question, in any case":        {"Backup plan", "A backup, the Plan.", "A [backup], the [Plan]."},
		"other forms of a word":                     {"backups restored log", "Backup, restoring, logs", "[Backup], [restoring], [logs]"},
		"a word that begins alike is another":       {"plan", "planet plant", "planet plant"},
		"short words have few forms":                {"api", "apis and apid api", "[apis] and apid [api]"},
		"frequent words say nothing":                {"how is the log kept", "how the log is kept", "how the [log] is [kept]"},
		"what a beginning stands for":               {"migr*", "migrate, migration", "[migrate], [migration]"},
		"a phrase is its words":                     {`"in order"`, "in order", "in [order]"},
		"what must not be there":                    {"alpha -beta -\"gamma delta\"", "alpha beta gamma delta", "[alpha] beta gamma delta"},
		"markup stays text":                         {"script", "<script>alert(1)</script>", "<[script]>alert(1)</[script]>"},
		"numbers":                                   {"error 4711", "E-4711 is an error", "E-[4711] is an [error]"},
		"scripts without spaces":                    {"備份", "資料備份計畫與備份", "資料[備份]計畫與[備份]"},
		"nothing asked":                             {"-x", "alpha", "alpha"},
		"letters whose lower case is longer":        {"İstanbul", "in İSTANBUL", "in [İSTANBUL]"},
		"nothing to mark":                           {"alpha", "", ""},
		"a text that is no UTF-8 stays as it was":   {"a", "\xff\xfeb", "\xff\xfeb"},
		"marks beside each other are two words":     {"alpha beta", "alpha beta", "[alpha] [beta]"},
		"a word with an accent is not cut":          {"cafe\u0301s", "cafe\u0301 x", "[cafe\u0301] x"},
		"of many that match one run the first wins": {"備 備份", "備份", "[備]份"},
	} {
		if got := written(marked(tc.text, wordsAsked(tc.asked))); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// TestMarkedPartsAreTheText: whatever is asked, the parts together are the text.
func TestMarkedPartsAreTheText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, query := rapid.String().Draw(t, "text"), rapid.String().Draw(t, "query")
		got := ""
		for _, p := range marked(text, wordsAsked(query)) {
			got += p.Text
		}
		if got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x ", 2000)
	for name, tc := range map[string]struct {
		parts       []pages.Part
		runes       int
		first, last string
	}{
		"a short text stays whole":      {[]pages.Part{{Text: "alpha"}}, 5, "alpha", "alpha"},
		"the end of a long one goes":    {[]pages.Part{{Text: long}}, excerptRunes + 2, "x x", " …"},
		"what is around the first mark": {[]pages.Part{{Text: long}, {Text: "alpha", Mark: true}, {Text: long}}, excerptRunes + 4, "… ", " …"},
		"a mark at the end":             {[]pages.Part{{Text: long}, {Text: "alpha", Mark: true}}, excerptRunes + 2, "… ", "alpha"},
	} {
		got := excerpt(tc.parts)
		var text string
		marked := false
		for _, p := range got {
			text += p.Text
			marked = marked || p.Mark
		}
		if n := len([]rune(text)); n != tc.runes || !strings.HasPrefix(text, tc.first) || !strings.HasSuffix(text, tc.last) || marked != (len(tc.parts) > 1) {
			t.Errorf("%s: %d runes, marked %v: %q", name, n, marked, text)
		}
	}
}
