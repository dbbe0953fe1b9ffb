package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// opStorage keeps what op issues in memory. A refresh token that is presented twice ends its whole family, with the
// access tokens (RFC 9700 §4.14.2); so does a revoked refresh token (RFC 7009 §2.1).
type opStorage struct {
	o   options
	key opKey

	mu      sync.Mutex
	clients map[string]*opClient
	pending map[string]*opRequest // by id
	codes   map[string]string     // to ids of pending
	access  map[string]*opToken
	refresh map[string]*opToken
}

var (
	_ op.Storage                   = (*opStorage)(nil)
	_ op.ClientCredentialsStorage  = (*opStorage)(nil)
	_ op.CanSetUserinfoFromRequest = (*opStorage)(nil)
)

// opToken is an access token or a refresh token, and as the latter a request for new ones.
type opToken struct {
	family, client, subject string
	scopes                  []string
	expires, at             time.Time
	used                    bool
}

func (k *opToken) GetAMR() []string                 { return []string{"pwd"} }
func (k *opToken) GetAudience() []string            { return []string{k.client} }
func (k *opToken) GetAuthTime() time.Time           { return k.at }
func (k *opToken) GetClientID() string              { return k.client }
func (k *opToken) GetScopes() []string              { return k.scopes }
func (k *opToken) GetSubject() string               { return k.subject }
func (k *opToken) SetCurrentScopes(scopes []string) { k.scopes = scopes }

// opRequest is an authorization request, with the person's answer.
type opRequest struct {
	*oidc.AuthRequest
	id, subject string
	scopes      []string
	at          time.Time
}

func (r *opRequest) GetID() string          { return r.id }
func (r *opRequest) GetACR() string         { return "" }
func (r *opRequest) GetAMR() []string       { return []string{"pwd"} }
func (r *opRequest) GetAudience() []string  { return []string{r.ClientID} }
func (r *opRequest) GetAuthTime() time.Time { return r.at }
func (r *opRequest) GetClientID() string    { return r.ClientID }
func (r *opRequest) GetNonce() string       { return r.Nonce }
func (r *opRequest) GetScopes() []string    { return r.scopes }
func (r *opRequest) GetSubject() string     { return r.subject }
func (r *opRequest) Done() bool             { return r.subject != "" }
func (r *opRequest) GetCodeChallenge() *oidc.CodeChallenge {
	if r.CodeChallenge == "" {
		return nil
	}
	return &oidc.CodeChallenge{Challenge: r.CodeChallenge, Method: r.CodeChallengeMethod}
}

type opClient struct {
	client
	keys jose.JSONWebKeySet
}

func (c *opClient) GetID() string                       { return c.ID }
func (c *opClient) PostLogoutRedirectURIs() []string    { return nil }
func (c *opClient) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c *opClient) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c *opClient) LoginURL(id string) string            { return "/sign-in?id=" + id }
func (c *opClient) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c *opClient) IDTokenLifetime() time.Duration       { return time.Minute }
func (c *opClient) DevMode() bool                        { return false }
func (c *opClient) ClockSkew() time.Duration             { return 0 }
func (c *opClient) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c *opClient) RedirectURIs() []string               { return []string{c.Redirect} }
func (c *opClient) IsScopeAllowed(scope string) bool {
	return scope == readFiles || scope == writeFiles
}

func (c *opClient) AuthMethod() oidc.AuthMethod {
	if c.Auth == "" {
		return oidc.AuthMethodBasic
	}
	return oidc.AuthMethod(c.Auth)
}

func (c *opClient) GrantTypes() []oidc.GrantType {
	if c.Redirect == "" {
		return []oidc.GrantType{oidc.GrantTypeClientCredentials}
	}
	return []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken}
}

func (c *opClient) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c *opClient) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

type opKey struct{ *ecdsa.PrivateKey }

