package visibility

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/uuid"

	"tributary/internal/assertion"
)

// signer signs assertions by one algorithm; its kid is the algorithm.
type signer struct {
	algorithm string
	private   crypto.Signer
}

// makeSigners makes one for each algorithm.
func (r *rig) makeSigners() {
	r.tb.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	r.must(err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.must(err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	r.must(err)
	r.signers = []signer{{"EdDSA", ed}, {"ES256", ec}, {"RS256", rs}, {"PS256", rs}}
}

// registered are the signers as a key has them.
func (r *rig) registered() []assertion.Signer {
	r.tb.Helper()
	var out []assertion.Signer
	for _, s := range r.signers {
		der, err := x509.MarshalPKIXPublicKey(s.private.Public())
		r.must(err)
		x, err := assertion.NewSigner(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), s.algorithm, s.algorithm)
		r.must(err)
		out = append(out, x)
	}
	return out
}

// assert signs an assertion for a reader, which counts once.
func (r *rig) assert(reader uuid.UUID) string {
	r.tb.Helper()
	s := pick(r, r.signers)
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.algorithm), Key: s.private}, (&jose.SignerOptions{}).WithHeader("kid", s.algorithm))
	r.must(err)
	claims, err := json.Marshal(map[string]any{"sub": reader, "aud": r.server.URL, "iat": r.now.Unix(), "exp": r.now.Unix() + 60, "jti": uuid.NewString()})
	r.must(err)
	jws, err := by.Sign(claims)
	r.must(err)
	text, err := jws.CompactSerialize()
	r.must(err)
	return text
}
