package assertion

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const (
	minRSA   = 2048
	maxRSA   = 8192
	maxKeyID = 128
)

// Algorithms lists the algorithms of signatures that are accepted.
func Algorithms() []string { return []string{"EdDSA", "ES256", "RS256", "PS256"} }

func allowed() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256, jose.RS256, jose.PS256}
}

// Signer is a public key that may sign assertions, with the one algorithm that it
// signs by.
type Signer struct {
	KeyID, Algorithm string
	// PublicKey is the key as PKIX, DER (RFC 5280 §4.1).
	PublicKey []byte
}

// NewSigner reads a public key from one PEM block. algorithm "" is the usual one
// of the key; keyID "" is the key's thumbprint (RFC 7638).
func NewSigner(text, keyID, algorithm string) (Signer, error) {
	block, rest := pem.Decode([]byte(strings.TrimSpace(text)))
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return Signer{}, errors.New("must be one PEM block; give the whole file, with its first and last line")
	}
	if strings.Contains(block.Type, "PRIVATE KEY") {
		return Signer{}, errors.New("is a private key, which stays with the program that signs; give the public one: openssl pkey -in FILE -pubout")
	}
	if block.Type != "PUBLIC KEY" {
		return Signer{}, fmt.Errorf("is a block %q; give a PUBLIC KEY: openssl pkey -in FILE -pubout", block.Type)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return Signer{}, errors.New("is damaged; give the whole file again")
	}
	algs, err := algorithmsOf(key)
	if err != nil {
		return Signer{}, err
	}
	if algorithm == "" {
		algorithm = algs[0]
	}
	if !slices.Contains(algs, algorithm) {
		return Signer{}, fmt.Errorf("signs by %s, not by %q", strings.Join(algs, " or "), algorithm)
	}
	if keyID == "" {
		thumb, err := (&jose.JSONWebKey{Key: key}).Thumbprint(crypto.SHA256)
		if err != nil {
			return Signer{}, fmt.Errorf("has no thumbprint: %w", err)
		}
		keyID = base64.RawURLEncoding.EncodeToString(thumb)
	}
	if len(keyID) > maxKeyID || strings.ContainsFunc(keyID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return Signer{}, fmt.Errorf("has a kid that is not 1 to %d visible ASCII characters", maxKeyID)
	}
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return Signer{}, fmt.Errorf("cannot be written: %w", err)
	}
	return Signer{KeyID: keyID, Algorithm: algorithm, PublicKey: der}, nil
}

// algorithmsOf returns the algorithms that a key may sign by, the usual one first.
func algorithmsOf(key any) ([]string, error) {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return []string{"EdDSA"}, nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return []string{"ES256"}, nil
		}
		return nil, errors.New("is an EC key that is not on P-256; make one that is")
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n >= minRSA && n <= maxRSA {
			return []string{"RS256", "PS256"}, nil
		}
		return nil, fmt.Errorf("is an RSA key outside %d to %d bits; make another", minRSA, maxRSA)
	default:
		return nil, errors.New("is of no kind that can sign; make an Ed25519, P-256 or RSA key")
	}
}

func (s Signer) key() (any, error) { return x509.ParsePKIXPublicKey(s.PublicKey) }
