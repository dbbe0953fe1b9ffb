package web_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/jobs"
	"tributary/store"
)

// shelf is a source of containers: tops, and below each of them "low-0" to "low-449".
type shelf struct {
	store   *store.Store
	fail    error // of the next calls
	opened  []string
	changed []connectors.Selection
	// narrows is what changes take out, hides what was confirmed of each: -1 is nothing.
	narrows *jobs.Narrowing
	hides   []int64
}

func (s *shelf) Choices(_ context.Context, _ store.Connection, parent string, skip, limit int) ([]connectors.Choice, bool, error) {
	s.opened = append(s.opened, fmt.Sprint(parent, "+", skip))
	if s.fail != nil {
		return nil, false, s.fail
	}
	all := []connectors.Choice{{ID: "top-a", Name: "Top <A>", HasChildren: true, Detail: "many below"}, {ID: "top-b", Name: "Top B"}, {ID: `q"'&`, Name: ""}}
	if parent != "" {
		all = nil
		for i := range 450 {
			all = append(all, connectors.Choice{ID: fmt.Sprintf("%s/low-%d", parent, i), Name: fmt.Sprint("Low ", i), HasChildren: i == 0})
		}
	}
	all = all[min(skip, len(all)):]
	return all[:min(limit, len(all))], len(all) > limit, nil
}

func (s *shelf) Narrowing(context.Context, store.Connection, map[string]string, connectors.Selection) (*jobs.Narrowing, error) {
	return s.narrows, s.fail
}

func (s *shelf) Change(ctx context.Context, conn store.Connection, settings map[string]string, sel connectors.Selection, events ...audit.Event) (store.Connection, bool, error) {
	s.hides = append(s.hides, -1)
	return s.change(ctx, conn, settings, sel, events)
}

func (s *shelf) ChangeConfirmed(
	ctx context.Context, conn store.Connection, settings map[string]string, sel connectors.Selection, hides int64, events ...audit.Event,
) (store.Connection, bool, error) {
	s.hides = append(s.hides, hides)
	return s.change(ctx, conn, settings, sel, events)
}

func (s *shelf) change(ctx context.Context, conn store.Connection, settings map[string]string, sel connectors.Selection, events []audit.Event) (store.Connection, bool, error) {
	if s.fail != nil {
		return conn, false, s.fail
	}
	s.changed = append(s.changed, sel)
	var needed []string
	for _, sc := range fakeSpec().ScopesFor("fake-x", settings) {
		needed = append(needed, sc.Name)
	}
	return s.store.ChangeConnection(ctx, conn.ID, store.ConnectionChange{Settings: settings, Selection: sel, NeededScopes: needed, From: conn.SelectionVersion}, nil, events...)
}

var inputs = regexp.MustCompile(`<(input|button|textarea|select)\b([^>]*)>([^<]*)`)

// form reads the fields of the page's main form as a browser sends them, without its buttons, and the buttons by their text.
func (p page) form(t *testing.T) (fields, buttons map[string]string) {
	t.Helper()
	_, body, ok := strings.Cut(p.body, `/choose" class="form">`)
	if !ok {
		t.Fatalf("no form: %d\n%s", p.status, p.text())
	}
	body, _, _ = strings.Cut(body, "</form>")
	fields, buttons = map[string]string{}, map[string]string{}
	attribute := func(tag, name string) string {
		m := regexp.MustCompile(`\b` + name + `="([^"]*)"`).FindStringSubmatch(tag)
		if m == nil {
			return ""
		}
		return html.UnescapeString(m[1])
	}
	for _, m := range inputs.FindAllStringSubmatch(body, -1) {
		name, value := attribute(m[2], "name"), attribute(m[2], "value")
		switch {
		case m[1] == "button":
			label := attribute(m[2], "aria-label")
			if label == "" {
				label = html.UnescapeString(strings.TrimSpace(m[3]))
			}
			buttons[label] = value
		case m[1] == "textarea":
			fields[name] = html.UnescapeString(m[3])
		case m[1] == "select":
			fields[name] = "a"
		case regexp.MustCompile(`type="(checkbox|radio)"`).MatchString(m[2]) && !strings.Contains(m[2], " checked"):
		default:
			fields[name] = value
		}
	}
	return fields, buttons
}

// press sends the form with a button, after edit.
func (b *browser) press(t *testing.T, p page, button string, edit func(f map[string]string)) page {
	t.Helper()
	fields, buttons := p.form(t)
	if edit != nil {
		edit(fields)
	}
	do, ok := buttons[button]
	if !ok {
		t.Fatalf("no button %q among %q", button, buttons)
	}
	list := []string{"do", do}
	for name, value := range fields {
		list = append(list, name, value)
	}
	return b.post("/connections/files/choose", list...)
}

