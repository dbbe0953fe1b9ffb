package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// interesting are texts that have surprised somebody's server.
func interesting() []string {
	return []string{
		"", " ", "0", "1", "-1", "2147483648", "9223372036854775808", "1e999", "NaN", "true", "null", "alpha", "alpha two", "keyword", "vector", "hybrid",
		"\x00", "a\x00b", "\xff\xfe", "\ufeff", "\u202egnp.exe", "e\u0301", "\U0001d54f", "\u0130", "中文資料", "ภาษาไทย", strings.Repeat("a", 3000), strings.Repeat("é ", 1100),
		"'; DROP TABLE document; --", `" OR 1=1 --`, "$1", "%s%n%d", "%", "_", "{{.}}", "${jndi:ldap://x}", "<script>alert(1)</script>", "\r\nSet-Cookie: a=b",
		"../../../etc/passwd", "/etc/passwd", "..%2f..%2f", "file:///etc/passwd", "http://169.254.169.254/", "//evil.example/", "a/b/c",
		"[[[[", "(((((", "*", strings.Repeat("*", 300), "**/*.md", "a{1,2,3}", "[a-", `\`, "a*b?c[d]", `"phrase`, `"in order"`, "migrat*", "-alpha", "& | ! ( ) :* <->",
		"2026-01-01T00:00:00Z", "2026-13-45T99:99:99Z", "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "infinity", "0000-00-00", "Mon, 01 Jan", "15m", "-1h", "9999999h", "* * * * *", "61 * * * *",
		"AAAAAAAAAAA", "MTA", "LTE", "AAAA", "!!!!", "eyJhbGciOiJub25lIn0.e30.", uuid.NewString(), uuid.Nil.String(), uuid.NewString() + ":1", uuid.NewString() + ":99999999999", ":1",
		`{"a":1}`, `[1]`, `{"a":`, "lineage", "scores", "embedding", "parent", "json", "owner", "admin", "fuzz", "user:ada", "unix:root", "email", "manual",
	}
}

// fuzzed is one random request.
type fuzzed struct {
	rng    *rand.Rand
	f      *fuzzRig
	route  string
	access string
	who    string
	method string
	path   string
	query  string
	body   string
	header http.Header
	good   []string
	odd    []string
}

func (q *fuzzed) String() string {
	return fmt.Sprintf("%s %s?%.400s as %s with %v and body %.600q", q.method, q.path, q.query, q.who, q.header, q.body)
}

// mayNotSee: the texts of documents are for their readers, and for an owner who asks in their place; their titles for
// who administers too.
func (q *fuzzed) mayNotSee(canary string) bool {
	administers := strings.HasPrefix(q.who, "token ") || strings.HasPrefix(q.who, "session ")
	if canary == titleCanary {
		return !administers
	}
	return q.who != "token owner" || q.route != "POST /v1/admin/search"
}

func (q *fuzzed) pick(list []string) string { return list[q.rng.IntN(len(list))] }
func (q *fuzzed) one(percent int) bool      { return q.rng.IntN(100) < percent }
func (q *fuzzed) word() string {
	if q.one(50) {
		return q.pick(q.good)
	}
	return q.pick(q.odd)
}

func (q *fuzzed) some(most int, do func(int)) {
	for i := range q.rng.IntN(most + 1) {
		do(i)
	}
}

