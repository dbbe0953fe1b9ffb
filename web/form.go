package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"
)

// formValues reads the fields of a form: those named, each once at most, and no
// others, so that nothing can be set that the page does not offer.
func formValues(c echo.Context, names ...string) (map[string]string, error) {
	r := c.Request()
	r.Body = http.MaxBytesReader(c.Response(), r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, problem(http.StatusRequestEntityTooLarge, codeTooLarge, "the form is too large")
		}
		return nil, invalid("", "the form could not be read")
	}
	out := map[string]string{}
	for name, values := range r.PostForm {
		if !slices.Contains(names, name) {
			return nil, invalid("", "the form has a field that this page does not know")
		}
		if len(values) != 1 {
			return nil, invalid(name, "the field "+name+" stands in the form more than once")
		}
		out[name] = values[0]
	}
	return out, nil
}

const maxFormBytes = 64 << 10
