package scripts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// bash runs a command of bash with the shared functions loaded and returns
// standard output and error together.
func bash(t *testing.T, env []string, command string, args ...string) (string, error) {
	t.Helper()
	all := append([]string{"-c", "set -euo pipefail; source lib/common.sh; source lib/pgvector.sh; " + command, "bash"}, args...)
	return run(t, env, "bash", all...)
}

func run(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func TestVersionGe(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b string
		want bool
	}{
		{"0.8.0", "0.8", true},
		{"0.8.0-1~deb13u1", "0.8", true},
		{"0.10", "0.8", true},
		{"0.7.4", "0.8", false},
		{"", "0.8", false},
		{"1.21rc2", "1.21", true},
		{"1.9.7", "1.21", false},
		{"1.26.08", "1.26.8", true},
	} {
		out, err := bash(t, nil, `version_ge "$1" "$2" && echo yes || echo no`, tc.a, tc.b)
		if got := strings.TrimSpace(out) == "yes"; err != nil || got != tc.want {
			t.Errorf("version_ge %q %q = %q, %v", tc.a, tc.b, out, err)
		}
	}
}

func TestAptArchiveReadsBothFormatsOfSources(t *testing.T) {
	t.Parallel()
	const deb822 = `# a comment
Types: deb
# between fields
URIs: http://mirror.example/debian/
Suites: bookworm
  bookworm-updates
Components: main

Types: deb
URIs: http://security.example/debian-security
Suites: bookworm-security
`
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"deb822":                        {map[string]string{"sources.list.d/debian.sources": deb822}, "http://mirror.example/debian"},
		"deb822, disabled":              {map[string]string{"sources.list.d/debian.sources": "Enabled: no\n" + strings.TrimPrefix(deb822, "# a comment\n")}, ""},
		"deb822, sources only":          {map[string]string{"sources.list.d/x.sources": "Types: deb-src\nURIs: http://a.example\nSuites: bookworm\n"}, ""},
		"deb822, lower case":            {map[string]string{"sources.list.d/x.sources": "types: deb deb-src\nuris: http://a.example http://b.example\nsuites: bookworm\n"}, "http://a.example"},
		"one line with options":         {map[string]string{"sources.list": "deb [arch=amd64 signed-by=/k.gpg] https://one.example/debian bookworm main contrib # note\n"}, "https://one.example/debian"},
		"one line, commented out":       {map[string]string{"sources.list": "# deb http://no.example/debian bookworm main\n"}, ""},
		"one line, another suite":       {map[string]string{"sources.list": "deb http://no.example/debian bookworm-updates main\n"}, ""},
		"one line, after a disc":        {map[string]string{"sources.list": "deb cdrom:[Debian]/ bookworm main\ndeb http://two.example/debian bookworm main\n"}, "http://two.example/debian"},
		"one line in a file of its own": {map[string]string{"sources.list.d/x.list": "deb http://three.example/debian/ bookworm main\n"}, "http://three.example/debian"},
		"both, deb822 first":            {map[string]string{"sources.list": "deb http://one.example bookworm main\n", "sources.list.d/debian.sources": deb822}, "http://mirror.example/debian"},
		"none":                          {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for path, text := range tc.files {
				write(t, filepath.Join(dir, path), text, 0o600)
			}
			out, err := bash(t, nil, `apt_archive bookworm "$1"`, dir)
			if err != nil || strings.TrimSpace(out) != tc.want {
				t.Errorf("apt_archive = %q, %v; want %q", out, err, tc.want)
			}
		})
	}
}

func TestPlanForEachSystem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		release string
		want    []string
		fails   bool
	}{
		"Debian 12":    {"ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n", []string{"postgresql-15 postgresql-server-dev-15 build-essential", "'trixie'", "without creating"}, false},
		"Debian 13":    {"ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n", []string{"packages: postgresql-17 postgresql-17-pgvector", "without creating"}, false},
		"Ubuntu 24.04": {"ID=ubuntu\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n", []string{"postgresql-16 postgresql-server-dev-16", "'resolute'"}, false},
		"Ubuntu 26.04": {"ID=ubuntu\nVERSION_ID=\"26.04\"\nVERSION_CODENAME=resolute\n", []string{"packages: postgresql-18 postgresql-18-pgvector"}, false},
		"Ubuntu 22.04": {"ID=ubuntu\nVERSION_ID=\"22.04\"\nVERSION_CODENAME=jammy\n", []string{"Install by hand: PostgreSQL 15 or newer", "pgvector 0.8 or newer"}, true},
		"Fedora":       {"ID=fedora\nVERSION_ID=42\nPRETTY_NAME=\"Fedora 42\"\n", []string{"Fedora 42", "Install by hand"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "os-release")
			write(t, file, tc.release, 0o600)
			out, err := run(t, []string{"SETUP_OS_RELEASE=" + file}, "./setup-postgres.sh", "--dry-run")
			if (err != nil) != tc.fails {
				t.Errorf("exit = %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(out, want) {
					t.Errorf("plan has no %q:\n%s", want, out)
				}
			}
		})
	}
}

func TestPlanForAnotherSystemInstallsNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "os-release")
	write(t, file, "ID=debian\nVERSION_ID=\"13\"\n", 0o600)
	out, err := run(t, []string{"SETUP_OS_RELEASE=" + file}, "./setup-postgres.sh")
	if err == nil || !strings.Contains(out, "--dry-run") {
		t.Errorf("without --dry-run: %v\n%s", err, out)
	}
}

