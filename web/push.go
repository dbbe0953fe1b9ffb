package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/jobs"
	"tributary/store"
)

// Push is what documents are pushed through.
type Push struct {
	Store  PushStore // *store.Store
	Pusher Pusher    // *jobs.Runner
}

// PushStore finds connections.
type PushStore interface {
	Connection(ctx context.Context, nameOrID string) (store.Connection, error)
}

// Pusher stores what is pushed to a connection.
type Pusher interface {
	Push(ctx context.Context, conn store.Connection, items []jobs.PushItem) ([]jobs.PushResult, error)
	PushGroup(ctx context.Context, conn store.Connection, group connectors.Principal, members []connectors.Principal) (int64, error)
}

const (
	// maxPushing bounds the requests whose documents are stored at a time. They
	// have a line of their own, so that pages and searches never wait behind them.
	maxPushing = 4
	// maxPushedBytes bounds the bodies that are held in memory.
	maxPushedBytes = 192 << 20
	// Bodies may be 64 MiB in base64, with their fields.
	maxPushedDocument = jobs.MaxPushContent/3*4 + 1<<20
	maxPushedGroup    = 8 << 20
	// pushReading is how long a body may take to come, pushTimeout how long all of it may take.
	pushReading, pushTimeout = 2 * time.Minute, 5 * time.Minute
)

// The codes of problems of what is pushed, beside those of its items.
const (
	codeNotPush = "not_push"
	codePaused  = "paused"
	codeGone    = "gone"
)

func (s *Server) pushRoutes() []route {
	if s.cfg.Push == nil {
		return nil
	}
	r := func(method, path string, handler echo.HandlerFunc) route {
		return route{method: method, path: "/v1/push/:connection" + path, access: accessKey, right: store.RightPush, handler: handler, pushes: true}
	}
	return []route{
		r(http.MethodPut, "/documents/:id", s.pushDocument),
		r(http.MethodDelete, "/documents/:id", s.unpushDocument),
		r(http.MethodPut, "/groups/:id", s.pushGroup),
		r(http.MethodDelete, "/groups/:id", s.unpushGroup),
		r(http.MethodPost, "/batch", s.pushBatch),
	}
}

type pushTarget struct{}

// mayPush lets a request pass whose key may push to the connection of the path.
// It uses the database for that moment only.
//
// SECURITY: a key that names its connections is told the same of one that it
// does not name and of one that does not exist.
func (s *Server) mayPush(right string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		check := s.limit(s.slots)(func(c echo.Context) error {
			if err := s.authenticate(c, right); err != nil {
				return err
			}
			name, err := pathParam(c, "connection")
			if err != nil {
				return err
			}
			conn, err := s.cfg.Push.Store.Connection(c.Request().Context(), name)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			key := callerOf(c).key
			switch {
			case !key.AllConnections && (err != nil || !slices.Contains(key.Connections, conn.ID)):
				return insufficientScope(right, "this key may not push to that connection")
			case err != nil:
				return err
			case conn.Source != store.PushSource:
				return store.ErrNotPush
			}
			c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), pushTarget{}, conn)))
			return nil
		})
		return func(c echo.Context) error {
			if err := check(c); err != nil {
				return pushProblem(err)
			}
			return pushProblem(next(c))
		}
	}
}

func targetOf(c echo.Context) store.Connection {
	conn, _ := c.Request().Context().Value(pushTarget{}).(store.Connection)
	return conn
}

// pathParam returns a part of the path; an id may hold a slash as %2F.
func pathParam(c echo.Context, name string) (string, error) {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value, nil
	}
	value, err := url.PathUnescape(value)
	if err != nil {
		return "", invalid(name, "the address is not escaped as it should be")
	}
	return value, nil
}

