package chunk_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tributary/internal/chunk"
)

// seeds is how many documents of each kind are edited.
const seeds = 12

// words makes repeatable prose.
type words struct{ r *rand.Rand }

func newWords(seed uint64) words { return words{rand.New(rand.NewPCG(seed, 7))} }

func (w words) word() string {
	const syllables = "ba be bi bo ca ce co da de di do fa fe fi ga go ha he hi in la le lo ma me mo na ne no on or pa pe po ra re ro sa se so ta te to un ur va ve vi"
	list := strings.Fields(syllables)
	var b strings.Builder
	for range 1 + w.r.IntN(4) {
		b.WriteString(list[w.r.IntN(len(list))])
	}
	return b.String()
}

func (w words) sentence() string {
	var b strings.Builder
	for i := range 5 + w.r.IntN(18) {
		s := w.word()
		if i == 0 {
			s = strings.ToUpper(s[:1]) + s[1:]
		} else {
			b.WriteByte(' ')
		}
		b.WriteString(s)
	}
	b.WriteByte('.')
	return b.String()
}

func (w words) paragraph() string {
	out := make([]string, 1+w.r.IntN(7))
	for i := range out {
		out[i] = w.sentence()
	}
	return strings.Join(out, " ")
}

type generator struct {
	name string
	make func(w words, i int) string
	sep  string
	most int // chunks that an edit may change, where that is more than its own bound
}

// generators make a document of n blocks; a block is what an edit replaces.
var generators = []generator{
	{"prose without headings", func(w words, _ int) string { return w.paragraph() }, "\n\n", 0},
	{"prose with headings", func(w words, i int) string {
		if i%6 == 0 {
			return strings.Repeat("#", 1+w.r.IntN(4)) + " " + w.word() + " " + w.word() + "\n\n" + w.paragraph()
		}
		return w.paragraph()
	}, "\n\n", 0},
	{"one long line", func(w words, _ int) string { return w.paragraph() }, " ", 0},
	{"one long line without sentences", func(w words, _ int) string {
		return strings.ToLower(strings.ReplaceAll(w.paragraph(), ".", ""))
	}, " ", 0},
	{"table", func(w words, i int) string {
		if i == 0 {
			return "| id | name | what |\n|---|---|---|\n| 0 | a | b |"
		}
		return fmt.Sprintf("| %d | %s | %s |", i, w.word(), w.sentence())
	}, "\n", 0},
	{"list", func(w words, _ int) string { return "- " + w.sentence() }, "\n", 0},
	{"wrapped text", func(w words, _ int) string {
		return strings.ReplaceAll(w.paragraph(), " un", "\nun")
	}, "\n", 0},
	{"code", func(w words, _ int) string {
		return fmt.Sprintf("func %s(%s int) {\n\tif %s {\n\t\treturn %s(%q)\n\t}\n}\n", w.word(), w.word(), w.word(), w.word(), w.sentence())
	}, "\n", 0},
	{"repeated rows", func(w words, i int) string { return fmt.Sprintf("| - | %d | open | none |", i%3) }, "\n", 4},
}

func idents(cs []chunk.Chunk) map[[32]byte]bool {
	type key struct{ text, context string }
	seen := map[key]int{}
	out := make(map[[32]byte]bool, len(cs))
	for _, c := range cs {
		k := key{c.Text, c.Context}
		out[chunk.Identity(c.Text, c.Context, seen[k])] = true
		seen[k]++
	}
	return out
}

// sized returns the blocks of a document of at least n chunks.
func sized(g generator, w words, n int) []string {
	var blocks []string
	for chunks := 0; chunks < n; {
		for range n / 2 {
			blocks = append(blocks, g.make(w, len(blocks)))
		}
		chunks = len(chunk.Split(strings.Join(blocks, g.sep), nil, chunk.Config{}))
	}
	return blocks
}

// changed returns how many chunks of the blocks after an edit are not among the chunks before.
func changed(before map[[32]byte]bool, blocks []string, sep string) int {
	n := 0
	for id := range idents(chunk.Split(strings.Join(blocks, sep), nil, chunk.Config{})) {
		if !before[id] {
			n++
		}
	}
	return n
}

