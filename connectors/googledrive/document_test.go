package googledrive

import (
	"archive/zip"
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"tributary/connectors"
)

func TestDocumentsOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	shortcut := r.place("b", node{name: "elsewhere", mime: typeShortcut})
	form := r.place("b", node{name: "survey", mime: native + "form"})
	photo := r.place("b", node{name: "photo.jpg", mime: "image/jpeg", text: "x"})
	office := r.place("b", node{name: "old.docx", mime: "application/vnd.openxmlformats-officedocument.wordprocessingml.document", text: "x"})
	code := r.place("b", node{name: "main.go", mime: "application/octet-stream", text: "package main"})
	trashed := r.place("b", node{name: "away.md", mime: "text/markdown", text: "x", trashed: true})
	page := read(t, r.open(t).Snapshot(t.Context(), nil))
	if len(page.Changes) != 1 || page.Changes[0].Ref.ID != code {
		t.Errorf("documents: %v, want %s alone", page.Changes, code)
	}
	reasons := map[string]string{}
	for _, s := range page.Skipped {
		reasons[s.Ref.ID] = s.Reason
	}
	for id, want := range map[string]string{shortcut: "shortcut", form: "no text", photo: "image/jpeg", office: "Google Docs"} {
		if !strings.Contains(reasons[id], want) {
			t.Errorf("%s is skipped because %q, want %q in it", id, reasons[id], want)
		}
	}
	if _, told := reasons[trashed]; told {
		t.Error("what lies in the trash is listed as skipped")
	}
	if ids := read(t, r.open(t).ListIDs(t.Context(), nil)); len(ids.Changes) != 1 {
		t.Errorf("ids: %v", ids.Changes)
	}
	for _, id := range []string{shortcut, trashed, r.home("b").id} {
		if _, err := r.open(t).Fetch(t.Context(), id); connectors.ClassOf(err) != connectors.ItemRefused {
			t.Errorf("fetching %s: %v", id, err)
		}
	}
}

func TestTrashHides(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	one, two, below := r.put(t, "b/one.md"), r.put(t, "b/x/two.md"), r.put(t, "b/x/y/three.md")
	start, err := r.open(t).Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.nodes[one].trashed = true
	r.noted(r.nodes[one])
	folder := r.nodes[r.nodes[two].parent]
	folder.trashed = true
	r.noted(folder) // of what lies in it, nothing is said
	page := read(t, r.open(t).Changes(t.Context(), start))
	for _, id := range []string{one, two, below} {
		if c := find(t, page, id); c.Op != connectors.Delete {
			t.Errorf("%s is in the trash, and the feed says %s", r.nodes[id].name, c.Op)
		}
	}
	folder.trashed = false
	r.noted(folder)
	page = read(t, r.open(t).Changes(t.Context(), page.Next))
	for _, id := range []string{two, below} {
		if c := find(t, page, id); c.Op != connectors.Upsert || c.Document.Path != "My Drive/"+r.name(r.nodes[id]) {
			t.Errorf("%s is back, and the feed says %s", r.nodes[id].name, c.Op)
		}
	}
}

func TestNamesAndPlaces(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	slash := r.place("b", node{name: "q1/q2", mime: typeDoc, text: "x"})
	twin := r.place("b", node{name: "q1/q2", mime: typeDoc, text: "y"})
	inDrive, shared := r.put(t, "a/deep/doc.md"), r.put(t, "c/doc.md")
	orphan := r.place("b", node{name: "orphan.md", mime: "text/markdown", text: "x"})
	r.nodes[orphan].parent = ""
	page := read(t, r.open(t).Snapshot(t.Context(), nil))
	for id, want := range map[string][2]string{
		slash: {containerMine, "My Drive/b/q1\u2215q2"}, twin: {containerMine, "My Drive/b/q1\u2215q2"},
		inDrive: {containerDrive + driveA, "a/deep/doc.md"}, shared: {containerShared, "Shared with me/c/doc.md"},
		orphan: {containerMine, "My Drive/orphan.md"},
	} {
		if d := find(t, page, id).Document; d.Container != want[0] || d.Path != want[1] {
			t.Errorf("%s lies at %s, %s, want %v", id, d.Container, d.Path, want)
		}
	}
}

