package skeleton

import (
	"errors"
	"fmt"
	"go/format"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"tributary/connectors/example"
	"tributary/internal/sourcedocs"
)

// InputError is a name that cannot be used, or a place that cannot be written.
type InputError struct{ Field, Problem string }

// Error names the field and what is wrong.
func (e *InputError) Error() string { return e.Field + ": " + e.Problem }

var (
	sourceName = regexp.MustCompile(`^[a-z][a-z0-9]{1,30}$`)
	titleText  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 .&+-]{0,60}$`)
)

// notCopied is what a copy has no use for.
const notCopied = "files.go"

// Write makes connectors/SOURCE and docs/sources/SOURCE.md below root, the
// directory of this repository, and returns the paths of the files, relative to
// root. Source is the name in code, title the one for people. Nothing that is
// there is touched: an error leaves no directory behind.
func Write(root, source, title string) ([]string, error) {
	if err := check(root, source, title); err != nil {
		return nil, err
	}
	dir := filepath.Join("connectors", source)
	files, err := copies(source, title)
	if err != nil {
		return nil, err
	}
	made, err := os.MkdirTemp(filepath.Join(root, "connectors"), "."+source+"-")
	if err != nil {
		return nil, fmt.Errorf("making the connector's directory: %w", err)
	}
	defer func() { _ = os.RemoveAll(made) }() // nothing is there any more once it was renamed
	var paths []string
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(made, name), text, 0o644); err != nil { //nolint:gosec // sources are for everybody
			return nil, fmt.Errorf("writing the connector: %w", err)
		}
		paths = append(paths, filepath.Join(dir, name))
	}
	if err := os.Chmod(made, 0o755); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("making the connector's directory: %w", err)
	}
	if err := os.Rename(made, filepath.Join(root, dir)); err != nil {
		return nil, fmt.Errorf("making the connector's directory: %w", err)
	}
	page := filepath.Join("docs", "sources", source+".md")
	if err := os.WriteFile(filepath.Join(root, page), []byte(sourcedocs.NewPage(title)), 0o644); err != nil { //nolint:gosec // see above
		return nil, fmt.Errorf("writing the docs page: %w", err)
	}
	return append(paths, page), nil
}

// check refuses names that would not compile and places that are taken.
func check(root, source, title string) error {
	if !sourceName.MatchString(source) {
		return &InputError{"NAME", fmt.Sprintf("%.40q must be 2 to 31 lower-case letters and digits, a letter first", source)}
	}
	if !titleText.MatchString(title) {
		return &InputError{"--title", fmt.Sprintf("%.40q must be 1 to 61 letters, digits, spaces and . & + -", title)}
	}
	module, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil || !strings.HasPrefix(string(module), "module tributary\n") {
		return &InputError{"--dir", fmt.Sprintf("%s is not a checkout of this repository: go.mod is missing or another's", root)}
	}
	for _, path := range []string{filepath.Join("connectors", source), filepath.Join("docs", "sources", source+".md")} {
		if _, err := os.Lstat(filepath.Join(root, path)); !errors.Is(err, fs.ErrNotExist) {
			return &InputError{"NAME", path + " is there already"}
		}
	}
	return nil
}

// copies returns the files of the example under another name.
func copies(source, title string) (map[string][]byte, error) {
	names, err := fs.Glob(example.Files, "*.go")
	if err != nil {
		return nil, err
	}
	rename := strings.NewReplacer("example", source, "Example", title)
	files := map[string][]byte{}
	for _, name := range names {
		if name == notCopied {
			continue
		}
		text, err := fs.ReadFile(example.Files, name)
		if err != nil {
			return nil, err
		}
		if files[name], err = format.Source([]byte(rename.Replace(string(text)))); err != nil {
			return nil, fmt.Errorf("formatting %s: %w", name, err)
		}
	}
	return files, nil
}
