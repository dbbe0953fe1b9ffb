package web

import (
	_ "embed"
	"net/http"

	"github.com/labstack/echo/v4"
)

//go:generate go test -count=1 -run TestOpenAPIDocument . -args -update

// openAPI describes everything under /v1 (OpenAPI 3.1). It is written by go generate from the files in openapi/ and the types of the admin API.
//
//go:embed openapi/openapi.json
var openAPI []byte

// OpenAPI returns the description of the HTTP API.
func OpenAPI() []byte { return openAPI }

// openAPIRoutes serve the description.
func (s *Server) openAPIRoutes() []route {
	return []route{{method: http.MethodGet, path: "/openapi.json", access: accessPublic, handler: func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "no-cache")
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, openAPI)
	}}}
}
