package web_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"tributary/internal/extract"
	"tributary/internal/pgtest"
	"tributary/jobs"
	"tributary/store"
	"tributary/web"
)

const recordAnew = "go test ./web -run 'TestOpenAPIExamples$' -args -update records them anew, and go generate ./web puts them into the description"

// scenario plays the exchanges of testdata/examples.http.
type scenario struct {
	t *testing.T
	o *oauthRig
	// names are what later exchanges name; those of secrets besides.
	names map[string]string
	// stand stands for what differs each time, in the order of its first appearance.
	stand map[string]string
}

// TestOpenAPIExamples plays every example against a server, which is held against the description meanwhile, and compares
// the answers with those of the description: the same statuses, and the same fields of the same types.
func TestOpenAPIExamples(t *testing.T) {
	t.Parallel()
	s := newScenario(t)
	text, err := os.ReadFile("testdata/examples.http")
	if err != nil {
		t.Fatal(err)
	}
	var got []exchangeExample
	for block := range strings.SplitSeq(string(text), "\n\n") {
		if block = strings.TrimSpace(block); block != "" && !strings.HasPrefix(block, "#") {
			got = append(got, s.play(block))
		}
	}
	if t.Failed() {
		return
	}
	if *updateOpenAPI {
		out, err := json.MarshalIndent(got, "", " ")
		if err == nil {
			err = os.WriteFile(examplesPath, append(out, '\n'), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	want := readExamples(t)
	for _, e := range got {
		if len(want[e.At]) == 0 {
			t.Errorf("%s %s is no example: %s", e.At, e.Path, recordAnew)
			continue
		}
		w := want[e.At][0]
		want[e.At] = want[e.At][1:]
		if e.Status != w.Status || !reflect.DeepEqual(e.Body, w.Body) || !reflect.DeepEqual(shapeOf(e.Answer), shapeOf(w.Answer)) {
			t.Errorf("%s answers otherwise than its example: %s, with %s\n%v, want\n%v\n%s", e.At, e.Status, w.Status, shapeOf(e.Answer), shapeOf(w.Answer), recordAnew)
		}
	}
	for at, left := range want {
		if len(left) > 0 {
			t.Errorf("%d examples of %s are not played: %s", len(left), at, recordAnew)
		}
	}
}

func newScenario(t *testing.T) *scenario {
	t.Helper()
	s := &scenario{t: t, names: map[string]string{}, stand: map[string]string{}}
	s.o = newOAuthRigThrough(t, func(c *web.Config) {
		st, ok := c.Store.(*store.Store)
		if !ok {
			t.Fatal("the store is another")
		}
		if _, err := st.EnsureProfile(t.Context(), jobs.BuiltinProfile()); err != nil {
			t.Fatal(err)
		}
		runner, err := jobs.New(jobs.Config{Store: st, Extractor: extract.New(extract.Config{})})
		if err != nil {
			t.Fatal(err)
		}
		c.Push = &web.Push{Store: st, Pusher: runner}
	}, func(databaseURL string) string { return databaseURL })
	k := s.o.connected(t)
	ada, err := s.o.store.Account(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	s.names["owner"] = s.o.program(t, "ci", store.RoleOwner, ada.ID).token
	s.names["grant"] = k.GrantID.String()
	archive, err := s.o.store.CreateConnection(t.Context(), store.NewConnection{Name: "archive", Source: "fakedrive"})
	if err != nil {
		t.Fatal(err)
	}
	s.names["hold"], s.names["hold2"] = s.hold(k), s.hold(archive)
	s.names["public"] = publicKey(t)
	old, err := s.o.store.CreateConnection(t.Context(), store.NewConnection{Name: "old", Source: "fakedrive"})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.o.store.RequestErasure(t.Context(), store.EraseRequest{Connection: old.ID, Scope: store.EraseConnection}, "ada")
	if err == nil {
		e, err = s.o.store.Erase(t.Context(), e.ID, store.EraseOptions{Worker: "test"})
	}
	if err != nil {
		t.Fatal(err)
	}
	s.names["erasure"] = e.ID.String()
	s.o.failJobs(t, 1, "embed", "discarded", "the endpoint answers 503")
	s.names["job"] = pgtest.Scalar[string](t, s.o.db, `SELECT max(id)::text FROM river.river_job`)
	s.o.db.MustExec(t, `INSERT INTO river.river_queue (name, updated_at) VALUES ('embed', now())`)
	return s
}

// hold makes deletions of two documents wait.
func (s *scenario) hold(k store.Connection) string {
	return pgtest.Scalar[string](s.t, s.o.db, `
		WITH d AS (INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind, media_type, lang, author,
				metadata, acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
			SELECT gen_random_uuid(), $1, 'd' || n || gen_random_uuid(), 'v1', '', 1, 'Plan ' || n, '', '/plans/' || n, '', '', '', '', '',
				'{}', 0, 0, 0, 0, clock(), clock() FROM generate_series(1, 2) n RETURNING id),
		h AS (INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, gen_random_uuid(), 1, 'many', 2, 9) RETURNING id),
		x AS (INSERT INTO held_document (hold_id, document_id) SELECT h.id, d.id FROM h, d)
		SELECT id::text FROM h`, k.ID)
}

// publicKey is that of a new key pair, as JSON has it inside a string.
func publicKey(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Trim(string(text), `"`)
}

// play sends one exchange.
func (s *scenario) play(block string) exchangeExample {
	s.t.Helper()
	lines := strings.Split(block, "\n")
	head := strings.Fields(lines[0])
	var body, status string
	var kept [][]string
	for _, line := range lines[1:] {
		switch {
		case strings.HasPrefix(line, "> "):
			kept = append(kept, strings.Fields(line[2:]))
		case strings.HasPrefix(line, "! "):
			status = line[2:]
		default:
			body += line
		}
	}
	for name, value := range s.names {
		head[2], body = strings.ReplaceAll(head[2], "{{"+name+"}}", value), strings.ReplaceAll(body, "{{"+name+"}}", value)
	}
	req, err := http.NewRequestWithContext(s.t.Context(), head[1], s.o.server.URL+head[2], strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.names[head[0]])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := s.o.server.Client().Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	e := exchangeExample{Path: head[2], Status: strconv.Itoa(resp.StatusCode)}
	if status == "" && resp.StatusCode >= http.StatusBadRequest || status != "" && status != e.Status {
		s.t.Errorf("%s: %s\n%s", lines[0], resp.Status, raw)
		return e
	}
	if op := newJudge(s.t).find(head[1], req.URL.EscapedPath()); op != nil {
		e.At = op.method + " " + op.path
	}
	var answer any
	switch {
	case resp.Header.Get("Content-Type") == "application/x-ndjson":
		e.Lines = s.steady(string(raw))
	case len(raw) > 0:
		if err := json.Unmarshal(raw, &answer); err != nil {
			s.t.Fatal(err)
		}
		for _, k := range kept {
			s.names[k[0]] = at(answer, k[1])
		}
		e.Answer = s.steadyJSON(answer, "")
	}
	e.Path = s.steady(e.Path)
	if body != "" {
		if err := json.Unmarshal([]byte(body), &e.Body); err != nil {
			s.t.Fatal(err)
		}
		e.Body = s.steadyJSON(e.Body, "")
	}
	return e
}

// at follows a path of names and numbers.
func at(v any, path string) string {
	for part := range strings.SplitSeq(path, ".") {
		switch x := v.(type) {
		case node:
			v = x[part]
		case []any:
			n, err := strconv.Atoi(part)
			if err != nil || n >= len(x) {
				return ""
			}
			v = x[n]
		}
	}
	return fmt.Sprint(v)
}

var (
	uuidText   = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	timeText   = regexp.MustCompile(`2[01][0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`)
	secretText = regexp.MustCompile(`(trib_|tribadm_)[A-Za-z0-9_-]{20,}`)
	hostText   = regexp.MustCompile(`http://(127\.0\.0\.1|localhost):[0-9]+`)
	placeText  = regexp.MustCompile(`(127\.0\.0\.1|localhost):[0-9]+`)
	keyText    = regexp.MustCompile(`(?s)-----BEGIN PUBLIC KEY-----.*`)
	linkText   = regexp.MustCompile(`(/connect/)[A-Za-z0-9_-]{30,}`)
)

// steady replaces what differs each time.
func (s *scenario) steady(text string) string {
	text = uuidText.ReplaceAllStringFunc(text, func(id string) string {
		if s.stand[id] == "" {
			s.stand[id] = fmt.Sprintf("6f1c2a9e-0000-4000-8000-%012d", len(s.stand)+1)
		}
		return s.stand[id]
	})
	text = timeText.ReplaceAllString(text, "2026-11-22T13:00:00Z")
	text = secretText.ReplaceAllString(text, "${1}…")
	text = hostText.ReplaceAllString(text, "https://tributary.example")
	text = placeText.ReplaceAllString(text, "tributary.example")
	text = linkText.ReplaceAllString(text, "${1}…")
	return keyText.ReplaceAllString(text, "-----BEGIN PUBLIC KEY-----\n…\n-----END PUBLIC KEY-----\n")
}

// steadyJSON replaces what differs each time, by the names of fields too.
func (s *scenario) steadyJSON(v any, name string) any {
	switch v := v.(type) {
	case node:
		out := node{}
		for k, x := range v {
			out[s.steady(k)] = s.steadyJSON(x, k)
		}
		return out
	case []any:
		out := []any{}
		for _, x := range v {
			out = append(out, s.steadyJSON(x, name))
		}
		return out
	case string:
		switch {
		case v == "":
			return v
		case name == "hint" && len(v) == 4:
			return "a1B2"
		case name == "fingerprint":
			return strings.Repeat("0", 64)
		case name == "password":
			return "…"
		case (name == "cursor" || name == "next_cursor") && len(v) > 8:
			return "eyJuIjoxfQ"
		}
		return s.steady(v)
	case float64:
		if regexp.MustCompile(`(^|_)(ms|seconds)$`).MatchString(name) {
			return 0.0
		}
	}
	return v
}

// shapeOf is what an answer is made of: fields with their types, and the first of each list.
func shapeOf(v any) any {
	switch v := v.(type) {
	case node:
		out := node{}
		for k, x := range v {
			out[k] = shapeOf(x)
		}
		return out
	case []any:
		if len(v) == 0 {
			return []any{}
		}
		return []any{shapeOf(v[0])}
	case nil:
		return nil
	}
	return reflect.TypeOf(v).String()
}

// TestOpenAPIExamplesAreWhatIsDescribed holds the examples of the document against its own schemas.
func TestOpenAPIExamplesAreWhatIsDescribed(t *testing.T) {
	t.Parallel()
	j := newJudge(t)
	n := 0
	for at, examples := range readExamples(t) {
		method, _, _ := strings.Cut(at, " ")
		for _, e := range examples {
			n++
			req, err := http.NewRequestWithContext(t.Context(), method, "http://tributary.example"+e.Path, nil)
			if err != nil {
				t.Fatal(err)
			}
			o := j.find(method, req.URL.EscapedPath())
			if o == nil || o.method+" "+o.path != at {
				t.Errorf("%s %s is an example of another operation", at, e.Path)
				continue
			}
			var faults []string
			if e.Body != nil {
				body, err := json.Marshal(e.Body)
				if err != nil {
					t.Fatal(err)
				}
				faults = check(o.body, body, "the request")
			}
			if schema := o.answers[e.Status]["application/json"]; e.Answer != nil && schema != nil {
				answer, err := json.Marshal(e.Answer)
				if err != nil {
					t.Fatal(err)
				}
				faults = append(faults, check(schema, answer, "the answer")...)
			}
			if schema := o.answers[e.Status]["application/x-ndjson"]; e.Lines != "" && schema != nil {
				for line := range bytes.Lines([]byte(e.Lines)) {
					faults = append(faults, check(schema, line, "a line")...)
				}
			}
			for _, f := range faults {
				t.Errorf("the example of %s: %s", at, f)
			}
		}
	}
	t.Logf("%d examples", n)
}
