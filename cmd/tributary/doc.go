// Command tributary is the whole program: the commands, wiring only.
//
// Every command is one file, cmd_NAME.go. What they share is small: app.go
// (streams, settings, log), database.go (the configured or the managed
// database), engine.go (connectors, store, jobs), exit.go (exit codes and how an
// error is told), output.go (tables and JSON), progress.go (the line on long
// work) and signals.go (graceful stop). It imports every package; nothing
// imports it.
//
// Start reading at run in main.go and newRoot in root.go.
package main
