// Package jobs runs what happens in the background: a tick that enqueues due
// work, slices of sync runs, and the drainer of each embedding profile. River
// executes; schedules, runs, cursors and queues of chunks are rows of package
// store, so that losing River's tables loses nothing.
//
// A slice claims its run by raising the fence, reads pages from the
// connector's session, and commits them in order. Listing, download,
// extraction, chunking and writing overlap, bounded by bytes in flight. What an
// error means for the run stands in one table, outcome.go.
//
// It imports store, connectors and the text packages, and nothing of web or
// cmd. Start reading at [Runner], then slice.go, pipeline.go and outcome.go.
package jobs
