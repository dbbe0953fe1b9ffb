package browsertest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// helpers are functions that the page runs. What is not visible is not found.
const helpers = `
const visible = e => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length > 0;
const words = e => (e.innerText || e.value || "").replace(/\s+/g, " ").trim();
const pressable = label => {
  const all = [...document.querySelectorAll("a[href], button, summary, input[type=submit]")].filter(visible);
  const exact = all.filter(e => words(e) === label);
  return exact.length ? exact : all.filter(e => words(e).startsWith(label));
};
const labelled = label => {
  for (const l of document.querySelectorAll("label")) {
    const field = l.htmlFor ? document.getElementById(l.htmlFor) : l.querySelector("input, textarea, select");
    const own = [...l.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join(" ").replace(/\s+/g, " ").trim();
    if (field && visible(l) && (words(l) === label || own === label || words(l).startsWith(label))) return field;
  }
};
`

// eval runs JavaScript on the page and returns what it gives.
func (b *Browser) eval(script string) (string, error) {
	raw, err := b.call(b.session, "Runtime.evaluate", map[string]any{"expression": "(() => {" + helpers + script + "})()", "returnByValue": true, "awaitPromise": true})
	if err != nil {
		return "", err
	}
	var out struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return "", err
	}
	if out.Exception != nil {
		return "", errors.New(out.Exception.Text + " " + out.Exception.Exception.Description)
	}
	if out.Result.Value == nil {
		return "", nil
	}
	return fmt.Sprint(out.Result.Value), nil
}

// until polls a condition on the page, which may be between two pages.
func (b *Browser) until(what, condition string) {
	b.t.Helper()
	deadline := time.Now().Add(waitLimit)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		got, err := b.eval(condition)
		if err == nil && got == "true" {
			return
		}
		if time.Now().After(deadline) {
			b.Shot("stuck")
			b.t.Fatalf("waited %s for %s at %s (%v); the page says:\n%s", waitLimit, what, b.Address(), err, b.Text())
		}
		<-tick.C
	}
}

func quoted(s string) string {
	raw, _ := json.Marshal(s) // a string always encodes
	return string(raw)
}

// Open opens an address and waits until the page is there.
func (b *Browser) Open(address string) {
	b.t.Helper()
	b.must(b.session, "Page.navigate", map[string]any{"url": address}, nil)
	b.until("the page "+address, `return document.readyState === "complete" && location.href !== "about:blank"`)
}

// Press clicks the button or link with a label, or with one that begins with
// it, and waits for the page that it leads to.
func (b *Browser) Press(label string) {
	b.t.Helper()
	b.until("a button or link "+label, `return document.readyState === "complete" && pressable(`+quoted(label)+`).length > 0`)
	// The mark is gone with this page.
	point, err := b.eval(`window.left = false; const e = pressable(` + quoted(label) + `)[0]; e.removeAttribute("target"); e.scrollIntoView({block: "center", behavior: "instant"});
		const r = e.getBoundingClientRect(); return JSON.stringify({x: r.x + r.width / 2, y: r.y + r.height / 2})`)
	if err != nil {
		b.t.Fatal(err)
	}
	b.click(point)
	b.until("the page behind "+label, `return window.left === undefined && document.readyState === "complete"`)
}

// Push is Press for what leads to no other page.
func (b *Browser) Push(label string) {
	b.t.Helper()
	b.until("a button "+label, `return pressable(`+quoted(label)+`).length > 0`)
	point, err := b.eval(`const e = pressable(` + quoted(label) + `)[0]; e.scrollIntoView({block: "center", behavior: "instant"}); const r = e.getBoundingClientRect();
		return JSON.stringify({x: r.x + r.width / 2, y: r.y + r.height / 2})`)
	if err != nil {
		b.t.Fatal(err)
	}
	b.click(point)
}

