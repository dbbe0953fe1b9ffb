package timetable

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Cron is a parsed cron expression: five fields, or one of @hourly, @daily,
// @midnight, @weekly, @monthly, @yearly and @annually.
type Cron struct {
	spec *cron.SpecSchedule
	// everyHour is true where the hour field is *: such an expression goes by the
	// time that passes, another one by the clock on the wall.
	everyHour bool
	shortest  time.Duration
	longest   time.Duration
}

// Bounds of what is looked at to learn the gaps of an expression.
const (
	gapSample = 64
	starBit   = 1 << 63
)

// epoch is where the gaps of an expression are measured: a leap year's start.
func epoch() time.Time { return time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC) }

// ParseCron reads a cron expression. Its errors name the remedy.
func ParseCron(expr string) (Cron, error) {
	expr = strings.TrimSpace(expr)
	switch {
	case strings.Contains(expr, "="):
		return Cron{}, errors.New("a cron expression has no time zone of its own: set time_zone")
	case strings.HasPrefix(expr, "@every"):
		return Cron{}, errors.New("write an interval such as 15m instead of @every")
	case len(expr) > 200:
		return Cron{}, errors.New("a cron expression has at most 200 characters")
	}
	parsed, err := cron.ParseStandard(expr)
	if err != nil {
		return Cron{}, fmt.Errorf("%q is no cron expression (minute, hour, day of month, month, day of week, such as \"0 3 * * *\", or @daily): %w", expr, err)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Cron{}, errors.New("write a cron expression of five fields, or an interval such as 15m")
	}
	c := Cron{spec: spec, everyHour: spec.Hour&starBit != 0}
	at := spec.Next(epoch())
	if at.IsZero() {
		return Cron{}, fmt.Errorf("%q never comes: name a day that exists", expr)
	}
	for range gapSample {
		next := spec.Next(at)
		if next.IsZero() {
			break
		}
		gap := next.Sub(at)
		if c.shortest == 0 || gap < c.shortest {
			c.shortest = gap
		}
		c.longest = max(c.longest, gap)
		at = next
	}
	return c, nil
}

// Next returns the first time after t, in loc, at which the expression fires.
// On a day on which clocks change, an hour that is left out fires when it would
// have begun, and an hour that comes twice fires the first time; an expression
// for every hour fires in each that passes.
func (c Cron) Next(t time.Time, loc *time.Location) time.Time {
	for at := t.In(loc); ; {
		next := c.spec.Next(at)
		if next.IsZero() {
			return next
		}
		if !c.everyHour {
			if gap, ok := c.leftOut(t.In(loc), next); ok {
				return gap
			}
			if first := earlier(next); !first.Equal(next) && c.matches(first) {
				at = next
				continue
			}
		}
		return next
	}
}

// matches reports whether the expression fires at t.
func (c Cron) matches(t time.Time) bool { return c.spec.Next(t.Add(-time.Second)).Equal(t) }

// leftOut returns the first change of clocks in (after, before] that leaves out
// a time of the expression.
func (c Cron) leftOut(after, before time.Time) (time.Time, bool) {
	for at := after; ; {
		_, end := at.ZoneBounds()
		if end.IsZero() || end.After(before) {
			return time.Time{}, false
		}
		if end.After(after) {
			_, was := end.Add(-time.Second).Zone()
			_, is := end.Zone()
			// The times on the wall that do not exist, as if they were UTC.
			from, to := wall(end.Add(time.Duration(was-is)*time.Second)), wall(end)
			if is > was && c.spec.Next(from.Add(-time.Second)).Before(to) {
				return end, true
			}
		}
		at = end
	}
}

// wall returns what the clock on the wall shows at t, as a time in UTC.
func wall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC()
}

// earlier returns the first moment at which the clock on the wall shows what it
// shows at t: t itself, unless clocks were set back shortly before.
func earlier(t time.Time) time.Time {
	start, _ := t.ZoneBounds()
	if start.IsZero() {
		return t
	}
	_, was := start.Add(-time.Second).Zone()
	_, is := t.Zone()
	back := time.Duration(was-is) * time.Second
	if back <= 0 || t.Sub(start) >= back {
		return t
	}
	return t.Add(-back)
}
