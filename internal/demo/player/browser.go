package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Limits of one page.
const (
	maxHops     = 10
	maxPage     = 4 << 20
	pageTimeout = 90 * time.Second
)

// browser opens pages of some servers, follows redirects and keeps cookies.
type browser struct {
	client *http.Client
	// hosts are the servers that it may open.
	hosts []string
}

// newBrowser returns a browser for the servers at the addresses.
func newBrowser(addresses ...string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("making a browser: %w", err)
	}
	b := &browser{client: &http.Client{
		Jar: jar, Timeout: pageTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		// The servers are this machine's: no proxy stands in between.
		Transport: &http.Transport{Proxy: nil},
	}}
	for _, a := range addresses {
		u, err := url.Parse(a)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("making a browser: %q is no address of a server", a)
		}
		b.hosts = append(b.hosts, u.Host)
	}
	return b, nil
}

// close ends the connections that are kept open.
func (b *browser) close() { b.client.CloseIdleConnections() }

// open opens an address.
func (b *browser) open(ctx context.Context, address string) (*page, error) {
	return b.fetch(ctx, http.MethodGet, address, nil, "")
}

// send sends a form of a page.
func (b *browser) send(ctx context.Context, from *page, f *form) (*page, error) {
	target, err := from.address.Parse(f.action)
	if err != nil {
		return nil, fmt.Errorf("reading form: %w", err)
	}
	if f.method == http.MethodGet {
		target.RawQuery = f.values.Encode()
		return b.fetch(ctx, http.MethodGet, target.String(), nil, "")
	}
	return b.fetch(ctx, http.MethodPost, target.String(), f.values, from.address.Scheme+"://"+from.address.Host)
}

// fetch sends one request and follows redirects, as browsers do: by GET, and
// without what was sent.
func (b *browser) fetch(ctx context.Context, method, address string, form url.Values, origin string) (*page, error) {
	for range maxHops {
		p, next, err := b.hop(ctx, method, address, form, origin)
		if err != nil || next == "" {
			return p, err
		}
		method, address, form, origin = http.MethodGet, next, nil, ""
	}
	return nil, errors.New("the pages redirect in a circle")
}

// hop sends one request; next is where it redirects to.
func (b *browser) hop(ctx context.Context, method, address string, form url.Values, origin string) (p *page, next string, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", fmt.Errorf("opening a page: %w", err)
	}
	// SECURITY: what is entered goes to the two servers that were named.
	if !slices.Contains(b.hosts, u.Host) {
		return nil, "", fmt.Errorf("a page leads to %s, which is neither Tributary nor the sandbox", u.Host)
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, "", fmt.Errorf("opening a page: %w", err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
	}
	req.Header.Set("Accept", "text/html")
	req.Header.Set("User-Agent", "tributary-demo")
	resp, err := b.client.Do(req)
	if err != nil {
		// The address may hold a code: it is no part of the message.
		return nil, "", fmt.Errorf("calling %s: %w", u.Host, cause(err))
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, "", fmt.Errorf("reading a page of %s: %w", u.Host, err)
	}
	if location := resp.Header.Get("Location"); location != "" && resp.StatusCode >= 300 && resp.StatusCode <= 399 {
		to, err := u.Parse(location)
		if err != nil {
			return nil, "", fmt.Errorf("%s redirects to what is no address", u.Host)
		}
		return nil, to.String(), nil
	}
	p, err = readPage(u, resp.StatusCode, string(raw))
	return p, "", err
}

// cause is a failed call without its address.
func cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
