package main

import (
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/internal/browsertest"
)

// mostPages bounds the walk: more pages than this are a loop.
const mostPages = 150

// everyKind are the kinds of pages to which links lead, for an owner.
func everyKind() []string {
	return strings.Fields(`/ /connections /connections/:name /connections/:name/runs /connections/:name/quarantine /connections/:name/deletions /connections/:name/schedule /connections/:name/plan /connections/:name/choose
		/connections/:name/grant /connections/:name/settings /connections/:name/disconnect /runs/:id /deletions/:id /erasures /erasures/:id /documents /documents/:id /documents/:id/access /search /readers /readers/:id
		/readers/new /readers/import /readers/unmatched /readers/:id/delete /groups /principals/:id /keys /keys/:id /keys/new /keys/:id/revoke /registrations /registrations/new /registrations/:id
		/registrations/:id/change /grants /grants/:id /notices /audit /users /users/:id /account /account/password /system /system/jobs /profiles /connect`)
}

// auditorsKinds are those to which links lead for an auditor, who changes nothing.
func auditorsKinds() []string {
	return strings.Fields(`/ /connections /connections/:name /connections/:name/runs /connections/:name/quarantine /connections/:name/deletions /connections/:name/schedule /connections/:name/grant
		/connections/:name/settings /runs/:id /deletions/:id /documents /documents/:id /documents/:id/access /readers /readers/:id /readers/unmatched /groups /principals/:id /keys /keys/:id
		/registrations /registrations/:id /grants /grants/:id /notices /audit /account /account/password /system /system/jobs /profiles`)
}

// walk looks at a page of every kind, at those to which links lead and at those that answer a form, as the owner and as an
// auditor. TEST_ARTIFACTS keeps the pictures.
func (n *newcomer) walk(t *testing.T) {
	t.Helper()
	n.b.Complaints() // what stood on pages that were meant to go wrong
	n.follow(t, n.stage(t), everyKind())
	n.forms(t)
	n.asAuditor(t)
	t.Logf("%d pages were judged in %d views", n.judged, n.seen)
}

// follow follows every link to a page of each kind, and judges it. No link leads to a page that is refused or is not there.
func (n *newcomer) follow(t *testing.T, queue, want []string) {
	t.Helper()
	seen := map[string]bool{}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		kind := kindOf(next)
		if seen[kind] {
			continue
		}
		if seen[kind] = true; len(seen) > mostPages {
			t.Fatalf("there are more than %d kinds of pages: %v", mostPages, seen)
		}
		n.b.Open(n.public() + next)
		if status := n.b.Status(); status != http.StatusOK {
			t.Errorf("a link leads to %s, which is answered with %d", next, status)
		}
		queue = append(queue, n.b.Links()...)
		n.judge(t, kind)
	}
	for _, kind := range want {
		if !seen[kind] {
			t.Errorf("no link leads to %s", kind)
		}
	}
}

// asAuditor signs in for the first time with an account that changes nothing, looks at what it may see, in one view, and at
// the pages that refuse the rest: one that needs another role, and one whose session was ended meanwhile.
func (n *newcomer) asAuditor(t *testing.T) {
	t.Helper()
	n.b.Open(n.public() + "/users")
	password := n.makeAccount(t, "eve", "auditor")
	n.judge(t, "/users one time password")
	n.b.Press("Done")
	n.b.Press("Sign out")
	n.judge(t, "/ signed out")
	n.b.Press("Sign in")
	n.judge(t, "/signin")
	n.signIn("eve", "not-"+password)
	n.judge(t, "/signin refused")
	n.signIn("eve", password)
	n.judge(t, "/account/password first")
	n.firstPassword(password)

	n.as, n.views = "auditor", browsertest.Views()[:1]
	n.b.Open(n.public() + "/connections/drive")
	n.follow(t, append([]string{"/", "/connections/drive"}, n.b.Links()...), auditorsKinds())
	n.b.Open(n.public() + "/users")
	n.b.See("This needs the role owner")
	n.judge(t, "403")
	n.b.Open(n.public() + "/account/password")
	n.must(exitOK, "users", "end-sessions", "eve")
	n.firstPassword(grantsPassword)
	n.b.See("your session is over")
	n.judge(t, "401")
}