// pushProblem is the answer to what package jobs and store say of a push.
func pushProblem(err error) error {
	var item *jobs.PushError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &item):
		return itemProblem(item, "")
	case errors.Is(err, store.ErrNotPush):
		return problem(http.StatusConflict, codeNotPush, store.ErrNotPush.Error()+": only a connection of source push takes documents")
	case errors.Is(err, store.ErrPaused):
		return problem(http.StatusConflict, codePaused, "the connection is paused: push again when an admin has resumed it")
	case errors.Is(err, store.ErrClosing):
		return problem(http.StatusGone, codeGone, "the connection is being deleted: stop pushing to it")
	case errors.Is(err, store.ErrFenced), errors.Is(err, store.ErrConflict):
		p := overloaded()
		p.Detail = "others change the same documents: send all of it again in a moment"
		return p
	}
	return err
}

// itemProblem is what is wrong with an item; at leads to it in the body.
func itemProblem(e *jobs.PushError, at string) *Problem {
	status := http.StatusUnprocessableEntity
	switch e.Code {
	case jobs.PushTooLarge:
		status = http.StatusRequestEntityTooLarge
	case jobs.PushMediaType:
		status = http.StatusUnsupportedMediaType
	case jobs.PushExcluded:
		status = http.StatusGone
	}
	p := problem(status, e.Code, e.Detail)
	p.Field = at + e.Pointer
	return p
}

// stored reads the body, of at most limit bytes, and calls fn with it in the
// line of those whose documents are stored.
func (s *Server) stored(c echo.Context, limit int64, fn func(ctx context.Context, body []byte) error) error {
	size := c.Request().ContentLength
	if size > limit {
		return tooLarge(limit)
	}
	if size < 0 {
		size = limit
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), pushTimeout)
	defer cancel()
	wait, stop := context.WithTimeout(ctx, s.cfg.AcquireTimeout)
	defer stop()
	if s.pushed.Acquire(wait, size) != nil {
		return pushOverloaded()
	}
	defer s.pushed.Release(size)
	body, err := readPush(c, limit, size)
	if err != nil {
		return err
	}
	err = s.limit(s.pushing)(func(echo.Context) error { return fn(ctx, body) })(c)
	if p, ok := errors.AsType[*Problem](err); ok && p.Code == codeOverloaded {
		return pushOverloaded()
	}
	return err
}

func pushOverloaded() *Problem {
	p := overloaded()
	p.Detail, p.retryAfter = "too much is pushed at a time; send it again in a moment", 2
	return p
}

func tooLarge(limit int64) *Problem {
	return problem(http.StatusRequestEntityTooLarge, codeTooLarge, fmt.Sprintf("the body may have %d bytes at most", limit))
}

