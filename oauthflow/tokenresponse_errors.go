package oauthflow

import (
	"net/http"
	"slices"

	"tributary/connectors"
	"tributary/internal/secret"
)

// errorOf returns the error that the fields hold, at the top or where the tokens would be. An error of null, false or
// "" is none; one that is no text is an error without a code.
func errorOf(fields map[string]any, path string) (string, bool) {
	places := []map[string]any{fields}
	if at, ok := objectAt(fields, path); ok && path != "" {
		places = append(places, at)
	}
	for _, at := range places {
		switch v := at["error"].(type) {
		case nil:
		case string:
			if v != "" {
				return v, true
			}
		case bool:
			if v {
				return "", true
			}
		default:
			return "", true
		}
	}
	return "", false
}

// tokenError builds the error of an answer. fields are nil where the body could not be read.
func (p *Profile) tokenError(asked Asked, status int, fields map[string]any, problem Problem) *TokenError {
	code, refused := errorOf(fields, p.Answer.TokenPath)
	description, _ := fields["error_description"].(string)
	secrets := slices.Concat([]secret.Text{asked.Refresh}, asked.Secrets)
	e := &TokenError{Status: status, Code: CleanText(code, secrets...), Description: CleanText(description, secrets...), Problem: problem}
	e.Class, e.Remedy = p.classify(status, code)
	// SECURITY: a refusal that is not certain counts as a token that may be spent.
	switch {
	case problem != ProblemNone:
		e.Definitive = false
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		e.Definitive = true
	default:
		e.Definitive = refused && status < http.StatusInternalServerError
	}
	return e
}

// classify gives an answer its class: the profile's rules first, then the standard's meanings (RFC 6749 §5.2). Nothing
// but a known code of a status below 500 means that a grant is lost; what nobody knows is Unknown, which is tried
// again and shown.
func (p *Profile) classify(status int, code string) (class connectors.Class, remedy string) { //nolint:nonamedreturns // the names say what the two are
	server := status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
	for _, r := range p.Errors {
		if (r.Status == status || r.Status == 0 && !server) && (r.Code == code || r.Code == "") {
			return r.class, r.Remedy
		}
	}
	return standardClass(status, code), ""
}

func standardClass(status int, code string) connectors.Class {
	switch {
	case status == http.StatusTooManyRequests:
		return connectors.RateLimited
	case status >= http.StatusInternalServerError:
		return connectors.Transient
	}
	switch code {
	case "invalid_grant":
		return connectors.GrantLost
	case "invalid_client", "unauthorized_client":
		return connectors.ClientRejected
	case "invalid_scope":
		return connectors.ScopeDenied
	case "unsupported_grant_type":
		return connectors.Invalid
	case "server_error", "temporarily_unavailable":
		return connectors.Transient
	case "slow_down":
		return connectors.RateLimited
	default:
		return connectors.Unknown
	}
}
