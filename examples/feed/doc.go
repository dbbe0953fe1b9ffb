// Command feed keeps a copy of connections by Tributary's outbox feed, and
// decides from the copy who may see which document. It needs the standard
// library alone and is meant to be copied.
//
//	export TRIBUTARY_KEY=trib_…            # a key without reader, with right export
//	go run ./examples/feed -url http://127.0.0.1:8080 -journal copy.journal
//	go run ./examples/feed -journal copy.journal -reader 3f0c… -once
//
// Start reading at apply, in state.go: what each event does to the copy. Every
// page is kept with its cursor as one line of the journal, so that the program
// can be killed at any moment.
package main
