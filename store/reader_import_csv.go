package store

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"tributary/connectors"
)

// ImportColumns are the columns of a file of readers.
func ImportColumns() []string {
	return []string{"reader", "kind", "issuer", "subject", "email", "connection", "principal_kind", "principal_id"}
}

// set fills the field of that column.
func (r *ImportRow) set(column, value string) {
	switch column {
	case "reader":
		r.Reader = value
	case "kind":
		r.Kind = ReaderKind(value)
	case "issuer":
		r.Issuer = value
	case "subject":
		r.Subject = value
	case "email":
		r.Email = value
	case "connection":
		r.Connection = value
	case "principal_kind":
		r.PrincipalKind = connectors.PrincipalKind(value)
	case "principal_id":
		r.PrincipalID = value
	}
}

// ReadImport reads a file of comma-separated values whose first line names
// columns, and returns its rows and the line of each. What is wrong with the file
// is an *InputError.
func ReadImport(in io.Reader) ([]ImportRow, []int, error) {
	r := csv.NewReader(in)
	bad := func(format string, args ...any) ([]ImportRow, []int, error) {
		return nil, nil, &InputError{Problem: fmt.Sprintf(format, args...)}
	}
	head, err := r.Read()
	if err != nil {
		return bad("the first line has to name the columns: %s", strings.Join(ImportColumns(), ", "))
	}
	head[0] = strings.TrimPrefix(head[0], "\ufeff")
	for i, name := range head {
		if !slices.Contains(ImportColumns(), name) || slices.Contains(head[:i], name) {
			return bad("column %q is not known, or stands there twice", name)
		}
	}
	var rows []ImportRow
	var lines []int
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, lines, nil
		}
		if err != nil {
			return bad("%v", err)
		}
		if len(rows) == MaxImport {
			return bad("at most %d lines can be imported at a time", MaxImport)
		}
		var row ImportRow
		for i, value := range record {
			row.set(head[i], value)
		}
		line, _ := r.FieldPos(0)
		rows, lines = append(rows, row), append(lines, line)
	}
}
