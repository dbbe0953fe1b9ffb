package embed

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"tributary/internal/secret"
)

const (
	maxRetryAfter = time.Hour
	maxErrorBody  = 64 << 10
	maxMessage    = 200
	// A component takes up to 25 characters as JSON; pretty printers add blanks.
	bytesPerComponent = 40
	replyOverhead     = 1 << 20
)

type request struct {
	Model          string   `json:"model"`
	Input          []string `json:"input"`
	EncodingFormat string   `json:"encoding_format"`
	Dimensions     int      `json:"dimensions,omitempty"`
}

type body struct {
	Model string `json:"model"`
	Data  []struct {
		Index     *int            `json:"index"`
		Embedding json.RawMessage `json:"embedding"`
	} `json:"data"`
	Usage struct {
		PromptTokens int `json:"prompt_tokens"`
	} `json:"usage"`
}

// reply is an answer with its vectors in the order of the inputs, not decoded yet.
type reply struct {
	model  string
	tokens int
	raw    []json.RawMessage // nil where missing
	twice  []bool            // the index came more than once
}

// post sends one request and never repeats it.
func (o *OpenAI) post(ctx context.Context, texts []string) (*reply, error) {
	in := request{Model: o.cfg.Model, Input: texts, EncodingFormat: "float"}
	if o.cfg.SendDimensions {
		in.Dimensions = o.cfg.Dimensions
	}
	payload, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("encoding inputs: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, o.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, o.endpoint, bytes.NewReader(payload))
	if err != nil {
		return nil, &Error{Class: Invalid, Msg: "url cannot be requested"}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	if key := o.cfg.APIKey.Reveal(); key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := o.client.Do(req)
	if err != nil {
		return nil, o.broken(ctx, "reaching "+req.URL.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, o.refusal(resp)
	}
	return o.read(ctx, resp.Body, len(texts))
}

// broken classes an error of the network.
func (o *OpenAI) broken(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the URL itself may carry a secret in its query
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Error{Class: Transient, Msg: fmt.Sprintf("%s took longer than %s", doing, o.cfg.Timeout)}
	}
	return &Error{Class: Transient, Msg: doing, Err: err}
}

// read decodes an answer for n inputs.
func (o *OpenAI) read(ctx context.Context, from io.Reader, n int) (*reply, error) {
	size := o.cfg.Dimensions
	if size == 0 {
		size = 2 * MaxDimensions
	}
	limit := int64(n)*int64(size)*bytesPerComponent + replyOverhead
	data, err := io.ReadAll(io.LimitReader(from, limit+1))
	if err != nil {
		return nil, o.broken(ctx, "reading the answer", err)
	}
	if int64(len(data)) > limit {
		return nil, &Error{Class: Invalid, Msg: fmt.Sprintf("the answer is larger than %d inputs of %d dimensions can be; check the model and the dimensions of the profile", n, size)}
	}
	var b body
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, &Error{Class: Transient, Msg: "the answer is not complete JSON"}
	}
	r := &reply{model: b.Model, tokens: b.Usage.PromptTokens, raw: make([]json.RawMessage, n), twice: make([]bool, n)}
	for _, d := range b.Data {
		if d.Index == nil || *d.Index < 0 || *d.Index >= n {
			continue // belongs to no input, and is no one's vector
		}
		i := *d.Index
		r.twice[i] = r.raw[i] != nil
		r.raw[i] = d.Embedding
	}
	return r, nil
}

// vector decodes the vector of input i.
func (r *reply) vector(i int) (Vector, error) {
	switch {
	case r.raw[i] == nil:
		return nil, &Error{Class: Transient, Msg: "the answer lacks the vector of this input"}
	case r.twice[i]:
		return nil, &Error{Class: Transient, Msg: "the answer has more than one vector for this input"}
	case bytes.HasPrefix(r.raw[i], []byte(`"`)):
		return fromBase64(r.raw[i])
	}
	if bytes.Equal(r.raw[i], []byte("null")) {
		return nil, &Error{Class: Transient, Msg: "the answer lacks the vector of this input"}
	}
	var v Vector
	if err := json.Unmarshal(r.raw[i], &v); err != nil || bytes.Contains(r.raw[i], []byte("null")) {
		return nil, &Error{Class: Invalid, Msg: "the vector is not a list of finite numbers"}
	}
	return v, nil
}

// fromBase64 decodes little-endian float32 components, the encoding_format "base64" of the OpenAI API.
func fromBase64(raw json.RawMessage) (Vector, error) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, &Error{Class: Invalid, Msg: "the vector is not text in base64"}
	}
	data, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(data)%4 != 0 {
		return nil, &Error{Class: Invalid, Msg: "the vector is not base64 of 32-bit numbers"}
	}
	v := make(Vector, len(data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v, nil
}

// refusal turns an answer other than 200 into an error.
func (o *OpenAI) refusal(resp *http.Response) *Error {
	data, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	msg, code := explanation(data)
	e := &Error{Class: classOfStatus(resp.StatusCode), Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	switch e.Class {
	case Auth:
		// SECURITY: endpoints repeat parts of the key in their message.
		e.Msg = "the endpoint refused the API key; check the key and its rights"
		return e
	case RateLimited:
		e.Msg = "the endpoint asks to slow down"
		if code == "insufficient_quota" {
			e.Class, e.Msg = Auth, "the account behind the API key has no credit left"
		}
		return e
	case Transient:
		e.Msg = "the endpoint has a problem"
	case Invalid, TooLarge, Unknown:
		e.Msg = "the endpoint refused the request"
		if resp.StatusCode/100 == 3 {
			e.Msg = "the endpoint answers with a redirect, which is not followed; give its final address as url"
		}
		if e.Class == Invalid && aboutSize(msg, code) {
			e.Class = TooLarge
		}
		e.config = resp.StatusCode == http.StatusNotFound || resp.StatusCode/100 == 3 || code == "model_not_found"
	}
	if msg != "" {
		e.Msg += ": " + o.redact(msg)
	}
	return e
}

func classOfStatus(status int) Class {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden || status == http.StatusPaymentRequired:
		return Auth
	case status == http.StatusTooManyRequests:
		return RateLimited
	case status == http.StatusRequestEntityTooLarge:
		return TooLarge
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status >= 500 || status < 300:
		return Transient
	}
	return Invalid
}

// splittable reports whether the request was refused for the sake of an input, and so cost nothing.
func (e *Error) splittable() bool {
	return e.Class == TooLarge || e.Class == Invalid && e.Status != 0 && !e.config
}

// explanation finds the message and the code in the error shapes of OpenAI, Ollama, vLLM and TEI.
func explanation(data []byte) (msg, code string) {
	var b struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Type    string          `json:"error_type"`
		Detail  any             `json:"detail"`
	}
	if json.Unmarshal(data, &b) != nil {
		return "", ""
	}
	var inner struct {
		Message string `json:"message"`
		Code    any    `json:"code"`
		Type    string `json:"type"`
	}
	var text string
	switch {
	case json.Unmarshal(b.Error, &inner) == nil && inner.Message != "":
		code, ok := inner.Code.(string)
		if !ok {
			code = inner.Type
		}
		return inner.Message, code
	case json.Unmarshal(b.Error, &text) == nil && text != "":
		return text, b.Type
	case b.Message != "":
		return b.Message, b.Type
	}
	if s, ok := b.Detail.(string); ok {
		return s, ""
	}
	return "", ""
}