// draw makes the request of a seed. Seeds in turn ask every address.
func (f *fuzzRig) draw(seed uint64) *fuzzed {
	info := f.table[seed%uint64(len(f.table))]
	q := &fuzzed{rng: rand.New(rand.NewPCG(seed, 9)), f: f, route: info.Method + " " + info.Path, access: info.Access, method: info.Method, header: http.Header{}}
	q.who = q.whose()
	q.good, q.odd = f.good, interesting()
	// Those who may change what the run needs are not told its names, but for reading.
	if q.method == http.MethodGet || strings.HasPrefix(q.who, "key ") || q.who == "nobody" || q.route == "POST /v1/admin/search" {
		q.good = slices.Concat(f.good, f.kept)
	}
	if q.one(3) {
		q.method = q.pick([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"})
		q.good = f.good
	}
	q.path = q.address(info.Path)
	values := url.Values{}
	// What changes something takes no query.
	if q.one(map[bool]int{true: 60, false: 5}[info.Method == http.MethodGet]) {
		q.some(3, func(int) { values.Add(q.pick(f.fields), q.param()) })
	}
	q.query = values.Encode()
	if q.one(5) {
		q.query += q.pick([]string{"&%zz=1", "&a;b", "&=&=&", "&a=" + strings.Repeat("b", 4000), "%"})
	}
	if q.method != http.MethodGet && q.method != http.MethodHead || q.one(3) {
		q.payload(info.Takes)
	}
	q.headers()
	return q
}

// whose is mostly somebody who may ask it.
func (q *fuzzed) whose() string {
	kind := "session"
	switch {
	case q.one(10):
		return q.pick(slices.Concat(slices.Sorted(maps.Keys(q.f.secrets)), slices.Sorted(maps.Keys(q.f.sessions))))
	case strings.Contains(q.route, "/v1/push/"):
		return "key pushes"
	case q.access == "key":
		return q.pick([]string{"key ada", "key ada", "key ada", "key feeds", "key backend"})
	case strings.HasPrefix(q.access, "token"):
		kind = "token"
	}
	return kind + " " + q.pick([]string{"auditor", "admin", "owner", "owner", "owner"})
}

func (q *fuzzed) address(pattern string) string {
	parts := strings.Split(pattern, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			parts[i] = url.PathEscape(q.word())
		}
	}
	path := strings.Join(parts, "/")
	if q.one(3) {
		path += q.pick([]string{"/", "//", "/..", "/%00", "/%2e%2e/", "?", "/" + url.PathEscape(q.word())})
	}
	return path
}

// param is the value of a parameter. No request waits for the feed.
func (q *fuzzed) param() string {
	if q.one(20) {
		return fmt.Sprint(q.rng.IntN(5) - 1)
	}
	return q.word()
}

// value is any JSON.
func (q *fuzzed) value(depth int) any {
	switch n := q.rng.IntN(12); {
	case n < 5 || depth > 4:
		return q.word()
	case n == 5:
		return q.rng.IntN(200) - 50
	case n == 6:
		return []any{nil, true, 0.5, -1e300, 1e18, json.Number("1e999")}[q.rng.IntN(6)]
	case n < 10:
		list := []any{}
		q.some(3, func(int) { list = append(list, q.value(depth+1)) })
		return list
	default:
		return q.object(nil, depth+1)
	}
}

// object has the fields of a type, or any, or both.
func (q *fuzzed) object(of reflect.Type, depth int) map[string]any {
	out := map[string]any{}
	for name, kind := range jsonNames(of) {
		if q.one(70) {
			out[name] = q.ofKind(kind, depth)
		}
	}
	most := 1
	if len(out) == 0 {
		most = 5
	}
	q.some(most, func(int) { out[q.pick(q.f.fields)] = q.value(depth + 1) })
	return out
}

// ofKind is mostly a value of that type.
func (q *fuzzed) ofKind(t reflect.Type, depth int) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch k := t.Kind(); {
	case q.one(10) || depth > 6:
		return q.value(depth)
	case k == reflect.Bool:
		return q.one(50)
	case k >= reflect.Int && k <= reflect.Float64:
		return q.rng.IntN(120) - 10
	case k == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		list := []any{}
		q.some(3, func(int) { list = append(list, q.ofKind(t.Elem(), depth+1)) })
		return list
	case k == reflect.Struct && len(jsonNames(t)) > 0:
		return q.object(t, depth+1)
	case k == reflect.Map:
		return map[string]any{q.pick(q.f.fields): q.ofKind(t.Elem(), depth+1)}
	default:
		return q.word()
	}
}

// jsonNames are the fields of a struct by their names in JSON.
func jsonNames(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	if t == nil || t.Kind() != reflect.Struct {
		return out
	}
	for _, field := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" && field.IsExported() {
			out[name] = field.Type
		}
	}
	return out
}

