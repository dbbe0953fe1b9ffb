package settings_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/settings"
)

func load(flags map[string]string, env ...string) (settings.Settings, error) {
	return settings.Load(settings.Source{Environ: append([]string{"HOME=/home/ada"}, env...), Flags: flags, UID: 1000})
}

func mustLoad(t *testing.T, env ...string) settings.Settings {
	t.Helper()
	s, err := load(nil, env...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	s := mustLoad(t)
	if s.Addr != "127.0.0.1:8080" || s.PublicURL.String() != "http://127.0.0.1:8080" || s.MetricsAddr != "127.0.0.1:9090" {
		t.Errorf("got %+v", s)
	}
	if s.DataDir != "/home/ada/.local/share/tributary" || s.MasterKeyFile != "/home/ada/.config/tributary/master.key" {
		t.Errorf("got data %q, key %q", s.DataDir, s.MasterKeyFile)
	}
	if s.DatabaseURL.IsSet() {
		t.Error("a database URL out of nothing")
	}
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		uid       int
		env       []string
		data, key string
	}{
		{"root uses the system's directories", 0, []string{"HOME=/root", "XDG_DATA_HOME=/x"}, "/var/lib/tributary", "/etc/tributary/master.key"},
		{"XDG variables win over the home", 1000, []string{"HOME=/h", "XDG_DATA_HOME=/d", "XDG_CONFIG_HOME=/c"}, "/d/tributary", "/c/tributary/master.key"},
		{"a relative XDG variable is ignored", 1000, []string{"HOME=/h", "XDG_DATA_HOME=d"}, "/h/.local/share/tributary", "/h/.config/tributary/master.key"},
		{"DATA_DIR wins", 0, []string{"TRIBUTARY_DATA_DIR=/srv/t"}, "/srv/t", "/etc/tributary/master.key"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s, err := settings.Load(settings.Source{Environ: tc.env, UID: tc.uid})
			if err != nil {
				t.Fatal(err)
			}
			if s.DataDir != tc.data || s.MasterKeyFile != tc.key {
				t.Errorf("got %q and %q, want %q and %q", s.DataDir, s.MasterKeyFile, tc.data, tc.key)
			}
		})
	}
	if _, err := settings.Load(settings.Source{UID: 1000}); err == nil || !strings.Contains(err.Error(), "TRIBUTARY_DATA_DIR") {
		t.Errorf("without a home: got %v", err)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		env  []string
		want []string
	}{
		{"an unknown variable names the nearest", []string{"TRIBUTARY_ADRR=x"}, []string{"TRIBUTARY_ADRR", "unknown", "TRIBUTARY_ADDR"}},
		{"an unknown file variable names the nearest", []string{"TRIBUTARY_DATABSE_URL_FILE=x"}, []string{"did you mean TRIBUTARY_DATABASE_URL_FILE?"}},
		{"a far variable names the reference", []string{"TRIBUTARY_QQQQQQQQQQQQ=x"}, []string{"docs/settings.md"}},
		{"no *_FILE for what is no secret", []string{"TRIBUTARY_ADDR_FILE=x"}, []string{"TRIBUTARY_ADDR_FILE", "unknown"}},
		{"address without port", []string{"TRIBUTARY_ADDR=127.0.0.1"}, []string{"TRIBUTARY_ADDR", "host:port"}},
		{"port out of range", []string{"TRIBUTARY_ADDR=127.0.0.1:70000"}, []string{"TRIBUTARY_ADDR", "host:port"}},
		{"port with a sign", []string{"TRIBUTARY_ADDR=127.0.0.1:+80"}, []string{"TRIBUTARY_ADDR"}},
		{"plain http on every address", []string{"TRIBUTARY_ADDR=0.0.0.0:8080"}, []string{"TRIBUTARY_ADDR", "TRIBUTARY_TLS_CERT", "ssh -L"}},
		{"plain http on an empty host", []string{"TRIBUTARY_ADDR=:8080"}, []string{"TRIBUTARY_ADDR", "plain http"}},
		{"plain http on a private address", []string{"TRIBUTARY_ADDR=10.0.0.1:8080", "TRIBUTARY_PUBLIC_URL=https://t.example.org"}, []string{"TRIBUTARY_ADDR", "TRIBUTARY_TRUSTED_PROXIES"}},
		{"plain http public address", []string{"TRIBUTARY_PUBLIC_URL=http://t.example.org"}, []string{"TRIBUTARY_PUBLIC_URL", "https://"}},
		{"proxies need a public address", []string{"TRIBUTARY_ADDR=0.0.0.0:80", "TRIBUTARY_TRUSTED_PROXIES=10.0.0.0/8"}, []string{"TRIBUTARY_PUBLIC_URL"}},
		{"public address with a path", []string{"TRIBUTARY_PUBLIC_URL=https://t.example.org/app"}, []string{"TRIBUTARY_PUBLIC_URL", "root"}},
		{"public address without scheme", []string{"TRIBUTARY_PUBLIC_URL=t.example.org"}, []string{"TRIBUTARY_PUBLIC_URL"}},
		{"certificate without key", []string{"TRIBUTARY_TLS_CERT=/c"}, []string{"TRIBUTARY_TLS_KEY", "set both"}},
		{"key without certificate", []string{"TRIBUTARY_TLS_KEY=/c"}, []string{"TRIBUTARY_TLS_CERT"}},
		{"proxy that is no network", []string{"TRIBUTARY_TRUSTED_PROXIES=proxy"}, []string{"TRIBUTARY_TRUSTED_PROXIES", "10.0.0.0/8"}},
		{"everybody as a proxy", []string{"TRIBUTARY_TRUSTED_PROXIES=0.0.0.0/0"}, []string{"TRIBUTARY_TRUSTED_PROXIES", "everybody"}},
		{"public metrics", []string{"TRIBUTARY_METRICS_ADDR=0.0.0.0:9090"}, []string{"TRIBUTARY_METRICS_ADDR"}},
		{"metrics on a public address", []string{"TRIBUTARY_METRICS_ADDR=8.8.8.8:9090"}, []string{"TRIBUTARY_METRICS_ADDR"}},
		{"a sandbox for everybody", []string{"TRIBUTARY_SANDBOX_ADDR=0.0.0.0:8090"}, []string{"TRIBUTARY_SANDBOX_ADDR", "no passwords", "localhost"}},
		{"runs kept for no time", []string{"TRIBUTARY_RUN_RETENTION=0d"}, []string{"TRIBUTARY_RUN_RETENTION:", "1d to 3650d", "90d"}},
		{"runs kept for ever", []string{"TRIBUTARY_RUN_RETENTION=99999999999999d"}, []string{"TRIBUTARY_RUN_RETENTION:", "3650d"}},
		{"runs kept for minutes", []string{"TRIBUTARY_RUN_RETENTION=30m"}, []string{"TRIBUTARY_RUN_RETENTION:", "1d"}},
		{"runs kept for a word", []string{"TRIBUTARY_RUN_RETENTION=forever"}, []string{"TRIBUTARY_RUN_RETENTION:", "forever"}},
		{"changes kept for no time", []string{"TRIBUTARY_FEED_RETENTION=1h"}, []string{"TRIBUTARY_FEED_RETENTION:", "1d to 3650d", "14d"}},
		{"reads recorded sometimes", []string{"TRIBUTARY_READ_AUDIT=off"}, []string{"TRIBUTARY_READ_AUDIT:", `"off"`, "on", "strict"}},
		{"questions kept for a word", []string{"TRIBUTARY_READ_AUDIT_QUERIES=yes"}, []string{"TRIBUTARY_READ_AUDIT_QUERIES:", "off", "on"}},
		{"reads kept for an hour", []string{"TRIBUTARY_READ_AUDIT_RETENTION=1h"}, []string{"TRIBUTARY_READ_AUDIT_RETENTION:", "1d to 3650d", "365d"}},
		{"no run kept", []string{"TRIBUTARY_RUN_RETENTION_LAST=0"}, []string{"TRIBUTARY_RUN_RETENTION_LAST:", "1 to 100000"}},
		{"a part of a run", []string{"TRIBUTARY_RUN_RETENTION_LAST=1.5"}, []string{"TRIBUTARY_RUN_RETENTION_LAST:", "number"}},
		{"a lost answer met by something else", []string{"TRIBUTARY_ON_UNCERTAIN=retry"}, []string{"TRIBUTARY_ON_UNCERTAIN", "replay", "reauth"}},
		{"a sandbox without a port", []string{"TRIBUTARY_SANDBOX_ADDR=localhost"}, []string{"TRIBUTARY_SANDBOX_ADDR", "host:port"}},
		{"key in the data directory", []string{"TRIBUTARY_DATA_DIR=/d", "TRIBUTARY_MASTER_KEY_FILE=/d/keys/k"}, []string{"TRIBUTARY_MASTER_KEY_FILE", "/d"}},
		{"folders with a relative root", []string{"TRIBUTARY_FOLDER_ROOTS=/srv:docs"}, []string{"TRIBUTARY_FOLDER_ROOTS", `"docs"`, "absolute"}},
		{"folders with everything", []string{"TRIBUTARY_FOLDER_ROOTS=/"}, []string{"TRIBUTARY_FOLDER_ROOTS", "holds", "documents only"}},
		{"folders above the data directory", []string{"TRIBUTARY_DATA_DIR=/d/data", "TRIBUTARY_FOLDER_ROOTS=/srv:/d/"}, []string{"/d holds the data directory"}},
		{"folders in the data directory", []string{"TRIBUTARY_DATA_DIR=/d/data", "TRIBUTARY_FOLDER_ROOTS=/d/data/x"}, []string{"lies in the data directory"}},
		{"folders above the master key", []string{"TRIBUTARY_MASTER_KEY_FILE=/k/keys/master", "TRIBUTARY_FOLDER_ROOTS=/k"}, []string{"/k holds the master key"}},
		{"database of another kind", []string{"TRIBUTARY_DATABASE_URL=mysql://u:hunter2@h/d"}, []string{"TRIBUTARY_DATABASE_URL", "postgres://"}},
		{"database address with a raw password", []string{"TRIBUTARY_DATABASE_URL=postgres://u:hunter2%zz@h/d"}, []string{"TRIBUTARY_DATABASE_URL", "%XX"}},
		{"database without a name", []string{"TRIBUTARY_DATABASE_URL=postgres://u:hunter2@h"}, []string{"TRIBUTARY_DATABASE_URL", "names no database"}},
		{"secret and its file", []string{"TRIBUTARY_DATABASE_URL=postgres://u:hunter2@h/d", "TRIBUTARY_DATABASE_URL_FILE=/f"}, []string{"TRIBUTARY_DATABASE_URL", "keep one"}},
		{"missing secret file", []string{"TRIBUTARY_DATABASE_URL_FILE=/no/such"}, []string{"TRIBUTARY_DATABASE_URL_FILE", "/no/such"}},
		{"directory as a secret file", []string{"TRIBUTARY_DATABASE_URL_FILE=/"}, []string{"TRIBUTARY_DATABASE_URL_FILE"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := load(nil, tc.env...)
			var se *settings.Error
			if !errors.As(err, &se) {
				t.Fatalf("got %v, want a settings error", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q tells a secret or takes several lines", err)
			}
			if se.Remedy == "" {
				t.Errorf("%q has no remedy", err)
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, public string
		env          []string
	}{
		{"TLS on every address with a public address", "https://t.example.org", []string{"TRIBUTARY_ADDR=0.0.0.0:443", "TRIBUTARY_TLS_CERT=/c", "TRIBUTARY_TLS_KEY=/k", "TRIBUTARY_PUBLIC_URL=https://T.example.org/"}},
		{"a proxy in front", "https://t.example.org", []string{"TRIBUTARY_ADDR=0.0.0.0:80", "TRIBUTARY_TRUSTED_PROXIES=10.0.0.0/8, ::1", "TRIBUTARY_PUBLIC_URL=https://t.example.org"}},
		{"a loopback public address behind a published port", "http://127.0.0.1:8080", []string{"TRIBUTARY_ADDR=0.0.0.0:8080", "TRIBUTARY_TRUSTED_PROXIES=172.16.0.0/12", "TRIBUTARY_PUBLIC_URL=http://127.0.0.1:8080"}},
		{"IPv6 loopback", "http://[::1]:8080", []string{"TRIBUTARY_ADDR=[::1]:8080"}},
		{"TLS makes the default https", "https://localhost:8443", []string{"TRIBUTARY_ADDR=localhost:8443", "TRIBUTARY_TLS_CERT=/c", "TRIBUTARY_TLS_KEY=/k"}},
		{"an empty variable is unset", "http://127.0.0.1:8080", []string{"TRIBUTARY_ADDR=", "TRIBUTARY_DATABASE_URL="}},
		{"metrics off", "http://127.0.0.1:8080", []string{"TRIBUTARY_METRICS_ADDR=off"}},
		{"metrics on a private address", "http://127.0.0.1:8080", []string{"TRIBUTARY_METRICS_ADDR=10.1.2.3:9090"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := mustLoad(t, tc.env...).PublicURL.String(); got != tc.public {
				t.Errorf("public URL %q, want %q", got, tc.public)
			}
		})
	}
}

func TestFlagsWin(t *testing.T) {
	t.Parallel()
	s, err := load(map[string]string{"addr": "127.0.0.1:9999"}, "TRIBUTARY_ADDR=127.0.0.1:1")
	if err != nil || s.Addr != "127.0.0.1:9999" {
		t.Fatalf("got %q, %v", s.Addr, err)
	}
	if _, err = load(map[string]string{"addr": "nowhere"}); err == nil || !strings.HasPrefix(err.Error(), "--addr:") {
		t.Errorf("a bad flag is named as it was written: got %v", err)
	}
}

func TestSecretFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(path, []byte("postgres://u:hunter2@h/d\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []settings.Settings{
		mustLoad(t, "TRIBUTARY_DATABASE_URL_FILE="+path),
		func() settings.Settings {
			s, err := load(map[string]string{"database-url-file": path}, "TRIBUTARY_DATABASE_URL=postgres://x@y/z")
			if err != nil {
				t.Fatal(err)
			}
			return s
		}(),
	} {
		if s.DatabaseURL.Reveal() != "postgres://u:hunter2@h/d" {
			t.Errorf("got %q", s.DatabaseURL.Reveal())
		}
		if shown := fmt.Sprintf("%v %+v %#v", s, s, s.DatabaseURL); strings.Contains(shown, "hunter2") {
			t.Errorf("printing the settings shows the secret: %s", shown)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(nil, "TRIBUTARY_DATABASE_URL_FILE="+empty); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("got %v", err)
	}
}

func TestReferenceIsInSync(t *testing.T) {
	t.Parallel()
	got, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != settings.Reference() {
		t.Error("docs/settings.md differs from the settings: run go generate ./internal/settings")
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"include", "exclude", "path", "permissions"}
	for name, want := range map[string]string{"pth": "path", "permission": "permissions", "exclud": "exclude", "zzzzzz": ""} {
		if got := settings.Nearest(name, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestSandboxAddr(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"": "", "off": "", "localhost:8090": "localhost:8090", "127.0.0.1:0": "127.0.0.1:0", "[::1]:8090": "[::1]:8090"} {
		if s := mustLoad(t, "TRIBUTARY_SANDBOX_ADDR="+value); s.SandboxAddr != want {
			t.Errorf("%q: got %q, want %q", value, s.SandboxAddr, want)
		}
	}
}

func TestFolderRoots(t *testing.T) {
	t.Parallel()
	if got := mustLoad(t).FolderRoots; got != nil {
		t.Errorf("folders may be connected that nobody named: %v", got)
	}
	if got := mustLoad(t, "TRIBUTARY_FOLDER_ROOTS=/srv/docs/:/home/shared:").FolderRoots; !slices.Equal(got, []string{"/srv/docs", "/home/shared"}) {
		t.Errorf("got %v", got)
	}
	// A link that leads to the data directory is that directory.
	dir := t.TempDir()
	data, link := filepath.Join(dir, "data"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Symlink(data, link)); err != nil {
		t.Fatal(err)
	}
	if _, err := load(nil, "TRIBUTARY_DATA_DIR="+data, "TRIBUTARY_FOLDER_ROOTS="+link); err == nil || !strings.Contains(err.Error(), "holds the data directory") {
		t.Errorf("a link to the data directory: %v", err)
	}
}

func TestKeyLimits(t *testing.T) {
	t.Parallel()
	if s := mustLoad(t); s.KeyPerMinute != 6000 || s.KeyReadersPerMinute != 100 {
		t.Errorf("got %d and %d", s.KeyPerMinute, s.KeyReadersPerMinute)
	}
	if s := mustLoad(t, "TRIBUTARY_KEY_PER_MINUTE=1", "TRIBUTARY_KEY_READERS_PER_MINUTE=1000000"); s.KeyPerMinute != 1 || s.KeyReadersPerMinute != 1_000_000 {
		t.Errorf("got %d and %d", s.KeyPerMinute, s.KeyReadersPerMinute)
	}
	for _, value := range []string{"0", "-1", "1000001", "many", "1.5"} {
		if _, err := load(nil, "TRIBUTARY_KEY_PER_MINUTE="+value); err == nil || !strings.Contains(err.Error(), "1 to 1000000") {
			t.Errorf("%q: %v", value, err)
		}
	}
}

func TestOnUncertain(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"replay": false, "reauth": true} {
		if s := mustLoad(t, "TRIBUTARY_ON_UNCERTAIN="+value); s.ReauthUncertain != want {
			t.Errorf("%s: got %t", value, s.ReauthUncertain)
		}
	}
	if mustLoad(t).ReauthUncertain {
		t.Error("a lost answer ends a grant without being asked to")
	}
}

func TestRunRetention(t *testing.T) {
	t.Parallel()
	if s := mustLoad(t); s.RunRetention != 30*24*time.Hour || s.RunRetentionLast != 20 {
		t.Errorf("the default is %s and %d", s.RunRetention, s.RunRetentionLast)
	}
	if s := mustLoad(t, "TRIBUTARY_RUN_RETENTION=90d", "TRIBUTARY_RUN_RETENTION_LAST=1"); s.RunRetention != 90*24*time.Hour || s.RunRetentionLast != 1 {
		t.Errorf("set to %s and %d", s.RunRetention, s.RunRetentionLast)
	}
	if s := mustLoad(t, "TRIBUTARY_FEED_RETENTION=14d"); s.FeedRetention != 14*24*time.Hour || mustLoad(t).FeedRetention != 7*24*time.Hour {
		t.Errorf("the feed is kept for %s", s.FeedRetention)
	}
	if s := mustLoad(t, "TRIBUTARY_RUN_RETENTION=36h"); s.RunRetention != 36*time.Hour {
		t.Errorf("set to %s", s.RunRetention)
	}
}

func TestReadAudit(t *testing.T) {
	t.Parallel()
	if s := mustLoad(t); s.ReadAuditStrict || s.ReadAuditQueries || s.ReadAuditRetention != 365*24*time.Hour {
		t.Errorf("the default is %v, %v and %s", s.ReadAuditStrict, s.ReadAuditQueries, s.ReadAuditRetention)
	}
	s := mustLoad(t, "TRIBUTARY_READ_AUDIT=strict", "TRIBUTARY_READ_AUDIT_QUERIES=on", "TRIBUTARY_READ_AUDIT_RETENTION=30d")
	if !s.ReadAuditStrict || !s.ReadAuditQueries || s.ReadAuditRetention != 30*24*time.Hour {
		t.Errorf("set to %v, %v and %s", s.ReadAuditStrict, s.ReadAuditQueries, s.ReadAuditRetention)
	}
}