// stage makes what some pages need to be reached, and returns where the walk begins.
func (n *newcomer) stage(t *testing.T) []string {
	t.Helper()
	n.exec(t, `INSERT INTO tributary.deletion_hold (connection_id, run_id, listing, reason, documents, total)
		SELECT connection_id, id, 1, 'many', 12, 214 FROM tributary.sync_run WHERE lane = 'content' AND connection_id = (SELECT id FROM tributary.connection WHERE name = 'drive') LIMIT 1`)
	n.exec(t, `INSERT INTO tributary.held_document SELECT h.id, d.id FROM tributary.deletion_hold h JOIN tributary.document d USING (connection_id) LIMIT 12`)
	n.exec(t, `INSERT INTO tributary.quarantine (connection_id, external_id, path, source_revision, class, reason, attempts, run_id)
		SELECT id, 'item-1', 'Plans/Budget 2027.pdf', '3', 'item_skipped', 'the PDF has no text layer', 3, gen_random_uuid() FROM tributary.connection WHERE name = 'drive'`)
	n.b.Open(n.public() + "/connections/denied/disconnect")
	n.b.Fill("Write its name to confirm", "denied")
	n.b.Press("Disconnect and delete")
	erased := n.b.Links()
	// A page whose run has ended is still while it is judged.
	n.b.Open(n.public() + "/connections/drive")
	return append([]string{"/", "/connections/drive", "/search"}, append(n.b.Links(), erased...)...)
}

// forms are pages that answer what was asked, or refuse it.
func (n *newcomer) forms(t *testing.T) {
	t.Helper()
	n.b.Open(n.public() + "/search")
	n.b.Fill("Question", "What was decided about salaries for 2027?")
	n.b.Fill("In the place of", "anna")
	n.b.Press("Ask")
	n.b.See("for anna")
	n.judge(t, "/search answered")
	n.b.Press("Read in the document")
	n.judge(t, "/documents/:id read")
	n.b.Open(n.public() + "/connections")
	n.b.Press("Connect a source")
	n.b.Press("Connect through sandbox")
	n.judge(t, "/connect form")
	n.b.Fill("Name of the connection", "drive")
	n.b.Press("Go on")
	n.judge(t, "/connect refused")
	n.b.Fill("Name of the connection", "again")
	n.b.Press("Go on")
	n.judge(t, "/connect continue")
	for _, page := range []string{"", "/choose", "/plan", "/schedule", "/start"} {
		n.b.Open(n.public() + "/connections/part" + page)
		n.judge(t, "/connections/:name"+page+" set up")
	}
	n.b.Open(n.public() + "/connections/drive/settings")
	n.b.Push("Change the limits")
	n.b.Fill("Pages", "many")
	n.b.Press("Save the limits")
	n.judge(t, "/connections/:name/settings refused")
	n.b.Open(n.public() + "/connections/nowhere")
	n.judge(t, "404")
}

// judge looks at the page in every view: by axe where it is wide, in both themes, by its width where it is narrow.
func (n *newcomer) judge(t *testing.T, name string) {
	t.Helper()
	n.judged++
	where := path.Join("/", n.as, name)
	var problems []string
	for _, v := range n.views {
		if v.Width < 500 && v.Dark && !n.b.Keeps() {
			continue // it is as wide as in the other theme
		}
		n.b.Look(v)
		n.seen++
		if n.b.Keeps() {
			n.b.Shot("page" + strings.NewReplacer(":", "", " ", "-").Replace(strings.TrimRight(where, "/")) + "." + v.String())
		}
		if v.Width < 500 {
			problems = append(problems, n.b.Judge("")...)
		} else {
			problems = append(problems, n.b.Judge(n.axe)...)
		}
	}
	for _, p := range slices.Compact(problems) {
		// The browser says of every answer above 399 that it is one.
		if !strings.Contains(p, "the server responded with a status of 4") {
			t.Errorf("%s: %s", where, p)
		}
	}
	n.b.Look(browsertest.View{Width: 1100})
}

// kindOf is an address with what differs between pages of one kind replaced.
func kindOf(address string) string {
	parts := strings.Split(address, "/")
	for i, p := range parts {
		switch {
		case uuidPattern.MatchString(p):
			parts[i] = ":id"
		case i > 1 && slices.Contains([]string{"connections", "profiles", "queues"}, parts[i-1]):
			parts[i] = ":name"
		case i > 1 && parts[i-1] == "principals":
			parts[i] = ":id"
		}
	}
	return strings.Join(parts, "/")
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-`)
