package main

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"

	"tributary/store"
)

// readCommands are the commands that hand out documents, and as which tool they
// are recorded.
func readCommands() map[string]string {
	return map[string]string{"search": "search", "documents list": "list", "documents show": "document", "documents text": "text", "documents chunks": "chunks"}
}

// noReadCommands are the commands whose use is no read of documents, by the reason.
func noReadCommands() map[string]string {
	return map[string]string{
		"it states what is set up and how it goes": `audit list, audit reads, audit who-read, connections list, connections show, connections limits, connections schedule, doctor, jobs list, master-key status, migrate status, notices list,
			profiles list, profiles test, providers list, providers show, queues list, registrations list, registrations show, version, workers list`,
		"readers, keys, people and accounts": `groups list, principals groups, principals members, principals show, grants list, grants show, keys create, keys list, keys revoke, keys rotate, keys show, keys signers add, keys signers list, keys signers remove,
			readers create, readers delete, readers disable, readers email add, readers email remove, readers enable, readers identity add, readers identity remove, readers import, readers link, readers list, readers show, readers unlink,
			readers unmatched, tokens create, tokens list, tokens revoke, users create, users delete, users disable, users enable, users end-sessions, users list, users reset-password, users set-role, users setup-token, users show`,
		"names of items, never a text, for who has the database": `connections browse, connections choose, deletions list, deletions show, documents excluded, documents quarantined, documents skipped, erase list, erase show, erase verify, plan, runs items,
			runs list, runs log, runs show, runs watch`,
		"who may read it, which the audit log records": `explain`,
		"it changes something": `connect folder, connect gitea, connect github, connect googledrive, connect push, connect sandbox, connections delete, connections disconnect, connections map-email, connections pause, connections permission-age, connections resume, connections update,
			connector new, deletions approve, deletions reject, erase connection, erase document, erase selection, erase vacuum, grants check, grants expire, grants refresh, grants revoke, jobs retry, master-key create, master-key replace, master-key rotate, migrate up,
			profiles activate, profiles create, push, quarantine exclude, quarantine include, quarantine retry, queues pause, queues resume, registrations check, registrations create, registrations delete, registrations update, runs cancel, sync`,
		"it serves what is recorded there": `serve, up, worker`,
	}
}

// TestEveryCommandRecordsItsReads, or says why it reads no document. A new
// command is missing here.
func TestEveryCommandRecordsItsReads(t *testing.T) {
	t.Parallel()
	said := readCommands()
	for why, list := range noReadCommands() {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			if said[name] != "" {
				t.Errorf("%s is listed as %q and as %q", name, said[name], why)
			}
			said[name] = why
		}
	}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			switch {
			case !sub.IsAvailableCommand() || sub.Name() == "help" || sub.Name() == "completion":
			case sub.HasSubCommands():
				walk(sub)
			default:
				name := strings.TrimPrefix(sub.CommandPath(), "tributary ")
				if said[name] == "" {
					t.Errorf("tributary %s: say here how its reads are recorded, or why it reads no document", name)
				}
				delete(said, name)
			}
		}
	}
	walk(newRoot(&app{stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}))
	for name := range said {
		t.Errorf("tributary %s is listed and there is no such command", name)
	}
}

// TestReadsAreAuditedFromTheCommandLine: what commands and the server hand out
// is listed with whom it went to; a server that is killed loses its last second,
// and one that is stopped nothing.
func TestReadsAreAuditedFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t, "TRIBUTARY_READ_AUDIT_QUERIES=on")
	s.write("docs", map[string]string{"handbook.md": "# Handbook\n\nThe zebra rule is for everybody.\n", "other.md": "# Other\n\nAnother animal.\n"})
	up := s.start("up", "--no-demo")
	up.await("is running")
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path=docs", "--every", "1h")
	s.must(exitOK, "sync", "docs", "--wait")
	s.must(exitOK, "readers", "create", "ada")
	s.must(exitOK, "readers", "link", "ada", "unix:root")
	key, _, _ := strings.Cut(s.must(exitOK, "keys", "create", "app", "--reader", "ada", "--connections", "all").stdout, "\n")
	doc := mustJSON[store.SearchResponse](s, exitOK, "search", "zebra", "--as", "ada").Results[0].DocumentID.String()
	whoRead := func(args ...string) []store.Read {
		t.Helper()
		return mustJSON[[]store.Read](s, exitOK, append([]string{"audit", "who-read", doc}, args...)...)
	}
	seen := map[string]int{"search": 1}
	for name, tool := range readCommands() {
		if name == "search" {
			continue
		}
		args := append(strings.Fields(name), "--as", "ada")
		if name != "documents list" {
			args = append(args, doc)
		}
		s.must(exitOK, args...)
		seen[tool]++
	}
	for _, r := range whoRead() {
		seen[r.Tool]--
		if r.Reader != "ada" || !strings.Contains(r.Actor, "@") || r.KeyID != nil || r.PermissionsAsOf["docs"] == nil || (r.Query != nil && *r.Query == "zebra") != (r.Tool == "search") {
			t.Errorf("recorded %+v", r)
		}
	}
	for tool, n := range seen {
		if n != 0 {
			t.Errorf("%s: %d records are missing", tool, n)
		}
	}

	before := len(whoRead())
	ask := func() {
		t.Helper()
		if status := s.get(key, "/v1/documents/"+doc); status != 200 {
			t.Fatalf("the server answers %d", status)
		}
	}
	ask()
	waitUntil(t, startLimit, "the record of a read", func() bool { return len(whoRead()) == before+1 })
	if r := whoRead("--limit", "1"); len(r) != 1 || r[0].Key != "app" || r[0].Reader != "ada" || r[0].Actor != "" {
		t.Errorf("recorded %+v", r)
	}
	ask()
	_ = up.cmd.Process.Kill() // -9
	<-up.exited
	up = s.start("up", "--no-demo")
	up.await("is running")
	if n := len(whoRead()); n < before+1 || n > before+2 {
		t.Errorf("%d reads are recorded after a kill, %d before", n, before+1)
	}
	before = len(whoRead())
	for range 20 {
		ask()
	}
	if code := up.signal(syscall.SIGTERM); code != exitOK {
		t.Fatalf("the server ended with %d", code)
	}
	if n := len(whoRead()); n != before+20 {
		t.Errorf("%d of 20 reads are recorded after a stop", n-before)
	}
	if r := s.must(exitOK, "audit", "reads", "--reader", "ada", "--limit", "3"); strings.Count(r.stdout, "key app") != 3 || !strings.Contains(r.stdout, doc) {
		t.Errorf("listed\n%s", r.stdout)
	}
	s.must(exitNotFound, "audit", "reads", "--reader", "nobody")
	s.must(exitUsage, "audit", "who-read", "no-id")
	s.must(exitUsage, "audit", "reads", "--limit", "1001")
	up = s.start("up", "--no-demo")
	up.await("is running")
	if r := s.run("doctor"); !strings.Contains(r.stdout, "% of the database, for reads since 20") {
		t.Errorf("doctor does not measure the read audit:\n%s\n%s", r.stdout, r.stderr)
	}
}
