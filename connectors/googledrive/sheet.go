package googledrive

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strings"

	"tributary/connectors"
)

// tables makes Markdown of a spreadsheet: a heading and a table for each sheet,
// whose first row with content is its header.
func tables(media string, data []byte) ([]byte, error) {
	var out bytes.Buffer
	if media == mediaCSV {
		r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
		r.FieldsPerRecord, r.LazyQuotes = -1, true
		rows, err := r.ReadAll()
		if err != nil {
			return nil, errBook
		}
		err = writeTable(&out, rows)
		return out.Bytes(), err
	}
	book, err := readBook(data, connectors.MaxBody)
	if err != nil {
		return nil, err
	}
	for _, sheet := range book.sheets {
		rows, err := book.rows(sheet)
		if err != nil {
			return nil, err
		}
		out.WriteString("# " + oneLine(sheet.name) + "\n\n")
		if err := writeTable(&out, rows); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

var (
	errBook     = errors.New("the spreadsheet that Google exported cannot be read")
	errBookSize = errors.New("the spreadsheet is larger than 64 MB when unpacked")
)

// writeTable writes rows without empty rows and without empty cells at their
// end; the header has as many cells as the longest row.
func writeTable(out *bytes.Buffer, rows [][]string) error {
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
		for _, cell := range row {
			out.WriteString("| " + oneLine(cell) + " ")
			if out.Len() > connectors.MaxBody {
				return errBookSize
			}
		}
		if i == 0 {
			out.WriteString(strings.Repeat("|  ", width-len(row)) + "|\n" + strings.Repeat("| --- ", width))
		}
		out.WriteString("|\n")
	}
	if len(kept) > 0 {
		out.WriteByte('\n')
	}
	return nil
}

// oneLine makes a text fit into a cell.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "|", `\|`)), " ")
}
