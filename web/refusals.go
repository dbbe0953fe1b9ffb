package web

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
)

// refusalsPerMinute bounds what strangers can make the audit log hold, by action: a flood of one kind hides no other.
const refusalsPerMinute = 60

// refusals counts refused attempts by action, to record no more than refusalsPerMinute of each. The zero value is ready.
type refusals struct {
	mu      sync.Mutex
	actions map[string]*refusalCount
}

type refusalCount struct {
	minute   time.Time
	recorded int
	left     int
}

// admit reports whether one more of an action may be recorded at now, and how many were not since the last that was.
func (r *refusals) admit(action string, now time.Time) (left int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.actions == nil {
		r.actions = map[string]*refusalCount{}
	}
	c := r.actions[action]
	if c == nil {
		c = &refusalCount{}
		r.actions[action] = c
	}
	if now.Sub(c.minute) >= time.Minute {
		c.minute, c.recorded = now, 0
	}
	if c.recorded >= refusalsPerMinute {
		c.left++
		return 0, false
	}
	c.recorded++
	left, c.left = c.left, 0
	return left, true
}

// take returns how many of each action were not recorded, and forgets them.
func (r *refusals) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for action, c := range r.actions {
		if c.left > 0 {
			out[action], c.left = c.left, 0
		}
	}
	return out
}

// refused records an attempt that was refused.
func (s *Server) refused(c echo.Context, action string, target audit.Target) {
	left, ok := s.refusals.admit(action, time.Now())
	if !ok {
		return
	}
	e := audit.Event{Actor: actor(c), Action: action, Target: target, Outcome: audit.Refused}
	if left > 0 {
		e.Detail = map[string]string{"not_recorded": strconv.Itoa(left)}
	}
	// The one who was refused may go before it is written.
	s.recordRefusal(context.WithoutCancel(c.Request().Context()), e)
}

func (s *Server) recordRefusal(ctx context.Context, e audit.Event) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := s.cfg.Accounts.Record(ctx, e); err != nil {
		s.cfg.Log.ErrorContext(ctx, "recording a refusal", "action", e.Action, "error", err)
	}
}

// uncounted is an event that stands for refusals that were not recorded.
func uncounted(actor audit.Actor, action string, left int) audit.Event {
	return audit.Event{Actor: actor, Action: action, Outcome: audit.Refused, Detail: map[string]string{"not_recorded": strconv.Itoa(left)}}
}

// lastRefusals records, when the server ends, how many refusals were not.
func (s *Server) lastRefusals(ctx context.Context) {
	for action, left := range s.refusals.take() {
		s.recordRefusal(ctx, uncounted(audit.Actor{Kind: audit.System, Name: "web", Authenticated: true}, action, left))
	}
}
