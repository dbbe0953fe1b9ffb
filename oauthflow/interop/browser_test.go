package interop

import (
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser is a person with a browser at an authorization server: it keeps cookies, follows redirects and submits the
// forms of sign-in and consent. It stops before the first address under stop, which belongs to the application.
type browser struct {
	t        *testing.T
	client   *http.Client
	login    string
	password string
	untick   []string // scopes that the person does not allow
	deny     bool
	forms    int // how many were submitted
}

func newBrowser(t *testing.T, login string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(client.CloseIdleConnections)
	return &browser{t: t, client: client, login: login, password: passwordOf(login)}
}

// visit goes to an address and on until one starts with stop, which it returns.
func (b *browser) visit(address, stop string) *url.URL {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	for range 20 {
		resp, err := b.client.Do(req)
		if err != nil {
			b.t.Fatalf("visiting %s: %v", req.URL.Path, err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			b.t.Fatalf("reading %s: %v", req.URL.Path, err)
		}
		if to := resp.Header.Get("Location"); resp.StatusCode >= 300 && resp.StatusCode <= 399 && to != "" {
			next, err := req.URL.Parse(to)
			if err != nil {
				b.t.Fatalf("%s leads to %q: %v", req.URL.Path, to, err)
			}
			if strings.HasPrefix(next.String(), stop) {
				return next
			}
			req, err = http.NewRequestWithContext(b.t.Context(), http.MethodGet, next.String(), http.NoBody)
			if err != nil {
				b.t.Fatal(err)
			}
			continue
		}
		if resp.StatusCode != http.StatusOK {
			b.t.Fatalf("%s answers %d: %s", req.URL.Path, resp.StatusCode, body)
		}
		req, err = b.submit(req.URL, string(body))
		if err != nil {
			b.t.Fatalf("%s: %v: %s", resp.Request.URL.Path, err, body)
		}
	}
	b.t.Fatal("the server redirects without end")
	return nil
}

// submit fills in the form of a page.
func (b *browser) submit(at *url.URL, page string) (*http.Request, error) {
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return nil, err
	}
	var form *html.Node
	fields := url.Values{}
	for n := range root.Descendants() {
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "form":
			form = n
		case n.Data == "input":
			b.fill(n, fields)
		case n.Data == "button" && attribute(n, "name") == "answer" && (attribute(n, "value") == "deny") == b.deny:
			fields.Set("answer", attribute(n, "value"))
		}
	}
	if form == nil {
		return nil, errors.New("the page has no form")
	}
	to, err := at.Parse(attribute(form, "action"))
	if err != nil {
		return nil, err
	}
	b.forms++
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, to.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req, nil
}

func (b *browser) fill(n *html.Node, fields url.Values) {
	name, value := attribute(n, "name"), attribute(n, "value")
	switch {
	case name == "login":
		value = b.login
	case name == "password":
		value = b.password
	case name == "scope" && slices.Contains(b.untick, value):
		return
	}
	fields.Add(name, value)
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
