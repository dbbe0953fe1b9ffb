package timetable

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// ParseRhythm reads an interval, such as 15m or 7d, or a cron expression. The
// text "default" is neither.
func ParseRhythm(text string) (every time.Duration, cron string, err error) { //nolint:nonamedreturns // the names say which is which
	text = strings.TrimSpace(text)
	if text == "default" {
		return 0, "", nil
	}
	if every, err := parseEvery(text); err == nil {
		if every < ShortestInterval || every > LongestInterval {
			return 0, "", errInterval
		}
		return every, "", nil
	}
	if _, err := ParseCron(text); err != nil {
		if !strings.ContainsAny(text, " @") {
			return 0, "", errRhythm
		}
		return 0, "", err
	}
	return 0, text, nil
}

var (
	errInterval = errors.New("must be 10s to 366 days, such as 15m, or a cron expression")
	errRhythm   = errors.New("write an interval such as 15m or 7d, a cron expression such as \"0 3 * * *\", or default")
)

// RhythmText returns the form that ParseRhythm reads.
func RhythmText(every time.Duration, cron string) string {
	const day = 24 * time.Hour
	switch {
	case cron != "":
		return cron
	case every == 0:
		return "default"
	case every%day == 0:
		return strconv.FormatInt(int64(every/day), 10) + "d"
	}
	text := every.String()
	if cut, ok := strings.CutSuffix(text, "m0s"); ok {
		text = cut + "m"
	}
	if cut, ok := strings.CutSuffix(text, "h0m"); ok {
		text = cut + "h"
	}
	return text
}

func parseEvery(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 1000 {
			return 0, errInterval
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	return time.ParseDuration(text)
}
