package giteatest

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"tributary/internal/httpx"
	"tributary/internal/secret"
	"tributary/oauthflow"
)

// browser is a person's: it keeps cookies and fills in the forms of pages.
type browser struct {
	t      *testing.T
	client *http.Client
}

func newBrowser(t *testing.T) *browser {
	jar, err := cookiejar.New(nil)
	must(t, err)
	return &browser{t: t, client: &http.Client{Jar: jar, Timeout: time.Minute}}
}

// page is what a browser shows.
type page struct {
	address *url.URL
	root    *html.Node
	text    string
}

func (b *browser) read(resp *http.Response, err error) *page {
	b.t.Helper()
	must(b.t, err)
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	must(b.t, err)
	root, err := html.Parse(strings.NewReader(string(data)))
	must(b.t, err)
	return &page{address: resp.Request.URL, root: root, text: string(data)}
}

func (b *browser) open(address string) *page {
	b.t.Helper()
	return b.read(b.client.Get(address))
}

// send fills in the form of p whose action ends so, and sends it.
func (b *browser) send(p *page, action string, fields url.Values) *page {
	b.t.Helper()
	target, values, ok := p.form(action)
	if !ok {
		b.t.Fatalf("the page %s has no form %s:\n%s", p.address.Path, action, tail([]byte(p.text)))
	}
	maps.Copy(values, fields)
	to, err := p.address.Parse(target)
	must(b.t, err)
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	must(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", p.address.Scheme+"://"+p.address.Host)
	return b.read(b.client.Do(req))
}

// form returns where a form goes and what it holds.
func (p *page) form(action string) (target string, values url.Values, ok bool) {
	attr := func(n *html.Node, name string) string {
		for _, a := range n.Attr {
			if a.Key == name {
				return a.Val
			}
		}
		return ""
	}
	for n := range p.root.Descendants() {
		if n.Data != "form" || !strings.HasSuffix(attr(n, "action"), action) {
			continue
		}
		values = url.Values{}
		for field := range n.Descendants() {
			if field.Data == "input" && attr(field, "name") != "" && attr(field, "type") != "checkbox" {
				values.Set(attr(field, "name"), attr(field, "value"))
			}
		}
		return attr(n, "action"), values, true
	}
	return "", nil, false
}

// application is an OAuth client at the server and where its codes arrive.
type application struct {
	s       *server
	client  oauthflow.Client
	tokens  *oauthflow.TokenClient
	arrived chan url.Values
}

// register makes an application of somebody's.
func (s *server) register(who string) *application {
	s.t.Helper()
	a := &application{s: s, arrived: make(chan url.Values, 1)}
	callback := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { a.arrived <- r.URL.Query() }))
	s.t.Cleanup(callback.Close)
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	s.do(who, http.MethodPost, "user/applications/oauth2", object{"name": "Tributary", "redirect_uris": []string{callback.URL + "/"}, "confidential_client": true}, &made)
	profiles, err := oauthflow.Shipped()
	must(s.t, err)
	profile, err := profiles["gitea"].At(s.base, oauthflow.Rules{LoopbackHTTP: true, PrivateAddresses: true})
	must(s.t, err)
	host := strings.TrimPrefix(s.base, "http://")
	a.client = oauthflow.Client{
		Registration: &oauthflow.Registration{
			Name: "kit", Provider: "gitea", Profile: profile, Digest: profile.Digest(), BaseURL: s.base, RedirectURI: callback.URL + "/", ClientID: made.ID, AllowHosts: []string{host},
		},
		Credentials: oauthflow.Credentials{Secret: secret.New(made.Secret)},
	}
	a.tokens = oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true})
	return a
}

// verifier is the secret of PKCE.
const verifier = "verifier-0123456789-verifier-0123456789-verifier"

// consent signs somebody in, grants what the application asks for where the server asks, and redeems the code.
func (a *application) consent(who string, scopes ...string) *oauthflow.Token {
	a.s.t.Helper()
	got := a.authorize(who, scopes...)
	if got.Get("code") == "" {
		a.s.t.Fatalf("the consent of %s ended with %v", who, got)
	}
	token, err := a.tokens.Code(a.s.t.Context(), a.client, oauthflow.CodeRequest{
		Code: secret.New(got.Get("code")), Verifier: secret.New(verifier), RedirectURI: a.client.Registration.RedirectURI, Scopes: scopes,
	}, nil)
	must(a.s.t, err)
	if token.ScopesStated {
		a.s.t.Error("the server's answer with a token states scopes, and need not be asked for them")
	}
	return token
}

// granted returns the scopes that the server says a token has.
func (a *application) granted(token *oauthflow.Token) []string {
	a.s.t.Helper()
	got, err := a.tokens.Introspect(a.s.t.Context(), a.client, token.Access)
	must(a.s.t, err)
	return got
}

// authorize returns what comes back of a consent.
func (a *application) authorize(who string, scopes ...string) url.Values {
	a.s.t.Helper()
	t := a.s.t
	q := url.Values{
		"client_id": {a.client.Registration.ClientID}, "redirect_uri": {a.client.Registration.RedirectURI}, "response_type": {"code"}, "state": {"state-" + who},
		"scope": {strings.Join(scopes, " ")}, "code_challenge": {challenge(verifier)}, "code_challenge_method": {"S256"},
	}
	b := newBrowser(t)
	p := b.open(a.client.Registration.Profile.Endpoints.Authorize + "?" + q.Encode())
	p = b.send(p, "/user/login", url.Values{"user_name": {who}, "password": {password}})
	if _, _, asks := p.form("/login/oauth/grant"); asks {
		b.send(p, "/login/oauth/grant", url.Values{"granted": {"true"}})
	}
	select {
	case got := <-a.arrived:
		if got.Get("state") != "state-"+who {
			t.Fatalf("the consent of %s came back with %v", who, got)
		}
		return got
	case <-time.After(time.Minute):
		t.Fatalf("the consent of %s did not come back; the last page is %s", who, p.address.Path)
		return nil
	}
}

// authorised is the client that Tributary gives to a connector, with a token.
func (s *server) authorised(token string) *http.Client {
	s.t.Helper()
	host := strings.TrimPrefix(s.base, "http://")
	allow, err := httpx.ParseAllowList([]string{host})
	must(s.t, err)
	c, err := httpx.New(httpx.Options{Allow: allow, PlainLoopback: true, CredentialHosts: []string{host}})
	must(s.t, err)
	s.t.Cleanup(c.CloseIdleConnections)
	return &http.Client{Transport: bearer{c.Transport, token}}
}

type bearer struct {
	http.RoundTripper

	token string
}

// RoundTrip adds the token.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		return nil, errors.New("the connector sends a body")
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}
