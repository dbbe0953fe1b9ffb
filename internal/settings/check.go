package settings

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// check turns raw values into Settings.
func check(raw map[string]given, dirs directories) (Settings, error) {
	var s Settings
	steps := []func(map[string]given, *Settings) error{
		checkAddr, checkTLS, checkProxies, checkPublicURL, checkListen, checkMetrics, checkSandbox, checkUncertain,
		func(raw map[string]given, s *Settings) error { return checkPaths(raw, dirs, s) },
		checkDatabases, checkFolderRoots, checkKeyLimits, checkRuns, checkReads,
	}
	for _, step := range steps {
		if err := step(raw, &s); err != nil {
			return Settings{}, err
		}
	}
	return s, nil
}

func checkAddr(raw map[string]given, s *Settings) error {
	g := raw[addrName]
	if !g.set {
		s.Addr = defaultAddr
		return nil
	}
	if err := checkHostPort(g); err != nil {
		return err
	}
	s.Addr = g.value
	return nil
}

// checkHostPort refuses anything but host:port with a port of 0 to 65535.
func checkHostPort(g given) error {
	_, port, err := net.SplitHostPort(g.value)
	if err == nil {
		if n, perr := strconv.ParseUint(port, 10, 16); perr == nil && strconv.FormatUint(n, 10) == port {
			return nil
		}
	}
	return &Error{Setting: g.from, Problem: strconv.Quote(g.value) + " is not an address", Remedy: "write host:port, such as 127.0.0.1:8080"}
}

func checkTLS(raw map[string]given, s *Settings) error {
	cert, key := raw[tlsCertName], raw[tlsKeyName]
	if cert.set != key.set {
		missing, present := cert, key
		if cert.set {
			missing, present = key, cert
		}
		return &Error{Setting: missing.from, Problem: "is not set, but " + present.from + " is", Remedy: "set both, or neither"}
	}
	s.TLSCert, s.TLSKey = cert.value, key.value
	return nil
}

func checkProxies(raw map[string]given, s *Settings) error {
	g := raw[trustedProxiesName]
	for field := range strings.SplitSeq(g.value, ",") {
		field = strings.TrimSpace(field)
		if field == "" {
			continue
		}
		p, err := parseNetwork(field)
		if err != nil {
			return &Error{Setting: g.from, Problem: strconv.Quote(field) + " is not a network", Remedy: "write networks separated by commas, such as 10.0.0.0/8,192.168.1.7"}
		}
		if p.Bits() == 0 {
			return &Error{Setting: g.from, Problem: strconv.Quote(field) + " is everybody", Remedy: "name only the networks of your proxies"}
		}
		s.TrustedProxies = append(s.TrustedProxies, p)
	}
	return nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen()), nil
}

func checkPublicURL(raw map[string]given, s *Settings) error {
	g := raw[publicURLName]
	if !g.set {
		return defaultPublicURL(raw, s)
	}
	u, err := url.Parse(g.value)
	if err != nil || u.Host == "" || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return &Error{Setting: g.from, Problem: "is not a web address", Remedy: "write http(s)://host[:port], such as https://tributary.example.org"}
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return &Error{Setting: g.from, Problem: "has more than a scheme, a host and a port", Remedy: "write http(s)://host[:port] only; Tributary lives at the root of its host"}
	}
	u.Path, u.RawPath, u.Host = "", "", strings.ToLower(u.Host)
	if u.Scheme == "http" && !isLoopbackHost(u.Hostname()) {
		return &Error{
			Setting: g.from, Problem: "plain http is only for this machine itself",
			Remedy: "write https:// and set TRIBUTARY_TLS_CERT and TRIBUTARY_TLS_KEY, or put a TLS proxy in front and name it in TRIBUTARY_TRUSTED_PROXIES",
		}
	}
	s.PublicURL = u
	return nil
}

// defaultPublicURL derives the public address from ADDR, which must then name
// a host.
func defaultPublicURL(raw map[string]given, s *Settings) error {
	host, port, _ := net.SplitHostPort(s.Addr)
	scheme := "http"
	if s.TLSCert != "" {
		scheme = "https"
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		if scheme == "http" && len(s.TrustedProxies) == 0 {
			return plainHTTPError(raw)
		}
		return &Error{Setting: raw[publicURLName].from, Problem: "is needed, because " + s.Addr + " names no host", Remedy: "set it to the address that people use, such as https://tributary.example.org"}
	}
	if scheme == "http" && !isLoopbackHost(host) {
		if len(s.TrustedProxies) == 0 {
			return plainHTTPError(raw)
		}
		return &Error{Setting: raw[publicURLName].from, Problem: "is needed behind a proxy", Remedy: "set it to the address that people use, such as https://tributary.example.org"}
	}
	s.PublicURL = &url.URL{Scheme: scheme, Host: net.JoinHostPort(strings.ToLower(host), port)}
	return nil
}

