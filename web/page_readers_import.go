package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// maxImportFile bounds a file of readers.
const maxImportFile = 4 << 20

// importPage asks for a file of readers.
func (s *Server) importPage(c echo.Context) error {
	return s.showImport(c, http.StatusOK, "", pages.ImportView{})
}

func (s *Server) showImport(c echo.Context, status int, text string, v pages.ImportView) error {
	v.Columns = store.ImportColumns()
	return render(c, status, pages.ImportReaders(s.showProblem(c, "Import readers", text), v))
}

// importReaders looks what a file would make, or makes it.
func (s *Server) importReaders(c echo.Context) error {
	f, err := importForm(c)
	if err != nil {
		return err
	}
	dry := f["do"] != "import"
	rows, at, err := store.ReadImport(strings.NewReader(f["csv"]))
	if err == nil && len(rows) == 0 {
		err = &store.InputError{Problem: "the file has no line below the first: choose another, or paste its text"}
	}
	if text, ok := formProblem(err); ok {
		return s.showImport(c, http.StatusUnprocessableEntity, text, pages.ImportView{Text: shownImport(f["csv"])})
	}
	if err != nil {
		return err
	}
	report, err := s.importRows(c, rows, dry)
	v := pages.ImportView{Text: shownImport(f["csv"]), Dry: dry}
	if v.Problems = importProblems(err, at); len(v.Problems) > 0 {
		return s.showImport(c, http.StatusUnprocessableEntity, "nothing was imported: each of these lines has to be mended first", v)
	}
	if text, ok := actProblem(err); ok {
		return s.showImport(c, http.StatusUnprocessableEntity, text, v)
	}
	if err != nil {
		return err
	}
	v.Report = &report
	return s.showImport(c, http.StatusOK, "", v)
}

// shownImport is what the form shows of a text again: all of it, or nothing where that is more than a page should hold.
func shownImport(text string) string {
	if len(text) > maxFormBytes {
		return ""
	}
	return text
}

// shownImportProblems bounds the list of what is wrong with a file.
const shownImportProblems = 100

// importProblems says what is wrong by the lines of the file.
func importProblems(err error, at []int) []pages.ImportProblem {
	bad, ok := errors.AsType[*store.ImportError](err)
	if !ok {
		return nil
	}
	var list []pages.ImportProblem
	for _, p := range bad.Problems[:min(len(bad.Problems), shownImportProblems)] {
		list = append(list, pages.ImportProblem{Line: at[p.Row-1], Field: p.Field, Problem: p.Problem})
	}
	return list
}

// importForm reads the fields do and csv; a file csv_file that was chosen is csv.
func importForm(c echo.Context) (map[string]string, error) {
	if !strings.HasPrefix(strings.ToLower(c.Request().Header.Get("Content-Type")), echo.MIMEMultipartForm) {
		return formValues(c, "do", "csv")
	}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxImportFile+maxFormBytes)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, importUnread(err)
	}
	out := map[string]string{}
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, importUnread(err)
		}
		name := part.FormName()
		if _, twice := out[name]; twice || name != "do" && name != "csv" && name != "csv_file" {
			return nil, invalid("", "the form has a field that this page does not know, or one twice")
		}
		content, err := io.ReadAll(part)
		if err != nil {
			return nil, importUnread(err)
		}
		out[name] = string(bytes.ToValidUTF8(content, []byte("\ufffd")))
	}
	if out["csv_file"] != "" {
		out["csv"] = out["csv_file"]
	}
	return out, nil
}

func importUnread(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, codeTooLarge, fmt.Sprintf("the file is larger than %d MB: cut it in parts, or use tributary readers import", maxImportFile>>20))
	}
	return invalid("", "the form could not be read")
}
