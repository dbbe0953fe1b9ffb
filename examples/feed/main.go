package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"time"
)

// client asks Tributary.
type client struct {
	base, key string
	http      *http.Client
}

var errExpired = errors.New("the cursor has expired")

// get reads an answer into v.
func (c *client) get(ctx context.Context, path string, query url.Values, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+path+"?"+query.Encode(), nil)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("asking: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
		if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
			return fmt.Errorf("reading the answer: %w", err)
		}
		return nil
	case http.StatusGone:
		return errExpired
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			seconds = 5
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for a turn: %w", ctx.Err())
		case <-time.After(time.Duration(max(seconds, 1)) * time.Second):
			return c.get(ctx, path, query, v)
		}
	default:
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("asking %s: %s: %s", path, resp.Status, body)
	}
}

// follow applies page after page until ctx ends or, with once, until there is
// nothing more to read.
func follow(ctx context.Context, c *client, j *journal, s *state, once bool, limit string) error {
	for {
		query := url.Values{"limit": {limit}}
		if s.Cursor != "" {
			query.Set("cursor", s.Cursor)
		}
		if !once {
			query.Set("wait", "30")
		}
		var p page
		err := c.get(ctx, "/v1/feed", query, &p)
		if errors.Is(err, errExpired) && s.Cursor != "" {
			s.Cursor = ""
			continue
		}
		if err != nil {
			return err
		}
		if len(p.Events) > 0 || p.Cursor != s.Cursor || !once {
			if err := j.add(p); err != nil {
				return err
			}
		}
		s.apply(p)
		if err := j.compact(s); err != nil {
			return err
		}
		if once && !p.More {
			return nil
		}
	}
}

// principals asks what a reader holds, by connection.
func principals(ctx context.Context, c *client, reader string) (map[string]map[int64]bool, error) {
	var answer struct {
		Connections []struct {
			Connection connection `json:"connection"`
			Principals []int64    `json:"principals"`
		} `json:"connections"`
	}
	if err := c.get(ctx, "/v1/readers/"+url.PathEscape(reader)+"/principals", nil, &answer); err != nil {
		return nil, err
	}
	held := map[string]map[int64]bool{}
	for _, x := range answer.Connections {
		held[x.Connection.ID] = map[int64]bool{}
		for _, p := range x.Principals {
			held[x.Connection.ID][p] = true
		}
	}
	return held, nil
}

func run(ctx context.Context) error {
	c := &client{key: os.Getenv("TRIBUTARY_KEY"), http: &http.Client{Timeout: 3 * time.Minute}}
	path := flag.String("journal", "feed.journal", "where the copy is kept")
	once := flag.Bool("once", false, "end when there is nothing more to read, instead of waiting for changes")
	limit := flag.String("limit", "500", "how many changes a page holds")
	reader := flag.String("reader", "", "print which documents of the copy this reader may see, and end")
	flag.StringVar(&c.base, "url", "http://127.0.0.1:8080", "the address of Tributary")
	flag.Parse()
	if c.key == "" {
		return errors.New("TRIBUTARY_KEY is missing: tributary keys create NAME --rights export --connections NAME,… makes one")
	}
	j, s, err := openJournal(*path)
	if err != nil {
		return err
	}
	defer func() { _ = j.file.Close() }()
	if *reader == "" || *once {
		if err := follow(ctx, c, j, s, *once, *limit); err != nil {
			return err
		}
	}
	if *reader == "" {
		return nil
	}
	held, err := principals(ctx, c, *reader)
	if err != nil {
		return err
	}
	for _, id := range s.visible(held) {
		fmt.Println(id, s.Documents[id].Title) //nolint:forbidigo // this is the program's output
	}
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "feed:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to undo
	}
}
