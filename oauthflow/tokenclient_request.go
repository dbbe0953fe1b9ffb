package oauthflow

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tributary/connectors"
	"tributary/internal/secret"
)

// message is a request to an endpoint of the authorization server in the making.
type message struct {
	fields map[string]string
	asked  Asked
	bare   bool // no client authentication
}

func newMessage(grantType string) *message {
	m := &message{fields: map[string]string{}}
	m.set("grant_type", grantType)
	return m
}

// set adds a field that has a value.
func (m *message) set(name, value string) {
	if value != "" {
		m.fields[name] = value
	}
}

// setSecret adds a field that no text which comes back is shown with.
func (m *message) setSecret(name string, value secret.Text) {
	if value.IsSet() {
		m.set(name, value.Reveal())
		m.asked.Secrets = append(m.asked.Secrets, value)
	}
}

// request builds the one POST that a message is: body, headers and parameters as the profile says, authenticated in
// the one way that the profile names.
func (c *TokenClient) request(ctx context.Context, client Client, endpoint string, m *message) (*http.Request, error) {
	r := client.Registration
	p := r.Profile
	if endpoint == "" {
		return nil, tokenProblem(connectors.Invalid, errors.New("the provider has no such endpoint"))
	}
	for name, value := range p.Request.Params {
		if _, taken := m.fields[name]; !taken {
			m.set(name, value)
		}
	}
	header := http.Header{}
	if !m.bare {
		if err := c.authenticate(client, m, header); err != nil {
			return nil, tokenProblem(connectors.ClientRejected, err)
		}
	}
	body, contentType, err := m.encode(p.Request.Body)
	if err != nil {
		return nil, tokenProblem(connectors.Bug, errors.New("the request cannot be written"))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, expand(endpoint, r, ""), bytes.NewReader(body))
	if err != nil {
		return nil, tokenProblem(connectors.Invalid, errors.New("the endpoint is not a URL"))
	}
	req.GetBody = nil // SECURITY: nothing is sent twice
	req.Header = header
	req.Header.Set("Content-Type", contentType)
	setHeaders(p, req.Header)
	return req, nil
}

// setHeaders adds the headers of the profile.
func setHeaders(p *Profile, h http.Header) {
	h.Set("Accept", "application/json")
	for name, value := range p.Request.Headers {
		h.Set(name, value)
	}
}

// expand fills the placeholders of an endpoint.
func expand(endpoint string, r *Registration, installation string) string {
	return strings.NewReplacer(clientID, url.PathEscape(r.ClientID), installationID, url.PathEscape(installation)).Replace(endpoint)
}

// encode writes the fields, in the order of their names.
func (m *message) encode(format BodyFormat) (body []byte, contentType string, err error) {
	if format == BodyJSON {
		body, err = json.Marshal(m.fields)
		return body, "application/json", err
	}
	values := url.Values{}
	for _, name := range slices.Sorted(maps.Keys(m.fields)) {
		values.Set(name, m.fields[name])
	}
	return []byte(values.Encode()), "application/x-www-form-urlencoded", nil
}

// authenticate proves the client in the one way of the profile.
func (c *TokenClient) authenticate(client Client, m *message, h http.Header) error {
	r, creds := client.Registration, client.Credentials
	switch r.Profile.ClientAuth {
	case AuthNone:
		m.set("client_id", r.ClientID)
	case AuthPost:
		if !creds.Secret.IsSet() {
			return errNoSecret
		}
		m.set("client_id", r.ClientID)
		m.setSecret("client_secret", creds.Secret)
	case AuthBasic:
		if !creds.Secret.IsSet() {
			return errNoSecret
		}
		m.asked.Secrets = append(m.asked.Secrets, creds.Secret)
		setBasic(h, url.QueryEscape(r.ClientID), url.QueryEscape(creds.Secret.Reveal())) // RFC 6749 §2.3.1
	case AuthPrivateKey:
		assertion, err := c.clientAssertion(client)
		if err != nil {
			return err
		}
		m.set("client_id", r.ClientID)
		m.set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
		m.setSecret("client_assertion", assertion)
	default:
		return fmt.Errorf("client authentication %.40q is unknown", r.Profile.ClientAuth)
	}
	return nil
}

var errNoSecret = errors.New("the registration has no client secret; enter it again")

func setBasic(h http.Header, user, password string) {
	h.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}
