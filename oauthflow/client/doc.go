// Package client owns the authorised HTTP client that a connector is handed: it attaches the access token of a grant on
// the way out, so that the connector never holds it.
//
// The token goes to the connector's allow-listed hosts only, in the Authorization header only, and not behind a redirect
// that crossed hosts. A 401 obtains another token once, and repeats the request only where that is harmless. A second
// 401 in a row is the resource's own (class ScopeDenied) where the provider stands by the grant, and else its end. Calls pass the limiter and breaker that all processes share; a long wait ends the call with class RateLimited, so that no worker is held.
//
// The package must not import store, jobs, web or a command. It keeps no token and logs nothing.
//
// Start reading at New, then transport.RoundTrip (transport.go).
package client
