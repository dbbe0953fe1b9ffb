package web

import "time"

// FillRate is how fast a profile is filled, as the page of profiles sees it.
func FillRate() func(profile int16, vectors int64, now time.Time) float64 {
	var r fillRates
	return r.look
}
