package settings

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is where settings come from.
type Source struct {
	// Environ holds KEY=VALUE pairs, as os.Environ returns them.
	Environ []string
	// Flags holds the flags that were given, by Def.Flag; a secret's file is
	// under FileFlag. They win over Environ.
	Flags map[string]string
	// UID is the process's user id; 0 chooses the system's directories.
	UID int
}

// FileFlag returns the flag that names the file of the secret d.
func FileFlag(d Def) string {
	return strings.ToLower(strings.ReplaceAll(d.Name, "_", "-")) + "-file"
}

// Load reads and checks every setting. The error is an *Error that names the
// variable or flag.
func Load(src Source) (Settings, error) {
	env := environMap(src.Environ)
	if err := checkNames(env); err != nil {
		return Settings{}, err
	}
	r := &reader{env: env, flags: src.Flags}
	raw := map[string]given{}
	for _, d := range Table() {
		g, err := r.read(d)
		if err != nil {
			return Settings{}, err
		}
		raw[d.Name] = g
	}
	return check(raw, directories{env: env, root: src.UID == 0})
}

// environMap returns the variables of environ; the last of a name wins.
func environMap(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	return env
}

// checkNames refuses a TRIBUTARY_ variable that is no setting.
func checkNames(env map[string]string) error {
	var known []string
	for _, d := range Table() {
		known = append(known, d.Variable())
		if d.Secret {
			known = append(known, d.Variable()+FileSuffix)
		}
	}
	var unknown []string
	for k := range env {
		if strings.HasPrefix(k, Prefix) && !slices.Contains(known, k) {
			unknown = append(unknown, k)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	remedy := "unset it; docs/settings.md lists the settings"
	if near := Nearest(unknown[0], known); near != "" {
		remedy = "did you mean " + near + "?"
	}
	return &Error{Setting: unknown[0], Problem: "unknown setting", Remedy: remedy}
}

// given is a value and what it was given by, for messages.
type given struct {
	value string
	from  string
	set   bool
}

type reader struct {
	env   map[string]string
	flags map[string]string
}

// read returns the value of d. An empty variable counts as unset.
func (r *reader) read(d Def) (given, error) {
	if d.Secret {
		return r.readSecret(d)
	}
	if v, ok := r.flags[d.Flag]; ok {
		return given{value: v, from: "--" + d.Flag, set: true}, nil
	}
	if v := r.env[d.Variable()]; v != "" {
		return given{value: v, from: d.Variable(), set: true}, nil
	}
	return given{from: d.Variable()}, nil
}

func (r *reader) readSecret(d Def) (given, error) {
	if path, ok := r.flags[FileFlag(d)]; ok {
		return readSecretFile("--"+FileFlag(d), path)
	}
	name, fileName := d.Variable(), d.Variable()+FileSuffix
	value, path := r.env[name], r.env[fileName]
	switch {
	case value != "" && path != "":
		return given{}, &Error{Setting: name, Problem: "is set together with " + fileName, Remedy: "keep one of them"}
	case path != "":
		return readSecretFile(fileName, path)
	default:
		return given{value: value, from: name, set: value != ""}, nil
	}
}

// maxSecretFile is the largest secret file that is read, in bytes.
const maxSecretFile = 64 << 10

func readSecretFile(from, path string) (given, error) {
	info, err := os.Stat(path)
	if err != nil {
		return given{}, &Error{Setting: from, Problem: "reading the file: " + pathProblem(err), Remedy: "name a file that this account can read"}
	}
	if !info.Mode().IsRegular() && info.Mode()&os.ModeNamedPipe == 0 {
		return given{}, &Error{Setting: from, Problem: path + " is not a file", Remedy: "name a file that holds the value"}
	}
	if info.Size() > maxSecretFile {
		return given{}, &Error{Setting: from, Problem: path + " is too large for a secret", Remedy: "name a file that holds only the value"}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return given{}, &Error{Setting: from, Problem: "reading the file: " + pathProblem(err), Remedy: "name a file that this account can read"}
	}
	v := strings.TrimRight(string(b), "\r\n")
	if strings.TrimSpace(v) == "" {
		return given{}, &Error{Setting: from, Problem: path + " is empty", Remedy: "write the value into it"}
	}
	return given{value: v, from: from, set: true}, nil
}

// pathProblem returns err without the operation's name.
func pathProblem(err error) string {
	s := err.Error()
	for _, op := range []string{"stat ", "open ", "read "} {
		s = strings.TrimPrefix(s, op)
	}
	return s
}

// directories chooses the default places of files.
type directories struct {
	env  map[string]string
	root bool
}

// data returns the default data directory, or "" without a home.
func (d directories) data() string {
	if d.root {
		return "/var/lib/tributary"
	}
	return d.xdg("XDG_DATA_HOME", ".local/share")
}

// config returns the default directory of keys and configuration.
func (d directories) config() string {
	if d.root {
		return "/etc/tributary"
	}
	return d.xdg("XDG_CONFIG_HOME", ".config")
}

// xdg follows the XDG Base Directory Specification: a relative path in the
// variable is invalid and ignored.
func (d directories) xdg(variable, fallback string) string {
	if dir := d.env[variable]; filepath.IsAbs(dir) {
		return filepath.Join(dir, "tributary")
	}
	if home := d.env["HOME"]; filepath.IsAbs(home) {
		return filepath.Join(home, fallback, "tributary")
	}
	return ""
}
