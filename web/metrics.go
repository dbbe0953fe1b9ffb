package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// metricsType is the Prometheus text exposition format.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// Sample is one gauge that a process reports beside the counts of requests.
type Sample struct {
	Name, Help string
	// Labels are pairs of name and value of few different values.
	Labels [][2]string
	Value  float64
}

// Metrics counts requests and collects gauges. It is safe for concurrent use.
type Metrics struct {
	mu       sync.Mutex
	requests map[requestKey]int64
	seconds  map[string]*histogram
	gauges   func(ctx context.Context) ([]Sample, error)
	started  time.Time
}

type requestKey struct {
	route string
	class int
}

type histogram struct {
	buckets []int64
	sum     float64
	count   int64
}

// NewMetrics returns Metrics that have counted nothing.
func NewMetrics() *Metrics {
	return &Metrics{requests: map[requestKey]int64{}, seconds: map[string]*histogram{}, started: time.Now()}
}

// SetGauges makes collect the source of further gauges. Call it before the
// first request.
func (m *Metrics) SetGauges(collect func(ctx context.Context) ([]Sample, error)) { m.gauges = collect }

// bounds are the upper bounds of the histogram's buckets in seconds.
func bounds() []float64 { return []float64{0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10} }

// observeRequest counts one answer. route is the route's pattern, never the
// path that was asked for.
func (m *Metrics) observeRequest(route string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests[requestKey{route, status / 100}]++
	h := m.seconds[route]
	if h == nil {
		h = &histogram{buckets: make([]int64, len(bounds()))}
		m.seconds[route] = h
	}
	s := took.Seconds()
	for i, b := range bounds() {
		if s <= b {
			h.buckets[i]++
		}
	}
	h.sum += s
	h.count++
}

// Handler serves /metrics, and the probes for processes without a web server.
// It answers only when asked by an IP address, localhost or the listener's own
// host name.
func (m *Metrics) Handler(addr string, ready func(ctx context.Context) error) http.Handler {
	own, _, _ := net.SplitHostPort(addr)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", metricsType)
		_, _ = w.Write([]byte(m.text(r.Context())))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
		defer cancel()
		if ready(ctx) != nil {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.ToLower(strings.Trim(r.Host, "[]"))
		if host, _, err := net.SplitHostPort(r.Host); err == nil {
			name = strings.ToLower(host)
		}
		if !isIPOrLocalhost(name) && name != strings.ToLower(own) {
			writeProblem(w, r.Method, problem(http.StatusMisdirectedRequest, codeMisdirected, "this listener does not answer for that host"))
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// ServeMetrics answers on l until ctx ends.
func (m *Metrics) ServeMetrics(ctx context.Context, l net.Listener, ready func(ctx context.Context) error, log *slog.Logger) error {
	return serve(ctx, l, m.Handler(l.Addr().String(), ready), log, "", "", func() {})
}

func (m *Metrics) text(ctx context.Context) string {
	var b strings.Builder
	m.writeRequests(&b)
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	samples := []Sample{
		{Name: "tributary_uptime_seconds", Help: "Seconds since the process started.", Value: time.Since(m.started).Seconds()},
		{Name: "go_goroutines", Help: "Goroutines that exist.", Value: float64(runtime.NumGoroutine())},
		{Name: "go_memstats_heap_inuse_bytes", Help: "Heap in use.", Value: float64(mem.HeapInuse)},
		{Name: "go_memstats_sys_bytes", Help: "Memory obtained from the system.", Value: float64(mem.Sys)},
	}
	up := 1.0
	if m.gauges != nil {
		more, err := m.gauges(ctx)
		if err != nil {
			up = 0
		}
		samples = append(samples, more...)
	}
	samples = append(samples, Sample{Name: "tributary_database_up", Help: "Whether the gauges could be read from the database.", Value: up})
	last := ""
	for _, s := range samples {
		if s.Name != last {
			fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", s.Name, s.Help, s.Name)
			last = s.Name
		}
		fmt.Fprintf(&b, "%s%s %s\n", s.Name, labels(s.Labels), number(s.Value))
	}
	return b.String()
}

func (m *Metrics) writeRequests(b *strings.Builder) {
	m.mu.Lock()
	defer m.mu.Unlock()
	const total, seconds = "tributary_http_requests_total", "tributary_http_request_seconds"
	fmt.Fprintf(b, "# HELP %s Answered requests.\n# TYPE %s counter\n", total, total)
	keys := make([]requestKey, 0, len(m.requests))
	for k := range m.requests {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b requestKey) int {
		if c := strings.Compare(a.route, b.route); c != 0 {
			return c
		}
		return a.class - b.class
	})
	for _, k := range keys {
		fmt.Fprintf(b, "%s%s %d\n", total, labels([][2]string{{"route", k.route}, {"status", strconv.Itoa(k.class) + "xx"}}), m.requests[k])
	}
	fmt.Fprintf(b, "# HELP %s How long answers took.\n# TYPE %s histogram\n", seconds, seconds)
	routes := make([]string, 0, len(m.seconds))
	for r := range m.seconds {
		routes = append(routes, r)
	}
	slices.Sort(routes)
	for _, r := range routes {
		h := m.seconds[r]
		for i, bound := range bounds() {
			fmt.Fprintf(b, "%s_bucket%s %d\n", seconds, labels([][2]string{{"route", r}, {"le", number(bound)}}), h.buckets[i])
		}
		fmt.Fprintf(b, "%s_bucket%s %d\n", seconds, labels([][2]string{{"route", r}, {"le", "+Inf"}}), h.count)
		fmt.Fprintf(b, "%s_sum%s %s\n", seconds, labels([][2]string{{"route", r}}), number(h.sum))
		fmt.Fprintf(b, "%s_count%s %d\n", seconds, labels([][2]string{{"route", r}}), h.count)
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func labels(pairs [][2]string) string {
	if len(pairs) == 0 {
		return ""
	}
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	parts := make([]string, len(pairs))
	for i, p := range pairs {
		parts[i] = p[0] + `="` + escape.Replace(p[1]) + `"`
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// ListensPublicly reports whether addr accepts connections of other machines.
func ListensPublicly(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err != nil || !ap.Addr().Unmap().IsLoopback()
}
