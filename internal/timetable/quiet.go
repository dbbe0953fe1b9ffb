package timetable

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// QuietHours is a span of the day, on some days of the week, in which no content
// run begins. A span whose end is not after its start ends on the next day.
type QuietHours struct {
	// Days are those on which the span starts: "mon" to "sun"; none is every day.
	Days []string `json:"days,omitempty"`
	From string   `json:"from"`
	To   string   `json:"to"`
}

// String returns the form that ParseQuiet reads.
func (q QuietHours) String() string {
	span := q.From + "-" + q.To
	if len(q.Days) == 0 {
		return span
	}
	return strings.Join(q.Days, ",") + " " + span
}

func days() []string { return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} }

// ParseQuiet reads "mon-fri 22:00-06:00", "sat,sun 00:00-24:00" or
// "22:00-06:00".
func ParseQuiet(text string) (QuietHours, error) {
	malformed := fmt.Errorf("%q: write days and a span, such as \"mon-fri 22:00-06:00\" or \"22:00-06:00\"", text)
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) == 0 || len(fields) > 2 {
		return QuietHours{}, malformed
	}
	var q QuietHours
	if len(fields) == 2 {
		var err error
		if q.Days, err = parseDays(fields[0]); err != nil {
			return QuietHours{}, err
		}
	}
	from, to, ok := strings.Cut(fields[len(fields)-1], "-")
	if !ok {
		return QuietHours{}, malformed
	}
	q.From, q.To = from, to
	if _, err := q.window(); err != nil {
		return QuietHours{}, err
	}
	return q, nil
}

func parseDays(text string) ([]string, error) {
	names := days()
	var out []string
	for part := range strings.SplitSeq(text, ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		a, b := slices.Index(names, first), slices.Index(names, last)
		if a < 0 || b < 0 {
			return nil, fmt.Errorf("%q: the days are mon, tue, wed, thu, fri, sat and sun, such as mon-fri or sat,sun", part)
		}
		for ; ; a = (a + 1) % len(names) {
			if !slices.Contains(out, names[a]) {
				out = append(out, names[a])
			}
			if a == b {
				break
			}
		}
	}
	return out, nil
}

// window is QuietHours in minutes of the day; to is at most a day after from.
type window struct {
	on       [7]bool
	from, to int
}

const dayMinutes = 24 * 60

func (q QuietHours) window() (window, error) {
	var w window
	var err error
	if w.from, err = minuteOf(q.From); err != nil {
		return w, err
	}
	if w.to, err = minuteOf(q.To); err != nil {
		return w, err
	}
	switch {
	case w.from == w.to:
		return w, fmt.Errorf("%s-%s is no time at all: write 00:00-24:00 for a whole day", q.From, q.To)
	case w.from == dayMinutes:
		return w, errors.New("quiet hours start before 24:00: write 00:00 of the next day")
	case w.to < w.from:
		w.to += dayMinutes
	}
	if len(q.Days) == 0 {
		w.on = [7]bool{true, true, true, true, true, true, true}
	}
	for _, d := range q.Days {
		i := slices.Index(days(), d)
		if i < 0 {
			return w, fmt.Errorf("%q: the days are mon, tue, wed, thu, fri, sat and sun", d)
		}
		w.on[i] = true
	}
	return w, nil
}

func minuteOf(text string) (int, error) {
	var h, m int
	if len(text) == 5 && text[2] == ':' {
		h, m = number(text[:2]), number(text[3:])
		if h >= 0 && m >= 0 && m < 60 && h*60+m <= dayMinutes {
			return h*60 + m, nil
		}
	}
	return 0, fmt.Errorf("%q is no time of day: write 00:00 to 24:00", text)
}

func number(two string) int {
	if two[0] < '0' || two[0] > '9' || two[1] < '0' || two[1] > '9' {
		return -1
	}
	return int(two[0]-'0')*10 + int(two[1]-'0')
}

// leastLoud is how much of a week quiet hours leave.
const leastLoud = time.Hour

// Quiet is when no content run begins.
type Quiet struct {
	windows []window
	loc     *time.Location
}

// NewQuiet checks quiet hours. They have to leave an hour of the week.
func NewQuiet(hours []QuietHours, loc *time.Location) (Quiet, error) {
	if len(hours) > 50 {
		return Quiet{}, errors.New("at most 50 spans of quiet hours")
	}
	out := Quiet{loc: loc}
	var week [7 * dayMinutes]bool
	for _, h := range hours {
		w, err := h.window()
		if err != nil {
			return Quiet{}, err
		}
		out.windows = append(out.windows, w)
		for day, on := range w.on {
			for m := w.from; on && m < w.to; m++ {
				week[(day*dayMinutes+m)%len(week)] = true
			}
		}
	}
	loud := 0
	for _, quiet := range week {
		if !quiet {
			loud++
		}
	}
	if time.Duration(loud)*time.Minute < leastLoud {
		return Quiet{}, errors.New("the quiet hours leave no hour of the week: to stop a connection, pause it")
	}
	return out, nil
}

// Until returns when the quiet hours that hold at t end, or false when none do.
func (q Quiet) Until(t time.Time) (time.Time, bool) {
	end := t
	for again := true; again; {
		again = false
		for _, w := range q.windows {
			if _, to, ok := w.at(end, q.loc); ok {
				end, again = to, true
			}
		}
	}
	return end, end.After(t)
}

// Begins returns when the next quiet hours begin, t itself where they hold; the
// zero time is never.
func (q Quiet) Begins(t time.Time) time.Time {
	if _, ok := q.Until(t); ok {
		return t
	}
	var first time.Time
	for _, w := range q.windows {
		y, m, d := t.In(q.loc).Date()
		for ahead := range 9 {
			day := time.Date(y, m, d+ahead, 12, 0, 0, 0, q.loc)
			if !w.on[day.Weekday()] {
				continue
			}
			if from := onWall(day, w.from, false); from.After(t) {
				if first.IsZero() || from.Before(first) {
					first = from
				}
				break
			}
		}
	}
	return first
}

// at returns the span of w that holds at t.
func (w window) at(t time.Time, loc *time.Location) (from, to time.Time, ok bool) { //nolint:nonamedreturns // the names say which is which
	y, m, d := t.In(loc).Date()
	for _, back := range []int{0, 1} {
		day := time.Date(y, m, d-back, 12, 0, 0, 0, loc)
		if !w.on[day.Weekday()] {
			continue
		}
		from, to = onWall(day, w.from, false), onWall(day, w.to, true)
		if !t.Before(from) && t.Before(to) {
			return from, to, true
		}
	}
	return time.Time{}, time.Time{}, false
}

// onWall returns when the clock on the wall shows the minute of a day: the first
// time, or the last, where it does so twice; when clocks change, where it never
// does.
func onWall(day time.Time, minute int, last bool) time.Time {
	y, m, d := day.Date()
	t := time.Date(y, m, d, 0, minute, 0, 0, day.Location())
	if want, got := time.Date(y, m, d, 0, minute, 0, 0, time.UTC), wall(t); !got.Equal(want) {
		// Left out: time.Date may fall on either side of the change.
		start, end := t.ZoneBounds()
		if got.After(want) {
			return start
		}
		return end
	}
	if !last {
		return earlier(t)
	}
	_, end := t.ZoneBounds()
	if end.IsZero() {
		return t
	}
	_, is := t.Zone()
	_, later := end.Zone()
	if again := t.Add(time.Duration(is-later) * time.Second); is > later && !again.Before(end) {
		return again
	}
	return t
}