// ticked are the values of the boxes that are ticked.
func ticked(f map[string]string) (list []string) {
	for name, value := range f {
		if strings.HasPrefix(name, "pick.") {
			list = append(list, value)
		}
	}
	slices.Sort(list)
	return list
}

// testChoosing ticks at several places and saves once.
func testChoosing(t *testing.T) {
	o := newOAuthRig(t)
	k := o.connected(t)
	p := o.ada.get("/connections/files")
	p.has(t, `href="/connections/files/choose"`)
	p = o.ada.get("/connections/files/choose")
	p.says(t, http.StatusOK, "What files syncs", "Top <A>", "many below", "Corner", "Corner of the drive. For example north.", "mail.read")
	f, buttons := p.form(t)
	if f["scope"] != "everything" || len(ticked(f)) != 0 || buttons["Open Top <A>"] == "" || buttons["Open Top B"] != "" || buttons["Further ones"] != "" {
		t.Fatalf("the form is %q, its buttons %q", f, buttons)
	}
	first := regexp.MustCompile(`name="pick\.(\d+)" value="([^"]*)"`)
	box := func(p page, id string) (name, value string) {
		t.Helper()
		for _, m := range first.FindAllStringSubmatch(p.body, -1) {
			if v := html.UnescapeString(m[2]); strings.Contains(v, `"i":"`+id+`"`) {
				return "pick." + m[1], v
			}
		}
		t.Fatalf("no box of %s", id)
		return "", ""
	}
	tick := func(p page, ids ...string) func(map[string]string) {
		return func(f map[string]string) {
			f["scope"] = "chosen"
			for _, id := range ids {
				name, value := box(p, id)
				f[name] = value
			}
		}
	}
	p = o.ada.press(t, p, "Open Top <A>", tick(p, "top-b"))
	p.says(t, http.StatusOK, "Low 0", "Low 199", "Chosen elsewhere", "Top B")
	p = o.ada.press(t, p, "Further ones", tick(p, "top-a/low-7"))
	p.says(t, http.StatusOK, "Low 200", "Low 399", "Top B", "Low 7")
	p = o.ada.press(t, p, "Further ones", tick(p, "top-a/low-201"))
	p.says(t, http.StatusOK, "Low 449")
	if _, buttons := p.form(t); buttons["Further ones"] != "" || buttons["Earlier ones"] == "" {
		t.Errorf("at the end the buttons are %q", buttons)
	}
	p = o.ada.press(t, p, "Take out Low 7", nil)
	p = o.ada.press(t, p, "Top", func(f map[string]string) { f["set.depth"] = "4" })
	f, _ = p.form(t)
	if got := ticked(f); len(got) != 1 || !strings.Contains(got[0], "top-b") || f["set.depth"] != "4" || f["scope"] != "chosen" {
		t.Errorf("back at the top: %q", f)
	}
	if len(o.shelf.changed) != 0 {
		t.Fatal("something was saved")
	}
	p = o.ada.press(t, p, "Save", tick(p, `q\"'\u0026`))
	if p.status != http.StatusSeeOther || p.location() != "/connections/files?done=chosen" {
		t.Fatalf("saving: %d to %q\n%s", p.status, p.location(), p.text())
	}
	o.ada.get(p.location()).says(t, http.StatusOK, "What is synced is saved", "3 of what the source has")
	after, err := o.store.Connection(t.Context(), "files")
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(slices.Values(after.Selection.Containers))
	if want := []string{`q"'&`, "top-a/low-201", "top-b"}; !slices.Equal(got, want) || after.ID != k.ID || after.Settings["depth"] != "4" || after.Settings["corner"] != "north" {
		t.Errorf("saved %q, settings %v", got, after.Settings)
	}
	events, err := o.store.AuditEvents(t.Context(), store.AuditFilter{Action: "connection.change"})
	if err != nil || len(events) != 1 || events[0].Actor.Name != "ada" {
		t.Errorf("the audit log: %+v, %v", events, err)
	}
	p = o.ada.press(t, o.ada.get("/connections/files/choose"), "Save", func(f map[string]string) { f["scope"] = "everything" })
	if after, err = o.store.Connection(t.Context(), "files"); err != nil || p.status != http.StatusSeeOther || len(after.Selection.Containers) != 0 {
		t.Errorf("everything: %d, %+v, %v", p.status, after.Selection, err)
	}
}

