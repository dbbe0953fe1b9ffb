package oauthflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"tributary/internal/seal"
	"tributary/internal/secret"
)

// Vault seals and opens what the database keeps secret. A *seal.Ring is one.
type Vault interface {
	Seal(place seal.Context, plaintext []byte) ([]byte, error)
	Unseal(place seal.Context, ciphertext []byte) ([]byte, error)
}

// The fields of sealed pairs.
const (
	FieldTokens = "tokens" // credential.secret_ct
	FieldSpare  = "spare"  // credential_spare.secret_ct
)

// PairPlace is the place that the pair of a grant is sealed for.
func PairPlace(grant uuid.UUID, epoch int, gen int64, field string) seal.Context {
	return seal.Context{Purpose: "credential", ID: grant.String() + "/" + strconv.Itoa(epoch), Generation: gen, Field: field}
}

// errSealed is a sealed value that opens, but is not what belongs there.
var errSealed = errors.New("the sealed value is of another version of the program")

// sealedPair is version 1 of a sealed Pair.
type sealedPair struct {
	Version int        `json:"v"`
	Access  string     `json:"a"`
	Refresh string     `json:"r,omitempty"`
	Type    string     `json:"t"`
	Expires *time.Time `json:"e,omitempty"`
	Digest  string     `json:"d,omitempty"` // of a LatePair, as Subject
	Subject string     `json:"s,omitempty"`
}

// SealPair seals a pair for its place.
func SealPair(v Vault, place seal.Context, p Pair) ([]byte, error) {
	return sealAny(v, place, LatePair{Pair: p})
}

func sealAny(v Vault, place seal.Context, p LatePair) ([]byte, error) {
	raw, err := json.Marshal(sealedPair{1, p.Pair.Access.Reveal(), p.Pair.Refresh.Reveal(), p.Pair.Type, p.Pair.Expires, p.Digest, p.Subject})
	if err != nil {
		return nil, errors.New("sealing tokens: they cannot be written")
	}
	ct, err := v.Seal(place, raw)
	if err != nil {
		return nil, fmt.Errorf("sealing tokens: %w", err)
	}
	return ct, nil
}

// OpenPair opens what SealPair made for the same place.
func OpenPair(v Vault, place seal.Context, ciphertext []byte) (Pair, error) {
	p, err := openAny(v, place, ciphertext)
	return p.Pair, err
}

func openAny(v Vault, place seal.Context, ciphertext []byte) (LatePair, error) {
	raw, err := v.Unseal(place, ciphertext)
	if err != nil {
		return LatePair{}, fmt.Errorf("opening tokens: %w", err)
	}
	var s sealedPair
	if json.Unmarshal(raw, &s) != nil || s.Version != 1 {
		return LatePair{}, fmt.Errorf("opening tokens: %w", errSealed)
	}
	return LatePair{
		Pair:   Pair{Access: secret.New(s.Access), Refresh: secret.New(s.Refresh), Type: s.Type, Expires: s.Expires},
		Digest: s.Digest, Subject: s.Subject,
	}, nil
}

// LatePair is a pair that came when its grant had ended, or was another account's: nobody uses it, and it is revoked.
// It is sealed as a spare of the consent LateEpoch.
type LatePair struct {
	Pair    Pair
	Digest  string // of the endpoints that gave it, the only ones that it may be sent to
	Subject string // the account that it is of
}

// LateEpoch is the epoch under which the late pairs of a consent stand among the spares. No consent has it.
func LateEpoch(epoch int) int { return -epoch }

// SealLate seals a late pair of a grant's consent.
func SealLate(v Vault, grant uuid.UUID, epoch int, gen int64, p LatePair) ([]byte, error) {
	return sealAny(v, PairPlace(grant, LateEpoch(epoch), gen, FieldSpare), p)
}

// OpenLate opens what SealLate made; late is the epoch that it stands under.
func OpenLate(v Vault, grant uuid.UUID, late int, gen int64, ciphertext []byte) (LatePair, error) {
	return openAny(v, PairPlace(grant, late, gen, FieldSpare), ciphertext)
}

// RegistrationPlace is the place that the credentials of a registration are sealed for.
func RegistrationPlace(id uuid.UUID, gen int64) seal.Context {
	return seal.Context{Purpose: "registration", ID: id.String(), Generation: gen, Field: "credentials"}
}

// sealedCredentials is version 1 of sealed Credentials.
type sealedCredentials struct {
	Version        int    `json:"v"`
	Secret         string `json:"s,omitempty"`
	PrivateKey     string `json:"k,omitempty"`
	KeyID          string `json:"i,omitempty"`
	ServiceAccount string `json:"f,omitempty"`
}

// SealCredentials seals the credentials of a registration.
func SealCredentials(v Vault, place seal.Context, c Credentials) ([]byte, error) {
	raw, err := json.Marshal(sealedCredentials{1, c.Secret.Reveal(), c.PrivateKey.Reveal(), c.KeyID, c.ServiceAccount.Reveal()}) //nolint:gosec // it is sealed at once
	if err != nil {
		return nil, errors.New("sealing client credentials: they cannot be written")
	}
	ct, err := v.Seal(place, raw)
	if err != nil {
		return nil, fmt.Errorf("sealing client credentials: %w", err)
	}
	return ct, nil
}

// OpenCredentials opens what SealCredentials made for the same place. No ciphertext is no credentials.
func OpenCredentials(v Vault, place seal.Context, ciphertext []byte) (Credentials, error) {
	if len(ciphertext) == 0 {
		return Credentials{}, nil
	}
	raw, err := v.Unseal(place, ciphertext)
	if err != nil {
		return Credentials{}, fmt.Errorf("opening client credentials: %w", err)
	}
	var s sealedCredentials
	if json.Unmarshal(raw, &s) != nil || s.Version != 1 {
		return Credentials{}, fmt.Errorf("opening client credentials: %w", errSealed)
	}
	return Credentials{Secret: secret.New(s.Secret), PrivateKey: secret.New(s.PrivateKey), KeyID: s.KeyID, ServiceAccount: secret.New(s.ServiceAccount)}, nil
}