// checkListen refuses plain http on an address that others can reach, unless
// only named proxies may connect.
func checkListen(raw map[string]given, s *Settings) error {
	host, _, _ := net.SplitHostPort(s.Addr)
	if s.TLSCert != "" || isLoopbackHost(host) || len(s.TrustedProxies) > 0 {
		return nil
	}
	return plainHTTPError(raw)
}

func plainHTTPError(raw map[string]given) error {
	g := raw[addrName]
	return &Error{
		Setting: g.from, Problem: "plain http on " + g.value + " would be readable by the network",
		Remedy: "listen on 127.0.0.1 and reach it by ssh -L, or set TRIBUTARY_TLS_CERT and TRIBUTARY_TLS_KEY, or put a TLS proxy in front and name it in TRIBUTARY_TRUSTED_PROXIES",
	}
}

// isLoopbackHost reports whether host reaches only the machine itself.
func isLoopbackHost(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func checkMetrics(raw map[string]given, s *Settings) error {
	g := raw[metricsAddrName]
	if !g.set {
		s.MetricsAddr = defaultMetrics
		return nil
	}
	if g.value == "off" {
		return nil
	}
	if err := checkHostPort(g); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(g.value)
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast()) {
		return &Error{Setting: g.from, Problem: g.value + " may be public, and metrics never are", Remedy: "write a loopback or private address, the machine's own name in its private network, or off"}
	}
	s.MetricsAddr = g.value
	return nil
}

// checkSandbox keeps the sandbox on this machine: its people have no passwords.
func checkSandbox(raw map[string]given, s *Settings) error {
	g := raw[sandboxAddrName]
	if !g.set || g.value == "off" {
		return nil
	}
	if err := checkHostPort(g); err != nil {
		return err
	}
	if host, _, _ := net.SplitHostPort(g.value); !isLoopbackHost(host) {
		return &Error{Setting: g.from, Problem: g.value + " can be reached by others, and the sandbox has no passwords", Remedy: "write a loopback address such as localhost:8090, or off"}
	}
	s.SandboxAddr = g.value
	return nil
}

func checkUncertain(raw map[string]given, s *Settings) error {
	g := raw[onUncertainName]
	if g.set && g.value != replayUncertain && g.value != reauthUncertain {
		return &Error{Setting: g.from, Problem: strconv.Quote(g.value) + " is neither " + replayUncertain + " nor " + reauthUncertain, Remedy: "write one of them"}
	}
	s.ReauthUncertain = g.value == reauthUncertain
	return nil
}

func checkPaths(raw map[string]given, dirs directories, s *Settings) error {
	var err error
	if s.DataDir, err = pathOr(raw[dataDirName], dirs.data()); err != nil {
		return err
	}
	key := dirs.config()
	if key != "" {
		key = filepath.Join(key, "master.key")
	}
	g := raw[masterKeyFileName]
	if s.MasterKeyFile, err = pathOr(g, key); err != nil {
		return err
	}
	if rel, err := filepath.Rel(s.DataDir, s.MasterKeyFile); err == nil && filepath.IsLocal(rel) {
		return &Error{Setting: g.from, Problem: "lies in the data directory " + s.DataDir, Remedy: "keep the key elsewhere, so that a copy of the data is useless without it"}
	}
	return nil
}

// checkFolderRoots keeps what is secret out of the folders that an admin of the
// pages may connect.
func checkFolderRoots(raw map[string]given, s *Settings) error {
	g := raw[folderRootsName]
	for dir := range strings.SplitSeq(g.value, string(filepath.ListSeparator)) {
		if dir == "" {
			continue
		}
		if !filepath.IsAbs(dir) || strings.ContainsRune(dir, 0) {
			return &Error{Setting: g.from, Problem: strconv.Quote(dir) + " is not an absolute directory", Remedy: "write absolute directories separated by colons, such as /srv/docs:/home/shared"}
		}
		dir = filepath.Clean(dir)
		for what, secret := range map[string]string{"the data directory": s.DataDir, "the master key": s.MasterKeyFile} {
			if holds(dir, secret) {
				return &Error{Setting: g.from, Problem: dir + " holds " + what, Remedy: "name directories that hold documents only"}
			}
		}
		if holds(s.DataDir, dir) {
			return &Error{Setting: g.from, Problem: dir + " lies in the data directory", Remedy: "name directories elsewhere"}
		}
		s.FolderRoots = append(s.FolderRoots, dir)
	}
	return nil
}

