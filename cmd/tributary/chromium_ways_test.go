package main

import (
	"strings"
	"testing"

	"tributary/internal/browsertest"
)

// byKeyboard goes from the sign-in to a connected source by the keyboard alone. On every stop the focus is seen.
func (n *newcomer) byKeyboard(t *testing.T) {
	t.Helper()
	b := n.b
	b.Open(n.public() + "/signin")
	b.Reach("Name")
	b.Type("nobody")
	b.Reach("Password")
	b.Hit(browsertest.BackTab) // the field before, with what stands in it chosen
	b.Reach("Name")
	b.Type("ada")
	b.Reach("Password")
	b.Type(grantsPassword)
	b.Go("Sign in", browsertest.Enter)
	b.Go("Connections", browsertest.Enter)
	b.Go("Connect a source", browsertest.Enter)
	b.Go("Connect through sandbox", browsertest.Enter)
	b.Reach("Name of the connection")
	b.Type("typed")
	b.Go("Go on", browsertest.Space)
	b.Go("Continue to localhost", browsertest.Enter)
	b.Go("Allow", browsertest.Space)
	b.See("Connected")
	n.finish(t, func(label string) { b.Go(label, browsertest.Enter) })
	b.See("214 in 217 chunks")
	b.Go("Sign out", browsertest.Enter)
}

// withoutScripts connects a source, sees its first sync and asks a question in a browser that runs no scripts.
func (n *newcomer) withoutScripts(t *testing.T) {
	t.Helper()
	b := n.b
	b.WithoutScripts()
	b.Open(n.public() + "/signin")
	b.Fill("Name", "ada")
	b.Fill("Password", grantsPassword)
	b.Press("Sign in")
	b.Press("Connections")
	b.Press("Connect a source")
	b.Press("Connect through sandbox")
	b.Fill("Name of the connection", "plain")
	b.Press("Go on")
	b.See("Redirect URI")
	if strings.Contains(b.Text(), "Copy") {
		t.Error("a button is shown that only a script works")
	}
	b.Press("Continue to localhost")
	b.Press("Allow")
	b.See("Connected")
	n.finish(t, b.Press)
	waitUntil(t, startLimit, "the first sync", func() bool {
		if strings.Contains(b.Text(), "in 217 chunks") && !strings.Contains(b.Text(), "Look again") {
			return true
		}
		b.Open(b.Address())
		return false
	})
	b.Press("This is me")
	b.See("You are linked")
	b.Press("Search")
	b.Fill("Question", "What was decided about salaries for 2027?")
	b.Press("Ask")
	b.See("for ada")
	b.See("Salary review 2027: decision")
}

// finish goes from the consent to the page of the connection, by the button that leads on, on each page between.
func (n *newcomer) finish(t *testing.T, press func(label string)) {
	t.Helper()
	const most = 8
	for range most {
		label := n.b.Offered("Start the first sync", "Save and go on", "Go on to the schedule", "Go on", "Open the connection")
		if label == "" {
			return
		}
		press(label)
	}
	t.Fatalf("after %d pages something still leads on, at %s:\n%s", most, n.b.Address(), n.b.Text())
}
