package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"tributary/connectors"
)

// demoFolder is a folder of real documents that is present where Tributary was
// built.
type demoFolder struct {
	name, path string
	selection  connectors.Selection
}

// The names of the demo's connections.
const (
	demoDocs = "demo-docs"
	demoGo   = "demo-go"
)

// demoFolders returns the project's documentation, and a modest part of the Go
// distribution's documentation and source. What is not there is left out.
func demoFolders(ctx context.Context) []demoFolder {
	var list []demoFolder
	if dir, ok := projectDocs(); ok {
		list = append(list, demoFolder{name: demoDocs, path: dir})
	}
	if root, ok := goRoot(ctx); ok {
		list = append(list, demoFolder{name: demoGo, path: root, selection: connectors.Selection{
			Include: []string{
				"doc/**", "src/context/*", "src/database/sql/*", "src/encoding/json/*", "src/errors/*", "src/io/*", "src/log/slog/*", "src/sync/*", "src/time/*",
			},
			Exclude: []string{"**/testdata/**"},
		}})
	}
	return list
}

// projectDocs looks for docs/ beside the directory of the program, then in the
// working directory.
func projectDocs() (string, bool) {
	var candidates []string
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			candidates = append(candidates, filepath.Join(filepath.Dir(exe), "..", "docs"), filepath.Join(filepath.Dir(exe), "docs"))
		}
	}
	candidates = append(candidates, "docs")
	for _, c := range candidates {
		dir, err := filepath.Abs(c)
		if err != nil {
			continue
		}
		// A directory of another project is no documentation of this one.
		if _, err := os.Stat(filepath.Join(dir, "settings.md")); err != nil {
			continue
		}
		if dir, err = filepath.EvalSymlinks(dir); err == nil {
			return dir, true
		}
	}
	return "", false
}

// goRoot returns the Go distribution's directory without symbolic links.
func goRoot(ctx context.Context) (string, bool) {
	for _, dir := range []func() (string, error){
		func() (string, error) {
			out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
			return strings.TrimSpace(string(out)), err
		},
		func() (string, error) { return filepath.Join("/usr", "local", "go"), nil },
	} {
		path, err := dir()
		if err != nil || !filepath.IsAbs(path) {
			continue
		}
		if path, err = filepath.EvalSymlinks(path); err != nil {
			continue
		}
		if info, err := os.Stat(filepath.Join(path, "src", "net", "http")); err == nil && info.IsDir() {
			return path, true
		}
	}
	return "", false
}

// errNothingToSync is the end of a demo without any folder.
var errNothingToSync = errors.New("finding demo documents: neither the project's docs nor a Go distribution is here; connect a folder of your own with tributary connect folder")

// account returns the person who runs the program: behind sudo(8) the one who
// called it.
func (a *app) account() (string, error) {
	if os.Geteuid() == 0 {
		if name := a.env("SUDO_USER"); name != "" {
			if _, err := user.Lookup(name); err == nil {
				return name, nil
			}
		}
	}
	u, err := user.Current()
	if err != nil {
		return "", errors.New("finding the account that runs this: the system knows no account of this user id; add one, or leave --demo out")
	}
	return u.Username, nil
}

// self returns how to call this program again from here.
func (a *app) self(dataDirFlag string) string {
	name := "tributary"
	if exe, err := os.Executable(); err == nil {
		name = exe
		if found, err := exec.LookPath("tributary"); err == nil && samePath(found, exe) {
			name = "tributary"
		} else if wd, err := os.Getwd(); err == nil {
			if rel, err := filepath.Rel(wd, exe); err == nil && filepath.IsLocal(rel) {
				name = rel
				if !strings.Contains(rel, string(filepath.Separator)) {
					name = "./" + rel
				}
			}
		}
	}
	if strings.ContainsAny(name, " '\"$\\") {
		name = shellQuote(name)
	}
	if os.Geteuid() == 0 && a.env("SUDO_USER") != "" {
		name = "sudo " + name
	}
	if dataDirFlag != "" {
		name += " --data-dir " + shellQuote(dataDirFlag)
	}
	return name
}

func samePath(a, b string) bool {
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// shellQuote quotes s for sh(1) where it needs it.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@%+=,") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