// testChoosingHides: what a change takes out is shown first, and only that very change is confirmed by it.
func testChoosingHides(t *testing.T) {
	o := newOAuthRig(t)
	o.connected(t)
	const confirm = "Hide them and save"
	p := o.ada.get("/connections/files/choose")
	if _, buttons := p.form(t); buttons[confirm] != "" {
		t.Error("something is to be confirmed before anything was saved")
	}
	o.shelf.narrows = &jobs.Narrowing{Hides: 12, Exact: true, Total: 40, Examples: []string{"plans/<a>.md", "plans/b.md"}}
	p = o.ada.press(t, p, "Save", func(f map[string]string) { f["exclude"], f["set.depth"] = "plans/**", "4" })
	p.says(t, http.StatusOK, "This hides 12 of 40 documents, such as:", "plans/<a>.md", "plans/b.md")
	if f, _ := p.form(t); f["exclude"] != "plans/**" || f["set.depth"] != "4" || len(o.shelf.hides) != 0 {
		t.Fatalf("asked, the form is %q; %d changes", f, len(o.shelf.hides))
	}
	// Something else than what was shown is asked for anew.
	o.ada.press(t, p, confirm, func(f map[string]string) { f["exclude"] = "**" }).says(t, http.StatusOK, "This hides 12 of 40 documents")
	o.ada.press(t, p, "Save", nil).says(t, http.StatusOK, "This hides 12 of 40 documents")
	if len(o.shelf.hides) != 0 {
		t.Fatal("a change was made that nobody confirmed")
	}
	if q := o.ada.press(t, p, confirm, nil); q.status != http.StatusSeeOther || !slices.Equal(o.shelf.hides, []int64{12}) {
		t.Fatalf("confirmed: %d, %v\n%s", q.status, o.shelf.hides, q.text())
	}
	o.shelf.narrows = &jobs.Narrowing{Hides: 40, Total: 40}
	p = o.ada.press(t, o.ada.get("/connections/files/choose"), "Save", func(f map[string]string) { f["exclude"] = "" })
	p.says(t, http.StatusOK, "This may hide up to 40 documents")
	o.shelf.narrows = &jobs.Narrowing{Exact: true, Total: 40}
	if q := o.ada.press(t, p, "Save", nil); q.status != http.StatusSeeOther || !slices.Equal(o.shelf.hides, []int64{12, 0}) {
		t.Fatalf("nothing is taken out: %d, %v", q.status, o.shelf.hides)
	}
}

// testChoosingRefused: what is wrong is said on the page, with what was entered.
func testChoosingRefused(t *testing.T) {
	o := newOAuthRig(t)
	o.connected(t)
	p := o.ada.get("/connections/files/choose")
	o.ada.press(t, p, "Save", func(f map[string]string) { f["scope"] = "chosen" }).says(t, http.StatusUnprocessableEntity, "Nothing is chosen")
	o.ada.press(t, p, "Save", func(f map[string]string) { f["pick.0"] = `{"i":"top-a"}` }).says(t, http.StatusUnprocessableEntity, "Something is ticked, and everything is to be synced")
	o.ada.press(t, p, "Save", func(f map[string]string) { f["set.depth"] = "deep" }).says(t, http.StatusUnprocessableEntity, "Depth: must be a whole number")
	for _, wrong := range [][]string{
		{"do", "open."},
		{"do", "open.{}"},
		{"do", "up.1"},
		{"do", "up.-1"},
		{"do", "drop.0"},
		{"do", ""},
		{"do", "jump.1"},
		{"do", "from.x"},
		{"do", "save", "trail", "{"},
		{"do", "save", "kept", "7"},
		{"do", "save", "pick.0", "x"},
		{"do", "save", "from", "-1"},
		{"do", "save", "pick.200", "{}"},
		{"do", "save", "other", "1"},
		{"do", "save", "trail", "[" + strings.Repeat("{},", 64) + "{}]"},
	} {
		if p := o.ada.post("/connections/files/choose", wrong...); p.status != http.StatusBadRequest && p.status != http.StatusUnprocessableEntity || p.choosing() {
			t.Errorf("%q: %d\n%s", wrong, p.status, p.text())
		}
	}
	wall := &connectors.Error{Op: "listing drives", Class: connectors.ScopeDenied, Code: "api_not_enabled", Err: errors.New("The API is not enabled. Enable it in the console.")}
	o.shelf.fail = wall
	p = o.ada.get("/connections/files/choose")
	p.says(t, http.StatusOK, "The source could not be listed", "Enable it in the console.", "Corner of the drive")
	below := o.ada.post("/connections/files/choose", "do", `open.{"i":"top-a","n":"Top A"}`)
	below.says(t, http.StatusOK, "The source could not be listed")
	o.shelf.fail = nil
	o.ada.press(t, below, "Top", nil).says(t, http.StatusOK, "Top B")
	o.shelf.fail = wall
	o.ada.press(t, p, "Save", nil).says(t, http.StatusUnprocessableEntity, "Enable it in the console.")
	o.shelf.fail = errors.New("SQLSTATE canary")
	if p := o.ada.get("/connections/files/choose"); p.status != http.StatusInternalServerError || strings.Contains(p.body, "canary") {
		t.Errorf("an error of ours: %d\n%s", p.status, p.text())
	}
	o.shelf.fail = nil
	if len(o.shelf.changed) != 0 {
		t.Errorf("saved %v", o.shelf.changed)
	}
	if p := o.ada.get("/connections/nosuch/choose"); p.status != http.StatusNotFound {
		t.Errorf("no connection: %d", p.status)
	}
}

