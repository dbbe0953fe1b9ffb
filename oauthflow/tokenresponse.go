package oauthflow

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/secret"
)

const (
	// MaxAnswer is the largest token answer that is read, in bytes.
	MaxAnswer = 1 << 20
	// MaxLife is the longest life that a token is believed to have.
	MaxLife = 365 * 24 * time.Hour
)

// Token is a pair of tokens as a provider gave it. It formats without them.
type Token struct {
	Access  secret.Text
	Refresh secret.Text // the one to keep: a new one, or the one that was asked with; empty where there is none
	// Rotated reports that Refresh is not the one that was asked with.
	Rotated bool
	ID      secret.Text // OpenID Connect's id_token, unverified
	Type    string      // lower case; "bearer" where the provider left it out
	// ExpiresIn is the life of Access from the answer on, within [0, MaxLife]; 0 is unknown.
	ExpiresIn time.Duration
	// RefreshExpiresIn is that of Refresh; 0 is unknown.
	RefreshExpiresIn time.Duration
	Scopes           []string
	// ScopesStated is false where the answer names no scopes, and Scopes are those that were asked for (RFC 6749 §5.1).
	ScopesStated bool
	Hosts        map[string]string // by the field of AnswerRule.Hosts
}

// Asked is what a token request held.
type Asked struct {
	Refresh secret.Text
	Scopes  []string
	// Secrets are what else was sent: the code, the verifier, the client's secret, an assertion. No text that comes
	// back is shown with them.
	Secrets []secret.Text
}

// Problem says what is wrong with an answer that is no OAuth error.
type Problem string

// The problems of answers.
const (
	ProblemNone      Problem = ""
	ProblemTooLarge  Problem = "the answer is larger than 1 MiB"
	ProblemCutOff    Problem = "the answer was cut off"
	ProblemType      Problem = "the answer's content type is not one of the provider's"
	ProblemMalformed Problem = "the answer is not well formed"
	ProblemNoToken   Problem = "the answer holds no usable token"
	ProblemTokenType Problem = "the answer's token type is not one of the provider's"
	ProblemHost      Problem = "the answer names a host that is not the provider's"
)

// TokenError is a token request that gave no token. Its message holds the provider's error code and nothing else of
// the answer; Description is cleaned (CleanText) and for the person who set the provider up.
type TokenError struct {
	Class       connectors.Class
	Status      int
	Code        string // the provider's error, cleaned; "" where it gave none
	Description string
	Problem     Problem
	// Remedy is what the profile says about the error, for people; "" where it says nothing.
	Remedy string
	// Definitive means that the server refused: it did not spend the refresh token. Otherwise it may have.
	Definitive bool
	// RetryAfter is how long the server asks to wait; 0 where it does not say. A TokenClient sets it.
	RetryAfter time.Duration
}

// Error returns the status and the code or the problem.
func (e *TokenError) Error() string {
	msg := fmt.Sprintf("token endpoint: HTTP %d", e.Status)
	if e.Code != "" {
		msg += ": " + e.Code
	}
	if e.Problem != ProblemNone {
		msg += ": " + string(e.Problem)
	}
	return msg
}

// Note returns the code with what the profile says about it, for the state of a grant.
func (e *TokenError) Note() string {
	if e.Remedy == "" {
		return e.Code
	}
	return e.Code + ": " + e.Remedy
}

// aboutClient reports whether the code, by RFC 6749 §5.2, speaks of the client. Where such an answer counts as a lost
// grant, the provider answers alike to a wrong client and to a wrong code or token.
func (e *TokenError) aboutClient() bool {
	return oneOf(e.Code, "invalid_client", "unauthorized_client")
}

