package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgserver"
	"tributary/store"
)

// manyFiles writes n files of a few chunks each.
func (s *site) manyFiles(dir string, n int) string {
	s.t.Helper()
	files := map[string]string{}
	for i := range n {
		var b strings.Builder
		for section := range 12 {
			fmt.Fprintf(&b, "# Section %d of file %d\n\n%s\n\n", section, i, strings.Repeat(fmt.Sprintf("Sentence %d-%d about rivers. ", i, section), 30))
		}
		files[fmt.Sprintf("part%d/file%04d.md", i%10, i)] = b.String()
	}
	return s.write(dir, files)
}

// TestInterruptedSyncContinues stops a sync by Ctrl-C in the middle of its work
// and lets the next one finish it.
func TestInterruptedSyncContinues(t *testing.T) {
	t.Parallel()
	const files = 600
	s := newSettledSite(t)
	docs := s.manyFiles("many", files)
	s.must(exitOK, "connect", "folder", "--name", "many", "--set", "path="+docs)
	sync := s.start("sync", "many", "--wait")
	awaitAdded(t, s, sync)
	if code := sync.stop(); code != exitInterrupted || !strings.Contains(sync.out.String(), "press Ctrl-C again") {
		t.Fatalf("the interrupted sync ended with %d:\n%s", code, sync.out)
	}
	report := mustJSON[syncReport](s, exitOK, "sync", "many", "--wait")
	if report.Totals.Documents != files {
		t.Errorf("%d documents, want %d", report.Totals.Documents, files)
	}
	for _, r := range report.Runs {
		if r.Lane == store.Content && r.Counts.Added > files {
			t.Errorf("%d documents were added, some of them twice", r.Counts.Added)
		}
	}
}

// awaitAdded waits until a sync that runs the managed database itself has
// committed documents.
func awaitAdded(t *testing.T, s *site, sync *daemon) {
	t.Helper()
	var conn *pgx.Conn
	waitUntil(t, startLimit, "the sync to have committed something", func() bool {
		select {
		case <-sync.exited:
			t.Fatalf("the sync ended before it could be interrupted:\n%s", sync.out)
		default:
		}
		if conn == nil {
			address, ok, err := pgserver.AttachTo(s.setting("TRIBUTARY_DATA_DIR"), managedName)
			if !ok || err != nil {
				return false
			}
			if conn, err = pgx.Connect(t.Context(), address); err != nil {
				conn = nil
				return false
			}
		}
		var added int
		err := conn.QueryRow(t.Context(), `SELECT coalesce(sum((counts->>'added')::int), 0) FROM tributary.sync_run`).Scan(&added)
		return err == nil && added > 0
	})
	// The sync stops its database only after every other command.
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestCommandsShareTheManagedDatabase runs commands at once while no server
// runs: one of them starts the database, and stops it after the last.
func TestCommandsShareTheManagedDatabase(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	s.must(exitOK, "connections", "list")
	var commands []*daemon
	for range 4 {
		commands = append(commands, s.start("readers", "create", "reader"+fmt.Sprint(len(commands))))
	}
	for _, c := range commands {
		<-c.exited
		if code := c.cmd.ProcessState.ExitCode(); code != exitOK {
			t.Errorf("exit code %d:\n%s", code, c.out)
		}
	}
	if got := len(mustJSON[[]store.Reader](s, exitOK, "readers", "list")); got != len(commands) {
		t.Errorf("%d readers, want %d", got, len(commands))
	}
}

// TestSecondSignalForces sends two signals: the second does not wait.
func TestSecondSignalForces(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	up := s.start("up")
	up.await("is running at")
	_ = up.cmd.Process.Signal(syscall.SIGINT)
	// Either the graceful stop was quicker, or the second signal forced it.
	if code := up.signal(syscall.SIGINT); code != exitOK && code != exitInterrupted {
		t.Errorf("exit code %d:\n%s", code, up.out)
	}
	s.must(exitOK, "connections", "list")
}

func TestServesTLS(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	cert, key := writeCertificate(t, s.dir)
	missing := s.run("up", "--tls-cert", cert, "--tls-key", filepath.Join(s.dir, "no.pem"))
	if missing.code != exitUsage || !strings.Contains(missing.stderr, "TRIBUTARY_TLS_CERT") {
		t.Errorf("a missing key: exit code %d, %s", missing.code, missing.stderr)
	}
	up := s.start("up", "--tls-cert", cert, "--tls-key", key)
	up.await("is running at https://")
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.setting("TRIBUTARY_ADDR")+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
}

// writeCertificate writes a self-signed certificate for loopback.
func writeCertificate(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: pkcs}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
