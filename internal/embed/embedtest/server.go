package embedtest

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the properties of a server that do not change.
type Options struct {
	Dimensions    int           // of its vectors; 8 where 0
	Model         string        // another model is answered with 404; empty accepts any
	Key           string        // asked for as bearer token; empty asks for none
	MaxInputBytes int           // a longer input refuses its request with 400; 0 is no limit
	MaxInputs     int           // more inputs refuse the request with 413; 0 is no limit
	Delay         time.Duration // before each answer
	Base64        bool          // vectors are sent as base64, whatever was asked for
}

// Fault is how one request fails. The zero Fault is no fault.
type Fault struct {
	Status     int             // answered instead of vectors, before any work
	Message    string          // of that answer
	RetryAfter string          // header of that answer
	AfterWork  bool            // Status is answered after the work was done, and paid for
	Redirect   string          // answered with 307 to this address
	Delay      time.Duration   // before the answer
	Hold       <-chan struct{} // the answer waits until it is closed
	Dimensions int             // of the vectors of this answer
	Reverse    bool            // vectors come in reverse order, with their right index
	Drop       []int           // indexes left out
	Twice      []int           // indexes sent twice, with different vectors
	Extra      bool            // an index that belongs to no input is added
	Zero       []int           // indexes whose vector is zero
	Infinite   []int           // indexes whose vector has a component beyond any number
	Null       []int           // indexes whose vector is null
	Truncate   bool            // the body ends in the middle
	Garbage    bool            // the body is not JSON
	Disconnect bool            // the connection breaks after the work, without an answer
}

// Server is a running endpoint. Its methods may be called concurrently.
type Server struct {
	URL string // what a profile is given as --url

	opts Options
	http *httptest.Server

	mu        sync.Mutex
	script    []Fault
	always    *Fault
	requests  int
	computed  map[string]int
	delivered map[string]int
	largest   int
}

// New starts a server; Close ends it.
func New(opts Options) *Server {
	opts.Dimensions = cmp.Or(opts.Dimensions, 8)
	s := &Server{opts: opts, computed: map[string]int{}, delivered: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/embeddings", s.serve)
	s.http = httptest.NewServer(mux)
	s.URL = s.http.URL + "/v1"
	return s
}

// Close stops the server and waits for open requests.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// Client returns an HTTP client whose connections end with Close.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Next adds faults to the script: each request takes one, in order.
func (s *Server) Next(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = append(s.script, faults...)
}

// Always sets the fault of every request for which the script has none; nil ends it.
func (s *Server) Always(f *Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = f
}

// Requests returns how many requests arrived, refused ones included.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}

// Largest returns the number of inputs of the largest request.
func (s *Server) Largest() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.largest
}

// Computed returns how often each input text was paid for, lost answers included.
func (s *Server) Computed() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.computed)
}

// Delivered returns how often a good vector of each input text was in a complete answer. More than 1 means that a client paid
// again for what it had.
func (s *Server) Delivered() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.delivered)
}

// DeliveredTwice returns the texts of which good vectors were delivered more than once, sorted.
func (s *Server) DeliveredTwice() []string {
	var out []string
	for text, n := range s.Delivered() {
		if n > 1 {
			out = append(out, text)
		}
	}
	slices.Sort(out)
	return out
}

// Vector returns the vector of a text: a pure function of its arguments, of length 1.
func Vector(text string, dimensions int) []float32 {
	out := make([]float32, dimensions)
	var sum float64
	for i := range out {
		block := sha256.Sum256(fmt.Appendf(nil, "%d:%s", i/8, text))
		x := float64(binary.LittleEndian.Uint32(block[i%8*4:]))/(1<<31) - 1
		out[i] = float32(x)
		sum += x * x
	}
	for i := range out {
		out[i] = float32(float64(out[i]) / math.Sqrt(sum))
	}
	return out
}

type request struct {
	Model      string          `json:"model"`
	Input      json.RawMessage `json:"input"`
	Dimensions int             `json:"dimensions"`
}

// inputs reads a string or a list of strings, both of which the API takes.
func (r request) inputs() ([]string, error) {
	var one string
	if json.Unmarshal(r.Input, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	err := json.Unmarshal(r.Input, &many)
	return many, err
}

func (s *Server) begin() Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	switch {
	case len(s.script) > 0:
		f := s.script[0]
		s.script = s.script[1:]
		return f
	case s.always != nil:
		return *s.always
	}
	return Fault{}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	f := s.begin()
	var req request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		refuse(w, http.StatusBadRequest, "could not parse the JSON body", "invalid_request_error")
		return
	}
	texts, err := req.inputs()
	if err != nil || len(texts) == 0 {
		refuse(w, http.StatusBadRequest, "'input' is invalid", "invalid_request_error")
		return
	}
	s.mu.Lock()
	s.largest = max(s.largest, len(texts))
	s.mu.Unlock()
	if !s.wait(r, f) || s.refused(w, r, req, texts) {
		return
	}
	if f.Redirect != "" {
		http.Redirect(w, r, f.Redirect, http.StatusTemporaryRedirect)
		return
	}
	if f.Status != 0 && !f.AfterWork {
		f.refuse(w)
		return
	}
	s.answer(w, f, req, texts)
}

// wait holds the answer back; it returns false when the client has gone.
func (s *Server) wait(r *http.Request, f Fault) bool {
	if d := s.opts.Delay + f.Delay; d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return false
		}
	}
	if f.Hold != nil {
		select {
		case <-f.Hold:
		case <-r.Context().Done():
			return false
		}
	}
	return true
}

// refused checks what a real endpoint checks.
func (s *Server) refused(w http.ResponseWriter, r *http.Request, req request, texts []string) bool {
	if s.opts.Key != "" && r.Header.Get("Authorization") != "Bearer "+s.opts.Key {
		got := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		refuse(w, http.StatusUnauthorized, "Incorrect API key provided: "+got, "invalid_api_key")
		return true
	}
	if s.opts.Model != "" && req.Model != s.opts.Model {
		refuse(w, http.StatusNotFound, fmt.Sprintf("The model %q does not exist", req.Model), "model_not_found")
		return true
	}
	if s.opts.MaxInputs > 0 && len(texts) > s.opts.MaxInputs {
		refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("batch size %d > maximum allowed batch size %d", len(texts), s.opts.MaxInputs), "Validation")
		return true
	}
	for _, t := range texts {
		if t == "" {
			refuse(w, http.StatusBadRequest, "'$.input' is invalid: input cannot be an empty string", "invalid_request_error")
			return true
		}
		if s.opts.MaxInputBytes > 0 && len(t) > s.opts.MaxInputBytes {
			refuse(w, http.StatusBadRequest, fmt.Sprintf("This model's maximum context length is %d tokens", s.opts.MaxInputBytes), "context_length_exceeded")
			return true
		}
	}
	return false
}

func (f Fault) refuse(w http.ResponseWriter) {
	if f.RetryAfter != "" {
		w.Header().Set("Retry-After", f.RetryAfter)
	}
	refuse(w, f.Status, cmp.Or(f.Message, http.StatusText(f.Status)), "scripted")
}

func refuse(w http.ResponseWriter, status int, message, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": message, "type": code, "code": code}})
}
