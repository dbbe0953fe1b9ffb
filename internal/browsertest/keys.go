package browsertest

import "encoding/json"

// mostStops is how often Tab may be pressed until something is reached.
const mostStops = 150

// Key is a key that a person presses.
type Key string

// The keys.
const (
	Tab     Key = "Tab"
	BackTab Key = "Shift+Tab"
	Enter   Key = "Enter"
	Space   Key = "Space"
	// Down goes to the next choice of several.
	Down Key = "ArrowDown"
)

// Hit presses a key.
func (b *Browser) Hit(k Key) {
	b.t.Helper()
	e := map[string]any{"type": "keyDown"}
	set := func(key, code, text string, number int) {
		e["key"], e["code"], e["windowsVirtualKeyCode"] = key, code, number
		if text != "" {
			e["text"] = text
		}
	}
	switch k {
	case Tab:
		set("Tab", "Tab", "", 9)
	case BackTab:
		set("Tab", "Tab", "", 9)
		e["modifiers"] = 8
	case Enter:
		set("Enter", "Enter", "\r", 13)
	case Space:
		set(" ", "Space", " ", 32)
	case Down:
		set("ArrowDown", "ArrowDown", "", 40)
	}
	b.must(b.session, "Input.dispatchKeyEvent", e, nil)
	e["type"] = "keyUp"
	delete(e, "text")
	b.must(b.session, "Input.dispatchKeyEvent", e, nil)
}

// Type types a text into what has the focus, a character at a time.
func (b *Browser) Type(text string) {
	b.t.Helper()
	for _, r := range text {
		b.must(b.session, "Input.dispatchKeyEvent", map[string]any{"type": "char", "text": string(r)}, nil)
	}
}

// Reach presses Tab until the focus is on the field, button or link with a label. On every stop the focus has to be seen:
// inside of the window, with an outline.
func (b *Browser) Reach(label string) {
	b.t.Helper()
	b.until("the page with "+label, `return document.readyState === "complete" && (pressable(`+quoted(label)+`).length > 0 || !!labelled(`+quoted(label)+`))`)
	for range mostStops {
		at := b.focus(label)
		if at.There {
			return
		}
		b.Hit(Tab)
		if at = b.focus(label); at.Name != "" && !at.Seen {
			b.t.Errorf("at %s the focus is on %q and cannot be seen", b.Address(), at.Name)
		}
	}
	b.t.Fatalf("the key Tab does not lead to %q at %s:\n%s", label, b.Address(), b.Text())
}

// Go reaches what has a label, presses a key there, and waits for the page that it leads to.
func (b *Browser) Go(label string, k Key) {
	b.t.Helper()
	b.Reach(label)
	// As in Press, what would open a page beside this one opens it in its place.
	if _, err := b.eval(`window.left = false; document.activeElement.removeAttribute("target")`); err != nil {
		b.t.Fatal(err)
	}
	b.Hit(k)
	b.until("the page behind "+label, `return window.left === undefined && document.readyState === "complete"`)
}

type focused struct {
	// Name is what has the focus, "" for the page itself.
	Name  string
	There bool
	Seen  bool
}

func (b *Browser) focus(label string) focused {
	b.t.Helper()
	raw, err := b.eval(`const e = document.activeElement;
		if (!e || e === document.body) return JSON.stringify({});
		const s = getComputedStyle(e), r = e.getBoundingClientRect();
		const marked = s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0 || s.boxShadow !== "none";
		const inside = r.width > 0 && r.bottom > 0 && r.top < innerHeight && r.right > 0 && r.left < innerWidth;
		return JSON.stringify({Name: e.localName + " " + (words(e) || e.name || e.id), There: pressable(` + quoted(label) + `).includes(e) || labelled(` + quoted(label) + `) === e, Seen: marked && inside})`)
	var f focused
	if err == nil {
		err = json.Unmarshal([]byte(raw), &f)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return f
}
