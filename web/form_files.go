package web

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"tributary/oauthflow"
)

const (
	// maxKeyFile bounds a file of a form: keys have a few kilobytes.
	maxKeyFile = 64 << 10
	// maxFilesForm bounds a form with files. What is over maxKeyFile is read up to here, so that the page can name the
	// field.
	maxFilesForm = 1 << 20
	// fileSuffix makes the name of a file's input from that of the field which it fills.
	fileSuffix = "_file"
)

// formWithFiles reads a form whose fields named in files can be filled by a file too, as the input that is called so
// with fileSuffix. A file that was chosen fills its field; what is wrong with one is for the page of the form.
//
// SECURITY: files hold keys. They are read in memory and never written to a temporary file.
func formWithFiles(c echo.Context, files []string, names ...string) (map[string]string, *oauthflow.RefusedError, error) {
	if !strings.HasPrefix(strings.ToLower(c.Request().Header.Get("Content-Type")), echo.MIMEMultipartForm) {
		f, err := formValues(c, names...)
		return f, nil, err
	}
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxFilesForm)
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, nil, unreadable(err)
	}
	p := filesForm{values: map[string]string{}, given: map[string]bool{}, names: names, files: files}
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.read(part)
		}
		if err != nil {
			return nil, nil, unreadable(err)
		}
	}
	for _, field := range files {
		if p.given[field+fileSuffix] && strings.TrimSpace(p.values[field]) != "" {
			p.refuse(field, "is there twice: paste it, or choose its file")
		}
		if p.given[field+fileSuffix] {
			p.values[field] = p.values[field+fileSuffix]
		}
		delete(p.values, field+fileSuffix)
	}
	return p.values, p.wrong, nil
}

// unreadable is the answer to a form that is none, or too large.
func unreadable(err error) error {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return problem(http.StatusRequestEntityTooLarge, codeTooLarge, "the form is too large: a key file has "+keyFileSize+" at most")
	}
	return invalid("", "the form could not be read")
}

const keyFileSize = "64 KB"

// filesForm is a form with files that is being read.
type filesForm struct {
	names, files []string
	values       map[string]string
	given        map[string]bool // files that were chosen
	wrong        *oauthflow.RefusedError
	room         int
}

// read takes one part of the form.
func (p *filesForm) read(part *multipart.Part) error {
	name := part.FormName()
	field, isFile := strings.CutSuffix(name, fileSuffix)
	isFile = isFile && slices.Contains(p.files, field)
	if !isFile && !slices.Contains(p.names, name) {
		return invalid("", "the form has a field that this page does not know")
	}
	if _, twice := p.values[name]; twice {
		return invalid(name, "the field "+name+" stands in the form more than once")
	}
	if !isFile {
		text, err := io.ReadAll(io.LimitReader(part, maxFormBytes+1))
		if p.room += len(text); p.room > maxFormBytes {
			return problem(http.StatusRequestEntityTooLarge, codeTooLarge, "the form is too large")
		}
		p.values[name] = string(text)
		return err
	}
	content, err := io.ReadAll(io.LimitReader(part, maxKeyFile+1))
	if err != nil {
		return err
	}
	// Where no file was chosen browsers send one without a name.
	p.values[name], p.given[name] = "", len(content) > 0 || part.FileName() != ""
	switch text := strings.TrimPrefix(string(content), "\ufeff"); {
	case p.given[name] && len(content) == 0:
		p.refuse(field, "is in a file that is empty: choose another file")
	case len(content) > maxKeyFile:
		p.refuse(field, "is in a file that is larger than "+keyFileSize+", which no key is: choose another file")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
		p.refuse(field, "is in a file that is not text: choose the file as the provider gave it")
	default:
		p.values[name] = text
	}
	_, err = io.Copy(io.Discard, part)
	return err
}

func (p *filesForm) refuse(field, problem string) {
	if p.wrong == nil {
		p.wrong = &oauthflow.RefusedError{Field: field, Problem: problem}
	}
}
