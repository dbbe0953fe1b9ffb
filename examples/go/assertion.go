package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"
)

// Signer names a reader by assertions, for a key of mode assertion.
type Signer struct {
	// Reader is the id of a reader. With Issuer it is the subject of one of its identities.
	Reader, Issuer string
	// KeyID is the kid under which the public key is registered.
	KeyID   string
	private ed25519.PrivateKey
}

// NewSigner reads the private key of an Ed25519 key pair, as openssl genpkey writes it.
func NewSigner(reader, keyID string, text []byte) (*Signer, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("reading the signing key: it is no PEM block")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the signing key: %w", err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("reading the signing key: it is not of Ed25519")
	}
	return &Signer{Reader: reader, KeyID: keyID, private: private}, nil
}

// Assertion returns a JWT that names the reader to the instance at audience, for one request within a minute.
func (s *Signer) Assertion(audience string, now time.Time) (string, error) {
	claims := map[string]any{"sub": s.Reader, "aud": audience, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	if s.Issuer != "" {
		claims["iss"] = s.Issuer
	}
	head, err := json.Marshal(map[string]string{"alg": "EdDSA", "typ": "JWT", "kid": s.KeyID})
	if err != nil {
		return "", fmt.Errorf("writing the assertion: %w", err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("writing the assertion: %w", err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode(head) + "." + encode(body)
	signature, err := s.private.Sign(nil, []byte(signed), crypto.Hash(0))
	if err != nil {
		return "", fmt.Errorf("signing the assertion: %w", err)
	}
	return signed + "." + encode(signature), nil
}