// fakePath is a PATH on which the named commands are replaced; apt-get, sudo and
// brew leave a mark when called.
func fakePath(t *testing.T, commands map[string]string) (string, func() string) {
	t.Helper()
	dir := t.TempDir()
	mark := filepath.Join(dir, "called")
	for _, name := range []string{"apt-get", "sudo", "brew"} {
		write(t, filepath.Join(dir, name), "#!/bin/sh\necho \"$0 $*\" >>"+mark+"\nexit 1\n", 0o755)
	}
	for name, text := range commands {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n"+text+"\n", 0o755)
	}
	return "PATH=" + dir + ":" + os.Getenv("PATH"), func() string {
		text, _ := os.ReadFile(mark)
		return string(text)
	}
}

func TestSecondRunInstallsNothingAndSaysSo(t *testing.T) {
	t.Parallel()
	path, called := fakePath(t, nil)
	out, err := run(t, []string{path}, "./setup.sh", "--for", "run")
	if err != nil || !strings.Contains(out, "nothing to do") {
		t.Errorf("setup: %v\n%s", err, out)
	}
	if c := called(); c != "" {
		t.Errorf("a machine that has everything was changed: %s", c)
	}
}

func TestGoThatIsTooOldIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ version, toolchain, want string }{
		"too old":                         {"go1.19.8", "auto", "Go 1.19.8 is too old. Install Go 1.21 or newer: "},
		"may not fetch the project's own": {"go1.22.1", "local", "GOTOOLCHAIN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, called := fakePath(t, map[string]string{"go": `[ "$2" = GOVERSION ] && echo ` + tc.version + ` || echo ` + tc.toolchain})
			out, err := run(t, []string{path}, "./setup.sh")
			if err == nil || !strings.Contains(out, tc.want) {
				t.Errorf("setup: %v\n%s", err, out)
			}
			if c := called(); c != "" {
				t.Errorf("something was installed all the same: %s", c)
			}
		})
	}
}

func TestMissingGoIsNamedWithTheRemedy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"bash", "env", "dirname", "uname", "sed", "head", "awk", "cat"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := run(t, []string{"PATH=" + dir}, "./setup.sh", "--dry-run")
	if err == nil || !strings.Contains(out, "Go is missing. Install Go 1.21 or newer: ") {
		t.Errorf("setup: %v\n%s", err, out)
	}
}

func TestUnknownArgumentsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--for", "play"}, {"--for"}, {"--nonsense"}} {
		if out, err := run(t, nil, "./setup.sh", args...); err == nil {
			t.Errorf("setup.sh %v succeeded:\n%s", args, out)
		}
	}
}

// TestInstallPutsTheClusterSettingBack runs the part of the installation that
// touches createcluster.conf(5) with commands that only look at it.
func TestInstallPutsTheClusterSettingBack(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("Debian's createcluster.conf exists on Linux only")
	}
	for name, tc := range map[string]struct {
		install string
		fails   bool
	}{"installed": {"true", false}, "interrupted": {"exit 9", true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf := filepath.Join(t.TempDir(), "createcluster.conf")
			const own = "#create_main_cluster = true\nstart_conf = 'manual'\n"
			write(t, conf, own, 0o600)
			out, err := bash(t, nil, `AS_ROOT=(env); CLUSTER_CONF=$1; package_installed() { true; }; apt_install() { cat "$1"; `+tc.install+`; }; install_without_cluster "$1"`, conf)
			if (err != nil) != tc.fails || !strings.HasSuffix(strings.TrimSpace(out), "create_main_cluster = false") {
				t.Errorf("during the installation: %v\n%s", err, out)
			}
			after, err := os.ReadFile(conf)
			if err != nil || string(after) != own {
				t.Errorf("afterwards: %v\n%s", err, after)
			}
		})
	}
}

func TestGeneratedFilesCheckSeesAChange(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		makefile string
		fails    bool
	}{
		"in sync":          {"generate:\n\techo same >page\n", false},
		"a tracked change": {"generate:\n\techo other >page\n", true},
		"a new file":       {"generate:\n\techo more >extra\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			text, err := os.ReadFile("check-generated.sh")
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "scripts/check-generated.sh"), string(text), 0o755)
			write(t, filepath.Join(dir, "Makefile"), tc.makefile, 0o600)
			write(t, filepath.Join(dir, "page"), "same\n", 0o600)
			for _, args := range [][]string{{"init", "-q"}, {"add", "."}, {"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "t"}} {
				if out, err := run(t, nil, "git", append([]string{"-C", dir}, args...)...); err != nil {
					t.Fatalf("git %v: %v\n%s", args, err, out)
				}
			}
			out, err := run(t, nil, filepath.Join(dir, "scripts/check-generated.sh"))
			if (err != nil) != tc.fails {
				t.Errorf("check: %v\n%s", err, out)
			}
		})
	}
}

func TestVulnerabilityCheckTellsSkippedFromFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		scanner string
		want    string
		fails   bool
	}{
		"clean":                {"echo No vulnerabilities found.", "No vulnerabilities", false},
		"found":                {"echo 'Vulnerability #1: fetching vulnerabilities'; exit 3", "Vulnerability #1", true},
		"database unreachable": {"echo 'govulncheck: fetching vulnerabilities: dial tcp: no such host' >&2; exit 1", "SKIPPED", false},
		"broken code":          {"echo 'no required module provides package' >&2; exit 1", "no required module", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scanner := filepath.Join(t.TempDir(), "govulncheck")
			write(t, scanner, "#!/bin/sh\n"+tc.scanner+"\n", 0o755)
			out, err := run(t, nil, "./check-vulnerabilities.sh", scanner)
			if (err != nil) != tc.fails || !strings.Contains(out, tc.want) {
				t.Errorf("check: %v\n%s", err, out)
			}
		})
	}
}
