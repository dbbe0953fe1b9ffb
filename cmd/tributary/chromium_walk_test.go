package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/internal/browsertest"
)

// mostPages bounds the walk: more pages than this are a loop.
const mostPages = 150

// walk follows every link of the pages to a page of each kind, looks at it at both widths and in both themes, and judges
// it: accessibility, width, what the browser complains of. TEST_ARTIFACTS keeps the pictures.
func (n *newcomer) walk(t *testing.T) {
	t.Helper()
	axe := browsertest.AxeSource(t)
	n.b.Complaints() // what stood on pages that were meant to go wrong
	seen, queue := map[string]bool{}, []string{"/"}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		if seen[kindOf(path)] {
			continue
		}
		if seen[kindOf(path)] = true; len(seen) > mostPages {
			t.Fatalf("there are more than %d kinds of pages: %v", mostPages, seen)
		}
		n.b.Open(n.public() + path)
		queue = append(queue, n.b.Links()...)
		n.judge(t, axe, path)
	}
	for _, want := range []string{"/connections", "/connections/:name", "/registrations", "/grants", "/audit", "/users", "/account", "/notices"} {
		if !seen[want] {
			t.Errorf("no link leads to %s", want)
		}
	}
	t.Logf("%d kinds of pages were looked at", len(seen))
	n.b.Look(browsertest.View{Width: 1100})
	n.b.Open(n.public() + "/")
	n.b.Press("Sign out")
	n.judge(t, axe, "/signin")
	n.b.Look(browsertest.View{Width: 1100})
}

func (n *newcomer) judge(t *testing.T, axe, path string) {
	t.Helper()
	for _, v := range browsertest.Views() {
		n.b.Look(v)
		n.b.Shot("walk" + strings.ReplaceAll(kindOf(path), ":", "") + "-" + v.String())
		for _, problem := range n.b.Judge(axe) {
			t.Errorf("%s at %s: %s", path, v, problem)
		}
	}
}

// kindOf is a path with what differs between pages of one kind replaced.
func kindOf(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		switch {
		case uuidPattern.MatchString(p):
			parts[i] = ":id"
		case i > 1 && slices.Contains([]string{"connections", "profiles", "queues"}, parts[i-1]):
			parts[i] = ":name"
		}
	}
	return strings.Join(parts, "/")
}

var uuidPattern = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-`)
