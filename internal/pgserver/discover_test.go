package pgserver

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]struct {
		version string
		major   int
	}{
		"postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)": {"15.20", 15},
		"postgres (PostgreSQL) 17.2":                           {"17.2", 17},
		"postgres (PostgreSQL) 18beta1":                        {"18beta1", 18},
		"postgres (PostgreSQL) devel":                          {"", 0},
		"pg_config: not this one":                              {"", 0},
	} {
		if version, major := parseVersion(line); version != want.version || major != want.major {
			t.Errorf("parseVersion(%q) = %q, %d", line, version, major)
		}
	}
}

func TestVectorNewEnough(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]bool{"0.8.0": true, "0.8": true, "0.10.1": true, "1.0": true, "0.7.4": false, "": false, "x": false} {
		if got := vectorNewEnough(version); got != want {
			t.Errorf("vectorNewEnough(%q) = %v", version, got)
		}
	}
}

// fakeInstall makes programs that answer as PostgreSQL's do.
func fakeInstall(t *testing.T, version, vector string) string {
	t.Helper()
	root := t.TempDir()
	bin, ext := filepath.Join(root, "bin"), filepath.Join(root, "share", "extension")
	for _, dir := range []string{bin, ext} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{
		"postgres":  "#!/bin/sh\necho 'postgres (PostgreSQL) " + version + "'\n",
		"initdb":    "#!/bin/sh\nexit 1\n",
		"pg_config": "#!/bin/sh\necho " + filepath.Join(root, "share") + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if vector != "" {
		text := fmt.Sprintf("comment = 'x'\ndefault_version = '%s'\n", vector)
		if err := os.WriteFile(filepath.Join(ext, "vector.control"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

func TestFindTakesOnlyARecentServerWithARecentPgvector(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		version, vector string
		major           int
		ok              bool
	}{
		"good":                       {"17.2", "0.8.1", 0, true},
		"good, its major asked for":  {"17.2", "0.8.1", 17, true},
		"another major is asked for": {"17.2", "0.8.1", 16, false},
		"too old":                    {"14.9", "0.8.0", 0, false},
		"old pgvector":               {"17.2", "0.6.0", 0, false},
		"no pgvector":                {"17.2", "", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin := fakeInstall(t, tc.version, tc.vector)
			in, err := Find(t.Context(), bin, tc.major)
			if tc.ok != (err == nil) {
				t.Fatalf("Find = %v, %v", in, err)
			}
			if tc.ok && (in.BinDir != bin || in.Version != tc.version || in.Vector != tc.vector) {
				t.Errorf("Find = %+v", in)
			}
		})
	}
}

func TestFindSeesThisMachinesServer(t *testing.T) {
	t.Parallel()
	in, err := Find(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if in.Major < MinMajor || !vectorNewEnough(in.Vector) {
		t.Errorf("Find = %+v", in)
	}
}

func TestCandidatesFollowLinksSoThatNoServerIsListedTwice(t *testing.T) {
	// PATH holds a link to the same initdb, as Debian images have in /usr/local/bin.
	in, err := Find(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	if err := os.Symlink(filepath.Join(in.BinDir, "initdb"), filepath.Join(links, "initdb")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", links+":"+os.Getenv("PATH"))
	seen := map[string]bool{}
	for _, dir := range candidateDirs(t.Context(), "") {
		if seen[dir] {
			t.Errorf("%s is listed twice", dir)
		}
		seen[dir] = true
	}
	if !seen[in.BinDir] {
		t.Errorf("%s is not listed in %v", in.BinDir, seen)
	}
}
