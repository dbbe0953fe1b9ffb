// Package web is everything Tributary says over HTTP: the API under /v1, the
// pages for people with an account, the health checks and the metrics listener.
// It owns request limits, the Host check, authentication by API key and by
// session, the proof that a form comes from a page of ours, and the one mapping
// of errors to application/problem+json or to a page.
//
// It imports store for the types of its requests and answers, and is handed
// what it calls as small interfaces. It writes no SQL and runs no jobs; how pages
// look is in web/pages. Handlers stay thin over net/http, so that echo could be
// replaced.
//
// Start reading at [New] in server.go and the list of routes in routes.go, where
// every address names who may use it; then guard.go for what stands in front of
// every handler, session.go for who is signed in, problem.go for errors.
// Consent begins at [OAuth] in oauth.go, then oauth_connect.go, oauth_callback.go.
package web
