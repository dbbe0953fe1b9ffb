package main

import (
	"strings"
	"testing"

	"tributary/internal/browsertest"
)

// byKeyboard goes from the sign-in over a registration and a consent to a part of a source, by the keyboard alone. On every
// stop the focus is seen.
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
	b.Go("Registrations", browsertest.Enter)
	n.registerByKeyboard()
	b.Go("Connect sandbox", browsertest.Enter)
	b.Reach("Name of the connection")
	b.Type("typed")
	b.Go("Go on", browsertest.Space)
	b.Go("Continue to localhost", browsertest.Enter)
	b.Go("Allow", browsertest.Space)
	b.See("Connected")
	b.Go("Go on", browsertest.Enter)
	b.Reach("Everything")
	b.Hit(browsertest.Down) // only what is chosen
	b.Reach("Press")
	b.Hit(browsertest.Space)
	b.Go("Save and go on", browsertest.Enter)
	b.See("Documents to add 7")
	n.finish(t, func(label string) { b.Go(label, browsertest.Enter) })
	b.See("7 added")
	b.Go("Sign out", browsertest.Enter)
}

// registerByKeyboard makes a registration and the client for it, on the page of the sandbox that the registration links to.
func (n *newcomer) registerByKeyboard() {
	b := n.b
	typeInto := func(label, text string) {
		b.Reach(label)
		b.Type(text)
	}
	b.Go("Add a registration", browsertest.Enter)
	b.Go("Choose Sandbox Drive", browsertest.Enter)
	typeInto("Name of the registration", "typed")
	typeInto("Address of Sandbox Drive", n.sandboxURL())
	b.Reach("This address is in a private network, or on this machine")
	b.Hit(browsertest.Space)
	b.Go("Go on", browsertest.Enter)
	b.Reach("Copy")
	b.Hit(browsertest.Enter)
	b.See("Copied")
	here, redirect := b.Address(), b.Value("redirect-uri")
	b.Go(n.sandboxURL()+"/clients", browsertest.Enter)
	typeInto("Name", "Tributary")
	typeInto("Redirect URIs, one a line", redirect)
	b.Go("Register", browsertest.Enter)
	id, secret := b.Value("client-id"), b.Value("client-secret")
	b.Open(here) // where a person has two pages open
	typeInto("Client ID", id)
	typeInto("Client secret", secret)
	b.Reach("These are the right hosts")
	b.Hit(browsertest.Space)
	b.Go("Check and save", browsertest.Enter)
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
