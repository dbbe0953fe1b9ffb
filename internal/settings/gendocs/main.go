// Command gendocs writes the reference page of the settings to the file that
// its argument names.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"tributary/internal/settings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gendocs FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "writing the settings reference:", err)
		os.Exit(1)
	}
}

func write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // the path stands in a go:generate line
		return err
	}
	return os.WriteFile(path, []byte(settings.Reference()), 0o644) //nolint:gosec // the path stands in a go:generate line
}