// edits change one paragraph, list item, row or function.
var edits = []struct {
	name string
	most int // chunks that may change
	make func(g generator, w words, i int, old string) string
}{
	{"a word inserted", 3, func(_ generator, w words, _ int, old string) string {
		at := len(old)/4 + w.r.IntN(len(old)/2)
		for at > 0 && old[at] != ' ' {
			at--
		}
		return old[:at] + " " + w.word() + old[at:]
	}},
	{"the end removed", 3, func(_ generator, _ words, _ int, old string) string {
		return old[:len(old)/2] + old[len(old)-2:]
	}},
	{"all replaced", 4, func(g generator, w words, i int, _ string) string { return g.make(w, i) }},
}

func TestAnEditChangesTheChunksAroundIt(t *testing.T) {
	t.Parallel()
	for _, g := range generators {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			hist := make([][8]int, len(edits))
			for seed := range uint64(seeds) {
				w := newWords(seed)
				blocks := sized(g, w, 200)
				before := idents(chunk.Split(strings.Join(blocks, g.sep), nil, chunk.Config{}))
				for range 4 {
					for k, e := range edits {
						i := 1 + w.r.IntN(len(blocks)-1)
						old := blocks[i]
						if old[0] == '#' {
							continue // a heading is the context of all that follows
						}
						blocks[i] = e.make(g, w, i, old)
						hist[k][min(changed(before, blocks, g.sep), 7)]++
						blocks[i] = old
					}
				}
			}
			for k, e := range edits {
				if most := max(e.most, g.most); slices.Max(hist[k][most+1:]) > 0 {
					t.Errorf("%s: edits by how many chunks they change: %v; want at most %d", e.name, hist[k], most)
				}
			}
		})
	}
}

func TestAnInsertionAtTheStartMovesNothing(t *testing.T) {
	t.Parallel()
	for _, g := range generators {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			var hist [8]int
			for seed := range uint64(seeds / 8) {
				w := newWords(seed)
				blocks := sized(g, w, 2500)
				before := idents(chunk.Split(strings.Join(blocks, g.sep), nil, chunk.Config{}))
				for _, text := range []string{
					"Forty characters are put in here, yes so. ", "Forty characters are put in here, yes so.\n\n",
				} {
					if text[len(text)-1] == ' ' && strings.ContainsAny(blocks[0][:1], "#|") {
						continue // would change a heading or a table's head, which are context
					}
					blocks[0] = text + blocks[0]
					n := changed(before, blocks, g.sep)
					blocks[0] = blocks[0][len(text):]
					hist[min(n, 7)]++
				}
			}
			if slices.Max(hist[4:]) > 0 {
				t.Errorf("insertions by how many chunks they change: %v; want at most 3", hist)
			}
		})
	}
}

func prose(seed uint64, n int) string {
	w := newWords(seed)
	out := make([]string, n)
	for i := range out {
		out[i] = w.paragraph()
	}
	return strings.Join(out, "\n\n")
}

func TestAnEditChangesLittleInRealFiles(t *testing.T) {
	t.Parallel()
	var hist [8]int
	var worst string
	corpus(t, func(name, text string) {
		w := newWords(uint64(len(text)))
		cs := chunk.Split(text, nil, chunk.Config{})
		if len(cs) < 20 {
			return
		}
		before := idents(cs)
		for range 6 {
			c := cs[w.r.IntN(len(cs))]
			at := strings.LastIndex(c.Text, "\n") + 1
			if strings.ContainsAny(strings.TrimSpace(c.Text[at:])[:1], "#|`~=-") || strings.Contains(c.Context, "|") || strings.HasPrefix(c.Context, "code") {
				continue // may be a heading, a fence or a table's head
			}
			at = c.End - 1 - (len(c.Text)-at)/2
			for at > c.Start && text[at] != ' ' {
				at--
			}
			n := changed(before, []string{text[:at], w.word() + " " + w.word(), text[at:]}, " ")
			if hist[min(n, 7)]++; n > 3 {
				worst = fmt.Sprintf("%s at %d: %d", name, at, n)
			}
		}
	})
	t.Logf("edits by how many chunks they change: %v", hist)
	// One in 200; a small sample may have one.
	if total := hist[1] + hist[2] + hist[3]; slices.Max(hist[4:])*200 > max(total, 200) {
		t.Errorf("edits by how many chunks they change: %v; for example %s", hist, worst)
	}
}
