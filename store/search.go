package store

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
)

// SearchMode chooses the lists that a search ranks.
type SearchMode string

// The modes; Hybrid fuses the other two.
const (
	Hybrid  SearchMode = "hybrid"
	Vector  SearchMode = "vector"
	Keyword SearchMode = "keyword"
)

// Strings is one string or several in JSON.
type Strings []string

// UnmarshalJSON accepts a string or an array of strings.
func (s *Strings) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = Strings{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// Filters narrow a search before it ranks. Zero fields match everything. Type
// is a media type or a kind; Path a prefix, or a glob where it has *, ? or [;
// UpdatedAfter is a time in RFC 3339; Metadata must be contained in the
// document's.
type Filters struct {
	Connection   Strings        `json:"connection,omitempty"`
	Source       Strings        `json:"source,omitempty"`
	Type         Strings        `json:"type,omitempty"`
	Path         Strings        `json:"path,omitempty"`
	UpdatedAfter string         `json:"updated_after,omitempty"`
	Metadata     map[string]any `json:"metadata,omitempty"`
}

// What a SearchRequest can include.
const (
	IncludeLineage   = "lineage"
	IncludeScores    = "scores"
	IncludeEmbedding = "embedding"
	IncludeParent    = "parent"
)

// Limits of a SearchRequest.
const (
	DefaultK      = 10
	MaxK          = 100
	MaxNeighbours = 10
	MaxWeight     = 10
)

// SearchRequest is a question. Mode "" is hybrid and K 0 is DefaultK.
type SearchRequest struct {
	Query      string     `json:"query"`
	Mode       SearchMode `json:"mode"`
	K          int        `json:"k"`
	Filters    Filters    `json:"filters"`
	Neighbours int        `json:"neighbours"`
	Include    []string   `json:"include"`
	// Weights are what the lists of a hybrid search count; nil is 1 each.
	Weights *Weights `json:"weights"`
	// Cursor is next_cursor of the answer before, "" for the first.
	Cursor string `json:"cursor"`

	// Vector is the question's embedding by Profile. Without it hybrid answers
	// from keywords alone, and says that it is not complete.
	Vector  []float32 `json:"-"`
	Profile int16     `json:"-"`
	// Plan overrides constants of the planner, such as exact_cap; nil is none.
	Plan map[string]int `json:"-"`
}

// Weights are what the lists of a hybrid search count when they are merged: the
// keyword matches, the nearest vectors, and the keyword matches under a heading
// that says what was asked. Each is 0 to MaxWeight, nil 1; 0 leaves its list out.
type Weights struct {
	Keyword *float64 `json:"keyword,omitempty"`
	Vector  *float64 `json:"vector,omitempty"`
	Heading *float64 `json:"heading,omitempty"`
}

// NeedsVector is true when a hybrid search asks the vectors.
func (w *Weights) NeedsVector() bool { return w == nil || w.Vector == nil || *w.Vector != 0 }

// check complains of a weight that is out of bounds, and of none above 0.
func (w *Weights) check() error {
	if w == nil {
		return nil
	}
	sum := 0.0
	for _, x := range []struct {
		name  string
		value *float64
	}{{"keyword", w.Keyword}, {"vector", w.Vector}, {"heading", w.Heading}} {
		switch {
		case x.value == nil:
			sum++
		case *x.value >= 0 && *x.value <= MaxWeight:
			sum += *x.value
		default:
			return &InputError{Field: "weights." + x.name, Problem: fmt.Sprintf("must be a number from 0 to %d", MaxWeight)}
		}
	}
	if sum == 0 {
		return &InputError{Field: "weights", Problem: "must not all be 0"}
	}
	return nil
}

// SearchResponse is the answer.
type SearchResponse struct {
	Results         []SearchResult       `json:"results"`
	Complete        bool                 `json:"complete"`
	Pending         int64                `json:"pending"`
	PermissionsAsOf map[string]time.Time `json:"permissions_as_of"`
	NextCursor      *string              `json:"next_cursor"`
	// Hint, of an answer without any result, says what is so on the reader's side.
	Hint Hint `json:"hint,omitempty"`

	// Plan says how the search was made. It is not for callers: it tells of what
	// others can see.
	Plan SearchPlan `json:"-"`
}

// SearchPlan is how a search was made.
type SearchPlan struct {
	// Vector is none, exact, iterative, or iterative and then exact.
	Vector string `json:"vector"`
	// Chunks is how many visible chunks the stream met, More whether it stopped
	// there.
	Chunks   int64   `json:"chunks"`
	More     bool    `json:"more"`
	StreamMS float64 `json:"stream_ms"`
	RankMS   float64 `json:"rank_ms"`
}

// SearchResult is one chunk of an answer.
type SearchResult struct {
	ChunkID     ChunkID   `json:"chunk_id"`
	DocumentID  uuid.UUID `json:"document_id"`
	Revision    int       `json:"revision"`
	Connection  string    `json:"connection"`
	Text        string    `json:"text"`
	Title       string    `json:"title"`
	HeadingPath []string  `json:"heading_path"`
	URL         string    `json:"url"`
	Start       int       `json:"start"`
	End         int       `json:"end"`
	StartCP     int       `json:"start_cp"`
	EndCP       int       `json:"end_cp"`
	Score       float64   `json:"score"`

	Scores     *Scores     `json:"scores,omitempty"`
	Lineage    *Lineage    `json:"lineage,omitempty"`
	Embedding  []float32   `json:"embedding,omitempty"`
	Neighbours *Neighbours `json:"neighbours,omitempty"`
	Parent     *Section    `json:"parent,omitempty"`

	Context string `json:"-"`
	Path    string `json:"-"`
}

// Scores are the parts of a score; nil where a list did not contain the chunk.
type Scores struct {
	Keyword        *float64 `json:"keyword"`
	VectorDistance *float64 `json:"vector_distance"`
}

// Neighbours are the chunks around a result in reading order.
type Neighbours struct {
	Before []Neighbour `json:"before"`
	After  []Neighbour `json:"after"`
}

// Neighbour is a chunk beside a result.
type Neighbour struct {
	ChunkID     ChunkID  `json:"chunk_id"`
	Text        string   `json:"text"`
	HeadingPath []string `json:"heading_path"`
	Start       int      `json:"start"`
	End         int      `json:"end"`
	StartCP     int      `json:"start_cp"`
	EndCP       int      `json:"end_cp"`
}

// searchState is the column state of the row with rank 0.
type searchState struct {
	Complete        bool                 `json:"complete"`
	Pending         int64                `json:"pending"`
	PermissionsAsOf map[string]time.Time `json:"permissions_as_of"`
	Plan            SearchPlan           `json:"plan"`
	Unlinked        bool                 `json:"unlinked"`
}

// normalise fills in defaults and complains of what is out of bounds.
func (r *SearchRequest) normalise() (shown, error) {
	if r.Mode == "" {
		r.Mode = Hybrid
	}
	if r.K == 0 {
		r.K = DefaultK
	}
	if r.K < 1 || r.K > MaxK {
		return nil, &InputError{Field: "k", Problem: fmt.Sprintf("must be 1 to %d", MaxK)}
	}
	if r.Neighbours < 0 || r.Neighbours > MaxNeighbours {
		return nil, &InputError{Field: "neighbours", Problem: fmt.Sprintf("must be 0 to %d", MaxNeighbours)}
	}
	known := []string{IncludeLineage, IncludeScores, IncludeEmbedding, IncludeParent}
	for _, in := range r.Include {
		if !slices.Contains(known, in) {
			return nil, &InputError{Field: "include", Problem: "must be some of " + strings.Join(known, ", ")}
		}
	}
	if err := r.Weights.check(); err != nil {
		return nil, err
	}
	return readCursor(r.Cursor)
}

// Search answers a question with the chunks that who may see, best first, and
// never fewer than there are: results = min(K, candidates). It reads one
// snapshot.
func (s *Store) Search(ctx context.Context, who Identity, req SearchRequest) (SearchResponse, error) {
	before, err := req.normalise()
	if err != nil {
		return SearchResponse{}, err
	}
	resp := SearchResponse{Results: []SearchResult{}, PermissionsAsOf: map[string]time.Time{}}
	r := reading{tool: "search", query: req.Query, asOf: map[string]*time.Time{}}
	err = s.asIdentity(ctx, "searching", who, &r, func(tx pgx.Tx) error {
		at, err := searchTx(ctx, tx, req, before, &resp)
		if err != nil {
			return err
		}
		r.at = at
		for _, x := range resp.Results {
			r.documents = append(r.documents, x.DocumentID)
		}
		for name, at := range resp.PermissionsAsOf {
			r.asOf[name] = &at
		}
		return decorate(ctx, tx, req, resp.Results)
	})
	if err != nil {
		return SearchResponse{}, err
	}
	return resp, nil
}

// searchTx asks for what was shown before, and for one result more than wanted, to
// know whether there is a next page. It returns when that was.
func searchTx(ctx context.Context, tx pgx.Tx, req SearchRequest, before shown, resp *SearchResponse) (time.Time, error) {
	options := map[string]any{"state": true}
	if req.Weights != nil {
		options["weights"] = req.Weights
	}
	for k, v := range req.Plan {
		options[k] = v
	}
	var vector *pgvector.HalfVector
	var profile *int16
	if req.Vector != nil {
		v := pgvector.NewHalfVector(req.Vector)
		vector = &v
	}
	if req.Profile != 0 {
		profile = &req.Profile
	}
	rows, err := tx.Query(ctx, `
		SELECT rank, document_id, chunk_id, revision, connection, text, context, heading_path, title, url, path,
		       start_, end_, start_cp, end_cp, score, keyword_score, vector_distance, state, CASE WHEN rank = 0 THEN clock() END
		FROM tributary.search($1, $2, $3, $4, $5, $6, $7)`,
		req.Query, vector, profile, string(req.Mode), len(before)+req.K+1, req.Filters, options)
	if err != nil {
		return time.Time{}, err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[searchRow])
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	skip := before.set()
	for _, r := range found {
		switch {
		case r.State != nil:
			at = *r.At
			resp.Hint = emptyHint(req, r.State)
			resp.Complete, resp.Pending, resp.PermissionsAsOf, resp.Plan = r.State.Complete, r.State.Pending, r.State.PermissionsAsOf, r.State.Plan
		case skip[shownOf(ChunkID{*r.DocumentID, *r.ChunkID})]:
		case len(resp.Results) < req.K:
			resp.Results = append(resp.Results, r.result(slices.Contains(req.Include, IncludeScores)))
		default:
			resp.NextCursor = before.next(resp.Results)
		}
	}
	if len(found) > 1 {
		resp.Hint = ""
	}
	return at, nil
}

// searchRow is a row of tributary.search; everything but Rank, State and At is
// NULL in the row with rank 0, which alone has them.
type searchRow struct {
	Rank           int
	DocumentID     *uuid.UUID
	ChunkID        *int
	Revision       *int
	Connection     *string
	Text           *string
	Context        *string
	HeadingPath    []string
	Title          *string
	URL            *string
	Path           *string
	Start          *int
	End            *int
	StartCP        *int
	EndCP          *int
	Score          *float64
	KeywordScore   *float64
	VectorDistance *float64
	State          *searchState
	At             *time.Time
}

func (r searchRow) result(scores bool) SearchResult {
	out := SearchResult{
		ChunkID: ChunkID{*r.DocumentID, *r.ChunkID}, DocumentID: *r.DocumentID, Revision: *r.Revision, Connection: *r.Connection,
		Text: *r.Text, Title: *r.Title, HeadingPath: nonNilStrings(r.HeadingPath), URL: *r.URL,
		Start: *r.Start, End: *r.End, StartCP: *r.StartCP, EndCP: *r.EndCP, Score: *r.Score,
		Context: *r.Context, Path: *r.Path,
	}
	if scores {
		out.Scores = &Scores{Keyword: r.KeywordScore, VectorDistance: r.VectorDistance}
	}
	return out
}

func nonNilStrings(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
