package jobs

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/store"
)

//go:generate go test -count=1 -run TestFailuresPage . -args -update

var update = flag.Bool("update", false, "write docs/failures.md")

const failuresPage = "../docs/failures.md"

// TestFailuresPage: the page is what the tables say.
func TestFailuresPage(t *testing.T) {
	t.Parallel()
	want := failures()
	if *update {
		if err := os.WriteFile(failuresPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(failuresPage)
	if err != nil || string(got) != want {
		t.Errorf("docs/failures.md is not what the tables say: run go generate ./jobs (%v)", err)
	}
}

func classes() []connectors.Class {
	return []connectors.Class{
		connectors.Unknown, connectors.Transient, connectors.RateLimited, connectors.GrantLost, connectors.ClientRejected, connectors.ScopeDenied,
		connectors.CursorExpired, connectors.ItemSkipped, connectors.ItemRefused, connectors.Invalid, connectors.Bug,
	}
}

func failures() string {
	var b strings.Builder
	b.WriteString(`<!-- Generated from the tables of jobs and store by "go generate ./jobs". Do not edit. -->
# Failures, limits and notices

## How a run ends

A run is ` + "`succeeded`, `partial`, `failed`, `cancelled` or `superseded`" + `. It is succeeded only if every item that the source listed is stored, was stored
already, or is one that is not ingested (an image, a file without text). Quarantined items, items whose content the source refuses (401, 403, 404), containers
that could not be listed and held deletions make it partial. What lies below a container that could not be listed is neither hidden nor purged. What is missing elsewhere may
have been moved there: it is hidden, and purged once a listing of everything an hour later does not contain it either, or after 7 days. A run that failed has inferred no deletion; the next one goes on where it stopped.

Every error of a source has one of these classes, and nothing but the class decides:

| Class | The run | Tries without progress | Connection | An item whose download says so | Notice |
|---|---|---|---|---|---|
`)
	for _, c := range classes() {
		o := outcomeOf(c)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", c, runWords(o), tryWords(o), code(string(o.conn)), itemWords(o.item), code(o.notice))
	}
	b.WriteString(`
Waits between tries grow from 2 seconds to 15 minutes; what a source asks for by Retry-After is kept to, up to an hour. Errors by which PostgreSQL says that it
cannot write (full disk, read-only, restart) count as ` + "`transient`" + ` and use up no try.

## Documents that fail

A document that cannot be downloaded or read is quarantined with its reason, and the run goes on. It is tried in three runs; then it rests until it has a new
revision. What failed in passing (` + "`transient`, `unknown`" + `) is tried again at the end of the same run, where the source can give single items.
` + "`tributary documents quarantined NAME` lists them, `tributary quarantine retry NAME --all`" + ` lets them be tried again at once, and
` + "`tributary quarantine exclude NAME ID`" + ` leaves an item out for good and removes what is stored of it.
` + "`tributary documents excluded NAME` lists those, and `tributary quarantine include NAME ID`" + ` takes one back.

## Limits of a run

` + "`tributary connections limits NAME --set max_pages=5000000`" + ` sets them for a connection.

| Limit | Default | A run ends when |
|---|---|---|
`)
	for _, l := range store.RunLimitTable() {
		fmt.Fprintf(&b, "| `%s` | %d | %s |\n", l.Name, l.Default, l.Means)
	}
	b.WriteString(`
A listing that gives a cursor or a page twice loops: the run fails, and the next one starts over. Limits of failed items keep a source whose downloads are down
from being quarantined as a whole: before a run's last try, items that fail one after the other are not counted as tried.

## Notices

` + "`tributary notices list`" + ` shows what needs attention; so do ` + "`tributary doctor`" + ` and the gauge ` + "`tributary_notices`" + `. A notice is there as long as its cause,
and is cleared by itself.

| Code | Severity | What it means | What to do |
|---|---|---|---|
`)
	for _, k := range store.NoticeKinds() {
		remedy := strings.NewReplacer("{connection}", "CONNECTION", "{subject}", "NAME").Replace(k.Remedy)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", k.Code, k.Severity, k.Means, remedy)
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

func runWords(o outcome) string {
	switch {
	case o.snapshot:
		return "superseded by a snapshot that deletes nothing"
	case o.retry && o.attempts > 0:
		return "tried again, then failed"
	case o.retry:
		return "tried again after the wait that was asked for"
	default:
		return string(o.run)
	}
}

func tryWords(o outcome) string {
	switch {
	case o.attempts > 0:
		return fmt.Sprint(o.attempts)
	case o.retry:
		return "without bound"
	default:
		return "1"
	}
}

func itemWords(k resultKind) string {
	switch k {
	case resultFatal:
		return "ends the slice as the run's error"
	case resultRefused:
		return "is hidden, and purged after 7 days"
	case resultQuarantined:
		return "is quarantined"
	case resultDocument, resultTouched, resultSkipped:
	}
	return "?"
}

// TestEveryClassHasItsNotice: what an admin has to know of a class is a kind of
// notice that exists.
func TestEveryClassHasItsNotice(t *testing.T) {
	t.Parallel()
	kinds := map[string]bool{"": true}
	for _, k := range store.NoticeKinds() {
		kinds[k.Code] = true
	}
	for _, c := range classes() {
		o := outcomeOf(c)
		if !kinds[o.notice] || (o.notice == "") != (c == connectors.CursorExpired) {
			t.Errorf("%s has the notice %q", c, o.notice)
		}
		if c == connectors.Unknown && o.conn != "" {
			t.Errorf("an unknown error makes the connection %s", o.conn)
		}
	}
	if n := len(classes()); connectors.Class(n).String() != connectors.Unknown.String() {
		t.Errorf("class %s is missing here", connectors.Class(n))
	}
}
