package timetable

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func moment(t testing.TB, text string, loc *time.Location) time.Time {
	t.Helper()
	at, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestCronOnDaysWhenClocksChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone, expr, from string
		want             []string
	}{
		"an hour that is left out fires at the change": {
			"Europe/Berlin", "30 2 * * *", "2026-03-28 03:00",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"},
		},
		"an hour that comes twice fires once": {
			"Europe/Berlin", "30 2 * * *", "2026-10-24 03:00",
			[]string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"},
		},
		"every hour fires in each hour that passes": {
			"Europe/Berlin", "0 * * * *", "2026-10-25 01:30",
			[]string{"2026-10-25T02:00:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T03:00:00+01:00"},
		},
		"every hour skips what does not exist": {
			"Europe/Berlin", "0 * * * *", "2026-03-29 01:30",
			[]string{"2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"},
		},
		"a midnight that does not exist": {
			"America/Sao_Paulo", "@daily", "2018-11-03 12:00",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"},
		},
		"two times in the hour that is left out fire once": {
			"America/New_York", "15,45 2 * * *", "2026-03-07 12:00",
			[]string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:15:00-04:00"},
		},
		"leap days": {"UTC", "0 0 29 2 *", "2026-01-01 00:00", []string{"2028-02-29T00:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cron, err := ParseCron(c.expr)
			if err != nil {
				t.Fatal(err)
			}
			loc := zone(t, c.zone)
			at := moment(t, c.from, loc)
			for _, want := range c.want {
				at = cron.Next(at, loc)
				if got := at.Format(time.RFC3339); got != want {
					t.Fatalf("fires at %s, want %s", got, want)
				}
			}
		})
	}
}

func TestCronRefuses(t *testing.T) {
	t.Parallel()
	for expr, remedy := range map[string]string{
		"TZ=Europe/Berlin 0 3 * * *":            "time_zone",
		"CRON_TZ=UTC 0 3 * * *":                 "time_zone",
		"@every 5m":                             "15m",
		"0 0 30 2 *":                            "never",
		"0 0 31 4,6,9,11 *":                     "never",
		"61 * * * *":                            "five fields",
		"0 0 3 * * *":                           "hour, day of month",
		"@reboot":                               "@daily",
		"":                                      "@daily",
		strings.Repeat("1,", 200) + "1 * * * *": "200",
	} {
		if _, err := ParseCron(expr); err == nil || !strings.Contains(err.Error(), remedy) && !strings.Contains(err.Error(), "cron expression") {
			t.Errorf("%q: %v, want a remedy with %q", expr, err, remedy)
		}
	}
}

func TestQuietHours(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone  string
		hours []string
		at    string
		// until is "" where it is not quiet.
		until string
	}{
		"over midnight, before it":           {"UTC", []string{"22:00-06:00"}, "2026-11-20 23:00", "2026-11-21T06:00:00Z"},
		"over midnight, after it":            {"UTC", []string{"22:00-06:00"}, "2026-11-21 05:59", "2026-11-21T06:00:00Z"},
		"its end is not quiet":               {"UTC", []string{"22:00-06:00"}, "2026-11-21 06:00", ""},
		"its start is":                       {"UTC", []string{"22:00-06:00"}, "2026-11-21 22:00", "2026-11-22T06:00:00Z"},
		"days are those of the start":        {"UTC", []string{"mon-fri 22:00-06:00"}, "2026-11-21 03:00", "2026-11-21T06:00:00Z"}, // Saturday morning
		"not after a day that has none":      {"UTC", []string{"mon-fri 22:00-06:00"}, "2026-11-23 03:00", ""},                     // Monday morning
		"days that go round the week":        {"UTC", []string{"sat-mon 09:00-17:00"}, "2026-11-22 12:00", "2026-11-22T17:00:00Z"},
		"spans that meet are one":            {"UTC", []string{"20:00-24:00", "00:00-05:00"}, "2026-11-20 21:00", "2026-11-21T05:00:00Z"},
		"a night in which clocks go forward": {"Europe/Berlin", []string{"01:00-02:30"}, "2026-03-29 01:30", "2026-03-29T03:00:00+02:00"},
		"a night in which clocks go back":    {"Europe/Berlin", []string{"22:00-02:30"}, "2026-10-25 01:00", "2026-10-25T02:30:00+01:00"},
		"the zone is the connection's":       {"Asia/Kolkata", []string{"22:00-06:00"}, "2026-11-20 22:30", "2026-11-21T06:00:00+05:30"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc := zone(t, c.zone)
			var hours []QuietHours
			for _, h := range c.hours {
				q, err := ParseQuiet(h)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := ParseQuiet(q.String()); err != nil || again.String() != q.String() {
					t.Errorf("%s is read back as %s, %v", q, again, err)
				}
				hours = append(hours, q)
			}
			q, err := NewQuiet(hours, loc)
			if err != nil {
				t.Fatal(err)
			}
			end, quiet := q.Until(moment(t, c.at, loc))
			if quiet != (c.until != "") || quiet && end.In(loc).Format(time.RFC3339) != c.until {
				t.Errorf("quiet %v until %s, want until %q", quiet, end.In(loc).Format(time.RFC3339), c.until)
			}
		})
	}
}

func TestQuietRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "22:00", "22:00-22:00", "xyz 22:00-06:00", "mon-", "24:00-06:00", "25:00-06:00", "22:60-06:00", "2:00-3:00", "mon tue 01:00-02:00", "22:00-06:00x", "-1:00-02:00"} {
		if q, err := ParseQuiet(text); err == nil {
			t.Errorf("%q is read as %s", text, q)
		}
	}
	all := []QuietHours{{From: "00:00", To: "24:00", Days: []string{"mon", "tue", "wed", "thu", "fri", "sat"}}, {From: "00:30", To: "23:45", Days: []string{"sun"}}}
	if _, err := NewQuiet(all, time.UTC); err == nil {
		t.Error("quiet hours that leave 45 minutes of a week are accepted")
	}
	all[1].From = "01:00"
	if _, err := NewQuiet(all, time.UTC); err != nil {
		t.Errorf("quiet hours that leave 75 minutes of a week: %v", err)
	}
}

// The next time is later than now, is never in quiet hours, and never comes
// earlier for a later now.
func TestNextKeepsItsRules(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"}
	exprs := []string{"", "*/5 * * * *", "0 * * * *", "30 2 * * *", "@daily", "@weekly", "0 3 * * mon-fri", "15 1,2,3 * * *", "0 0 1 * *", "0 */2 * * *", "59 23 * * *"}
	// From 2016, when zones still changed that no longer do.
	start := time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(r *rapid.T) {
		loc := zone(t, rapid.SampledFrom(zones).Draw(r, "zone"))
		var hours []QuietHours
		for range rapid.IntRange(0, 3).Draw(r, "spans") {
			clock := func(name string) string {
				m := rapid.IntRange(0, 287).Draw(r, name) * 5
				return time.Date(2000, 1, 1, 0, m, 0, 0, time.UTC).Format("15:04")
			}
			h := QuietHours{From: clock("from"), To: clock("to")}
			h.Days = rapid.SliceOfNDistinct(rapid.SampledFrom(days()), 1, 4, rapid.ID).Draw(r, "days")
			if h.From != h.To {
				hours = append(hours, h)
			}
		}
		quiet, err := NewQuiet(hours, loc)
		if err != nil {
			r.Skip(err)
		}
		plan, err := New(Input{
			Every: time.Duration(rapid.IntRange(10, 86400*8).Draw(r, "every")) * time.Second,
			Cron:  rapid.SampledFrom(exprs).Draw(r, "cron"), Quiet: quiet, Zone: loc, Key: rapid.String().Draw(r, "key"),
		})
		if err != nil {
			r.Fatal(err)
		}
		now := start.Add(time.Duration(rapid.IntRange(0, 86400*365*12).Draw(r, "now")) * time.Second)
		last := time.Time{}
		for range 8 {
			next := plan.Next(now)
			if !next.After(now) {
				r.Fatalf("at %s the next is %s", now, next)
			}
			if end, is := quiet.Until(next); is {
				r.Fatalf("the next, %s, is in quiet hours until %s", next, end)
			}
			if begins := quiet.Begins(next); !begins.IsZero() {
				if _, is := quiet.Until(begins); !is || !begins.After(next) {
					r.Fatalf("at %s quiet hours are to begin at %s", next, begins)
				}
			}
			if next.Before(last) {
				r.Fatalf("a later now, %s, has an earlier next: %s before %s", now, next, last)
			}
			last = next
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(r, "later")))
		}
	})
}

func TestJitterIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 30, 0, 0, time.UTC)
	seen := map[time.Time]bool{}
	for i := range 200 {
		key := time.Duration(i).String()
		week, err := New(Input{Every: 7 * 24 * time.Hour, Zone: time.UTC, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		if d := week.Next(now).Sub(now) - 7*24*time.Hour; d > time.Minute || d < -time.Minute {
			t.Fatalf("a week is off by %s", d)
		}
		quarter, _ := New(Input{Every: 15 * time.Minute, Zone: time.UTC, Key: key})
		if d := quarter.Next(now).Sub(now) - 15*time.Minute; d > 45*time.Second || d < -45*time.Second {
			t.Fatalf("15 minutes are off by %s", d)
		}
		hourly, _ := New(Input{Cron: "@hourly", Zone: time.UTC, Key: key})
		at := hourly.Next(now)
		if late := at.Sub(time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)); late < 0 || late > time.Minute {
			t.Fatalf("a cron expression is late by %s", late)
		}
		if again := hourly.Next(now); !again.Equal(at) {
			t.Fatal("the same connection has two times")
		}
		seen[at] = true
	}
	if len(seen) < 150 {
		t.Errorf("200 connections share %d times", len(seen))
	}
}

func TestIntervalOfCronIsItsLongestGap(t *testing.T) {
	t.Parallel()
	p, err := New(Input{Cron: "0 9 * * mon-fri", Zone: time.UTC})
	if err != nil || p.Interval() != 3*24*time.Hour {
		t.Errorf("%s, %v", p.Interval(), err)
	}
}

func TestRhythms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"15m": "15m", "7d": "7d", "90m": "1h30m", "24h": "1d", "2h": "2h", "10s": "10s", "0 3 * * *": "0 3 * * *", "@daily": "@daily", "default": "default",
	} {
		every, cron, err := ParseRhythm(text)
		if got := RhythmText(every, cron); err != nil || got != want {
			t.Errorf("%q is read as %q, %v", text, got, err)
		}
	}
	for text, remedy := range map[string]string{
		"9s": "10s", "367d": "366 days", "-5m": "10s", "soon": "15m", "": "15m", "@every 5m": "15m", "0 0 31 2 *": "never",
	} {
		if _, _, err := ParseRhythm(text); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%q: %v, want a remedy with %q", text, err, remedy)
		}
	}
}