func (opKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (opKey) ID() string                                  { return "key-1" }
func (k opKey) Key() any                                  { return k.PrivateKey }

type opPublicKey struct{ opKey }

func (opPublicKey) Algorithm() jose.SignatureAlgorithm { return jose.ES256 }
func (opPublicKey) Use() string                        { return "sig" }
func (k opPublicKey) Key() any                         { return k.Public() }

func newOpStorage(t *testing.T, o options) *opStorage {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &opStorage{
		o: o, key: opKey{key}, clients: map[string]*opClient{}, pending: map[string]*opRequest{}, codes: map[string]string{},
		access: map[string]*opToken{}, refresh: map[string]*opToken{},
	}
}

func (s *opStorage) register(c client) client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.ID, c.Secret = "client+"+uuid.NewString(), "secret: %"+uuid.NewString() // both need escaping in basic authentication
	made := &opClient{client: c}
	if c.JWKS != nil {
		if err := json.Unmarshal(c.JWKS, &made.keys); err != nil {
			panic(err)
		}
	}
	s.clients[c.ID] = made
	return c
}

// newSecret replaces the secret of a client.
func (s *opStorage) newSecret(c client) client {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Secret = "newer: " + uuid.NewString()
	s.clients[c.ID].Secret = c.Secret
	return c
}

// narrow takes a scope away from every refresh token.
func (s *opStorage) narrow(scope string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.refresh {
		k.scopes = slices.DeleteFunc(slices.Clone(k.scopes), func(have string) bool { return have == scope })
	}
}

func (s *opStorage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	req := &opRequest{AuthRequest: r, id: uuid.NewString(), scopes: r.Scopes}
	s.pending[req.id] = req
	return req, nil
}

func (s *opStorage) AuthRequestByID(_ context.Context, id string) (op.AuthRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if req := s.pending[id]; req != nil {
		copied := *req
		return &copied, nil
	}
	return nil, errors.New("no such request")
}

func (s *opStorage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	s.mu.Lock()
	id := s.codes[code]
	s.mu.Unlock()
	return s.AuthRequestByID(ctx, id)
}

func (s *opStorage) SaveAuthCode(_ context.Context, id, code string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes[code] = id
	return nil
}

func (s *opStorage) DeleteAuthRequest(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pending, id)
	return nil
}

// tokenOf is what a request asks for, without times.
func tokenOf(request op.TokenRequest) (*opToken, error) {
	k := &opToken{subject: request.GetSubject(), scopes: request.GetScopes()}
	switch r := request.(type) {
	case *opRequest:
		k.client, k.at = r.ClientID, r.at
	case *opToken:
		k.client, k.at, k.family = r.client, r.at, r.family
	default:
		return nil, errors.New("no such kind of request")
	}
	return k, nil
}

func (s *opStorage) CreateAccessToken(_ context.Context, request op.TokenRequest) (string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newAccess(request)
}

func (s *opStorage) newAccess(request op.TokenRequest) (string, time.Time, error) {
	k, err := tokenOf(request)
	if err != nil {
		return "", time.Time{}, err
	}
	k.expires = time.Now().Add(s.o.access)
	id := uuid.NewString()
	s.access[id] = k
	return id, k.expires, nil
}

func (s *opStorage) CreateAccessAndRefreshTokens(_ context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := tokenOf(request)
	if err != nil {
		return "", "", time.Time{}, err
	}
	if current == "" {
		next.family = uuid.NewString()
	} else if err := s.use(current); err != nil {
		return "", "", time.Time{}, err
	}
	next.expires = time.Now().Add(s.o.refresh)
	token := "refresh-" + uuid.NewString()
	s.refresh[token] = next
	id, expires, err := s.newAccess(next)
	return id, token, expires, err
}

// use consumes a refresh token, once.
func (s *opStorage) use(token string) error {
	k := s.refresh[token]
	switch {
	case k == nil:
		return errors.New("no such refresh token")
	case k.used:
		s.end(k.family)
		return errors.New("the refresh token was used before")
	case time.Now().After(k.expires):
		return errors.New("the refresh token is too old")
	}
	k.used = true
	return nil
}

// end revokes every token of a family.
func (s *opStorage) end(family string) {
	for _, tokens := range []map[string]*opToken{s.access, s.refresh} {
		for id, k := range tokens {
			if k.family == family {
				delete(tokens, id)
			}
		}
	}
}

