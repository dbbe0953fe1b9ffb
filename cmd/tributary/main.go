package main

import (
	"context"
	"io"
	"os"
	_ "time/tzdata" // timetables have time zones, and not every machine knows them
)

// The linker sets these; see the Makefile.
var (
	version = "dev"
	commit  = "unknown" //nolint:gochecknoglobals // -ldflags -X needs a variable
	date    = "unknown" //nolint:gochecknoglobals // -ldflags -X needs a variable
)

func main() {
	ctx, stop := interruptible(context.Background(), os.Stderr)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run executes one command line and returns its exit code.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{environ: environ, stdin: stdin, stdout: stdout, stderr: stderr}
	root := newRoot(a) //nolint:contextcheck // the commands take the context of ExecuteContext
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	return report(ctx, stderr, err)
}
