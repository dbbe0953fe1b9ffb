package connectortest_test

import (
	"context"
	"io"
	"net/http"
	"strings"

	"tributary/connectors"
)

const namingSite = "http://site.example"

// namingSiteTransport is a site that names the address of its next page.
type namingSiteTransport struct{}

// RoundTrip answers every request.
func (namingSiteTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(namingSite + "/2")),
	}, nil
}

// asks makes a connector that asks the site for its first page before every
// listing, and does something with the answer.
func asks(then func(ctx context.Context, env connectors.Env, answer *http.Response, text string)) func(*bench) twist {
	return func(*bench) twist {
		var env connectors.Env
		return twist{
			open: func(ctx context.Context, e connectors.Env, next opener) (connectors.Session, error) {
				env = e
				return next(ctx, e)
			},
			seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
				plain := *env.HTTP
				plain.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, namingSite+"/1", nil)
				if err != nil {
					return next(ctx, from)
				}
				if resp, err := plain.Do(req); err == nil {
					data, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					then(ctx, env, resp, string(data))
				}
				return next(ctx, from)
			},
		}
	}
}

// visit sends a request and drops the answer.
func visit(ctx context.Context, c *http.Client, address string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return
	}
	if resp, err := c.Do(req); err == nil {
		_ = resp.Body.Close()
	}
}

func brokenElsewhere() []breakage {
	client := &http.Client{Transport: namingSiteTransport{}}
	return []breakage{
		{name: "follows the address of a page", rule: "elsewhere", says: "asks another host", http: client, twist: asks(
			func(ctx context.Context, env connectors.Env, _ *http.Response, text string) {
				if text != "" {
					visit(ctx, env.HTTP, text)
				}
			})},
		{name: "asks a host of its own making", rule: "elsewhere", says: "asks another host", http: client, twist: asks(
			func(ctx context.Context, env connectors.Env, _ *http.Response, text string) {
				visit(ctx, env.HTTP, strings.Replace(text, "127.0.0.1", "localhost", 1))
			})},
		{name: "takes the credential along a redirect", rule: "elsewhere", says: "sent to another host holds it", http: client, twist: asks(
			func(ctx context.Context, env connectors.Env, answer *http.Response, _ string) {
				if to := answer.Header.Get("Location"); to != "" {
					t := &http.Transport{}
					visit(ctx, &http.Client{Transport: t}, to+"?token="+env.Settings["token"])
					t.CloseIdleConnections()
				}
			})},
	}
}
