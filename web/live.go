package web

import (
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
)

const (
	// heartbeatEvery is how often a stream says that it lives, and looks whether its session does.
	heartbeatEvery = 15 * time.Second
	// streamWriting is how long a message may take to leave.
	streamWriting = 10 * time.Second
	// maxStreams is how many pages may be watched in one process.
	maxStreams = 1000
	livePath   = "/live"
)

// liveRoutes are the stream that pages follow.
func (s *Server) liveRoutes() []route {
	if s.live == nil {
		return nil
	}
	return []route{{method: http.MethodGet, path: livePath, access: accessAuditor, handler: s.liveStream, streams: true}}
}

// liveStream is a stream of server-sent events (HTML Living Standard §9.2): "moved" whenever what ?topic= names has
// moved, and a comment at least every 15 s. It holds no database connection, and ends with its session.
func (s *Server) liveStream(c echo.Context) error {
	topic := c.QueryParam("topic")
	if !isTopic(topic) {
		return invalid("topic", "topic must be all, run:ID or connection:ID")
	}
	w, leave, ok := s.live.watch(topic, maxStreams)
	if !ok {
		return overloaded()
	}
	defer leave()
	control, h := http.NewResponseController(c.Response()), c.Response().Header()
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the events
	c.Response().WriteHeader(http.StatusOK)
	send := func(text string) error {
		if err := control.SetWriteDeadline(time.Now().Add(streamWriting)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		if _, err := c.Response().Write([]byte(text)); err != nil {
			return err
		}
		return control.Flush()
	}
	beat := time.NewTicker(s.heartbeat)
	defer beat.Stop()
	err := send("retry: 3000\n\n")
	for err == nil {
		select {
		case <-c.Request().Context().Done():
			return nil
		case <-s.live.over:
			return nil
		case <-w.moved:
			err = send("event: moved\ndata:\n\n")
		case <-beat.C:
			if s.sessionIsOver(c) {
				return send("event: over\ndata:\n\n")
			}
			err = send(": still here\n\n")
		}
	}
	return nil // whoever listened is gone
}

// sessionIsOver reports whether the session of a stream has ended, or its account may see less. Where that cannot be
// told, the stream ends too: the page asks again.
func (s *Server) sessionIsOver(c echo.Context) bool {
	over := true
	_ = s.limit(s.slots)(func(c echo.Context) error {
		who, err := s.currentSession(c)
		over = err != nil || !who.MayAct(store.RoleAuditor)
		return nil //nolint:nilerr // it says that the session is over
	})(c)
	return over
}

func isTopic(topic string) bool {
	if topic == topicAll {
		return true
	}
	for _, kind := range []string{topicRun, topicConnection} {
		if id, ok := strings.CutPrefix(topic, kind); ok {
			_, err := uuid.Parse(id)
			return err == nil && len(id) == 36
		}
	}
	return false
}
