package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	if p, ok := errors.AsType[*Problem](err); ok && (p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden) {
		os.Exit(3)
	}
	os.Exit(1)
}

func run(ctx context.Context, args []string, out, notes io.Writer) error {
	c := &Client{URL: "http://127.0.0.1:8080", Key: os.Getenv("KEY"), HTTP: &http.Client{Timeout: 30 * time.Second}, Tries: 5}
	if u := os.Getenv("URL"); u != "" {
		c.URL = u
	}
	if len(args) != 1 || c.Key == "" {
		return errors.New("reading the arguments: set KEY to the secret that tributary keys create printed, and give one question")
	}
	if reader := os.Getenv("READER"); reader != "" {
		text, err := os.ReadFile(os.Getenv("SIGNING_KEY")) //nolint:gosec // whoever runs this names a file of their own
		if err != nil {
			return fmt.Errorf("reading SIGNING_KEY: %w", err)
		}
		if c.Signer, err = NewSigner(reader, os.Getenv("KEY_ID"), text); err != nil {
			return err
		}
	}
	c.Waiting = func(p *Problem, wait time.Duration) {
		_, _ = fmt.Fprintf(notes, "busy (%s): trying again in %s\n", p.Code, wait)
	}
	answer, err := c.Search(ctx, Question{Query: args[0], K: 5})
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, citations(answer))
	return err
}

// citations prints an answer for people.
func citations(a Answer) string {
	var b strings.Builder
	for i, r := range a.Results {
		fmt.Fprintf(&b, "%d. %s\n   %s\n   [%s, revision %d, characters %d–%d, chunk %s] %s\n", i+1, strings.Join(append([]string{r.Title}, r.HeadingPath...), " › "),
			strings.ReplaceAll(r.Text, "\n", "\n   "), r.Connection, r.Revision, r.StartCP, r.EndCP, r.ChunkID, r.URL)
	}
	if a.Hint != "" {
		fmt.Fprintf(&b, "nothing found: %s\n", a.Hint)
	}
	if !a.Complete {
		b.WriteString("this answer may lack something\n")
	}
	for connection, at := range a.PermissionsAsOf {
		fmt.Fprintf(&b, "permissions of %s as of %s\n", connection, at.Format(time.RFC3339))
	}
	return b.String()
}
