package browsertest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// View is how a page is looked at.
type View struct {
	Width int // CSS pixels; under 500 it is a telephone
	Dark  bool
}

// Views are the four ways in which every page has to hold.
func Views() []View { return []View{{1440, false}, {1440, true}, {390, false}, {390, true}} }

func (v View) String() string {
	if v.Dark {
		return strconv.Itoa(v.Width) + "-dark"
	}
	return strconv.Itoa(v.Width) + "-light"
}

const viewHeight = 900

// Look sets how pages are looked at from now on.
func (b *Browser) Look(v View) {
	b.t.Helper()
	scheme := "light"
	if v.Dark {
		scheme = "dark"
	}
	b.must(b.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": v.Width, "height": viewHeight, "deviceScaleFactor": 1, "mobile": v.Width < 500}, nil)
	b.must(b.session, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// WithoutScripts keeps pages from running scripts, as a person may who switches them off.
func (b *Browser) WithoutScripts() {
	b.t.Helper()
	b.must(b.session, "Emulation.setScriptExecutionDisabled", map[string]any{"value": true}, nil)
}

// Links returns the paths of this server's pages that the page links to, without queries, in their order. Links within the
// page are none of them: it may stand at an address of a form.
func (b *Browser) Links() []string {
	b.t.Helper()
	raw, err := b.eval(`return JSON.stringify([...document.querySelectorAll("a[href]")].filter(a => a.origin === location.origin && !a.getAttribute("href").startsWith("#")).map(a => a.pathname))`)
	var list []string
	if err == nil {
		err = json.Unmarshal([]byte(raw), &list)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	var once []string
	for _, p := range list {
		if !slices.Contains(once, p) {
			once = append(once, p)
		}
	}
	return once
}

// Status is the status with which the server answered with the page.
func (b *Browser) Status() int {
	b.t.Helper()
	raw, err := b.eval(`return performance.getEntriesByType("navigation")[0].responseStatus`)
	status, bad := strconv.Atoi(raw)
	if err != nil || bad != nil {
		b.t.Fatalf("asking for the status of the page: %q, %v", raw, err)
	}
	return status
}

// Overflow is how many CSS pixels the page is wider than the window.
func (b *Browser) Overflow() int {
	b.t.Helper()
	raw, err := b.eval(`return document.documentElement.scrollWidth - document.documentElement.clientWidth`)
	n, bad := strconv.Atoi(raw)
	if err != nil || bad != nil {
		b.t.Fatalf("measuring the page: %q, %v", raw, err)
	}
	return n
}

// Complaints are what the browser wrote into its console since the last question: scripts that failed, and what the page's
// policy forbade (CSP 3 §5).
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.complaints
	b.complaints = nil
	return list
}

// hear keeps what an event complains of. It is called with mu held.
func (b *Browser) hear(m message) {
	var p struct {
		Entry struct{ Level, Text, URL string } `json:"entry"`
		Exc   struct{ Text string }             `json:"exceptionDetails"`
	}
	raw, err := json.Marshal(m.Params)
	if err != nil || json.Unmarshal(raw, &p) != nil {
		return
	}
	switch {
	case m.Method == "Log.entryAdded" && p.Entry.Level == "error":
		b.complaints = append(b.complaints, p.Entry.Text+" "+p.Entry.URL)
	case m.Method == "Page.javascriptDialogOpening":
		b.complaints = append(b.complaints, "a dialog opened")
	case m.Method == "Runtime.exceptionThrown":
		b.complaints = append(b.complaints, p.Exc.Text)
	}
}

// AxeSource returns the script of axe-core; a test without it is skipped, or fails where CI or TEST_REQUIRE is set.
func AxeSource(t testing.TB) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	source, err := os.ReadFile(filepath.Join(filepath.Dir(here), "node", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		if os.Getenv("CI") != "" || os.Getenv("TEST_REQUIRE") != "" {
			t.Fatal("axe-core is missing, and CI and TEST_REQUIRE forbid to skip: run scripts/setup-node.sh")
		}
		t.Skip("axe-core is missing: run scripts/setup-node.sh")
	}
	return string(source)
}

// Axe judges the page by WCAG 2.2 A and AA and returns what is serious or critical.
func (b *Browser) Axe(source string) []string {
	b.t.Helper()
	if _, err := b.call(b.session, "Runtime.evaluate", map[string]any{"expression": source + ";0"}); err != nil {
		b.t.Fatal(err)
	}
	raw, err := b.call(b.session, "Runtime.evaluate", map[string]any{"awaitPromise": true, "returnByValue": true, "expression": `
		axe.run(document, {resultTypes: ["violations"]}).then(r => r.violations.filter(v => v.impact === "serious" || v.impact === "critical")
			.flatMap(v => v.nodes.map(n => v.id + ": " + n.target.join(" ") + ": " + (n.any[0] || n.all[0] || n.none[0] || {message: v.help}).message)))`})
	if err != nil {
		b.t.Fatal(err)
	}
	var out struct {
		Result struct {
			Value []string `json:"value"`
		} `json:"result"`
		Exception json.RawMessage `json:"exceptionDetails"`
	}
	if err := json.Unmarshal(raw, &out); err != nil || out.Exception != nil {
		b.t.Fatalf("judging %s: %v %s", b.Address(), err, out.Exception)
	}
	return out.Result.Value
}

// Judge says what is wrong with the page as it is looked at: what axe finds serious ("" leaves it out), a page wider than
// its window, and complaints of the browser.
func (b *Browser) Judge(axe string) []string {
	b.t.Helper()
	var list []string
	if axe != "" {
		list = b.Axe(axe)
	}
	if n := b.Overflow(); n > 0 {
		list = append(list, fmt.Sprintf("the page is %d px wider than the window", n))
	}
	for _, c := range b.Complaints() {
		list = append(list, "the browser says: "+strings.TrimSpace(c))
	}
	return list
}
