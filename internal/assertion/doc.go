// Package assertion reads the signed statements by which a program names the
// reader it asks for: a JWT (RFC 7519, RFC 8725) by a key pair that is registered
// for its API key. It owns which public keys and algorithms are accepted and what
// a statement must say. Whether the statement is in time and was used before is
// for the store, whose clock all processes share. It imports nothing of the
// project.
//
// Start reading at [Verify].
package assertion
