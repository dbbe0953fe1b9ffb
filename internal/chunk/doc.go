// Package chunk cuts canonical Markdown into the pieces that are embedded and searched.
//
// It owns where a chunk begins and ends, what its context is, how it is identified, and what exactly is
// embedded for it. A boundary is a pure function of the text around it, so an edit moves no boundary
// elsewhere and the store does not depend on the order in which revisions arrived.
//
// It imports the standard library only, and must not import another package of this module.
//
// Start reading at Split (chunk.go). It reads the text once into blocks and sections (blocks.go, headings.go), gives
// every place where a cut is possible a rank (units.go), and cuts each section that is too long (cut.go).
package chunk
