// Package all is the explicit list of connectors. Nothing registers itself: a
// connector exists because it stands here.
//
// It imports the connectors and their contract, and is imported by the wiring.
//
// Start reading at [New].
package all
