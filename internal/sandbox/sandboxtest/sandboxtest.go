// Package sandboxtest runs a Sandbox Drive for a test, on a port of its own and reached as localhost, and plays the
// browser of a person who consents. It is imported by tests only. Start reading at [Start].
package sandboxtest

import (
	"context"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
)

// Running is a Sandbox Drive that answers requests.
type Running struct {
	*sandbox.Server
	// URL is its address and issuer, http://localhost:port.
	URL string
}

// Start runs a Sandbox Drive with the company of the demo, in memory, until the test ends. change may change that.
func Start(t testing.TB, change ...func(*sandbox.Config)) *Running {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cfg := sandbox.Config{BaseURL: "http://localhost:" + port}
	for _, c := range change {
		c(&cfg)
	}
	if cfg.Org.ID == "" {
		if cfg.Org, err = company.Load(); err != nil {
			t.Fatal(err)
		}
	}
	s, err := sandbox.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l)
	}()
	t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
	return &Running{s, "http://localhost:" + port}
}

// Browser is a person's browser: it keeps cookies, and follows redirects only where it is told to.
type Browser struct {
	client *http.Client
	base   string
}

// Browser returns a browser that nobody has signed in with.
func (r *Running) Browser() *Browser { return NewBrowser(r.URL) }

// NewBrowser returns a browser for the Sandbox Drive at an address.
func NewBrowser(base string) *Browser {
	jar, _ := cookiejar.New(nil)
	return &Browser{base: base, client: &http.Client{
		Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Answer is what a page answered.
type Answer struct {
	Status   int
	Header   http.Header
	Location string
	Body     string
}

// Get opens an address, or a path of the sandbox.
func (b *Browser) Get(address string) (Answer, error) {
	return b.do(http.MethodGet, address, nil)
}

// Post sends a form, with the form token of the page that was opened last if values have none.
func (b *Browser) Post(address string, values url.Values) (Answer, error) {
	return b.do(http.MethodPost, address, values)
}

func (b *Browser) do(method, address string, values url.Values) (Answer, error) {
	if strings.HasPrefix(address, "/") {
		address = b.base + address
	}
	var body io.Reader
	if values != nil {
		body = strings.NewReader(values.Encode())
	}
	req, err := http.NewRequestWithContext(context.Background(), method, address, body)
	if err != nil {
		return Answer{}, err
	}
	if values != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := b.client.Do(req)
	if err != nil {
		return Answer{}, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return Answer{res.StatusCode, res.Header, res.Header.Get("Location"), string(text)}, err
}

// Field returns the value of the hidden field of that name, the first on the page.
func (a Answer) Field(name string) string {
	m := regexp.MustCompile(`name="` + regexp.QuoteMeta(name) + `" value="([^"]*)"`).FindStringSubmatch(a.Body)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// SignIn signs a person in.
func (b *Browser) SignIn(person string) error {
	page, err := b.Get("/signin")
	if err != nil {
		return err
	}
	a, err := b.Post("/signin", url.Values{"form_token": {page.Field("form_token")}, "next": {"/"}, "person": {person}})
	if err == nil && a.Status != http.StatusSeeOther {
		err = fmt.Errorf("signing in as %s: status %d", person, a.Status)
	}
	return err
}

// Consent opens an authorization URL as a person, unticks scopes and allows the rest. It returns the address at the
// client that the browser is sent to, without opening it.
func (b *Browser) Consent(authorizationURL, person string, untick ...string) (*url.URL, error) {
	return b.decide(authorizationURL, person, "allow", untick)
}

// Deny opens an authorization URL as a person and denies it.
func (b *Browser) Deny(authorizationURL, person string) (*url.URL, error) {
	return b.decide(authorizationURL, person, "deny", nil)
}

func (b *Browser) decide(authorizationURL, person, decision string, untick []string) (*url.URL, error) {
	if err := b.SignIn(person); err != nil {
		return nil, err
	}
	page, err := b.Get(authorizationURL)
	if err != nil {
		return nil, err
	}
	if page.Status == http.StatusSeeOther {
		return url.Parse(page.Location) // an error that goes to the client at once
	}
	if page.Status != http.StatusOK {
		return nil, fmt.Errorf("opening the consent page: status %d", page.Status)
	}
	form := url.Values{"form_token": {page.Field("form_token")}, "request": {page.Field("request")}, "decision": {decision}}
	for _, m := range regexp.MustCompile(`name="scope" value="([^"]*)"`).FindAllStringSubmatch(page.Body, -1) {
		if !slices.Contains(untick, m[1]) {
			form.Add("scope", m[1])
		}
	}
	a, err := b.Post("/oauth/authorize", form)
	if err != nil {
		return nil, err
	}
	if a.Status != http.StatusSeeOther {
		return nil, fmt.Errorf("answering the consent page: status %d", a.Status)
	}
	return url.Parse(a.Location)
}
