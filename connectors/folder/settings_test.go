package folder

import (
	"os"
	"path/filepath"
	"testing"

	"tributary/connectors"
)

func TestSettingsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file.txt"), "text")
	for name, c := range map[string]struct {
		settings map[string]string
		says     []string
	}{
		"no path":             {map[string]string{}, []string{"path", "required"}},
		"a relative path":     {map[string]string{"path": "docs"}, []string{"path", "absolute"}},
		"a NUL in the path":   {map[string]string{"path": "/a\x00b"}, []string{"path", "NUL"}},
		"a missing directory": {map[string]string{"path": dir + "/missing"}, []string{"path", "does not exist"}},
		"a file":              {map[string]string{"path": dir + "/file.txt"}, []string{"path", "not a directory"}},
		"unknown permissions": {map[string]string{"path": dir, "permissions": "open"}, []string{"permissions", "posix", "fixed"}},
		"fixed, no readers":   {map[string]string{"path": dir, "permissions": "fixed", "readers": " , "}, []string{"readers", "unix:alice"}},
		"readers with posix":  {map[string]string{"path": dir, "readers": "anyone"}, []string{"readers", "permissions=fixed"}},
		"an unknown account":  {map[string]string{"path": dir, "permissions": "fixed", "readers": "unix:nobody-here"}, []string{"readers", "nobody-here"}},
		"an unknown group":    {map[string]string{"path": dir, "permissions": "fixed", "readers": "group:none"}, []string{"readers", "none"}},
		"a bare name":         {map[string]string{"path": dir, "permissions": "fixed", "readers": "alice"}, []string{"readers", "unix:NAME"}},
		"a uid out of range":  {map[string]string{"path": dir, "permissions": "fixed", "readers": "uid:-1"}, []string{"readers", "uid"}},
		"no size":             {map[string]string{"path": dir, "max_file_size": "big"}, []string{"max_file_size", "64MB"}},
		"a size of nothing":   {map[string]string{"path": dir, "max_file_size": "0"}, []string{"max_file_size"}},
		"a size out of range": {map[string]string{"path": dir, "max_file_size": "9999999999999GB"}, []string{"max_file_size"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Config{Accounts: &fakeAccounts{}}).Open(t.Context(), connectors.Env{Settings: c.settings})
			wantInvalid(t, err, c.says...)
		})
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"5": 5, "2KB": 2048, "64MB": 64 << 20, "1 GiB": 1 << 30, "3m": 3 << 20} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestAllowedRoots(t *testing.T) {
	t.Parallel()
	base := publicDir(t)
	inside, outside := filepath.Join(base, "in"), filepath.Join(base, "outside")
	must(t, os.MkdirAll(filepath.Join(inside, "docs"), 0o755))
	must(t, os.MkdirAll(outside, 0o755))
	must(t, os.Symlink(outside, filepath.Join(inside, "escape")))
	must(t, os.Symlink(inside, filepath.Join(base, "alias")))
	for name, c := range map[string]struct {
		allowed []string
		path    string
		ok      bool
	}{
		"nil allows any":                     {nil, outside, true},
		"none allows none":                   {[]string{}, inside, false},
		"the root itself":                    {[]string{inside}, inside, true},
		"below a root":                       {[]string{inside}, inside + "/docs", true},
		"a name that only starts alike":      {[]string{base + "/out"}, outside, false},
		"beside the roots":                   {[]string{inside}, outside, false},
		"out by dots":                        {[]string{inside}, inside + "/../outside", false},
		"out by a link":                      {[]string{inside}, inside + "/escape", false},
		"a root that is a link":              {[]string{base + "/alias"}, inside + "/docs", true},
		"through the link":                   {[]string{base + "/alias"}, base + "/alias/docs", true},
		"a missing directory beside a root":  {[]string{inside}, base + "/missing", false},
		"everything":                         {[]string{"/"}, outside, true},
		"a relative root allows nothing":     {[]string{"in"}, inside, false},
		"an empty root is not the root of /": {[]string{""}, inside, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := New(Config{AllowedRoots: c.allowed}).Open(t.Context(), connectors.Env{Settings: map[string]string{"path": c.path}})
			if c.ok {
				must(t, err)
				must(t, s.Close(t.Context()))
				return
			}
			wantInvalid(t, err, "path", "outside")
		})
	}
}

func TestSelection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sel     connectors.Selection
		in, out []string
	}{
		"containers":              {connectors.Selection{Containers: []string{"a/b", "c"}}, []string{"a/b/x", "c/y/z"}, []string{"a/x", "a/bc/x", "c"}},
		"the root as a container": {connectors.Selection{Containers: []string{"."}}, []string{"a", "b/c"}, nil},
		"containers and patterns": {connectors.Selection{Containers: []string{"a"}, Include: []string{"*.md"}}, []string{"a/x.md"}, []string{"a/x.txt", "b/x.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := newSelection(c.sel)
			must(t, err)
			for _, p := range c.in {
				if !s.file(p) {
					t.Errorf("%q is left out", p)
				}
				for dir := filepath.Dir(p); dir != "."; dir = filepath.Dir(dir) {
					if !s.dir(dir) {
						t.Errorf("%q is pruned and holds %q", dir, p)
					}
				}
			}
			for _, p := range c.out {
				if s.file(p) {
					t.Errorf("%q is selected", p)
				}
			}
		})
	}
}

func TestSelectionSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for field, sel := range map[string]connectors.Selection{
		"selection.include":    {Include: []string{"[a"}},
		"selection.exclude":    {Exclude: []string{"a/../b"}},
		"selection.containers": {Containers: []string{"../x"}},
	} {
		_, err := newSelection(sel)
		wantInvalid(t, err, field)
	}
}
