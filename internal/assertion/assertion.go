package assertion

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Bounds of an assertion.
const (
	// MaxLife is how long after its iat an assertion may be used.
	MaxLife  = 5 * time.Minute
	maxToken = 4096
	// maxText bounds jti, iss and sub in bytes.
	maxText = 255
	// maxTime is the end of the year 9999 in seconds.
	maxTime = 253402300799
)

// Claims are what a verified assertion says.
type Claims struct {
	// ID is the jti, which counts once.
	ID string
	// Issuer and Subject name the reader; with no issuer the subject is its id.
	Issuer, Subject string
	// IssuedAt, NotBefore and Expires are when it counts; NotBefore may be zero.
	IssuedAt, NotBefore, Expires time.Time
}

// Looks reports whether a header is meant as an assertion: three parts with dots
// between them (RFC 7515 §7.1).
func Looks(header string) bool { return strings.Count(header, ".") == 2 }

// errSignature never says whether the key, the algorithm or the signature was wrong.
var errSignature = errors.New("it is not signed by a key pair that is registered for this API key")

// Verify returns what token says where one of signers signed it for audience. Its
// errors are phrases for the caller who made the token.
//
// SECURITY: the algorithm is the one that is registered with the public key, and
// only one of Algorithms: not what the header says, so that neither "none" nor a
// public key taken for a shared secret counts (RFC 8725 §3.1).
func Verify(token, audience string, signers []Signer) (Claims, error) {
	if len(token) > maxToken {
		return Claims{}, fmt.Errorf("it is longer than %d bytes", maxToken)
	}
	t, err := jwt.ParseSigned(token, allowed())
	if err != nil || len(t.Headers) != 1 {
		return Claims{}, fmt.Errorf("it is not a JWT signed with one of %s", strings.Join(Algorithms(), ", "))
	}
	head := t.Headers[0]
	if head.KeyID == "" {
		return Claims{}, errors.New("its header has no kid")
	}
	i := slices.IndexFunc(signers, func(s Signer) bool { return s.KeyID == head.KeyID })
	if i < 0 || signers[i].Algorithm != head.Algorithm {
		return Claims{}, errSignature
	}
	key, err := signers[i].key()
	if err != nil {
		return Claims{}, errSignature
	}
	var c jwt.Claims
	err = t.Claims(key, &c)
	if errors.Is(err, jose.ErrCryptoFailure) || errors.Is(err, jose.ErrUnsupportedCriticalHeader) {
		return Claims{}, errSignature
	}
	if err != nil {
		return Claims{}, errors.New("its claims are not those of a JWT")
	}
	return check(c, audience)
}

// check is what every assertion must say.
func check(c jwt.Claims, audience string) (Claims, error) {
	for name, text := range map[string]string{"jti": c.ID, "sub": c.Subject} {
		if text == "" || len(text) > maxText || strings.ContainsRune(text, 0) {
			return Claims{}, fmt.Errorf("its %s must have 1 to %d bytes", name, maxText)
		}
	}
	if len(c.Issuer) > maxText || strings.ContainsRune(c.Issuer, 0) {
		return Claims{}, fmt.Errorf("its iss must have at most %d bytes", maxText)
	}
	// SECURITY: one audience, so that nobody else who was sent this token can use it here.
	if len(c.Audience) != 1 || c.Audience[0] != audience {
		return Claims{}, errors.New("its aud must be " + audience + " and nothing else")
	}
	for name, at := range map[string]*jwt.NumericDate{"iat": c.IssuedAt, "exp": c.Expiry} {
		if at == nil || *at <= 0 || *at > maxTime {
			return Claims{}, fmt.Errorf("its %s must be a time in seconds since 1970", name)
		}
	}
	if c.NotBefore != nil && (*c.NotBefore < 0 || *c.NotBefore > maxTime) {
		return Claims{}, errors.New("its nbf must be a time in seconds since 1970")
	}
	if life := c.Expiry.Time().Sub(c.IssuedAt.Time()); life <= 0 || life > MaxLife {
		return Claims{}, fmt.Errorf("its exp must be after its iat and at most %d seconds", int(MaxLife.Seconds()))
	}
	return Claims{
		ID: c.ID, Issuer: c.Issuer, Subject: c.Subject,
		IssuedAt: c.IssuedAt.Time(), NotBefore: c.NotBefore.Time(), Expires: c.Expiry.Time(),
	}, nil
}
