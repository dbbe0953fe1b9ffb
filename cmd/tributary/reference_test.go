package main

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

func TestCommandReference(t *testing.T) {
	t.Parallel()
	const path = repository + "/docs/commands.md"
	a := &app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	want := reference(newRoot(a))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/commands.md differs from the commands: run go generate ./cmd/tributary")
	}
}
