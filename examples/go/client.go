package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// Client asks Tributary. It may be used by many at a time.
type Client struct {
	// URL is the public address of the instance, Key an API key.
	URL, Key string
	// Signer names the reader with each request; nil for a key of mode bound.
	Signer *Signer
	HTTP   *http.Client
	// Tries is how often a question is sent that is answered with 429 or 503.
	Tries int
	// Waiting is told before each further try; nil for nobody.
	Waiting func(p *Problem, wait time.Duration)
}

// Question is what is asked; docs/search.md has the other fields.
type Question struct {
	Query string `json:"query"`
	K     int    `json:"k,omitempty"`
}

// Answer is what was found, best first.
type Answer struct {
	Results         []Result             `json:"results"`
	Complete        bool                 `json:"complete"`
	PermissionsAsOf map[string]time.Time `json:"permissions_as_of"`
	NextCursor      *string              `json:"next_cursor"`
	// Hint says why there are no results.
	Hint string `json:"hint"`
}

// Result is a chunk with what a citation needs.
type Result struct {
	ChunkID     string   `json:"chunk_id"`
	DocumentID  string   `json:"document_id"`
	Revision    int      `json:"revision"`
	Connection  string   `json:"connection"`
	Text        string   `json:"text"`
	Title       string   `json:"title"`
	HeadingPath []string `json:"heading_path"`
	URL         string   `json:"url"`
	StartCP     int      `json:"start_cp"`
	EndCP       int      `json:"end_cp"`
	Score       float64  `json:"score"`
}

// Problem is an answer that is no success (RFC 9457).
type Problem struct { //nolint:errname // the word of RFC 9457
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Detail    string `json:"detail"`
	Field     string `json:"field"`
	RequestID string `json:"request_id"`

	retryAfter time.Duration
}

// Error says what is wrong and what would help.
func (p *Problem) Error() string {
	return fmt.Sprintf("%d %s: %s (request %s)", p.Status, p.Code, p.Detail, p.RequestID)
}

// Search asks a question. While the server asks to wait (429, 503) it is sent again, at most Tries times. An answer that
// is no success is a *Problem: 401 and 403 mean that the key does not count, or may not ask for that reader.
func (c *Client) Search(ctx context.Context, q Question) (Answer, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return Answer{}, fmt.Errorf("writing the question: %w", err)
	}
	for try := 1; ; try++ {
		answer, problem, err := c.ask(ctx, body)
		switch {
		case err != nil:
			return Answer{}, err
		case problem == nil:
			return answer, nil
		case problem.retryAfter == 0 || try >= c.Tries:
			return Answer{}, problem
		}
		if c.Waiting != nil {
			c.Waiting(problem, problem.retryAfter)
		}
		select {
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("waiting for a turn: %w", ctx.Err())
		case <-time.After(problem.retryAfter):
		}
	}
}

// ask sends the question once.
func (c *Client) ask(ctx context.Context, body []byte) (Answer, *Problem, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL+"/v1/search", bytes.NewReader(body))
	if err != nil {
		return Answer{}, nil, fmt.Errorf("asking: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.Key)
	req.Header.Set("Content-Type", "application/json")
	if c.Signer != nil {
		// An assertion counts once, so that each try signs another.
		assertion, err := c.Signer.Assertion(c.URL, time.Now())
		if err != nil {
			return Answer{}, nil, err
		}
		req.Header.Set("Tributary-Reader", assertion)
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{}, nil, fmt.Errorf("asking: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Answer{}, problemOf(resp), nil
	}
	var answer Answer
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return Answer{}, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return answer, nil, nil
}

// problemOf reads an answer that is no success; a proxy in between may have sent something else.
func problemOf(resp *http.Response) *Problem {
	p := &Problem{}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(p); err != nil || p.Code == "" {
		p = &Problem{Code: "unknown", Detail: resp.Status}
	}
	p.Status = resp.StatusCode
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			seconds = 5
		}
		p.retryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
