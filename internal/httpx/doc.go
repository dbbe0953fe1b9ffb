// Package httpx is the one way out: HTTP clients that reach only where they may, wait only so long and say only so much.
//
// It owns
//   - where a request may go: addresses are judged when the socket is about to connect, after every name was resolved and
//     for every redirect, so that a name which changes its mind gains nothing (allow.go, address.go, dial.go);
//   - what goes with it: credentials reach listed hosts only and never follow a redirect to another one (credentials.go);
//   - how long and how much: header, idle, rate, total and size limits of a streamed answer (body.go);
//   - what is said about a failure: a [connectors.Error] with a class, without addresses, queries, bodies or secrets (errors.go);
//   - Retry-After, retries and conditional requests for connectors (retryafter.go, retry.go, conditional.go).
//
// [New] makes the client that connectors use, [NewForSecrets] the one for token, revocation, introspection and discovery
// endpoints. Both ignore the environment's proxies and verify TLS 1.2 or newer.
//
// It imports the connectors contract and nothing else of Tributary; it knows no tokens, no store and no jobs.
//
// Start reading at [Options], then transport.go.
package httpx
