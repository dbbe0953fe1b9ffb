// Package sourcedocs writes what a connector's Spec says as Markdown: a block
// for the page of each source, between two markers, and a table of all of them.
// What stands around the block is written by hand.
//
// It imports the connectors contract and reads nothing else.
//
// Start reading at [Block].
package sourcedocs

//go:generate go run tributary/internal/sourcedocs/gendocs ../../docs/sources
