// Package web is everything Tributary says over HTTP: the API under /v1, the
// landing page, the health checks and the metrics listener. It owns request
// limits, the Host check, authentication by API key and the one mapping of
// errors to application/problem+json.
//
// It imports store for the types of its requests and answers, and is handed
// what it calls as small interfaces. It writes no SQL and runs no jobs. Handlers
// stay thin over net/http, so that echo could be replaced.
//
// Start reading at [New] in server.go and the list of routes in routes.go; then
// problem.go for errors, guard.go for what stands in front of every handler.
package web