func (s *opStorage) TokenRequestByRefreshToken(_ context.Context, token string) (op.RefreshTokenRequest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.refresh[token]
	if k == nil || k.used {
		if k != nil {
			s.end(k.family)
		}
		return nil, errors.New("the refresh token is not valid")
	}
	copied := *k
	return &copied, nil
}

func (s *opStorage) GetRefreshTokenInfo(_ context.Context, _, token string) (userID, tokenID string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.refresh[token]; k != nil {
		return k.subject, token, nil
	}
	return "", "", op.ErrInvalidRefreshToken
}

func (s *opStorage) RevokeToken(_ context.Context, tokenOrID, _, clientID string) *oidc.Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.refresh[tokenOrID]; k != nil && k.client == clientID {
		s.end(k.family)
	}
	if k := s.access[tokenOrID]; k != nil && k.client == clientID {
		delete(s.access, tokenOrID)
	}
	return nil
}

func (s *opStorage) TerminateSession(context.Context, string, string) error { return nil }

func (s *opStorage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

func (s *opStorage) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return []jose.SignatureAlgorithm{jose.ES256}, nil
}

func (s *opStorage) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{opPublicKey{s.key}}, nil
}

func (s *opStorage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[id]; c != nil {
		return c, nil
	}
	return nil, errors.New("no such client")
}

func (s *opStorage) AuthorizeClientIDSecret(_ context.Context, id, secret string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[id]; c == nil || c.Secret != secret {
		return errors.New("wrong client or secret")
	}
	return nil
}

func (s *opStorage) ClientCredentials(ctx context.Context, id, secret string) (op.Client, error) {
	if err := s.AuthorizeClientIDSecret(ctx, id, secret); err != nil {
		return nil, err
	}
	return s.GetClientByClientID(ctx, id)
}

func (s *opStorage) ClientCredentialsTokenRequest(_ context.Context, id string, scopes []string) (op.TokenRequest, error) {
	return &opToken{client: id, subject: id, scopes: scopes, family: uuid.NewString()}, nil
}

func (s *opStorage) SetUserinfoFromScopes(context.Context, *oidc.UserInfo, string, string, []string) error {
	return nil
}

func (s *opStorage) SetUserinfoFromRequest(_ context.Context, info *oidc.UserInfo, r op.IDTokenRequest, _ []string) error {
	info.Subject = r.GetSubject()
	return nil
}

func (s *opStorage) SetUserinfoFromToken(_ context.Context, info *oidc.UserInfo, tokenID, _, _ string) error {
	k, err := s.valid(tokenID)
	if err != nil {
		return err
	}
	info.Subject, info.Name = k.subject, "Person "+k.subject
	return nil
}

func (s *opStorage) SetIntrospectionFromToken(_ context.Context, answer *oidc.IntrospectionResponse, tokenID, _, clientID string) error {
	k, err := s.valid(tokenID)
	if err != nil {
		return err
	}
	if k.client != clientID {
		return errors.New("another client's token")
	}
	answer.Scope = k.scopes
	return nil
}

// valid returns a live access token.
func (s *opStorage) valid(id string) (*opToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.access[id]
	if k == nil || time.Now().After(k.expires) {
		return nil, errors.New("the token is not valid")
	}
	return k, nil
}

func (s *opStorage) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return map[string]any{}, nil
}

func (s *opStorage) GetKeyByIDAndClientID(_ context.Context, keyID, clientID string) (*jose.JSONWebKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[clientID]
	if c == nil {
		return nil, errors.New("no such client")
	}
	if i := slices.IndexFunc(c.keys.Keys, func(k jose.JSONWebKey) bool { return k.KeyID == keyID }); i >= 0 {
		return &c.keys.Keys[i], nil
	}
	return nil, errors.New("no such key")
}

func (s *opStorage) ValidateJWTProfileScopes(_ context.Context, _ string, scopes []string) ([]string, error) {
	return scopes, nil
}

func (s *opStorage) Health(context.Context) error { return nil }
