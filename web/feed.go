package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
)

// FeedStore is what the feed needs of the store.
type FeedStore interface {
	Feed(ctx context.Context, who store.Identity, req store.FeedRequest) (store.FeedPage, error)
	ReaderPrincipals(ctx context.Context, who store.Identity, reader uuid.UUID, connection string) ([]store.ConnectionPrincipals, error)
	FeedWake() <-chan struct{}
}

const (
	// maxWaiting bounds the requests that wait for the feed, or write it out, at a
	// time; they use the database for moments only.
	maxWaiting = 64
	// maxFeedWait bounds how long a request waits for changes, in seconds.
	maxFeedWait = 30
	// feedWriting is how long a page may take to be read by its consumer.
	feedWriting = 2 * time.Minute
)

// codeCursorExpired is the 410 of a consumer that was away for too long.
const codeCursorExpired = "cursor_expired"

// mediaNDJSON is JSON line by line.
const mediaNDJSON = "application/x-ndjson"

func (s *Server) feedRoutes() []route {
	if s.cfg.Feed == nil {
		return nil
	}
	return []route{
		{method: http.MethodGet, path: "/v1/feed", access: accessKey, right: store.RightExport, handler: s.feed, waits: true},
		{method: http.MethodGet, path: "/v1/readers/:id/principals", access: accessKey, right: store.RightExport, handler: s.readerPrincipals},
	}
}

// mayWait lets a request pass whose key carries right. It uses the database for
// that moment only.
func (s *Server) mayWait(right string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		check := s.limit(s.slots)(func(c echo.Context) error { return s.authenticate(c, right) })
		return s.limit(s.waiting)(func(c echo.Context) error {
			if err := check(c); err != nil {
				return err
			}
			return next(c)
		})
	}
}

// feed answers GET /v1/feed.
func (s *Server) feed(c echo.Context) error {
	req, wait, err := feedRequest(c)
	if err != nil {
		return err
	}
	control, until := http.NewResponseController(c.Response()), time.Now().Add(wait+feedWriting)
	// Where the deadline of reading passes, the request counts as given up.
	if err := errors.Join(control.SetReadDeadline(until), control.SetWriteDeadline(until)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	page, err := s.feedPage(c, req, wait)
	if err != nil {
		return feedProblem(err)
	}
	if strings.Contains(c.Request().Header.Get("Accept"), mediaNDJSON) {
		return feedLines(c, page)
	}
	return answerJSON(c, page)
}

// feedRequest reads the parameters of the feed.
func feedRequest(c echo.Context) (req store.FeedRequest, wait time.Duration, err error) {
	query := c.Request().URL.Query()
	if req.Cursor, err = takeOne(query, "cursor"); err != nil {
		return req, 0, err
	}
	if req.Limit, err = takeNumber(query, "limit", store.FeedLimit, 1, store.MaxFeedLimit); err != nil {
		return req, 0, err
	}
	seconds, err := takeNumber(query, "wait", 0, 0, maxFeedWait)
	if err != nil {
		return req, 0, err
	}
	include, err := takeOne(query, "include")
	if err != nil {
		return req, 0, err
	}
	if include != "" && include != "embedding" {
		return req, 0, invalid("include", "include: may name embedding")
	}
	req.Embedding = include != ""
	return req, time.Duration(seconds) * time.Second, nothingLeft(query)
}

// feedPage reads a page, and waits for one that says something. Every try asks
// anew whether the key may.
func (s *Server) feedPage(c echo.Context, req store.FeedRequest, wait time.Duration) (store.FeedPage, error) {
	ctx, until := c.Request().Context(), time.Now().Add(wait)
	for {
		woken := s.cfg.Feed.FeedWake()
		var page store.FeedPage
		err := s.limit(s.slots)(func(echo.Context) (err error) {
			page, err = s.cfg.Feed.Feed(ctx, callerOf(c).identity, req)
			return err
		})(c)
		left := time.Until(until)
		if err != nil || len(page.Events) > 0 || page.More || left <= 0 || s.draining.Load() {
			return page, err
		}
		// What was looked through in vain is not looked through again.
		req.Cursor = page.Cursor
		store.WaitFeed(ctx, woken, min(left, time.Second))
		if ctx.Err() != nil {
			return page, ctx.Err()
		}
	}
}

// feedLines writes a page line by line: its events, and then the cursor with the
// connections. A page without its last line is to be asked for again.
func feedLines(c echo.Context, page store.FeedPage) error {
	h := c.Response().Header()
	h.Set("Content-Type", mediaNDJSON)
	h.Set("Cache-Control", "no-store")
	c.Response().WriteHeader(http.StatusOK)
	w := bufio.NewWriter(c.Response())
	enc := json.NewEncoder(w)
	for i := range page.Events {
		if err := enc.Encode(&page.Events[i]); err != nil {
			return err
		}
	}
	end := struct {
		Event       string                 `json:"event"`
		Cursor      string                 `json:"cursor"`
		More        bool                   `json:"more"`
		Connections []store.FeedConnection `json:"connections"`
	}{"cursor", page.Cursor, page.More, page.Connections}
	if err := enc.Encode(end); err != nil {
		return err
	}
	return w.Flush()
}

// feedProblem is the answer to what the store says of the feed.
func feedProblem(err error) error {
	switch {
	case errors.Is(err, store.ErrFeedDenied):
		return insufficientScope(store.RightExport, "the feed hands out whole connections with their permissions: it needs a key of its own, without a reader, with right export and listed connections; "+
			"a key that stands for a reader uses GET /v1/export")
	case errors.Is(err, store.ErrFeedExpired):
		return problem(http.StatusGone, codeCursorExpired, "what follows this cursor is not kept any more, or the embedding profile has changed: ask without a cursor, and drop what the new snapshot does not contain when it ends")
	}
	return err
}

// readerPrincipals answers GET /v1/readers/{id}/principals.
func (s *Server) readerPrincipals(c echo.Context) error {
	id, err := documentID(c)
	if err != nil {
		return err
	}
	query := c.Request().URL.Query()
	connection, err := takeOne(query, "connection")
	if err == nil {
		err = nothingLeft(query)
	}
	if err != nil {
		return err
	}
	list, err := s.cfg.Feed.ReaderPrincipals(c.Request().Context(), callerOf(c).identity, id, connection)
	if err != nil {
		return feedProblem(err)
	}
	return answerJSON(c, map[string]any{"reader": id, "connections": list})
}