// payload draws the body.
func (q *fuzzed) payload(takes reflect.Type) {
	mediaType := "application/json"
	switch {
	case q.route == "POST /v1/search" && q.one(70):
		q.body = q.json(map[string]any{
			"query": q.word(), "mode": q.pick([]string{"keyword", "hybrid"}), "k": 1 + q.rng.IntN(30), "neighbours": q.rng.IntN(4), "cursor": q.pick([]string{"", "", "AAAAAAAAAAA", q.word()}),
			"include": []string{q.pick([]string{"lineage", "scores", "parent", "embedding"})}, "filters": map[string]any{q.pick([]string{"connection", "source", "type", "path", "updated_after", "metadata"}): q.value(1)},
		})
	case strings.HasPrefix(q.path, "/v1/"):
		q.body = q.json(q.object(takes, 0))
	default:
		mediaType = "application/x-www-form-urlencoded"
		form := url.Values{}
		q.some(9, func(int) { form.Add(q.pick(q.f.fields), q.word()) })
		q.body = form.Encode()
	}
	switch q.rng.IntN(40) {
	case 0:
		q.body = q.body[:q.rng.IntN(len(q.body)+1)]
	case 1:
		q.body = strings.Repeat(`{"a":[`, 200)
	case 2:
		q.body = "{\"query\": \"" + strings.Repeat("x", 1<<20) + "\"}"
	case 3:
		raw := []byte(q.body)
		for range 3 {
			if len(raw) > 0 {
				raw[q.rng.IntN(len(raw))] = byte(q.rng.IntN(256))
			}
		}
		q.body = string(raw)
	case 4:
		mediaType = q.pick([]string{"", "text/plain", "application/json; charset=utf-16", "multipart/form-data; boundary=x", "multipart/form-data", ";;;", "application/xml"})
	case 5:
		mediaType, q.body = "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\""+q.pick(q.f.fields)+"\"; filename=\"../../x\"\r\n\r\n"+q.body+"\r\n--x--\r\n"
	}
	q.header.Set("Content-Type", mediaType)
}

func (q *fuzzed) json(v any) string {
	raw, err := json.Marshal(v)
	if err != nil { // a number that is none
		return `{"query": 1e999}`
	}
	return string(raw)
}

func (q *fuzzed) headers() {
	h := q.header
	if secret := q.f.secrets[q.who]; secret != "" {
		h.Set("Authorization", "Bearer "+secret)
	}
	if q.who == "key backend" && q.one(90) {
		h.Set("Tributary-Reader", q.f.adaReader)
	}
	h.Set("Sec-Fetch-Site", "same-origin")
	h.Set("X-Forwarded-For", fmt.Sprintf("198.51.100.%d", q.rng.IntN(250)))
	if strings.HasPrefix(q.who, "session ") {
		h.Set("Accept", "text/html")
	}
	names := []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Range", "If-None-Match", "If-Modified-Since", "If-Match", "Idempotency-Key", "Tributary-Reader", "X-Request-Id", "X-Forwarded-Host", "X-Forwarded-Proto",
		"Forwarded", "X-HTTP-Method-Override", "Origin", "Referer", "Sec-Fetch-Site", "Cookie", "Authorization", "Expect", "Transfer-Encoding", "Connection", "Last-Event-ID",
	}
	if !q.one(30) {
		return
	}
	name := q.pick(names)
	v := q.pick([]string{"text/html", "application/x-ndjson", "*/*;q=0", "gzip;q=0", "bytes=0-1,5-", "\"x\"", "evil.example", "tributary=" + strings.Repeat("A", 43), "Bearer trib_x", "Basic Og==", q.word()})
	h.Set(name, strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, v))
}

// send sends it as it is, over HTTP.
func (q *fuzzed) send(ctx context.Context, f *fuzzRig) (*http.Response, error) {
	address := f.bare.URL + q.path
	if q.query != "" {
		address += "?" + q.query
	}
	req, err := http.NewRequestWithContext(ctx, q.method, address, strings.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	req.Header, req.Host = q.header, f.server.Listener.Addr().String()
	client := *f.server.Client()
	if b := f.sessions[q.who]; b != nil {
		client.Jar = b.client.Jar
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return client.Do(req)
}