// ParseToken reads the answer of the token endpoint: a Token, or a TokenError. It reads at most MaxAnswer bytes and
// does not close the body. An error other than a clear refusal is not Definitive: the provider may have spent the
// refresh token that was sent.
func ParseToken(p *Profile, asked Asked, status int, header http.Header, body io.Reader) (*Token, error) {
	raw, err := io.ReadAll(io.LimitReader(body, MaxAnswer+1))
	ok := status >= 200 && status <= 299
	var fields map[string]any
	var problem Problem
	switch {
	case err != nil:
		problem = ProblemCutOff
	case len(raw) > MaxAnswer:
		problem = ProblemTooLarge
	default:
		fields, problem = decodeAnswer(p, header.Get("Content-Type"), raw, ok)
	}
	if problem != ProblemNone {
		if !ok { // the status alone tells more than the body
			problem = ProblemNone
		}
		return nil, p.tokenError(asked, status, nil, problem)
	}
	if _, refused := errorOf(fields, p.Answer.TokenPath); refused || !ok {
		return nil, p.tokenError(asked, status, fields, ProblemNone)
	}
	t, problem := p.readToken(asked, fields)
	if problem != ProblemNone {
		return nil, p.tokenError(asked, status, nil, problem)
	}
	return t, nil
}

// decodeAnswer reads the body by its content type, as the profile allows.
func decodeAnswer(p *Profile, contentType string, raw []byte, ok bool) (map[string]any, Problem) {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(contentType)), ";")
	}
	format, listed := p.Answer.ContentTypes[media]
	switch {
	case listed:
	case media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json"):
		format = BodyJSON
	case !ok: // errors of servers and proxies come as anything
		format = BodyJSON
	default:
		return nil, ProblemType
	}
	decode := decodeObject
	if format == BodyForm {
		decode = decodeForm
	}
	fields, err := decode(raw)
	if err != nil {
		return nil, ProblemMalformed
	}
	return fields, ProblemNone
}

// readToken takes the tokens from the fields of an answer without an error.
func (p *Profile) readToken(asked Asked, fields map[string]any) (*Token, Problem) {
	at, ok := objectAt(fields, p.Answer.TokenPath)
	if !ok {
		return nil, ProblemNoToken
	}
	access, ok := tokenField(at, "access_token")
	if !ok || access == "" {
		return nil, ProblemNoToken
	}
	refresh, ok := tokenField(at, "refresh_token")
	if !ok {
		return nil, ProblemNoToken
	}
	t := &Token{Access: secret.New(access), Refresh: asked.Refresh, Scopes: asked.Scopes}
	if refresh != "" {
		t.Refresh = secret.New(refresh)
		t.Rotated = !t.Refresh.Equal(asked.Refresh)
	}
	if id, ok := tokenField(at, "id_token"); ok && id != "" {
		t.ID = secret.New(id)
	}
	if t.Type, ok = p.tokenType(at["token_type"]); !ok {
		return nil, ProblemTokenType
	}
	t.ExpiresIn = lifeOf(at["expires_in"])
	if p.Answer.RefreshExpiry != "" {
		t.RefreshExpiresIn = lifeOf(at[p.Answer.RefreshExpiry])
	}
	if s, ok := at["scope"].(string); ok {
		t.Scopes, t.ScopesStated = parseScopes(s, p.Scopes.AnswerSeparator), true
	}
	for field, patterns := range p.Answer.Hosts {
		value, ok := at[field].(string)
		if !ok && at[field] == nil {
			continue
		}
		host, allowed := answerHost(value, patterns)
		if !allowed {
			return nil, ProblemHost
		}
		if t.Hosts == nil {
			t.Hosts = map[string]string{}
		}
		t.Hosts[field] = host
	}
	return t, ProblemNone
}

// tokenType returns the type in lower case, where the standard or the profile has it.
func (p *Profile) tokenType(v any) (string, bool) {
	s, ok := v.(string)
	if v == nil || ok && s == "" {
		return "bearer", p.Answer.TokenTypeOptional
	}
	if !ok {
		return "", false
	}
	if strings.EqualFold(s, "bearer") || strings.EqualFold(s, "dpop") {
		return strings.ToLower(s), true
	}
	for _, listed := range p.Answer.TokenTypes {
		if strings.EqualFold(s, listed) {
			return strings.ToLower(s), true
		}
	}
	return "", false
}
