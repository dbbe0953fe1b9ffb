package googledrive

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"path"
	"strconv"
	"strings"
	"time"
)

// The parts of an Office Open XML workbook (ECMA-376 Part 1, §18) that hold
// text. Google writes the plainest form of it.

// A cell says its own column: these bound a row, and what all sheets hold with
// the empty cells between: more of them do not fit into an export.
const (
	maxColumns = 2_048
	maxCells   = 4_000_000
)

// book is an opened workbook.
type book struct {
	parts  map[string]*zip.File
	left   int64
	cells  int
	sheets []bookSheet
	shared []string
	dates  []bool // by style
}

type bookSheet struct{ name, part string }

// xmlText is plain text, or text in runs.
type xmlText struct {
	T    string `xml:"t"`
	Runs []struct {
		T string `xml:"t"`
	} `xml:"r"`
}

func (t xmlText) String() string {
	var text strings.Builder
	text.WriteString(t.T)
	for _, r := range t.Runs {
		text.WriteString(r.T)
	}
	return text.String()
}

// readBook reads everything but the sheets themselves. All parts together may
// hold so many bytes.
func readBook(data []byte, most int64) (*book, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, errBook
	}
	b := &book{parts: map[string]*zip.File{}, left: most}
	for _, f := range z.File {
		b.parts[f.Name] = f
	}
	var workbook struct {
		Sheets []struct {
			Name string `xml:"name,attr"`
			ID   string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
		} `xml:"sheets>sheet"`
	}
	var rels struct {
		List []struct {
			ID     string `xml:"Id,attr"`
			Target string `xml:"Target,attr"`
		} `xml:"Relationship"`
	}
	var strs struct {
		Items []xmlText `xml:"si"`
	}
	for _, part := range []struct {
		name     string
		into     any
		required bool
	}{{"xl/workbook.xml", &workbook, true}, {"xl/_rels/workbook.xml.rels", &rels, true}, {"xl/sharedStrings.xml", &strs, false}} {
		if err := b.decode(part.name, part.into, part.required); err != nil {
			return nil, err
		}
	}
	targets := map[string]string{}
	for _, r := range rels.List {
		targets[r.ID] = path.Join("/xl", r.Target)[1:]
		if strings.HasPrefix(r.Target, "/") {
			targets[r.ID] = path.Clean(r.Target)[1:]
		}
	}
	for _, s := range workbook.Sheets {
		b.sheets = append(b.sheets, bookSheet{name: s.Name, part: targets[s.ID]})
	}
	for _, s := range strs.Items {
		b.shared = append(b.shared, s.String())
	}
	return b, b.styles()
}

// decode reads one part, within what all parts may hold together.
func (b *book) decode(name string, into any, required bool) error {
	f := b.parts[name]
	if f == nil {
		if required {
			return errBook
		}
		return nil
	}
	r, err := f.Open()
	if err != nil {
		return errBook
	}
	defer r.Close()
	limited := &io.LimitedReader{R: r, N: b.left + 1}
	err = xml.NewDecoder(limited).Decode(into)
	b.left = limited.N - 1
	switch {
	case b.left < 0:
		return errBookSize
	case err != nil && !errors.Is(err, io.EOF):
		return errBook
	}
	return nil
}

// styles notes which of them show a number as a date (§18.8.30).
func (b *book) styles() error {
	var sheet struct {
		Formats []struct {
			ID   int    `xml:"numFmtId,attr"`
			Code string `xml:"formatCode,attr"`
		} `xml:"numFmts>numFmt"`
		Cells []struct {
			Format int `xml:"numFmtId,attr"`
		} `xml:"cellXfs>xf"`
	}
	if err := b.decode("xl/styles.xml", &sheet, false); err != nil {
		return err
	}
	dates := map[int]bool{}
	for id := 14; id <= 22; id++ {
		dates[id] = true
	}
	for _, f := range sheet.Formats {
		dates[f.ID] = isDate(f.Code)
	}
	for _, c := range sheet.Cells {
		b.dates = append(b.dates, dates[c.Format])
	}
	return nil
}

// isDate reports whether a format code shows year or day, outside of quotes and
// brackets.
func isDate(code string) bool {
	quoted, bracket := false, false
	for _, c := range strings.ToLower(code) {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[':
			bracket = true
		case c == ']':
			bracket = false
		case !bracket && (c == 'y' || c == 'd'):
			return true
		}
	}
	return false
}

// bookCell is a cell (§18.3.1.4).
type bookCell struct {
	Ref    string  `xml:"r,attr"`
	Type   string  `xml:"t,attr"`
	Style  int     `xml:"s,attr"`
	Value  string  `xml:"v"`
	Inline xmlText `xml:"is"`
}

// rows reads one sheet as text.
func (b *book) rows(s bookSheet) ([][]string, error) {
	var sheet struct {
		Rows []struct {
			Cells []bookCell `xml:"c"`
		} `xml:"sheetData>row"`
	}
	if err := b.decode(s.part, &sheet, true); err != nil {
		return nil, err
	}
	var rows [][]string
	for _, r := range sheet.Rows {
		var row []string
		for _, c := range r.Cells {
			at := column(c.Ref, len(row))
			if at >= maxColumns {
				continue
			}
			for ; len(row) <= at; b.cells++ {
				row = append(row, "")
			}
			if b.cells > maxCells {
				return nil, errBookSize
			}
			row[at] = b.text(c)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// column returns the place of a cell such as "AB7", or next where it names
// none.
func column(ref string, next int) int {
	n := 0
	for _, c := range ref {
		if c < 'A' || c > 'Z' || n > maxColumns {
			break
		}
		n = n*26 + int(c-'A') + 1
	}
	if n == 0 {
		return next
	}
	return n - 1
}

// text returns what a cell shows.
func (b *book) text(c bookCell) string {
	switch c.Type {
	case "s":
		if i, err := strconv.Atoi(c.Value); err == nil && i >= 0 && i < len(b.shared) {
			return b.shared[i]
		}
		return ""
	case "inlineStr":
		return c.Inline.String()
	case "b":
		if c.Value == "1" {
			return "TRUE"
		}
		return "FALSE"
	case "", "n":
		if c.Style >= 0 && c.Style < len(b.dates) && b.dates[c.Style] {
			return date(c.Value)
		}
	}
	return c.Value
}

// date writes a day number, which counts from the end of 1899 (§18.17.4.1).
func date(value string) string {
	days, err := strconv.ParseFloat(value, 64)
	if err != nil || days < 0 || days > 3e6 {
		return value
	}
	whole, part := math.Modf(days)
	at := time.Date(1899, time.December, 30+int(whole), 0, 0, int(math.Round(part*24*3600)), 0, time.UTC)
	if at.Hour()+at.Minute()+at.Second() == 0 {
		return at.Format(time.DateOnly)
	}
	return at.Format(time.DateTime)
}