// aboutSize reports whether a refusal is about the length of an input or of the batch. Endpoints give these one
// status with other mistakes; the phrases are those of OpenAI, vLLM, TEI and Ollama.
func aboutSize(msg, code string) bool {
	if code == "context_length_exceeded" || code == "string_above_max_length" || code == "array_above_max_length" {
		return true
	}
	msg = strings.ToLower(msg)
	for _, phrase := range []string{"maximum context length", "context length", "max_tokens_per_request", "must have less than", "batch size", "too long", "too large", "maximum input length", "longer than the maximum"} {
		if strings.Contains(msg, phrase) {
			return true
		}
	}
	return false
}

// redact shortens what an endpoint says to one line without the key.
func (o *OpenAI) redact(msg string) string {
	if key := o.cfg.APIKey.Reveal(); key != "" {
		msg = strings.ReplaceAll(msg, key, secret.Redacted)
	}
	msg = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(msg, "?"))
	if r := []rune(msg); len(r) > maxMessage {
		msg = string(r[:maxMessage]) + "…"
	}
	return msg
}

// retryAfter reads RFC 9110 §10.2.3: seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseFloat(strings.TrimSpace(s), 64); err == nil && !math.IsNaN(n) {
		d = time.Duration(math.Min(math.Max(n, 0), maxRetryAfter.Seconds()) * float64(time.Second))
	} else if t, err := http.ParseTime(s); err == nil {
		d = t.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}
