package web

import (
	_ "embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
)

//go:embed landing.html
var landingHTML string

//go:embed style.css
var styleCSS string

// landing says what runs here and how to ask it.
func (s *Server) landing(c echo.Context) error {
	page, err := template.New("landing").Parse(landingHTML)
	if err != nil {
		return err
	}
	var b strings.Builder
	err = page.Execute(&b, struct{ Version, PublicURL string }{s.cfg.Version, s.cfg.PublicURL.String()})
	if err != nil {
		return err
	}
	return c.HTML(http.StatusOK, b.String())
}

func style(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "max-age=3600")
	return c.Blob(http.StatusOK, "text/css; charset=utf-8", []byte(styleCSS))
}