// holds reports whether path is dir or lies below it, also where links lead there.
func holds(dir, path string) bool {
	for _, pair := range [][2]string{{dir, path}, {resolved(dir), resolved(path)}} {
		if rel, err := filepath.Rel(pair[0], pair[1]); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// resolved follows the links of what exists of path.
func resolved(path string) string {
	if r, err := filepath.EvalSymlinks(path); err == nil {
		return r
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolved(parent), filepath.Base(path))
	}
	return path
}

// pathOr returns the absolute form of g, or fallback where g is not set.
func pathOr(g given, fallback string) (string, error) {
	path := g.value
	if !g.set {
		path = fallback
	}
	if path == "" {
		return "", &Error{Setting: g.from, Problem: "is not set, and there is no home directory to derive it from", Remedy: "set it to an absolute path"}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", &Error{Setting: g.from, Problem: "cannot be made absolute", Remedy: "write an absolute path"}
	}
	return abs, nil
}

func checkDatabases(raw map[string]given, s *Settings) error {
	for _, name := range []string{databaseURLName, migrateDatabaseName} {
		g := raw[name]
		if !g.set {
			continue
		}
		// SECURITY: the value holds a password; no message repeats it.
		u, err := url.Parse(g.value)
		if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
			return &Error{Setting: g.from, Problem: "is not a database address", Remedy: "write postgres://user:password@host:port/database; encode special characters of the password as %XX"}
		}
		if strings.Trim(u.Path, "/") == "" && u.Query().Get("dbname") == "" {
			return &Error{Setting: g.from, Problem: "names no database", Remedy: "write postgres://user:password@host:port/database"}
		}
	}
	s.DatabaseURL = NewSecret(raw[databaseURLName].value)
	s.MigrateDatabaseURL = NewSecret(raw[migrateDatabaseName].value)
	return nil
}

// Bounds of how long runs are kept.
const (
	day         = 24 * time.Hour
	maxRunDays  = 3650
	maxRunsKept = 100_000
)

func valueOr(g given, def string) string {
	if g.set {
		return g.value
	}
	return def
}

// spanOf reads a time span of days or of Go's units.
func spanOf(g given, def, example string) (time.Duration, error) {
	text := valueOr(g, def)
	var span time.Duration
	var err error
	if n, ok := strings.CutSuffix(text, "d"); ok {
		var days int
		days, err = strconv.Atoi(n)
		span = time.Duration(min(max(days, 0), maxRunDays+1)) * day
	} else {
		span, err = time.ParseDuration(text)
	}
	if err != nil || span < day || span > maxRunDays*day {
		return 0, &Error{Setting: g.from, Problem: strconv.Quote(text) + " is no time span from 1d to " + strconv.Itoa(maxRunDays) + "d", Remedy: "write days or hours, such as " + example + " or 36h"}
	}
	return span, nil
}

// checkRuns reads how long runs and changes are kept.
func checkRuns(raw map[string]given, s *Settings) error {
	var err error
	if s.RunRetention, err = spanOf(raw[runsForName], defaultRunsFor, "90d"); err != nil {
		return err
	}
	if s.FeedRetention, err = spanOf(raw[feedForName], defaultFeedFor, "14d"); err != nil {
		return err
	}
	g := raw[runsLastName]
	text := valueOr(g, defaultRunsLast)
	if s.RunRetentionLast, err = strconv.Atoi(text); err != nil || s.RunRetentionLast < 1 || s.RunRetentionLast > maxRunsKept {
		return &Error{Setting: g.from, Problem: strconv.Quote(text) + " is no number from 1 to " + strconv.Itoa(maxRunsKept), Remedy: "write how many runs of each connection are kept, such as " + defaultRunsLast}
	}
	return nil
}

func checkReads(raw map[string]given, s *Settings) error {
	for _, x := range []struct {
		name, off, on string
		to            *bool
	}{{readAuditName, readsOn, readsStrict, &s.ReadAuditStrict}, {readQueriesName, queriesOff, queriesKept, &s.ReadAuditQueries}} {
		g := raw[x.name]
		if g.set && g.value != x.off && g.value != x.on {
			return &Error{Setting: g.from, Problem: strconv.Quote(g.value) + " is neither " + x.off + " nor " + x.on, Remedy: "write one of them"}
		}
		*x.to = g.value == x.on
	}
	var err error
	s.ReadAuditRetention, err = spanOf(raw[readsForName], defaultReadsFor, defaultReadsFor)
	return err
}
