package oauthflow

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"tributary/internal/secret"
)

// maxAssertionLife is how long an assertion lives at most (OA-18).
const maxAssertionLife = 5 * time.Minute

// signingKey is a private key with its name at the provider.
type signingKey struct {
	key crypto.Signer
	id  string
}

// claims are what every assertion says (RFC 7523 §3). The audience is one string: that of the profile, else the
// issuer. SECURITY: never an endpoint that a metadata document names, and never an array, or a server could have our
// assertion accepted by another one.
func (c *TokenClient) claims(p *Profile, issuer, subject string) map[string]any {
	life := time.Duration(p.JWT.Life)
	if life <= 0 || life > maxAssertionLife {
		life = maxAssertionLife
	}
	at := c.cfg.Now().Add(-10 * time.Second) // the server's clock may be a little behind
	claims := map[string]any{"iss": issuer, "iat": at.Unix(), "exp": at.Add(life).Unix(), "jti": rand.Text()}
	if subject != "" {
		claims["sub"] = subject
	}
	if aud := audience(p); aud != "" {
		claims["aud"] = aud
	}
	return claims
}

// audience is whom assertions are for; "" is nobody by name.
func audience(p *Profile) string {
	if p.JWT.Audience != "" {
		return p.JWT.Audience
	}
	return p.Issuer
}

// clientAssertion proves the client (RFC 7523 §2.2).
func (c *TokenClient) clientAssertion(client Client) (secret.Text, error) {
	r := client.Registration
	if audience(r.Profile) == "" {
		return secret.Text{}, errors.New("the provider names neither an issuer nor an audience for assertions; write jwt.audience")
	}
	key, err := parsePrivateKey(client.Credentials.PrivateKey, client.Credentials.KeyID)
	if err != nil {
		return secret.Text{}, err
	}
	return key.sign(r.Profile.JWT.Alg, c.claims(r.Profile, r.ClientID, r.ClientID))
}

// bearerSigner returns the key of a JWT bearer grant, and who it speaks for: the service account, else the
// registration's subject.
func bearerSigner(client Client) (*signingKey, string, error) {
	if client.Credentials.ServiceAccount.IsSet() {
		sa, err := ParseServiceAccount(client.Credentials.ServiceAccount)
		if err != nil {
			return nil, "", err
		}
		key, err := parsePrivateKey(sa.PrivateKey, sa.KeyID)
		return key, sa.Email, err
	}
	issuer := client.Registration.Subject
	if issuer == "" {
		issuer = client.Registration.ClientID
	}
	key, err := parsePrivateKey(client.Credentials.PrivateKey, client.Credentials.KeyID)
	return key, issuer, err
}

// parsePrivateKey reads a PEM block with an RSA key of 2048 bits or more, or an EC key on P-256. Its errors quote
// nothing of it.
func parsePrivateKey(text secret.Text, id string) (*signingKey, error) {
	if !text.IsSet() {
		return nil, errors.New("the registration has no private key; enter it again")
	}
	block, rest := pem.Decode([]byte(strings.TrimSpace(text.Reveal())))
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("the private key is not one PEM block; paste the whole file, with its first and last line")
	}
	var key any
	var err error
	switch block.Type {
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	default:
		return nil, errors.New("the PEM block holds no unencrypted private key; paste the file that the provider gave out")
	}
	if err != nil {
		return nil, errors.New("the private key is damaged; paste the whole file again")
	}
	switch k := key.(type) {
	case *rsa.PrivateKey:
		if k.N.BitLen() < 2048 {
			return nil, errors.New("the RSA key is shorter than 2048 bits; make a new one")
		}
		return &signingKey{key: k, id: id}, nil
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, errors.New("the EC key is not on P-256; make one that is")
		}
		return &signingKey{key: k, id: id}, nil
	default:
		return nil, errors.New("the private key is neither RSA nor EC; make one that is")
	}
}

// fits reports whether the key can make signatures of the algorithm.
func (k *signingKey) fits(alg string) bool {
	_, isRSA := k.key.(*rsa.PrivateKey)
	return isRSA == (alg == "RS256" || alg == "PS256")
}

// sign writes a JWS in compact form (RFC 7515 §7.1) with the algorithm of the profile.
func (k *signingKey) sign(alg string, claims map[string]any) (secret.Text, error) {
	if !k.fits(alg) {
		return secret.Text{}, fmt.Errorf("the private key does not fit %s, which the provider wants", alg)
	}
	header := map[string]string{"alg": alg, "typ": "JWT"}
	if k.id != "" {
		header["kid"] = k.id
	}
	head, err := json.Marshal(header)
	if err != nil {
		return secret.Text{}, errors.New("the header of the assertion cannot be written")
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return secret.Text{}, errors.New("the claims of the assertion cannot be written")
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	sum := sha256.Sum256([]byte(input))
	var sig []byte
	switch key := k.key.(type) {
	case *rsa.PrivateKey:
		if alg == "PS256" {
			sig, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			sig, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		}
	case *ecdsa.PrivateKey:
		sig, err = signES256(key, sum[:])
	}
	if err != nil {
		return secret.Text{}, errors.New("the private key does not sign; paste it again")
	}
	return secret.New(input + "." + base64.RawURLEncoding.EncodeToString(sig)), nil
}

// signES256 writes r and s, 32 bytes each (RFC 7518 §3.4).
func signES256(key *ecdsa.PrivateKey, sum []byte) ([]byte, error) {
	r, s, err := ecdsa.Sign(rand.Reader, key, sum)
	if err != nil {
		return nil, err
	}
	sig := make([]byte, 64)
	r.FillBytes(sig[:32])
	s.FillBytes(sig[32:])
	return sig, nil
}
