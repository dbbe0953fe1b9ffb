package embed

import (
	"context"
	"math"

	"tributary/internal/secret"
)

// Vector is an embedding.
type Vector []float32

// Embedder turns documents into vectors.
type Embedder interface {
	// Embed returns one vector for each input, in the order of inputs, or an error and nothing.
	Embed(ctx context.Context, inputs []string) ([]Vector, error)
}

// Profile is what an embedding profile can do. Its methods may be called concurrently.
type Profile interface {
	Embedder
	// EmbedBatch embeds documents and keeps what succeeded, also when it returns an error.
	EmbedBatch(ctx context.Context, inputs []string) (Result, error)
	// EmbedQuery embeds a question.
	EmbedQuery(ctx context.Context, query string) (Vector, error)
	// Test embeds one sentence and reports what came back.
	Test(ctx context.Context) (Info, error)
}

// Result is what EmbedBatch achieved. For each input either its vector or its error is set, or neither where the
// returned error stopped the work before it.
type Result struct {
	Vectors []Vector      // as long as the inputs; nil where there is none
	Errs    map[int]error // by index of the input; each is an *Error
	Tokens  int           // tokens that the endpoint says it counted; 0 where it does not say
}

// Done returns how many inputs have a vector.
func (r Result) Done() int {
	n := 0
	for _, v := range r.Vectors {
		if v != nil {
			n++
		}
	}
	return n
}

// Info describes a working profile.
type Info struct {
	Model      string // as the endpoint names it
	Dimensions int
	LatencyMS  int64
	Normalised bool // the vector had length 1 as it arrived
	Lexical    bool // vectors of words, not of meanings
}

// Secret is a string that shows itself only through Reveal.
type Secret = secret.Text

// NewSecret returns a secret that reveals s.
func NewSecret(s string) Secret { return secret.New(s) }

// length returns the Euclidean length of v; it is not finite where a component is not.
func length(v Vector) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// scale multiplies v by f.
func scale(v Vector, f float64) {
	for i := range v {
		v[i] = float32(float64(v[i]) * f)
	}
}
