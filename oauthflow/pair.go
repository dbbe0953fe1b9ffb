package oauthflow

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"tributary/internal/seal"
	"tributary/internal/secret"
)

// pairVersion is the version of a sealed pair's encoding.
const pairVersion = 1

// sealedPair is a Pair as it is written before it is sealed.
type sealedPair struct {
	Version int        `json:"v"`
	Access  string     `json:"access"`
	Refresh string     `json:"refresh,omitempty"`
	Type    string     `json:"type"`
	Expires *time.Time `json:"expires,omitempty"`
}

// Encode writes the pair in the clear, for what is sealed at once.
func (p Pair) Encode() ([]byte, error) {
	return json.Marshal(sealedPair{Version: pairVersion, Access: p.Access.Reveal(), Refresh: p.Refresh.Reveal(), Type: p.Type, Expires: p.Expires})
}

// DecodePair reads what Encode wrote.
func DecodePair(raw []byte) (Pair, error) {
	var s sealedPair
	// SECURITY: what the decoder says can quote the tokens, so it is not passed on.
	if json.Unmarshal(raw, &s) != nil || s.Access == "" {
		return Pair{}, errors.New("reading token pair: not a pair")
	}
	if s.Version != pairVersion {
		return Pair{}, fmt.Errorf("reading token pair: version %d is not known; it was written by a newer release", s.Version)
	}
	return Pair{Access: secret.New(s.Access), Refresh: secret.New(s.Refresh), Type: s.Type, Expires: s.Expires}, nil
}

// PairContext is the place that the pair of a credential row is sealed for.
func PairContext(grant uuid.UUID, epoch int, gen int64) seal.Context {
	return seal.Context{Purpose: "credential", ID: fmt.Sprintf("%s/%d", grant, epoch), Generation: gen, Field: "tokens"}
}

// SpareContext is the place that the pair of a spare is sealed for. base is the generation that it was obtained with,
// attempt the attempt that obtained it.
func SpareContext(grant uuid.UUID, epoch int, base int64, attempt uuid.UUID) seal.Context {
	return seal.Context{Purpose: "credential", ID: fmt.Sprintf("%s/%d/%s", grant, epoch, attempt), Generation: base, Field: "spare"}
}

// Seal seals the pair for one place.
func (p Pair) Seal(ring *seal.Ring, at seal.Context) ([]byte, error) {
	raw, err := p.Encode()
	if err != nil {
		return nil, fmt.Errorf("encoding token pair: %w", err)
	}
	return ring.Seal(at, raw)
}

// OpenPair opens what Seal made for the same place.
func OpenPair(ring *seal.Ring, at seal.Context, ct []byte) (Pair, error) {
	raw, err := ring.Unseal(at, ct)
	if err != nil {
		return Pair{}, err
	}
	return DecodePair(raw)
}

// Presentation returns what tells whether two attempts present the same thing, without telling the token: a hash of
// the grant's id and the refresh token, or, where there is none, of the consent and generation.
//
// SECURITY: refresh tokens are too long to be guessed (RFC 6749 §10.10), so the hash needs no key.
func (p Pair) Presentation(grant uuid.UUID, epoch int, gen int64) []byte {
	h := sha256.New()
	h.Write(grant[:])
	if p.Refresh.IsSet() {
		h.Write([]byte("token\x00" + p.Refresh.Reveal()))
	} else {
		fmt.Fprintf(h, "none\x00%d/%d", epoch, gen)
	}
	return h.Sum(nil)
}
