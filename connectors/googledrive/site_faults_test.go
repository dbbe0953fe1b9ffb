package googledrive

import (
	"net/http"
	"strconv"
	"time"

	"tributary/connectors/connectortest"
)

// struck answers a request that a fault hits.
func (s *site) struck(x *exchange, on connectortest.Place, name string) bool {
	s.mu.Lock()
	f, mended := s.strike(on, name), s.mended
	s.mu.Unlock()
	if f == nil {
		return false
	}
	if f.Kind == connectortest.Slow {
		select {
		case <-mended:
		case <-x.r.Context().Done():
		}
		return false
	}
	status, err := strconv.Atoi(string(f.Kind))
	if err != nil {
		return false
	}
	if f.RetryAfter > 0 {
		x.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	reason := map[int]string{401: "authError", 403: "insufficientFilePermissions", 404: "notFound", 429: "rateLimitExceeded"}[status]
	if status == http.StatusForbidden && (on == connectortest.OnListing || on == connectortest.OnFeed) {
		reason = "insufficientPermissions"
	}
	if reason == "" {
		reason = "backendError"
	}
	fail(x, status, reason)
	return true
}

func (s *site) strike(on connectortest.Place, name string) *siteFault {
	for _, f := range s.faults {
		if f.On != on || f.Name != name {
			continue
		}
		if f.asked++; f.asked < f.Page || f.Times > 0 && f.struck >= f.Times {
			continue
		}
		f.struck++
		return f
	}
	return nil
}

type siteFault struct {
	connectortest.Fault
	asked, struck int
}
