// Package skeleton writes the first files of a new connector: a copy of
// connectors/example under another name, which passes the conformance kit, and
// a page for its docs.
//
// Start reading at [Write].
package skeleton