// choosing reports whether the page has the form of the choice.
func (p page) choosing() bool { return strings.Contains(p.body, `/choose" class="form">`) }

// testScopesBySetting: consent asks what the settings need, and a setting that needs more degrades the connection until it is granted.
func testScopesBySetting(t *testing.T) {
	o := newOAuthRig(t)
	o.ada.get("/connect?source=fakedrive&registration="+o.reg.ID.String()).says(t, http.StatusOK, "mail.read", "only where a setting needs it: mode = b")
	if link := o.begin(o.ada, "files").link(t); strings.Contains(link, "mail.read") || !strings.Contains(link, "files.read") {
		t.Errorf("asked for %s", link)
	}
	k := o.connected(t)
	if slices.Contains(k.NeededScopes, "mail.read") {
		t.Errorf("it needs %q", k.NeededScopes)
	}
	save := func(mode string) store.Connection {
		t.Helper()
		p := o.ada.press(t, o.ada.get("/connections/files/choose"), "Save", func(f map[string]string) { f["set.mode"] = mode })
		after, err := o.store.Connection(t.Context(), "files")
		if err != nil || p.status != http.StatusSeeOther {
			t.Fatalf("saving: %d, %v\n%s", p.status, err, p.text())
		}
		return after
	}
	wide := save("b")
	if wide.State != store.StateDegraded || !strings.Contains(wide.StateReason, "mail.read") {
		t.Errorf("widened it is %s: %s", wide.State, wide.StateReason)
	}
	p := o.ada.get("/connections/files")
	p.says(t, http.StatusOK, "mail.read", "Grant again")
	if link := o.ada.post("/connections/files/grant-again").link(t); !strings.Contains(link, "mail.read") {
		t.Errorf("grant again asks for %s", link)
	}
	if narrow := save("a"); narrow.State != store.StateActive || slices.Contains(narrow.NeededScopes, "mail.read") {
		t.Errorf("narrowed it is %s: %s", narrow.State, narrow.StateReason)
	}
}

// testSeveralProviders: a source is connected through a registration at any provider that it accepts.
func testSeveralProviders(t *testing.T) {
	o := newOAuthRig(t)
	several := fakeSpec()
	several.Source, several.Name, several.Provider, several.OtherProviders = "several", "Several", "github-app", []string{"github-oauth", "fake-x"}
	several.Scopes = append(several.Scopes, connectors.Scope{Name: "app.read", Reason: "Reads as an app.", Providers: []string{"github-app"}})
	unready := several
	unready.Source, unready.OtherProviders = "unready", several.OtherProviders[:1]
	o.parts.Sources = append(o.parts.Sources, several, unready)
	p := o.ada.get("/connect")
	p.has(t, "/connect?source=several&amp;registration="+o.reg.ID.String(), "/registrations/new?provider=github-app", "/registrations/new?provider=github-oauth")
	if strings.Contains(p.body, "source=unready&amp;registration") {
		t.Error("a registration at another provider is offered")
	}
	p = o.ada.get("/connect?source=several&registration=" + o.reg.ID.String())
	p.says(t, http.StatusOK, "files.read")
	if strings.Contains(p.body, "app.read") {
		t.Error("a permission of another provider is named")
	}
	p = o.ada.post("/connect", "source", "several", "registration", o.reg.ID.String(), "kind", "authorization_code", "name", "files", "set.corner", "north")
	if link := p.link(t); strings.Contains(link, "app.read") || !strings.Contains(link, "groups.read") {
		t.Errorf("asked for %s", link)
	}
	p = o.ada.post("/connect", "source", "unready", "registration", o.reg.ID.String(), "kind", "authorization_code", "name", "files", "set.corner", "north")
	p.says(t, http.StatusUnprocessableEntity, "it is at another provider than the source")
	o.ada.get("/registrations/new").says(t, http.StatusOK, "Several")
	o.ada.get("/registrations/"+o.reg.ID.String()).says(t, http.StatusOK, "several")
}
