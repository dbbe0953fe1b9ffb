package chunk_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary/internal/chunk"
)

func TestHeadingsMakeSections(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string // context, a bar, first line of each chunk
	}{
		"a section each":                        {"# A\n\none\n\n## B\n\ntwo\n\n# C\n\nthree", []string{"A|# A", "A > B|## B", "C|# C"}},
		"text before the first heading":         {"zero\n\n# A\none", []string{"|zero", "A|# A"}},
		"a heading without body goes forward":   {"# A\n\n## B\n\n### C\n\ntext", []string{"A > B > C|# A"}},
		"a heading without body at the end":     {"# A\n\none\n\n# B\n", []string{"A|# A", "B|# B"}},
		"levels may be skipped":                 {"# A\na\n#### B\nb\n## C\nc", []string{"A|# A", "A > B|#### B", "A > C|## C"}},
		"setext headings":                       {"Title\n=====\n\none\n\nPart\n---\n\ntwo", []string{"Title|Title", "Title > Part|Part"}},
		"a rule is not an underline":            {"para one\nmore\n---\ntext", []string{"|para one"}},
		"a list before dashes is no heading":    {"- item\n---\ntext", []string{"|- item"}},
		"closing marks are not the title":       {"## A b ##\ntext", []string{"A b|## A b ##"}},
		"marks of Markdown are not the title":   {"# The [`x`](http://e.org/) *way*\ntext", []string{"The x way|# The [`x`](http://e.org/) *way*"}},
		"seven marks are text":                  {"####### A\ntext", []string{"|####### A"}},
		"a hash without a space is text":        {"#A\ntext", []string{"|#A"}},
		"an indented hash is text":              {"    # A\ntext", []string{"|    # A"}},
		"headings in fenced code are code":      {"# A\n\n```sh\n# not\n```\n\nend\n\n# B\nb", []string{"A|# A", "B|# B"}},
		"a shorter fence does not end the code": {"````\n```\n# not\n````\n# B\nb", []string{"|````", "B|# B"}},
		"tildes do not end backticks":           {"```\n~~~\n# not\n```\n# B\nb", []string{"|```", "B|# B"}},
		"a fence without end is text":           {"```\n# A\ntext", []string{"|```", "A|# A"}},
		"nothing":                               {" \n\n\t\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, c := range chunk.Split(tc.text, nil, chunk.Config{}) {
				first, _, _ := strings.Cut(c.Text, "\n")
				got = append(got, c.Context+"|"+first)
				if strings.Join(c.HeadingPath, " > ") != c.Context {
					t.Errorf("path %q, context %q", c.HeadingPath, c.Context)
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLaterPiecesSayWhatTheyBelongTo(t *testing.T) {
	t.Parallel()
	var table, code strings.Builder
	w := newWords(5)
	table.WriteString("# Data\n\n| Name | What |\n|---|---|\n")
	code.WriteString("# Data\n\nAn example:\n\n```go\n")
	for i := range 200 {
		fmt.Fprintf(&table, "| row %d | %s |\n", i, w.sentence())
		fmt.Fprintf(&code, "\tprint(%q)\n", w.sentence())
	}
	code.WriteString("```\n")
	for _, tc := range []struct{ name, text, label string }{
		{"table", table.String(), "| Name | What |"}, {"code", code.String(), "code: go"},
	} {
		cs := chunk.Split(tc.text+"\n## After\n\nend", nil, chunk.Config{})
		if len(cs) < 5 {
			t.Fatalf("%s: got %d chunks", tc.name, len(cs))
		}
		for i, c := range cs {
			want := "Data\n" + tc.label
			switch i {
			case 0:
				want = "Data"
			case len(cs) - 1:
				want = "Data > After"
			}
			if c.Context != want {
				t.Errorf("%s: chunk %d has context %q, want %q", tc.name, i, c.Context, want)
			}
			if i > 0 && i < len(cs)-1 && tc.name == "table" && !strings.HasPrefix(c.Text, "| row ") {
				t.Errorf("chunk %d cuts a row: %q", i, c.Text)
			}
		}
	}
}

func TestPagesAreContext(t *testing.T) {
	t.Parallel()
	text := "# A\none\n# B\ntwo\n# C\nthree"
	pages := []chunk.Page{{11, 0}, {12, 8}, {13, 10}}
	var got []string
	for _, c := range chunk.Split(text, pages, chunk.Config{}) {
		got = append(got, c.Context)
	}
	if want := []string{"A\np. 11", "B\np. 12", "C\np. 13"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCutsPreferTheBestPlace(t *testing.T) {
	t.Parallel()
	cs := chunk.Split(prose(3, 60), nil, chunk.Config{})
	atParagraph := 0
	for _, c := range cs[1:] {
		if c.Text[0] >= 'A' && c.Text[0] <= 'Z' {
			atParagraph++
		}
	}
	if atParagraph != len(cs)-1 {
		t.Errorf("%d of %d chunks start with a sentence", atParagraph, len(cs)-1)
	}
}

func TestLongHeadingsLeaveRoomForText(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	w := newWords(9)
	for i := range 6 {
		b.WriteString(strings.Repeat("#", i+1) + " " + w.paragraph() + w.paragraph() + "\n")
	}
	b.WriteString(prose(1, 20))
	cs := chunk.Split(b.String(), nil, chunk.Config{})
	check(t, b.String(), chunk.Config{}, cs)
	if last := cs[len(cs)-1]; last.Context == "" || len(last.HeadingPath) != 6 {
		t.Errorf("got context %q, path %q", last.Context, last.HeadingPath)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	seen := map[[32]byte]string{}
	for _, c := range []struct {
		text, context string
		nth           int
	}{{"ab", "c", 0}, {"a", "bc", 0}, {"abc", "", 0}, {"", "abc", 0}, {"ab", "c", 1}, {"c", "ab", 0}} {
		id := chunk.Identity(c.text, c.context, c.nth)
		if other, ok := seen[id]; ok {
			t.Errorf("%+v has the identity of %s", c, other)
		}
		seen[id] = fmt.Sprintf("%+v", c)
	}
	if chunk.Input("", "text") != "text" || chunk.Input("A > B", "text") != "A > B\n\ntext" {
		t.Error("the input is not the context, a blank line and the text")
	}
	if chunk.InputHash("A > B", "text") != sha256.Sum256([]byte("A > B\n\ntext")) {
		t.Error("the hash is not that of the input")
	}
}

func TestEstimateIsAtOrAboveTheCount(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text  string
		count int // of cl100k_base
	}{
		{"", 0},
		{"The quick brown fox jumps over the lazy dog.", 10},
		{"PostgreSQL processes internationalization settings in 1999 and 20000 other cases.\n\nA second paragraph, with commas; semicolons: and (parentheses).", 33},
		{"func (s *Server) ListenAndServe(addr string) error {\n\tif addr == \"\" {\n\t\taddr = \":http\"\n\t}\n\treturn s.listen(addr, 8080)\n}\n", 36},
		{"| id | name |\n|---|---|\n| 1 | first |\n| 2 | second |\n", 22},
		{"日本語の文章です。", 8},
		{"Größenänderungen müssen übertragen werden.", 11},
	} {
		if n := chunk.EstimateTokens(tc.text); n < tc.count || n > tc.count*3/2+2 {
			t.Errorf("got %d, want a little above %d for %q", n, tc.count, tc.text)
		}
	}
}

func TestTimeIsLinear(t *testing.T) {
	t.Parallel()
	for name, unit := range map[string]string{
		"fences of other lengths": "```x\n`````\n~~~y\n", "headings": "# a\n", "pipes": "|\n", "dashes": "-", "one word": "x", "blanks": " ", "lines": "\n", "quotes": ">", "open fences": "```a\n",
	} {
		text := strings.Repeat(unit, 2_000_000/len(unit))
		check(t, text, chunk.Config{}, chunk.Split(text, nil, chunk.Config{}))
		if t.Failed() {
			t.Fatal(name)
		}
	}
}
