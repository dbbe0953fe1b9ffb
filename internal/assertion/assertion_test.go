package assertion_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"tributary/internal/assertion"
)

const audience = "https://tributary.example.org"

// pair is a key pair as an admin registered it.
type pair struct {
	private crypto.Signer
	signer  assertion.Signer
	pem     string
}

func newPair(tb testing.TB, private crypto.Signer, err error, algorithm string) pair {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		tb.Fatal(err)
	}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	s, err := assertion.NewSigner(text, "", algorithm)
	if err != nil {
		tb.Fatal(err)
	}
	return pair{private: private, signer: s, pem: text}
}

func pairs(tb testing.TB) map[string]pair {
	tb.Helper()
	_, ed, edErr := ed25519.GenerateKey(rand.Reader)
	ec, ecErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r, rsaErr := rsa.GenerateKey(rand.Reader, 2048)
	return map[string]pair{
		"EdDSA": newPair(tb, ed, edErr, ""), "ES256": newPair(tb, ec, ecErr, ""),
		"RS256": newPair(tb, r, rsaErr, ""), "PS256": newPair(tb, r, rsaErr, "PS256"),
	}
}

func goodClaims() map[string]any {
	now := time.Now().Unix()
	return map[string]any{"iss": "https://id.example.org", "sub": "ada", "aud": audience, "iat": now, "exp": now + 300, "jti": "1"}
}

// sign writes a JWS over any payload by any algorithm, with extra header values.
func sign(tb testing.TB, key any, algorithm, kid string, claims any, extra map[jose.HeaderKey]any) string {
	tb.Helper()
	opts := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	maps.Copy(opts.ExtraHeaders, extra)
	if kid != "" {
		opts.ExtraHeaders["kid"] = kid
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, opts)
	if err != nil {
		tb.Fatal(err)
	}
	payload, ok := claims.(string)
	if !ok {
		raw, err := json.Marshal(claims)
		if err != nil {
			tb.Fatal(err)
		}
		payload = string(raw)
	}
	jws, err := s.Sign([]byte(payload))
	if err != nil {
		tb.Fatal(err)
	}
	text, err := jws.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

func TestEveryAlgorithmIsVerified(t *testing.T) {
	t.Parallel()
	for alg, p := range pairs(t) {
		if p.signer.Algorithm != alg {
			t.Errorf("%s is registered as %s", alg, p.signer.Algorithm)
		}
		token := sign(t, p.private, alg, p.signer.KeyID, goodClaims(), nil)
		c, err := assertion.Verify(token, audience, []assertion.Signer{{KeyID: "other"}, p.signer})
		if err != nil || c.Subject != "ada" || c.Issuer != "https://id.example.org" || c.ID != "1" || !assertion.Looks(token) {
			t.Errorf("%s: %+v %v", alg, c, err)
		}
		last := token[len(token)-5]
		if last == 'A' {
			last = 'B'
		} else {
			last = 'A'
		}
		broken := token[:len(token)-5] + string(last) + token[len(token)-4:]
		if _, err := assertion.Verify(broken, audience, []assertion.Signer{p.signer}); err == nil {
			t.Errorf("%s: a signature that was changed counts", alg)
		}
	}
}

// TestTheAlgorithmIsTheRegisteredOne: a header decides nothing.
func TestTheAlgorithmIsTheRegisteredOne(t *testing.T) {
	t.Parallel()
	all := pairs(t)
	rs, ps, ec := all["RS256"], all["PS256"], all["ES256"]
	part := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	none := part(map[string]any{"alg": "none", "kid": rs.signer.KeyID}) + "." + part(goodClaims()) + "."
	for name, token := range map[string]string{
		"alg none":                             none,
		"alg None":                             strings.Replace(none, part(map[string]any{"alg": "none", "kid": rs.signer.KeyID}), part(map[string]any{"alg": "None", "kid": rs.signer.KeyID}), 1),
		"HS256 with the public key as secret":  sign(t, []byte(rs.pem), "HS256", rs.signer.KeyID, goodClaims(), nil),
		"HS256 with the DER as secret":         sign(t, rs.signer.PublicKey, "HS256", rs.signer.KeyID, goodClaims(), nil),
		"PS256 for a key registered for RS256": sign(t, rs.private, "PS256", rs.signer.KeyID, goodClaims(), nil),
		"RS384":                                sign(t, rs.private, "RS384", rs.signer.KeyID, goodClaims(), nil),
		"another key under this kid":           sign(t, ec.private, "ES256", rs.signer.KeyID, goodClaims(), nil),
		"no kid":                               sign(t, rs.private, "RS256", "", goodClaims(), nil),
		"an unknown kid":                       sign(t, rs.private, "RS256", "who", goodClaims(), nil),
		"a key in its own header":              sign(t, all["EdDSA"].private, "EdDSA", rs.signer.KeyID, goodClaims(), map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: all["EdDSA"].private.Public()}}),
		"a critical header that nobody knows":  sign(t, rs.private, "RS256", rs.signer.KeyID, goodClaims(), map[jose.HeaderKey]any{"crit": []string{"exp"}, "exp": 1}),
	} {
		if c, err := assertion.Verify(token, audience, []assertion.Signer{rs.signer}); err == nil {
			t.Errorf("%s counts: %+v", name, c)
		}
	}
	if _, err := assertion.Verify(sign(t, ps.private, "PS256", ps.signer.KeyID, goodClaims(), nil), audience, []assertion.Signer{ps.signer}); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestClaimsThatDoNotCount(t *testing.T) {
	t.Parallel()
	p := pairs(t)["ES256"]
	now := time.Now().Unix()
	for name, change := range map[string]func(map[string]any){
		"another audience":        func(c map[string]any) { c["aud"] = "https://elsewhere.example.org" },
		"a second audience":       func(c map[string]any) { c["aud"] = []string{audience, "https://elsewhere.example.org"} },
		"no audience":             func(c map[string]any) { delete(c, "aud") },
		"an audience below ours":  func(c map[string]any) { c["aud"] = audience + "/v1" },
		"no jti":                  func(c map[string]any) { delete(c, "jti") },
		"a long jti":              func(c map[string]any) { c["jti"] = strings.Repeat("x", 256) },
		"no sub":                  func(c map[string]any) { c["sub"] = "" },
		"a sub with NUL":          func(c map[string]any) { c["sub"] = "a\x00" },
		"a sub that is a number":  func(c map[string]any) { c["sub"] = 7 },
		"no iat":                  func(c map[string]any) { delete(c, "iat") },
		"no exp":                  func(c map[string]any) { delete(c, "exp") },
		"exp after six minutes":   func(c map[string]any) { c["exp"] = now + 360 },
		"exp at iat":              func(c map[string]any) { c["exp"] = now },
		"exp before iat":          func(c map[string]any) { c["exp"] = now - 1 },
		"times beyond all bounds": func(c map[string]any) { c["iat"], c["exp"] = 9e18, 9e18 },
		"negative times":          func(c map[string]any) { c["iat"], c["exp"] = -400, -200 },
	} {
		c := goodClaims()
		change(c)
		if got, err := assertion.Verify(sign(t, p.private, "ES256", p.signer.KeyID, c, nil), audience, []assertion.Signer{p.signer}); err == nil {
			t.Errorf("%s counts: %+v", name, got)
		}
	}
	for name, payload := range map[string]string{
		"sub twice":   `{"sub":"ada","sub":"bob","aud":"` + audience + `","iat":1,"exp":2,"jti":"1"}`,
		"SUB for sub": `{"SUB":"ada","aud":"` + audience + `","iat":1,"exp":2,"jti":"1"}`,
		"no object":   `"ada"`,
	} {
		if got, err := assertion.Verify(sign(t, p.private, "ES256", p.signer.KeyID, payload, nil), audience, []assertion.Signer{p.signer}); err == nil {
			t.Errorf("%s counts: %+v", name, got)
		}
	}
}