// readPush reads a body of JSON.
func readPush(c echo.Context, limit, size int64) ([]byte, error) {
	r := c.Request()
	if r.Method == http.MethodDelete {
		return nil, nil
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		return nil, problem(http.StatusUnsupportedMediaType, codeMediaType, "send the body as Content-Type: application/json")
	}
	control := http.NewResponseController(c.Response())
	err = errors.Join(control.SetReadDeadline(time.Now().Add(pushReading)), control.SetWriteDeadline(time.Now().Add(pushReading+pushTimeout)))
	if err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	var body bytes.Buffer
	if r.ContentLength > 0 {
		body.Grow(int(size) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(io.LimitReader(r.Body, limit+1)); err != nil {
		return nil, invalid("", "the body could not be read to its end")
	}
	if int64(body.Len()) > limit {
		return nil, tooLarge(limit)
	}
	return body.Bytes(), nil
}

// pushAnswer says what became of one item.
type pushAnswer struct {
	ID       string          `json:"id"`
	Status   jobs.PushStatus `json:"status"`
	Warnings []string        `json:"warnings,omitempty"`
	Problem  *Problem        `json:"problem,omitempty"`
}

// pushDocument answers PUT /v1/push/{connection}/documents/{id}.
func (s *Server) pushDocument(c echo.Context) error {
	id, err := pathParam(c, "id")
	if err != nil {
		return err
	}
	return s.stored(c, maxPushedDocument, func(ctx context.Context, body []byte) error {
		item := jobs.DecodePushDocument(id, body)
		if item.Err != nil {
			return item.Err
		}
		results, err := s.cfg.Push.Pusher.Push(ctx, targetOf(c), []jobs.PushItem{item})
		if err != nil {
			return err
		}
		r := results[0]
		if r.Err != nil {
			return r.Err
		}
		status := http.StatusOK
		if r.Status == jobs.PushCreated {
			status = http.StatusCreated
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.JSON(status, pushAnswer{ID: r.ID, Status: r.Status, Warnings: r.Warnings})
	})
}

// unpushDocument answers DELETE /v1/push/{connection}/documents/{id}.
func (s *Server) unpushDocument(c echo.Context) error {
	id, err := pathParam(c, "id")
	if err != nil {
		return err
	}
	item := jobs.DeletedItem(id)
	if item.Err != nil {
		return item.Err
	}
	return s.stored(c, 0, func(ctx context.Context, _ []byte) error {
		results, err := s.cfg.Push.Pusher.Push(ctx, targetOf(c), []jobs.PushItem{item})
		if err == nil {
			err = results[0].Err
		}
		if err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})
}

// pushGroup answers PUT /v1/push/{connection}/groups/{id}.
func (s *Server) pushGroup(c echo.Context) error {
	group, err := groupOf(c)
	if err != nil {
		return err
	}
	return s.stored(c, maxPushedGroup, func(ctx context.Context, body []byte) error {
		members, err := jobs.DecodePushGroup(body)
		if err != nil {
			return err
		}
		changed, err := s.cfg.Push.Pusher.PushGroup(ctx, targetOf(c), group, members)
		if err != nil {
			return err
		}
		status := jobs.PushUpdated
		if changed == 0 {
			status = jobs.PushUnchanged
		}
		return answerJSON(c, pushAnswer{ID: group.ID, Status: status})
	})
}

// unpushGroup answers DELETE /v1/push/{connection}/groups/{id}: nobody is in it.
func (s *Server) unpushGroup(c echo.Context) error {
	group, err := groupOf(c)
	if err != nil {
		return err
	}
	return s.stored(c, 0, func(ctx context.Context, _ []byte) error {
		if _, err := s.cfg.Push.Pusher.PushGroup(ctx, targetOf(c), group, nil); err != nil {
			return err
		}
		return c.NoContent(http.StatusNoContent)
	})
}

func groupOf(c echo.Context) (connectors.Principal, error) {
	id, err := pathParam(c, "id")
	if err != nil {
		return connectors.Principal{}, err
	}
	return jobs.PushPrincipal(string(connectors.Group), id, "")
}

// pushBatchAnswer is the answer to a batch: its items in order, and how many
// have each status.
type pushBatchAnswer struct {
	Items  []pushAnswer            `json:"items"`
	Counts map[jobs.PushStatus]int `json:"counts"`
}

// pushBatch answers POST /v1/push/{connection}/batch.
func (s *Server) pushBatch(c echo.Context) error {
	return s.stored(c, jobs.MaxPushBatch, func(ctx context.Context, body []byte) error {
		items, err := jobs.DecodePushBatch(body)
		if err != nil {
			return err
		}
		results, err := s.cfg.Push.Pusher.Push(ctx, targetOf(c), items)
		if err != nil {
			return err
		}
		answer := pushBatchAnswer{Items: make([]pushAnswer, len(results)), Counts: map[jobs.PushStatus]int{}}
		for i, r := range results {
			answer.Items[i] = pushAnswer{ID: r.ID, Status: r.Status, Warnings: r.Warnings}
			answer.Counts[r.Status]++
			if item, ok := errors.AsType[*jobs.PushError](r.Err); ok {
				answer.Items[i].Problem = itemProblem(item, "/items/"+strconv.Itoa(i))
			}
		}
		return answerJSON(c, answer)
	})
}