// click presses the mouse at a point of the page.
func (b *Browser) click(point string) {
	b.t.Helper()
	var at struct{ X, Y float64 }
	if err := json.Unmarshal([]byte(point), &at); err != nil {
		b.t.Fatal(err)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		b.must(b.session, "Input.dispatchMouseEvent", map[string]any{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// Offered returns the first of the labels that a button or link of the page has, "" for none.
func (b *Browser) Offered(labels ...string) string {
	b.t.Helper()
	b.until("the page", `return document.readyState === "complete"`)
	for _, l := range labels {
		if got, err := b.eval(`return pressable(` + quoted(l) + `).some(e => words(e) === ` + quoted(l) + `)`); err == nil && got == "true" {
			return l
		}
	}
	return ""
}

// Fill types into the field with a label, in place of what stands there.
func (b *Browser) Fill(label, text string) {
	b.t.Helper()
	b.until("a field "+label, `const f = labelled(`+quoted(label)+`); if (!f || document.readyState !== "complete") return false; f.scrollIntoView({block: "center", behavior: "instant"}); f.focus(); if (f.select) f.select(); return document.activeElement === f`)
	b.must(b.session, "Input.insertText", map[string]any{"text": text}, nil)
	b.until("the text in "+label, `return labelled(`+quoted(label)+`).value === `+quoted(text))
}

// Pick chooses, in the list with a label, what is called so.
func (b *Browser) Pick(label, option string) {
	b.t.Helper()
	b.until("the choice "+option+" in "+label, `const f = labelled(`+quoted(label)+`), o = f && [...f.options || []].find(o => o.text.trim() === `+quoted(option)+`);
		if (!o || document.readyState !== "complete") return false; f.focus(); f.value = o.value; f.dispatchEvent(new Event("change", {bubbles: true})); return f.selectedOptions[0] === o`)
}

// Tick ticks the box with a label.
func (b *Browser) Tick(label string) { b.t.Helper(); b.box(label, true) }

// Untick takes the tick of the box with a label away.
func (b *Browser) Untick(label string) { b.t.Helper(); b.box(label, false) }

func (b *Browser) box(label string, want bool) {
	b.t.Helper()
	b.until("a box "+label, `return !!labelled(`+quoted(label)+`)`)
	point, err := b.eval(`const f = labelled(` + quoted(label) + `); if (f.checked === ` + strconv.FormatBool(want) + `) return "";
		f.scrollIntoView({block: "center", behavior: "instant"}); const r = f.getBoundingClientRect();
		return JSON.stringify({x: r.x + r.width / 2, y: r.y + r.height / 2})`)
	if err != nil {
		b.t.Fatal(err)
	}
	if point == "" {
		return
	}
	b.click(point)
	b.until("the box "+label+" to change", `return labelled(`+quoted(label)+`).checked === `+strconv.FormatBool(want))
}

// See waits until the page shows a text.
func (b *Browser) See(text string) {
	b.t.Helper()
	b.until("the text "+text, `return document.readyState === "complete" && document.body.innerText.replace(/\s+/g, " ").includes(`+quoted(text)+`)`)
}

// Value returns the value of the field with an id, or the text of any other
// element.
func (b *Browser) Value(id string) string {
	b.t.Helper()
	b.until("the element "+id, `return !!document.getElementById(`+quoted(id)+`)`)
	v, err := b.eval(`const e = document.getElementById(` + quoted(id) + `); return e.value || words(e)`)
	if err != nil || v == "" {
		b.t.Fatalf("the element %s is empty: %v", id, err)
	}
	return v
}

// Text is what the page shows; "" between two pages.
func (b *Browser) Text() string {
	text, _ := b.eval(`return document.body.innerText`) // "" is documented
	return text
}

// Address is the address of the page, without its query.
func (b *Browser) Address() string {
	a, _ := b.eval(`return location.origin + location.pathname`) // "" is between two pages
	return a
}

// Keeps reports whether pictures are kept.
func (b *Browser) Keeps() bool { return b.shots != "" }

// Shot takes a picture of the page as name.png, where TEST_ARTIFACTS is set.
func (b *Browser) Shot(name string) {
	b.t.Helper()
	if b.shots == "" {
		return
	}
	raw, err := b.call(b.session, "Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true})
	if err != nil {
		b.t.Logf("taking a picture: %v", err)
		return
	}
	var got struct {
		Data string `json:"data"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		b.t.Fatal(err)
	}
	png, err := base64.StdEncoding.DecodeString(got.Data)
	if err == nil {
		err = os.MkdirAll(b.shots, 0o755) //nolint:gosec // pictures of invented data
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(b.shots, strings.ReplaceAll(name, "/", "-")+".png"), png, 0o644) //nolint:gosec // see above
	}
	if err != nil {
		b.t.Fatal(err)
	}
}
