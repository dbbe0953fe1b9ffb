package timetable

import (
	"errors"
	"fmt"
	"hash/fnv"
	"time"
)

// Bounds of an interval.
const (
	ShortestInterval = 10 * time.Second
	LongestInterval  = 366 * 24 * time.Hour
)

// Jitter moves a time by at most this share of what lies between two, and by at
// most maxJitter, so that not all connections come at once.
const (
	jitterShare = 0.05
	maxJitter   = time.Minute
)

// Plan is when a lane of a connection runs: every so often, or by cron.
type Plan struct {
	every time.Duration
	cron  *Cron
	loc   *time.Location
	quiet Quiet
	// phase places the connection within the jitter, 0 to 1.
	phase float64
}

// Input is what a plan is made of. Cron, where it is not "", takes the place of
// Every.
type Input struct {
	Every time.Duration
	Cron  string
	// Quiet holds back only content; leave it empty for other lanes.
	Quiet Quiet
	Zone  *time.Location
	// Key chooses the place within the jitter: equal keys, equal times.
	Key string
}

// New checks a plan.
func New(in Input) (Plan, error) {
	p := Plan{every: in.Every, loc: in.Zone, quiet: in.Quiet, phase: phaseOf(in.Key)}
	if in.Cron != "" {
		c, err := ParseCron(in.Cron)
		if err != nil {
			return Plan{}, err
		}
		p.cron = &c
		return p, nil
	}
	if in.Every < ShortestInterval || in.Every > LongestInterval {
		return Plan{}, errInterval
	}
	return p, nil
}

// Zone loads a time zone by its name in the IANA database.
func Zone(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, errors.New("write a name such as Europe/Berlin or UTC")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone: write a name such as Europe/Berlin or UTC", name)
	}
	return loc, nil
}

// Interval returns the interval, or the longest time between two fires of the
// cron expression: how old what a lane brings may be.
func (p Plan) Interval() time.Duration {
	if p.cron != nil {
		return min(max(p.cron.longest, ShortestInterval), LongestInterval)
	}
	return p.every
}

// Next returns when the next run after now is due: later than now, never in
// quiet hours, and never earlier for a later now. Times that passed meanwhile
// are not made up for.
func (p Plan) Next(now time.Time) time.Time {
	next := now.Add(p.every + p.jitter(p.every))
	if p.cron != nil {
		late := p.jitter(p.cron.shortest)
		if late < 0 {
			late = -late
		}
		next = p.cron.Next(now.Add(-late), p.loc).Add(late)
	}
	if end, quiet := p.quiet.Until(next); quiet {
		return end
	}
	return next
}

// jitter is between plus and minus the share of a gap.
func (p Plan) jitter(gap time.Duration) time.Duration {
	most := min(time.Duration(float64(gap)*jitterShare), maxJitter)
	return time.Duration((2*p.phase - 1) * float64(most)).Truncate(time.Millisecond)
}

// phaseOf spreads keys evenly over 0 to 1.
func phaseOf(key string) float64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	// FNV's high bits differ little for keys that differ at their ends.
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return float64(x>>11) / (1 << 53)
}
