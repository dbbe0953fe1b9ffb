package web

import (
	"reflect"
	"time"
)

// RouteInfo is one address and who may use it.
type RouteInfo struct {
	Method, Path, Access string
	Returnable           bool
	// Right is what the API key must carry; Takes and Gives are the types of the admin API.
	Right        string
	Takes, Gives reflect.Type
}

// Table lists what was registered with an access.
func (s *Server) Table() []RouteInfo {
	var list []RouteInfo
	for _, r := range s.table {
		list = append(list, RouteInfo{Method: r.method, Path: r.path, Access: r.access.String(), Returnable: r.returnable, Right: r.right, Takes: r.takes, Gives: r.gives})
	}
	return list
}

// Routed lists what the router answers, whoever registered it.
func (s *Server) Routed() []RouteInfo {
	var list []RouteInfo
	for _, r := range s.echo.Routes() {
		list = append(list, RouteInfo{Method: r.Method, Path: r.Path})
	}
	return list
}

// ReturnPath is where signing in with that next leads.
func (s *Server) ReturnPath(next string) string { return s.returnPath(next) }

// Refusals returns what decides whether a refusal is recorded.
func Refusals() func(action string, now time.Time) (left int, ok bool) {
	var r refusals
	return r.admit
}

// Waiting counts the requests that wait for the feed.
func (s *Server) Waiting() int { return len(s.waiting) }

// LiveEvery sets how often streams look at runs and say that they live.
func (s *Server) LiveEvery(look, heartbeat time.Duration) {
	s.live.every, s.heartbeat = look, heartbeat
}

// Drain says that the server is about to end.
func (s *Server) Drain() { s.drain() }

// Watchers counts the pages that are watched.
func (s *Server) Watchers() int {
	s.live.mu.Lock()
	defer s.live.mu.Unlock()
	return len(s.live.watchers)
}