func TestKeysThatMayNotSign(t *testing.T) {
	t.Parallel()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := pairs(t)["EdDSA"]
	private, err := x509.MarshalPKCS8PrivateKey(good.private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, key any) string {
		der, ok := key.([]byte)
		if !ok {
			if der, err = x509.MarshalPKIXPublicKey(key); err != nil {
				t.Fatal(err)
			}
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	for name, tc := range map[string]struct{ text, kid, alg, want string }{
		"short RSA":         {block("PUBLIC KEY", weak.Public()), "", "", "bits"},
		"another curve":     {block("PUBLIC KEY", other.Public()), "", "", "P-256"},
		"private":           {block("PRIVATE KEY", private), "", "", "private key"},
		"a certificate":     {block("CERTIFICATE", good.signer.PublicKey), "", "", "CERTIFICATE"},
		"damaged":           {block("PUBLIC KEY", []byte("x")), "", "", "damaged"},
		"two":               {good.pem + good.pem, "", "", "one PEM block"},
		"not PEM":           {"hello", "", "", "one PEM block"},
		"a wrong algorithm": {good.pem, "", "RS256", "EdDSA"},
		"a secret's":        {good.pem, "", "HS256", "EdDSA"},
		"a kid with spaces": {good.pem, "a b", "", "kid"},
		"a long kid":        {good.pem, strings.Repeat("k", 129), "", "kid"},
	} {
		if _, err := assertion.NewSigner(tc.text, tc.kid, tc.alg); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	p := pairs(f)["EdDSA"]
	f.Add(sign(f, p.private, "EdDSA", "other", goodClaims(), nil))
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if c, err := assertion.Verify(token, audience, []assertion.Signer{p.signer}); err == nil {
			t.Errorf("%q counts: %+v", token, c)
		}
	})
}
