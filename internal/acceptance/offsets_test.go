package acceptance

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/uuid"

	"tributary/jobs"
	"tributary/store"
)

// cited is a document with everything that a citation says of it.
type cited struct {
	Text   string                `json:"text"`
	Chunks []store.DocumentChunk `json:"chunks"`
}

// Every citation's offsets cut exactly the chunk's text out of the canonical
// text, in Go, in Python and in JavaScript.
func TestOffsetsCutTheChunk(t *testing.T) {
	t.Parallel()
	s := newSite(t, jobs.BuiltinProfile())
	tree := t.TempDir()
	copyTree(t, filepath.Join(goRoot(t), "doc"), filepath.Join(tree, "go"))
	write(t, filepath.Join(tree, "signs.md"), "# Zeichen 🙂\n\nÄ, é as e\u0301, 𝔘𝔫𝔦𝔠𝔬𝔡𝔢, 漢字, "+strings.Repeat("👩‍👩‍👧 и кириллица. ", 300)+"\n\n## Größe\n\nEnde.\n")
	write(t, filepath.Join(tree, "latin1.html"), "<html><head><meta charset=iso-8859-1></head><body><h1>Stra\xdfe</h1><p>Caf\xe9 und \xfcber</p></body></html>")
	conn := s.connect(tree)
	s.must(conn, store.Content, store.RunSucceeded)
	checkOffsets(t, s.citations(conn, 1000))
}

// The same over real pages, of which some hundreds are not plain ASCII.
func TestOffsetsCutTheChunkOfRealPages(t *testing.T) {
	t.Parallel()
	dir := corpus(t)
	s := newSite(t, jobs.BuiltinProfile())
	dropHNSW(s)
	conn := s.connect(dir)
	s.must(conn, store.Content, store.RunSucceeded)
	checkOffsets(t, s.citations(conn, 1000))
}

// dropHNSW makes a site of many documents quick where vectors are not asked.
func dropHNSW(s *site) { s.db.MustExec(s.t, `DROP INDEX vec_1_hnsw`) }

// citations reads documents through the query path: those with the most
// characters beyond ASCII first.
func (s *site) citations(conn store.Connection, limit int) []cited {
	s.t.Helper()
	s.must(conn, store.Permissions, store.RunSucceeded)
	me := s.me(conn)
	ids := column[uuid.UUID](s.t, s.db.Owner, `
		SELECT document_id FROM revision WHERE text IS NOT NULL ORDER BY octet_length(text) - char_length(text) DESC, document_id LIMIT $1`, limit)
	out := make([]cited, len(ids))
	for i, id := range ids {
		text, err := s.store.DocumentText(s.t.Context(), me, id)
		if err != nil {
			s.t.Fatal(err)
		}
		chunks, err := s.store.DocumentChunks(s.t.Context(), me, id)
		if err != nil {
			s.t.Fatal(err)
		}
		out[i] = cited{text.Text, chunks}
	}
	return out
}

const pythonCut = `
import json, sys
n = 0
for line in open(sys.argv[1], encoding="utf-8"):
    d = json.loads(line)
    text, raw = d["text"], d["text"].encode("utf-8")
    for c in d["chunks"]:
        assert text[c["start_cp"]:c["end_cp"]] == c["text"], ("code points", c["chunk_id"])
        assert raw[c["start"]:c["end"]].decode("utf-8") == c["text"], ("bytes", c["chunk_id"])
        n += 1
print(n)
`

const javascriptCut = `
const lines = require("fs").readFileSync(process.argv[2], "utf8").split("\n");
let n = 0;
for (const line of lines) {
  if (!line) continue;
  const d = JSON.parse(line), points = Array.from(d.text), raw = Buffer.from(d.text, "utf8");
  for (const c of d.chunks) {
    if (points.slice(c.start_cp, c.end_cp).join("") !== c.text) throw new Error("code points " + c.chunk_id);
    if (raw.subarray(c.start, c.end).toString("utf8") !== c.text) throw new Error("bytes " + c.chunk_id);
    n++;
  }
}
console.log(n);
`

func checkOffsets(t *testing.T, documents []cited) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "documents.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	enc := json.NewEncoder(file)
	chunks, beyond := 0, 0
	for _, d := range documents {
		if err := enc.Encode(d); err != nil {
			t.Fatal(err)
		}
		if utf8.RuneCountInString(d.Text) != len(d.Text) {
			beyond++
		}
		points := []rune(d.Text)
		for _, c := range d.Chunks {
			chunks++
			if d.Text[c.Start:c.End] != c.Text {
				t.Errorf("Go: bytes %d to %d are not chunk %s", c.Start, c.End, c.ChunkID)
			}
			if string(points[c.StartCP:c.EndCP]) != c.Text {
				t.Errorf("Go: code points %d to %d are not chunk %s", c.StartCP, c.EndCP, c.ChunkID)
			}
		}
	}
	if chunks == 0 || beyond == 0 {
		t.Fatalf("%d chunks in %d documents, %d of them beyond ASCII: nothing was proven", chunks, len(documents), beyond)
	}
	t.Logf("%d documents, %d of them beyond ASCII, %d chunks", len(documents), beyond, chunks)
	runScript(t, chunks, file.Name(), "python3", "cut.py", pythonCut)
	runScript(t, chunks, file.Name(), "node", "cut.js", javascriptCut)
}

// runScript fails the test unless the script says that it checked every chunk.
func runScript(t *testing.T, chunks int, input, program, name, text string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if os.Getenv("TEST_REQUIRE") != "" {
			t.Errorf("%s is missing: run scripts/setup.sh --for test", program)
		}
		t.Logf("%s is missing: run scripts/setup.sh --for test", program)
		return
	}
	script := filepath.Join(t.TempDir(), name)
	write(t, script, text)
	out, err := exec.CommandContext(t.Context(), path, script, input).CombinedOutput()
	var n int
	if err != nil || json.Unmarshal(out, &n) != nil || n != chunks {
		t.Errorf("%s: %v: %s (want %d chunks)", program, err, out, chunks)
	}
}
