package embed

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tributary/internal/chunk"
)

// Defaults of Config, and bounds.
const (
	DefaultMaxBatchInputs = 128
	DefaultMaxBatchTokens = 60_000
	DefaultTimeout        = 60 * time.Second
	MaxDimensions         = 4000 // what an index over half-precision vectors holds
)

// Config says how to reach an endpoint of the OpenAI shape.
type Config struct {
	URL            string // what "/embeddings" is appended to, such as https://api.openai.com/v1 or http://localhost:11434/v1
	Model          string
	Dimensions     int          // what every vector must have; 0 leaves it open, for Test only
	SendDimensions bool         // ask for Dimensions, for models that can shorten their vectors
	APIKey         Secret       // sent as bearer token; empty sends none
	HTTPClient     *http.Client // its transport is used; redirects are refused whatever it says
	MaxBatchInputs int
	MaxBatchTokens int           // by chunk.EstimateTokens
	Timeout        time.Duration // of one request
	Normalise      bool          // scale vectors to length 1
	QueryPrefix    string        // put before questions, as E5, BGE and Nomic models ask for
	DocumentPrefix string        // put before documents
}

// OpenAI is a client of one endpoint and model. It may be used concurrently.
type OpenAI struct {
	cfg      Config
	endpoint string // with query
	client   *http.Client
}

