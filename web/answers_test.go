package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
	"tributary/web"
)

// theVector embeds every question as one vector of the profile.
type theVector struct{ profile int16 }

func (v *theVector) EmbedQuery(context.Context, string) ([]float32, int16, error) {
	if v.profile == 0 {
		return nil, 0, web.ErrNoProfile
	}
	return []float32{1, 1, 1, 1, 1, 1, 1, 1}, v.profile, nil
}

// newAnswers is a content rig whose documents have vectors.
func newAnswers(t *testing.T) (*content, uuid.UUID) {
	t.Helper()
	embedder := &theVector{}
	c := newContentOn(t, newRig(t, false, func(c *web.Config) { c.Embedder = embedder }))
	p, err := c.store.CreateProfile(t.Context(), store.Profile{Name: "v", Kind: store.ProfileHashing, Model: "m", Dimensions: 8})
	if err != nil {
		t.Fatal(err)
	}
	embedder.profile = p.ID
	id := c.add(c.ada, "page", "alpha one", "alpha two", "three")
	c.add(c.bob, "secret", "alpha canary")
	c.exec(fmt.Sprintf(`INSERT INTO vec_%d SELECT document_id, id, '\x01', '[1,2,3,4,5,6,7,8]' FROM chunk`, p.ID))
	c.exec(`DELETE FROM embed_todo`)
	return c, id
}

