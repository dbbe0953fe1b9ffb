// Command gendocs writes the table of sources and the generated block of each
// source's page into the directory that its argument names.
package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"tributary/connectors"
	"tributary/connectors/all"
	"tributary/internal/sourcedocs"
	"tributary/oauthflow"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gendocs DIRECTORY")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "writing the pages of sources:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	profiles, err := oauthflow.Shipped()
	if err != nil {
		return err
	}
	var providers []sourcedocs.Provider
	for _, name := range slices.Sorted(maps.Keys(profiles)) {
		providers = append(providers, sourcedocs.Provider{Name: name, Title: profiles[name].Title})
	}
	var specs []connectors.Spec
	var errs []error
	for _, c := range all.New(all.Config{}).All() {
		spec := c.Spec()
		specs = append(specs, spec)
		errs = append(errs, page(filepath.Join(dir, spec.Source+".md"), sourcedocs.Block(spec, providers)))
	}
	errs = append(errs, os.WriteFile(filepath.Join(dir, "README.md"), []byte(sourcedocs.Table(specs)), 0o644)) //nolint:gosec // the path stands in a go:generate line
	return errors.Join(errs...)
}

// page writes block into the page at path.
func page(path, block string) error {
	old, err := os.ReadFile(path) //nolint:gosec // see write
	if err != nil {
		return err
	}
	text, err := sourcedocs.Replace(string(old), block)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // see write
}
