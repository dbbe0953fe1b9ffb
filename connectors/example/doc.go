// Package example reads Example over its HTTP API: items with the people who
// may read them.
//
// It reaches the source only through the authorised client of its environment.
//
// Start reading at [New]; then listing.go for what is read, permissions.go for
// how the source's entries become an ACL, api.go for requests and the classes
// of their failures.
package example
