package web

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tributary/store"
)

// maxQueryChars bounds a question.
const maxQueryChars = 2000

// defaultEmbedTimeout leaves time to answer by keywords instead.
const defaultEmbedTimeout = 5 * time.Second

// modes returns every mode, the default first.
func modes() []string {
	return []string{string(store.Hybrid), string(store.Vector), string(store.Keyword)}
}

// ErrNoProfile says that no embedding profile is active.
var ErrNoProfile = errors.New("no embedding profile is active")

// QueryEmbedder turns a query into a vector of the active profile. Without one
// it returns ErrNoProfile.
type QueryEmbedder interface {
	EmbedQuery(ctx context.Context, text string) (vector []float32, profile int16, err error)
}

// SearchStore is what a Searcher needs of the store.
type SearchStore interface {
	Search(ctx context.Context, who store.Identity, req store.SearchRequest) (store.SearchResponse, error)
}

// Searcher is the one way from a question to an answer, for the API and the
// command line alike.
type Searcher struct {
	Store    SearchStore
	Embedder QueryEmbedder
	// EmbedTimeout bounds how long a question waits for its vector; 0 is 5 s.
	EmbedTimeout time.Duration
	Log          *slog.Logger
}

// Answer is what a search returned, and whether it had to do without vectors.
type Answer struct {
	store.SearchResponse
	// Degraded is true when a hybrid search was answered by keywords alone,
	// because the query could not be embedded; Complete is false then.
	Degraded bool `json:"-"`
}

// Search checks req, embeds its query and asks the store as who. An error of
// the request is a *store.InputError that names the field.
func (s Searcher) Search(ctx context.Context, who store.Identity, req store.SearchRequest) (Answer, error) {
	if err := checkRequest(&req); err != nil {
		return Answer{}, err
	}
	degraded := false
	if req.Mode == store.Vector || req.Mode == store.Hybrid && req.Weights.NeedsVector() {
		vector, profile, err := s.embed(ctx, req.Query)
		switch {
		case err == nil:
			req.Vector, req.Profile = vector, profile
		case ctx.Err() != nil:
			return Answer{}, ctx.Err()
		case req.Mode == store.Vector:
			return Answer{}, &EmbeddingError{Err: err}
		default:
			if !errors.Is(err, ErrNoProfile) && s.Log != nil {
				s.Log.WarnContext(ctx, "answering by keywords alone: embedding the query", "error", err)
			}
			req.Mode, degraded = store.Keyword, true
		}
	}
	resp, err := s.Store.Search(ctx, who, req)
	if err != nil {
		return Answer{}, err
	}
	if degraded {
		resp.Complete = false
	}
	return Answer{SearchResponse: resp, Degraded: degraded}, nil
}

func (s Searcher) embed(ctx context.Context, query string) ([]float32, int16, error) {
	if s.Embedder == nil {
		return nil, 0, ErrNoProfile
	}
	timeout := s.EmbedTimeout
	if timeout <= 0 {
		timeout = defaultEmbedTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return s.Embedder.EmbedQuery(ctx, query)
}

// EmbeddingError says that a vector search could not embed its query.
type EmbeddingError struct{ Err error }

// Error names the cause.
func (e *EmbeddingError) Error() string { return "embedding the query: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *EmbeddingError) Unwrap() error { return e.Err }

// checkRequest fills defaults in and refuses what is out of bounds.
func checkRequest(req *store.SearchRequest) error {
	req.Query = strings.TrimSpace(req.Query)
	switch n := utf8.RuneCountInString(req.Query); {
	case n == 0:
		return &store.InputError{Field: "query", Problem: "must not be empty"}
	case n > maxQueryChars:
		return &store.InputError{Field: "query", Problem: "may have " + strconv.Itoa(maxQueryChars) + " characters at most"}
	case !utf8.ValidString(req.Query) || strings.ContainsRune(req.Query, 0):
		return &store.InputError{Field: "query", Problem: "must be text without NUL characters"}
	}
	if req.Mode == "" {
		req.Mode = store.Hybrid
	}
	if !slices.Contains(modes(), string(req.Mode)) {
		return &store.InputError{Field: "mode", Problem: "must be one of " + strings.Join(modes(), ", ")}
	}
	return nil
}
