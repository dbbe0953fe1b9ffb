package example

import "embed"

// Files are the sources of this package: what a new connector starts from.
// Example is a service that does not exist.
//
//go:embed *.go
var Files embed.FS