// shape lists where what stands in an answer: "results[].text string". Names that are data stand as *.
func shape(at string, v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if at == "permissions_as_of" {
			for _, x := range v {
				shape(at+".*", x, into)
			}
			return
		}
		for name, x := range v {
			shape(strings.TrimPrefix(at+"."+name, "."), x, into)
		}
	case []any:
		for _, x := range v {
			shape(at+"[]", x, into)
		}
		if len(v) == 0 {
			into[at+" empty"] = true
		}
	case string:
		kind := "string"
		for name, pattern := range map[string]string{
			"time": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`, "id": `^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$`, "chunk": `^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}:\d+$`,
		} {
			if regexp.MustCompile(pattern).MatchString(v) {
				kind = name
			}
		}
		into[at+" "+kind] = true
	case json.Number:
		kind := "integer"
		if strings.ContainsAny(v.String(), ".eE") {
			kind = "number"
		}
		into[at+" "+kind] = true
	default:
		into[at+" "+map[bool]string{true: "null", false: "boolean"}[v == nil]] = true
	}
}

// answered asks as somebody and returns the shape of the answer, line by line.
func (c *content) answered(who, body string) []string {
	c.t.Helper()
	a := c.ask(who, http.MethodPost, "/v1/search", body)
	dec := json.NewDecoder(strings.NewReader(string(a.body)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil || a.status != http.StatusOK {
		c.t.Fatalf("%s: %d %s", body, a.status, a.body)
	}
	lines := map[string]bool{}
	shape("", v, lines)
	out := []string{}
	for l := range lines {
		out = append(out, l)
	}
	slices.Sort(out)
	return out
}

func lines(text string) []string {
	out := []string{}
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}

// theAnswer is every field of an answer, and of each result.
const theAnswer = `
	results[].chunk_id chunk
	results[].document_id id
	results[].revision integer
	results[].connection string
	results[].text string
	results[].title string
	results[].heading_path[] string
	results[].url string
	results[].start integer
	results[].end integer
	results[].start_cp integer
	results[].end_cp integer
	results[].score number
	complete boolean
	pending integer
	permissions_as_of.* time
	next_cursor null`

// TestAnswersHaveExactlyTheirFields: each field of an answer with its type, and what makes it present.
func TestAnswersHaveExactlyTheirFields(t *testing.T) {
	t.Parallel()
	c, _ := newAnswers(t)
	for name, tc := range map[string]struct{ who, body, also, not string }{
		"every field of a request": {
			"ada", `{"query":"alpha","mode":"hybrid","k":5,"neighbours":0,"include":[],"weights":{"keyword":1,"vector":2,"heading":0.5},
			"filters":{"connection":["docs"],"source":"test","type":"file","path":"*.md","updated_after":"2020-01-01T00:00:00Z","metadata":{"team":"x"}}}`, "", "",
		},
		"a query alone":   {"ada", `{"query":"alpha"}`, "", ""},
		"vector":          {"ada", `{"query":"alpha","mode":"vector"}`, "", ""},
		"a page of more":  {"ada", `{"query":"alpha","k":1}`, "next_cursor string", "next_cursor null"},
		"scores":          {"ada", `{"query":"alpha","k":2,"mode":"keyword","include":["scores"]}`, "results[].scores.keyword number\nresults[].scores.vector_distance null", ""},
		"scores, hybrid":  {"ada", `{"query":"alpha two","k":1,"include":["scores"]}`, "results[].scores.keyword number\nresults[].scores.vector_distance number\nnext_cursor string", "next_cursor null"},
		"embedding":       {"ada", `{"query":"alpha","mode":"vector","include":["embedding"]}`, "results[].embedding[] integer", ""},
		"nothing matches": {"ada", `{"query":"zebra","mode":"keyword"}`, "results empty\nhint string", "results["},
		"lineage": {"ada", `{"query":"alpha","include":["lineage"]}`, `
			results[].lineage.chunk_id chunk
			results[].lineage.document_id id
			results[].lineage.identity string
			results[].lineage.external_id id
			results[].lineage.revision integer
			results[].lineage.source_revision string
			results[].lineage.content_hash string
			results[].lineage.extractor string
			results[].lineage.chunker string
			results[].lineage.ingested_at time
			results[].lineage.run_id id
			results[].lineage.run_kind null
			results[].lineage.run_started_at null
			results[].lineage.connection_id id
			results[].lineage.connection string
			results[].lineage.source string
			results[].lineage.profiles[].profile string
			results[].lineage.profiles[].model string
			results[].lineage.profiles[].version integer
			results[].lineage.profiles[].dimensions integer
			results[].lineage.profiles[].input_hash string`, ""},
		"neighbours": {"ada", `{"query":"two","mode":"keyword","neighbours":1}`, `
			results[].neighbours.before[].chunk_id chunk
			results[].neighbours.before[].text string
			results[].neighbours.before[].heading_path[] string
			results[].neighbours.before[].start integer
			results[].neighbours.before[].end integer
			results[].neighbours.before[].start_cp integer
			results[].neighbours.before[].end_cp integer
			results[].neighbours.after[].chunk_id chunk
			results[].neighbours.after[].text string
			results[].neighbours.after[].heading_path[] string
			results[].neighbours.after[].start integer
			results[].neighbours.after[].end integer
			results[].neighbours.after[].start_cp integer
			results[].neighbours.after[].end_cp integer`, ""},
		"parent": {"ada", `{"query":"two","mode":"keyword","include":["parent"]}`, `
			results[].parent.heading_path[] string
			results[].parent.chunk_ids[] chunk
			results[].parent.text string
			results[].parent.start integer
			results[].parent.end integer
			results[].parent.start_cp integer
			results[].parent.end_cp integer
			results[].parent.whole boolean`, ""},
	} {
		got, want := c.answered(tc.who, tc.body), slices.Concat(lines(theAnswer), lines(tc.also))
		if tc.not != "" {
			want = slices.DeleteFunc(want, func(l string) bool { return strings.HasPrefix(l, tc.not) })
		}
		slices.Sort(want)
		// A score may be a whole number.
		for i, l := range got {
			if strings.HasPrefix(l, "results[].score") {
				got[i] = strings.Replace(l, "integer", "number", 1)
			}
		}
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("%s: the answer has\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
}

// TestAnswersSayWhatTheirFieldsMean: the values of one answer, against the document that they speak of.
func TestAnswersSayWhatTheirFieldsMean(t *testing.T) {
	t.Parallel()
	c, id := newAnswers(t)
	var doc store.DocumentText
	c.get("/v1/documents/"+id.String()+"/text", &doc)
	a := c.ask("ada", http.MethodPost, "/v1/search", `{"query":"alpha"}`)
	var answer store.SearchResponse
	if err := json.Unmarshal(a.body, &answer); err != nil {
		t.Fatal(err)
	}
	if !answer.Complete || answer.Pending != 0 || len(answer.Results) != 3 || answer.NextCursor != nil || time.Since(answer.PermissionsAsOf["docs"]) > time.Hour || len(answer.PermissionsAsOf) != 1 {
		t.Errorf("%s", a.body)
	}
	for i, r := range answer.Results {
		if r.DocumentID != id || r.ChunkID.Document != id || r.Connection != "docs" || r.Title != "page" || r.URL != "https://docs.example/page" || r.Revision != 1 || !slices.Equal(r.HeadingPath, []string{"page"}) {
			t.Errorf("%+v", r)
		}
		if doc.Text[r.Start:r.End] != r.Text || string([]rune(doc.Text)[r.StartCP:r.EndCP]) != r.Text {
			t.Errorf("the offsets of %s cut %q", r.ChunkID, doc.Text[r.Start:r.End])
		}
		if i > 0 && r.Score > answer.Results[i-1].Score {
			t.Errorf("%s stands behind a lesser score", r.ChunkID)
		}
	}
}

// TestCompleteOverHTTP: an answer is incomplete while chunks that the reader may see wait for their vectors, not where words
// alone were asked for, and an empty one says so; what waits of others counts for nothing.
func TestCompleteOverHTTP(t *testing.T) {
	t.Parallel()
	c, id := newAnswers(t)
	profile := pgtest.Scalar[int](t, c.db, `SELECT id FROM embedding_profile`)
	waits := func(of string) {
		c.exec(fmt.Sprintf(`INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at) SELECT %d, document_id, id, '\x01', 5, clock() FROM chunk WHERE document_id %s '%s'`, profile, of, id))
		c.exec(fmt.Sprintf(`DELETE FROM vec_%d v USING embed_todo t WHERE t.document_id = v.document_id AND t.chunk_id = v.chunk_id`, profile))
	}
	for _, step := range []struct {
		when, mode string
		complete   bool
		pending    int64
		results    int
		hint       store.Hint
		before     func()
	}{
		{"nothing waits", "vector", true, 0, 3, "", func() {}},
		{"another's chunk waits", "vector", true, 0, 3, "", func() { waits("<>") }},
		{"all of ada's wait", "vector", false, 3, 0, store.HintPending, func() { waits("=") }},
		{"all of ada's wait", "hybrid", false, 3, 2, "", func() {}},
		{"words alone", "keyword", true, 0, 2, "", func() {}},
	} {
		step.before()
		a := c.ask("ada", http.MethodPost, "/v1/search", fmt.Sprintf(`{"query":"alpha","mode":%q}`, step.mode))
		var got store.SearchResponse
		if err := json.Unmarshal(a.body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Complete != step.complete || got.Pending != step.pending || len(got.Results) != step.results || got.Hint != step.hint {
			t.Errorf("%s, %s: complete %v, %d pending, %d results, hint %q: %s", step.when, step.mode, got.Complete, got.Pending, len(got.Results), got.Hint, a.body)
		}
	}
}
