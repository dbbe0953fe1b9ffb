package web

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
)

// refusalsPerMinute bounds what strangers can make the audit log hold.
const refusalsPerMinute = 60

// refusals counts refused attempts, to record no more than refusalsPerMinute.
type refusals struct {
	mu       sync.Mutex
	minute   time.Time
	recorded int
	left     int
}

// admit reports whether one more may be recorded at now, and how many were not
// since the last that was.
func (r *refusals) admit(now time.Time) (left int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.minute) >= time.Minute {
		r.minute, r.recorded = now, 0
	}
	if r.recorded >= refusalsPerMinute {
		r.left++
		return 0, false
	}
	r.recorded++
	left, r.left = r.left, 0
	return left, true
}

// refused records an attempt that was refused.
func (s *Server) refused(c echo.Context, action string, target audit.Target) {
	left, ok := s.refusals.admit(time.Now())
	if !ok {
		return
	}
	e := audit.Event{Actor: actor(c), Action: action, Target: target, Outcome: audit.Refused}
	if left > 0 {
		e.Detail = map[string]string{"not_recorded": strconv.Itoa(left)}
	}
	// The one who was refused may go before it is written.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), 5*time.Second)
	defer cancel()
	if err := s.cfg.Accounts.Record(ctx, e); err != nil {
		s.cfg.Log.ErrorContext(ctx, "recording a refusal", "action", action, "error", err)
	}
}