func TestDownloadTurnedOff(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.put(t, "b/doc.md")
	before := find(t, read(t, r.open(t).Snapshot(t.Context(), nil)), id)
	r.nodes[id].locked = true
	after := find(t, read(t, r.open(t).Snapshot(t.Context(), nil)), id)
	if before.Ref == after.Ref {
		t.Error("the revision stays, so that nobody notices")
	}
	if _, err := text(t, after); connectors.ClassOf(err) != connectors.ItemRefused {
		t.Errorf("opening it: %v", err)
	}
	if n, _ := r.BodyOpens(); n != 0 {
		t.Errorf("%d downloads", n)
	}
}

func TestResourceKeyIsSent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.put(t, "b/old.md")
	r.nodes[id].key = "0-key"
	if got, err := text(t, find(t, read(t, r.open(t).Snapshot(t.Context(), nil)), id)); err != nil || got != "# b/old.md\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestExportTooLarge falls back to a plainer form, and gives up for good where
// there is none.
func TestExportTooLarge(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	doc := r.place("b", node{name: "long", mime: typeDoc, text: "plain text"})
	slides := r.place("b", node{name: "talk", mime: typeSlides, text: "x"})
	sheet := r.place("b", node{name: "numbers", mime: typeSheet, text: "name,value\none|two,1\n"})
	r.refuse = func(op string, req *http.Request) (int, string) {
		if kind := req.URL.Query().Get("mimeType"); op == "files.export" && (kind != mediaPlain || strings.Contains(req.URL.Path, slides)) && kind != mediaCSV {
			return http.StatusForbidden, "exportSizeLimitExceeded"
		}
		return 0, ""
	}
	page := read(t, r.open(t).Snapshot(t.Context(), nil))
	for id, want := range map[string]string{doc: "plain text", sheet: "| name | value |\n| --- | --- |\n| one\\|two | 1 |\n\n"} {
		if got, err := text(t, find(t, page, id)); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if _, err := text(t, find(t, page, slides)); connectors.ClassOf(err) != connectors.ItemSkipped {
		t.Errorf("a talk that is too large: %v", err)
	}
}

func TestPicturesAreNoText(t *testing.T) {
	t.Parallel()
	const in = "# Report\n\n![][image1]\n\n[a link]: <https://example.com/>\n\n[image1]: <data:image/png;base64,iVBORw0KGgo=>\n[image2]: <data:image/png;base64,AAAA>"
	got, err := withoutImages("", []byte(in))
	if want := "# Report\n\n![][image1]\n\n[a link]: <https://example.com/>\n\n"; err != nil || string(got) != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}

// workbook zips parts of a spreadsheet.
func workbook(t testing.TB, parts map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, content := range parts {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const mainNS = `xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`

func TestSpreadsheet(t *testing.T) {
	t.Parallel()
	book := workbook(t, map[string]string{
		"xl/workbook.xml": `<workbook ` + mainNS + `><sheets><sheet name="Plan | 2026" sheetId="1" r:id="rId1"/><sheet name="Empty" sheetId="2" r:id="rId2"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
			`<Relationship Id="rId1" Target="worksheets/sheet1.xml"/><Relationship Id="rId2" Target="/xl/worksheets/sheet2.xml"/></Relationships>`,
		"xl/sharedStrings.xml": `<sst ` + mainNS + `><si><t>Task</t></si><si><r><t>Write </t></r><r><t>it</t></r></si></sst>`,
		"xl/styles.xml":        `<styleSheet ` + mainNS + `><numFmts><numFmt numFmtId="164" formatCode="&quot;day&quot; 0"/><numFmt numFmtId="165" formatCode="yyyy-mm-dd hh:mm"/></numFmts><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="164"/><xf numFmtId="165"/></cellXfs></styleSheet>`,
		"xl/worksheets/sheet1.xml": `<worksheet ` + mainNS + `><sheetData>` +
			`<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>Due</t></is></c><c r="D1" t="str"><f>X()</f><v>Done?</v></c></row>` +
			`<row r="2"/>` +
			`<row r="3"><c r="A3" t="s"><v>1</v></c><c r="B3" s="1"><v>46096</v></c><c r="C3" s="2"><v>7</v></c><c r="D3" t="b"><v>1</v></c></row>` +
			`<row r="4"><c r="A4" t="s"><v>99</v></c><c r="B4" s="3"><v>1000000.5</v></c><c r="ZZZZ4"><v>far</v></c></row>` +
			`</sheetData></worksheet>`,
		"xl/worksheets/sheet2.xml": `<worksheet ` + mainNS + `><sheetData/></worksheet>`,
	})
	got, err := tables(mediaXLSX, book)
	want := "# Plan \\| 2026\n\n| Task | Due |  | Done? |\n| --- | --- | --- | --- |\n| Write it | 2026-03-15 | 7 | TRUE |\n|  | 4637-11-26 12:00:00 |\n\n# Empty\n\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}

func TestHostileSpreadsheets(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{
		"no zip":      []byte("<html>"),
		"no workbook": workbook(t, map[string]string{"x": "y"}),
		"no sheet": workbook(t, map[string]string{
			"xl/workbook.xml":            `<workbook ` + mainNS + `><sheets><sheet name="S" r:id="r9"/></sheets></workbook>`,
			"xl/_rels/workbook.xml.rels": `<Relationships/>`,
		}),
		"cells far apart": workbook(t, map[string]string{
			"xl/workbook.xml":            `<workbook ` + mainNS + `><sheets><sheet name="S" r:id="r1"/></sheets></workbook>`,
			"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Target="s.xml"/></Relationships>`,
			"xl/s.xml":                   `<worksheet><sheetData>` + strings.Repeat(`<row><c r="BZT1"><v>1</v></c></row>`, 3_000) + `</sheetData></worksheet>`,
		}),
		"one text in every cell": workbook(t, map[string]string{
			"xl/workbook.xml":            `<workbook ` + mainNS + `><sheets><sheet name="S" r:id="r1"/></sheets></workbook>`,
			"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Target="s.xml"/></Relationships>`,
			"xl/sharedStrings.xml":       `<sst><si><t>` + strings.Repeat("x", 1<<20) + `</t></si></sst>`,
			"xl/s.xml":                   `<worksheet><sheetData>` + strings.Repeat(`<row><c t="s"><v>0</v></c></row>`, 100) + `</sheetData></worksheet>`,
		}),
	} {
		if got, err := tables(mediaXLSX, data); err == nil {
			t.Errorf("%s: %.40q and no error", name, got)
		}
	}
	bomb := workbook(t, map[string]string{
		"xl/workbook.xml":            `<workbook ` + mainNS + `><sheets/></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships/>`,
		"xl/sharedStrings.xml":       `<sst><si><t>` + strings.Repeat("bomb", 100_000) + `</t></si></sst>`,
	})
	if _, err := readBook(bomb, 500_000); err != nil {
		t.Error(err)
	}
	if _, err := readBook(bomb, 300_000); !errors.Is(err, errBookSize) {
		t.Errorf("a bomb: %v", err)
	}
}

// FuzzTables reads whatever is exported without a panic.
func FuzzTables(f *testing.F) {
	f.Add(mediaCSV, []byte("a,b\n\"c"))
	f.Add(mediaXLSX, workbook(f, map[string]string{
		"xl/workbook.xml":            `<workbook ` + mainNS + `><sheets><sheet name="S" r:id="r1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships><Relationship Id="r1" Target="../s.xml"/></Relationships>`,
		"s.xml":                      `<worksheet><sheetData><row><c r="A1" s="-1" t="s"><v>-1</v></c></row></sheetData></worksheet>`,
	}))
	f.Fuzz(func(t *testing.T, media string, data []byte) {
		if got, err := tables(media, data); err == nil && len(got) > connectors.MaxBody+1<<20 {
			t.Errorf("%d bytes make %d", len(data), len(got))
		}
	})
}
