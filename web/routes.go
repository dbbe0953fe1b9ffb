package web

import (
	"net/http"

	"tributary/store"
)

// routes is the whole list of addresses. What needs a key names the right.
func (s *Server) routes() {
	e := s.echo
	e.Pre(s.observe, s.guard)

	open := []string{http.MethodGet, http.MethodHead}
	e.Match(open, "/", s.landing)
	e.Match(open, "/style.css", style)
	e.Match(open, "/healthz", healthz)
	e.Match(open, "/readyz", s.readyz)

	e.POST("/v1/search", s.search, s.authenticated(store.RightSearch))
	e.GET("/v1/documents/:id", s.document, s.authenticated(store.RightDocuments))
	e.GET("/v1/documents/:id/text", s.documentText, s.authenticated(store.RightDocuments))
	e.GET("/v1/documents/:id/chunks", s.documentChunks, s.authenticated(store.RightDocuments))
	e.GET("/v1/chunks/:id/lineage", s.lineage, s.authenticated(store.RightDocuments))
}
