// Package pages owns the HTML of the web pages: the frame around every page,
// its parts, and one template per page. Each template takes a value that says
// all it shows; it reads nothing else and decides nothing but how things look.
//
// It imports store for the types it shows, and no handler. Everything shown
// passes templ's escaping: SECURITY: templ.Raw is not used here.
//
// Start reading at Frame in frame.go and layout.templ, then any page.
package pages

//go:generate go run github.com/a-h/templ/cmd/templ@v0.3.1001 generate
