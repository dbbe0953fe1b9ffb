package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tributary/internal/secret"
)

const (
	// pushTimeout bounds one request, pushPatience all the tries of one.
	pushTimeout  = 6 * time.Minute
	pushPatience = 15 * time.Minute
	// pushBackoff is the longest wait that the server did not ask for.
	pushBackoff = 30 * time.Second
	// maxPushAnswer bounds an answer in memory.
	maxPushAnswer = 64 << 20
)

// pushClient sends what is pushed to one connection, over HTTP with a key.
type pushClient struct {
	base   string
	key    secret.Text
	client http.Client
	// waiting is told of each wait before another try.
	waiting func(why string, d time.Duration)
}

func newPushClient(address, connection string, key secret.Text, waiting func(why string, d time.Duration)) (*pushClient, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, usagef("--url %q: write the server's address, such as https://search.example.com", address)
	}
	c := &pushClient{base: strings.TrimSuffix(address, "/") + "/v1/push/" + url.PathEscape(connection), key: key, waiting: waiting}
	// SECURITY: a key follows no redirect.
	c.client = http.Client{Timeout: pushTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c, nil
}

// pushProblem is a problem answer of the server.
type pushProblem struct {
	Code   string `json:"code"`
	Field  string `json:"field"`
	Detail string `json:"detail"`
}

// pushAnswerError is an answer of the server that is no success and does not pass by itself.
type pushAnswerError struct {
	status  int
	problem pushProblem
}

func (e *pushAnswerError) Error() string {
	return fmt.Sprintf("the server answers %d %s: %s", e.status, e.problem.Code, e.problem.Detail)
}

// ofItem reports whether the answer is about the one item that was sent, and not about whoever sends.
func (e *pushAnswerError) ofItem() bool {
	switch e.problem.Code {
	case "invalid_item", "unknown_field", "too_large", "unsupported_content_type", "unreadable_content", "excluded":
		return true
	}
	return false
}

// send makes one request until it is answered otherwise than by "later": that is a 429, a 503, what a proxy says of a server
// that starts anew, and no answer at all. Sending anew is right because what is stored is found unchanged.
func (c *pushClient) send(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	began := time.Now()
	for try := 0; ; try++ {
		answer, wait, err := c.once(ctx, method, path, body)
		if wait == nil || ctx.Err() != nil {
			return answer, err
		}
		d := min(time.Second<<min(try, 10), pushBackoff)
		d = d/2 + rand.N(d/2+1) //nolint:gosec // a wait is no secret
		d = max(d, *wait)
		if time.Since(began)+d > pushPatience {
			return nil, err
		}
		c.waiting(err.Error(), d)
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
	}
}

// once makes the request once. wait is how long the server asks to wait where another try is right, nil where it is not.
func (c *pushClient) once(ctx context.Context, method, path string, body []byte) (answer []byte, wait *time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	req.Header.Set("Content-Type", "application/json")
	var asked time.Duration
	resp, err := c.client.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return nil, &asked, fmt.Errorf("asking %s: %w", c.base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxPushAnswer))
	if err != nil {
		return nil, &asked, fmt.Errorf("reading the answer of %s: %w", c.base, err)
	}
	if resp.StatusCode/100 == 2 {
		return answer, nil, nil
	}
	refused := &pushAnswerError{status: resp.StatusCode, problem: pushProblem{Detail: resp.Status}}
	_ = json.Unmarshal(answer, &refused.problem)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		asked = retryAfter(resp.Header.Get("Retry-After"), time.Now())
		return nil, &asked, refused
	}
	return nil, nil, refused
}

// retryAfter reads seconds or a date (RFC 9110 §10.2.3).
func retryAfter(text string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
