package googledrive

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strings"
)

// tables makes Markdown of a spreadsheet: a heading and a table for each sheet,
// whose first row with content is its header.
func tables(media string, data []byte) ([]byte, error) {
	if media == mediaCSV {
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
		r.FieldsPerRecord, r.LazyQuotes = -1, true
		rows, err := r.ReadAll()
		if err != nil {
			return nil, errBook
		}
		var out bytes.Buffer
		writeTable(&out, rows)
		return out.Bytes(), nil
	}
	book, err := readBook(data)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, sheet := range book.sheets {
		rows, err := book.rows(sheet)
		if err != nil {
			return nil, err
		}
		out.WriteString("# " + oneLine(sheet.name) + "\n\n")
		writeTable(&out, rows)
	}
	return out.Bytes(), nil
}

var (
	errBook     = errors.New("the spreadsheet that Google exported cannot be read")
	errBookSize = errors.New("the spreadsheet is larger than 64 MB when unpacked")
)

// writeTable writes rows without empty rows and without empty columns at their
// end.
func writeTable(out *bytes.Buffer, rows [][]string) {
	width := 0
	var kept [][]string
	for _, row := range rows {
		n := len(row)
		for n > 0 && strings.TrimSpace(row[n-1]) == "" {
			n--
		}
		if n > 0 {
			kept = append(kept, row[:n])
			width = max(width, n)
		}
	}
	for i, row := range kept {
		for j := range width {
			cell := ""
			if j < len(row) {
				cell = oneLine(row[j])
			}
			out.WriteString("| " + cell + " ")
		}
		out.WriteString("|\n")
		if i == 0 {
			out.WriteString(strings.Repeat("| --- ", width) + "|\n")
		}
	}
	if len(kept) > 0 {
		out.WriteByte('\n')
	}
}

// oneLine makes a text fit into a cell.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "|", `\|`)), " ")
}