// NewOpenAI checks cfg and connects to nothing.
func NewOpenAI(cfg Config) (*OpenAI, error) {
	u, err := url.Parse(cfg.URL)
	switch {
	case err != nil:
		return nil, &Error{Class: Invalid, Msg: "url is not a URL; give one such as https://api.openai.com/v1"}
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, &Error{Class: Invalid, Msg: "url must start with http:// or https:// and name a host, such as https://api.openai.com/v1"}
	case u.User != nil:
		return nil, &Error{Class: Invalid, Msg: "url must not contain a user or password; use the API key"}
	case strings.TrimSpace(cfg.Model) == "":
		return nil, &Error{Class: Invalid, Msg: "model is missing; name one that the endpoint serves"}
	case cfg.Dimensions < 0 || cfg.Dimensions > MaxDimensions:
		return nil, &Error{Class: Invalid, Msg: fmt.Sprintf("dimensions must be between 1 and %d", MaxDimensions)}
	case cfg.SendDimensions && cfg.Dimensions == 0:
		return nil, &Error{Class: Invalid, Msg: "dimensions are to be sent but not set"}
	case strings.ContainsAny(cfg.APIKey.Reveal(), "\r\n\x00"):
		return nil, &Error{Class: Invalid, Msg: "API key contains a line break; remove it from the key file"}
	}
	if cfg.MaxBatchInputs <= 0 {
		cfg.MaxBatchInputs = DefaultMaxBatchInputs
	}
	if cfg.MaxBatchTokens <= 0 {
		cfg.MaxBatchTokens = DefaultMaxBatchTokens
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	client := &http.Client{}
	if cfg.HTTPClient != nil {
		*client = *cfg.HTTPClient
	}
	// SECURITY: a redirect would carry the documents to a host that nobody configured.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &OpenAI{cfg: cfg, endpoint: u.JoinPath("embeddings").String(), client: client}, nil
}

var _ Profile = (*OpenAI)(nil)

// Embed returns one vector for each input, or the first error.
func (o *OpenAI) Embed(ctx context.Context, inputs []string) ([]Vector, error) {
	res, err := o.EmbedBatch(ctx, inputs)
	if err != nil {
		return nil, err
	}
	for i := range inputs {
		if err := res.Errs[i]; err != nil {
			return nil, fmt.Errorf("input %d: %w", i, err)
		}
	}
	return res.Vectors, nil
}

// EmbedBatch embeds documents in as many requests as the bounds of Config ask for. Vectors that arrived are in the result
// also when it returns an error: store them, and send only the rest again. A request is never repeated here; one that is
// refused for an input's sake, which costs nothing, is split until that input is found.
func (o *OpenAI) EmbedBatch(ctx context.Context, inputs []string) (Result, error) {
	w := work{o: o, inputs: inputs, prefix: o.cfg.DocumentPrefix}
	w.res = Result{Vectors: make([]Vector, len(inputs)), Errs: map[int]error{}}
	for _, batch := range o.plan(inputs, w.res.Errs) {
		if err := w.send(ctx, batch); err != nil {
			return w.res, err
		}
	}
	return w.res, nil
}

// EmbedQuery embeds a question.
func (o *OpenAI) EmbedQuery(ctx context.Context, query string) (Vector, error) {
	if strings.TrimSpace(query) == "" {
		return nil, &Error{Class: Invalid, Msg: "the question is empty"}
	}
	w := work{o: o, inputs: []string{query}, prefix: o.cfg.QueryPrefix}
	w.res = Result{Vectors: make([]Vector, 1), Errs: map[int]error{}}
	if err := w.send(ctx, []int{0}); err != nil {
		return nil, err
	}
	return w.res.Vectors[0], w.res.Errs[0]
}

// Test embeds one sentence. Where the dimensions are not those of Config, it returns what it found and an Invalid error.
func (o *OpenAI) Test(ctx context.Context) (Info, error) {
	start := time.Now()
	reply, err := o.post(ctx, []string{o.cfg.DocumentPrefix + "Tributary is testing this embedding profile."})
	if err != nil {
		return Info{}, err
	}
	info := Info{Model: reply.model, LatencyMS: time.Since(start).Milliseconds()}
	v, err := reply.vector(0)
	if err != nil {
		return info, err
	}
	info.Dimensions = len(v)
	info.Normalised = math.Abs(length(v)-1) < 1e-3
	if o.cfg.Dimensions != 0 {
		err = o.check(v)
	}
	return info, err
}

// plan groups the inputs into batches; inputs without text get an error instead.
func (o *OpenAI) plan(inputs []string, errs map[int]error) [][]int {
	var (
		out    [][]int
		batch  []int
		tokens int
	)
	prefix := chunk.EstimateTokens(o.cfg.DocumentPrefix)
	for i, s := range inputs {
		if strings.TrimSpace(s) == "" {
			errs[i] = &Error{Class: Invalid, Msg: "the input is empty", Permanent: []int{i}}
			continue
		}
		n := chunk.EstimateTokens(s) + prefix
		if len(batch) > 0 && (len(batch) == o.cfg.MaxBatchInputs || tokens+n > o.cfg.MaxBatchTokens) {
			out, batch, tokens = append(out, batch), nil, 0
		}
		batch, tokens = append(batch, i), tokens+n
	}
	if len(batch) > 0 {
		out = append(out, batch)
	}
	return out
}

// work is one call of EmbedBatch.
type work struct {
	o      *OpenAI
	inputs []string
	prefix string
	res    Result
	worked bool // the endpoint accepted something, so the settings are right
}

// send embeds the inputs named by batch. It returns an error when there is no point in going on.
func (w *work) send(ctx context.Context, batch []int) error {
	texts := make([]string, len(batch))
	for i, n := range batch {
		texts[i] = w.prefix + w.inputs[n]
	}
	reply, err := w.o.post(ctx, texts)
	if err == nil {
		return w.keep(batch, reply)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok || !e.splittable() {
		return err
	}
	if len(batch) > 1 {
		half := len(batch) / 2
		if err := w.send(ctx, batch[:half]); err != nil {
			return err
		}
		return w.send(ctx, batch[half:])
	}
	if e.Class == Invalid && !w.worked {
		if _, err := w.o.Test(ctx); err != nil {
			return err
		}
		w.worked = true
	}
	e.Permanent = batch
	w.res.Errs[batch[0]] = e
	return nil
}

// keep checks a reply vector by vector.
func (w *work) keep(batch []int, reply *reply) error {
	w.worked = true
	w.res.Tokens += reply.tokens
	good := 0
	var last *Error
	for i, n := range batch {
		v, err := reply.vector(i)
		if err == nil {
			err = w.o.check(v)
		}
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok {
				return err
			}
			if e.Class == Invalid {
				e.Permanent = []int{n}
			}
			w.res.Errs[n], last = e, e
			continue
		}
		if w.o.cfg.Normalise {
			scale(v, 1/length(v))
		}
		w.res.Vectors[n] = v
		good++
	}
	if good == 0 && last != nil && last.Class == Invalid && last.wrongSize {
		for _, n := range batch {
			delete(w.res.Errs, n)
		}
		last.Permanent = nil
		return last
	}
	return nil
}

// check returns an error unless v can be stored and compared.
func (o *OpenAI) check(v Vector) error {
	if o.cfg.Dimensions != 0 && len(v) != o.cfg.Dimensions {
		return &Error{
			Class: Invalid, wrongSize: true,
			Msg: fmt.Sprintf("the model answered with %d dimensions, the profile says %d; create a profile with --dimensions %d", len(v), o.cfg.Dimensions, len(v)),
		}
	}
	switch n := length(v); {
	case math.IsNaN(n) || math.IsInf(n, 0):
		return &Error{Class: Invalid, Msg: "the vector has a component that is not a finite number"}
	case n == 0:
		return &Error{Class: Invalid, Msg: "the vector is zero"}
	}
	return nil
}
