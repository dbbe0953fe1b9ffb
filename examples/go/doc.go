// Command go asks Tributary a question and prints what it finds with citations.
// It needs the standard library alone and is meant to be copied.
//
//	export KEY=trib_…
//	go run ./examples/go "how are backups made"
//
// Start reading at Search, in client.go; assertion.go names a reader.
package main
