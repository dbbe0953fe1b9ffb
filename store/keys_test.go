package store_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/assertion"
	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

func newSigner(tb testing.TB, kid string) assertion.Signer {
	tb.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := assertion.NewSigner(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), kid, "")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// keyOf makes a key of a mode for the connections of a world, and what of it is the mode's.
func keyOf(tb testing.TB, s *store.Store, mode store.KeyMode, reader uuid.UUID, connections ...uuid.UUID) (store.Key, string) {
	tb.Helper()
	p := store.CreateKeyParams{Name: string(mode), Mode: mode, Connections: connections, Rights: []string{store.RightSearch}}
	if mode == store.KeyBound {
		p.ReaderID = &reader
	}
	if mode == store.KeyAssertion {
		p.Signers = []assertion.Signer{newSigner(tb, "")}
	}
	if mode == store.KeyTrusted {
		end := time.Now().Add(89 * 24 * time.Hour)
		p.ExpiresAt = &end
	}
	key, secret, err := s.CreateKey(tb.Context(), p)
	if err != nil {
		tb.Fatalf("%s: %v", mode, err)
	}
	return key, secret
}

// TestWhichModesNameWhom: SQL decides which mode of a key goes with which reader, whatever Go believes.
func TestWhichModesNameWhom(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	ctx := t.Context()
	bound, other, unknown := rows.readers[1], rows.readers[0], uuid.New()
	sees := map[uuid.UUID]int64{bound: 2, other: 1}
	for _, mode := range store.KeyModes() {
		key, _ := keyOf(t, f.store, mode, bound, rows.connections[0])
		for _, reader := range []uuid.UUID{uuid.Nil, bound, other, unknown} {
			var want int64
			switch mode {
			case store.KeyAssertion, store.KeyTrusted:
				want = sees[reader]
			case store.KeyBound:
				if reader == bound {
					want = 2
				}
			case store.KeyOwn:
			}
			got, _, err := f.store.VisibleCount(ctx, store.IdentityOf(reader, key.ID, false, nil), store.Filters{})
			if err != nil || got != want {
				t.Errorf("a key of mode %s with reader %s: %d documents, %v; want %d", mode, reader, got, err, want)
			}
			if got, _, err := f.store.VisibleCount(ctx, store.IdentityOf(reader, key.ID, true, rows.principals), store.Filters{}); err != nil || got != 0 {
				t.Errorf("a key of mode %s with reader %s and principals: %d documents, %v", mode, reader, got, err)
			}
		}
	}
	for what, change := range map[string]string{
		"revoked": `UPDATE api_key SET revoked_at = clock()`,
		"expired": `UPDATE api_key SET revoked_at = NULL, expires_at = clock()`,
	} {
		f.db.MustExec(t, change)
		for _, mode := range store.KeyModes() {
			key, err := f.store.Key(ctx, string(mode))
			if err != nil {
				t.Fatal(err)
			}
			if got, _, err := f.store.VisibleCount(ctx, store.IdentityOf(bound, key.ID, false, nil), store.Filters{}); err != nil || got != 0 {
				t.Errorf("a key of mode %s that is %s: %d documents, %v", mode, what, got, err)
			}
		}
	}
}

// TestAKeyIntersects: effective access is what the reader may see and what the key allows (PE-6).
func TestAKeyIntersects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	w := filterWorld()
	rows := mustStore(t, f, w)
	for _, mode := range []store.KeyMode{store.KeyBound, store.KeyAssertion, store.KeyTrusted} {
		for i, conn := range rows.connections {
			p := []uuid.UUID{conn}
			key, _ := keyOf(t, f.store, mode, rows.readers[0], p...)
			who := store.IdentityOf(rows.readers[0], key.ID, false, nil)
			var want int64
			for d, doc := range w.Documents {
				if doc.Connection == i && w.Visible(oracle.Asker{Reader: 0, Key: -1}, d) {
					want++
				}
			}
			if got, _, err := f.store.VisibleCount(t.Context(), who, store.Filters{}); err != nil || got != want || want == 0 {
				t.Errorf("mode %s, connection %d: %d documents, %v; want %d", mode, i, got, err, want)
			}
			f.db.MustExec(t, `DELETE FROM api_key`)
		}
	}
}

func TestAnAssertionCountsOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	second, err := store.Open(t.Context(), store.Config{URL: f.db.URL})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(second.Close)
	key, _ := keyOf(t, f.store, store.KeyAssertion, uuid.Nil, rows.connections...)
	now := time.Now()
	c := assertion.Claims{ID: "once", Subject: rows.readers[0].String(), IssuedAt: now, Expires: now.Add(time.Minute)}
	var passed, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			s := []*store.Store{f.store, second}[i%2]
			switch who, err := s.NameByAssertion(context.Background(), key, c); {
			case err == nil && who.ReaderID() == rows.readers[0] && who.KeyID() == key.ID:
				passed.Add(1)
			case errors.Is(err, store.ErrAssertionUsed):
				refused.Add(1)
			default:
				t.Errorf("%+v %v", who, err)
			}
		})
	}
	wg.Wait()
	if passed.Load() != 1 || refused.Load() != 39 {
		t.Errorf("%d passed and %d were refused, want 1 and 39", passed.Load(), refused.Load())
	}
	// It stays used until it expires by itself, also where what is used is purged.
	if _, err := f.store.PurgeFlows(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.NameByAssertion(t.Context(), key, c); !errors.Is(err, store.ErrAssertionUsed) {
		t.Errorf("after a purge: %v", err)
	}
	f.db.SetClock(t, now.Add(time.Minute))
	if _, err := f.store.PurgeFlows(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*)::int FROM assertion_used`); n != 0 {
		t.Errorf("%d used assertions are kept after their end", n)
	}
	if _, err := f.store.NameByAssertion(t.Context(), key, c); !errors.Is(err, store.ErrAssertionTime) {
		t.Errorf("at its end: %v", err)
	}
}

func TestWhomAnAssertionNames(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	key, _ := keyOf(t, f.store, store.KeyAssertion, uuid.Nil, rows.connections...)
	bound, _ := keyOf(t, f.store, store.KeyBound, rows.readers[0], rows.connections...)
	f.db.MustExec(t, `INSERT INTO reader_identity (issuer, subject, reader_id, how) VALUES ('https://id.example.org', 'ada', $1, 'manual')`, rows.readers[0])
	now := time.Now()
	id := rows.readers[0].String()
	n := 0
	name := func(k store.Key, change func(*assertion.Claims)) (store.Identity, error) {
		n++
		c := assertion.Claims{ID: strings.Repeat("x", n), Subject: id, IssuedAt: now, Expires: now.Add(time.Minute)}
		change(&c)
		return f.store.NameByAssertion(t.Context(), k, c)
	}
	for what, tc := range map[string]struct {
		change func(*assertion.Claims)
		want   error
	}{
		"the id":                      {func(*assertion.Claims) {}, nil},
		"issuer and subject":          {func(c *assertion.Claims) { c.Issuer, c.Subject = "https://id.example.org", "ada" }, nil},
		"the same subject, elsewhere": {func(c *assertion.Claims) { c.Issuer, c.Subject = "https://id.example.com", "ada" }, store.ErrReaderUnknown},
		"the subject in capitals":     {func(c *assertion.Claims) { c.Issuer, c.Subject = "https://id.example.org", "Ada" }, store.ErrReaderUnknown},
		"the id with an issuer":       {func(c *assertion.Claims) { c.Issuer = "https://id.example.org" }, store.ErrReaderUnknown},
		"the id in braces":            {func(c *assertion.Claims) { c.Subject = "{" + id + "}" }, store.ErrReaderUnknown},
		"the subject with no issuer":  {func(c *assertion.Claims) { c.Subject = "ada" }, store.ErrReaderUnknown},
		"nobody":                      {func(c *assertion.Claims) { c.Subject = uuid.NewString() }, store.ErrReaderUnknown},
		"expired":                     {func(c *assertion.Claims) { c.IssuedAt, c.Expires = now.Add(-2*time.Minute), now.Add(-time.Second) }, store.ErrAssertionTime},
		"of the future":               {func(c *assertion.Claims) { c.IssuedAt = now.Add(time.Minute) }, store.ErrAssertionTime},
		"not yet":                     {func(c *assertion.Claims) { c.NotBefore = now.Add(45 * time.Second) }, store.ErrAssertionTime},
		"a clock a little ahead":      {func(c *assertion.Claims) { c.IssuedAt = now.Add(20 * time.Second) }, nil},
	} {
		if who, err := name(key, tc.change); !errors.Is(err, tc.want) || (err == nil) != (who.ReaderID() == rows.readers[0]) {
			t.Errorf("%s: %+v %v, want %v", what, who, err, tc.want)
		}
	}
	if _, err := name(bound, func(*assertion.Claims) {}); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("a bound key names readers by assertions: %v", err)
	}
	if _, err := f.store.NameReader(t.Context(), key, rows.readers[0]); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("a key of mode assertion names readers plainly: %v", err)
	}
	if err := f.store.DisableReader(t.Context(), rows.readers[0]); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*assertion.Claims){
		"by id": func(*assertion.Claims) {}, "by subject": func(c *assertion.Claims) { c.Issuer, c.Subject = "https://id.example.org", "ada" },
	} {
		if _, err := name(key, change); !errors.Is(err, store.ErrReaderUnknown) {
			t.Errorf("a disabled reader %s: %v", what, err)
		}
	}
}

func TestCreateKeyRefusesWhatDoesNotFitItsMode(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	in := func(d time.Duration) *time.Time { at := time.Now().Add(d); return &at }
	one := 0
	signers := []assertion.Signer{newSigner(t, "")}
	for what, tc := range map[string]struct {
		field string
		p     store.CreateKeyParams
	}{
		"a trusted key for all connections": {"connections", store.CreateKeyParams{Mode: store.KeyTrusted, AllConnections: true, ExpiresAt: in(time.Hour)}},
		"a trusted key without end":         {"expires", store.CreateKeyParams{Mode: store.KeyTrusted, Connections: rows.connections}},
		"a trusted key for 91 days":         {"expires", store.CreateKeyParams{Mode: store.KeyTrusted, Connections: rows.connections, ExpiresAt: in(91 * 24 * time.Hour)}},
		"a trusted key with a reader":       {"reader", store.CreateKeyParams{Mode: store.KeyTrusted, Connections: rows.connections, ExpiresAt: in(time.Hour), ReaderID: &rows.readers[0]}},
		"assertions without a public key":   {"public_key", store.CreateKeyParams{Mode: store.KeyAssertion, AllConnections: true}},
		"a public key of a trusted key":     {"public_key", store.CreateKeyParams{Mode: store.KeyTrusted, Connections: rows.connections, ExpiresAt: in(time.Hour), Signers: signers}},
		"bound to nobody":                   {"reader", store.CreateKeyParams{Mode: store.KeyBound, AllConnections: true}},
		"its own with a reader":             {"reader", store.CreateKeyParams{Mode: store.KeyOwn, AllConnections: true, ReaderID: &rows.readers[0]}},
		"no mode":                           {"mode", store.CreateKeyParams{Mode: "all", AllConnections: true}},
		"no requests a minute":              {"per_minute", store.CreateKeyParams{AllConnections: true, PerMinute: &one}},
	} {
		tc.p.Name, tc.p.Rights = "k", []string{store.RightSearch}
		var input *store.InputError
		if _, _, err := f.store.CreateKey(t.Context(), tc.p); !errors.As(err, &input) || input.Field != tc.field {
			t.Errorf("%s: %v, want field %s", what, err, tc.field)
		}
	}
}

func TestSignersComeAndGo(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	key, _ := keyOf(t, f.store, store.KeyAssertion, uuid.Nil, rows.connections...)
	keyOf(t, f.store, store.KeyOwn, uuid.Nil, rows.connections...)
	next := newSigner(t, "next")
	got, err := f.store.AddSigner(t.Context(), key.ID.String(), next)
	if err != nil || len(got.Signers) != 2 || got.SignersOf()[1].KeyID != "next" || len(got.SignersOf()[1].PublicKey) == 0 || len(got.Signers[1].Fingerprint) != 64 {
		t.Fatalf("%+v %v", got, err)
	}
	if _, err := f.store.AddSigner(t.Context(), key.Name, next); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the same kid twice: %v", err)
	}
	var input *store.InputError
	if _, err := f.store.AddSigner(t.Context(), "own", next); !errors.As(err, &input) {
		t.Errorf("a signer of a key of its own: %v", err)
	}
	if got, err = f.store.RemoveSigner(t.Context(), key.Name, "next"); err != nil || len(got.Signers) != 1 {
		t.Errorf("%+v %v", got, err)
	}
	if _, err = f.store.RemoveSigner(t.Context(), key.Name, "next"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removing it again: %v", err)
	}
}

func TestRotatingAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.db.SetClock(t, start)
	_, first := keyOf(t, f.store, store.KeyBound, rows.readers[0], rows.connections...)
	works := func(secret, what string, want bool) {
		t.Helper()
		_, who, err := f.store.Authenticate(t.Context(), secret)
		if want && (err != nil || who.ReaderID() != rows.readers[0]) || !want && !errors.Is(err, store.ErrUnauthenticated) {
			t.Errorf("%s: %+v %v", what, who, err)
		}
	}
	rotate := func(grace time.Duration) string {
		t.Helper()
		key, secret, err := f.store.RotateKey(t.Context(), "bound", grace)
		if err != nil || key.Hint != secret[len(secret)-4:] || (key.PreviousUntil != nil) != (grace > 0) {
			t.Fatalf("%+v %v", key, err)
		}
		return secret
	}
	second := rotate(0)
	works(first, "the secret before, without grace", false)
	works(second, "the new secret", true)
	third := rotate(time.Hour)
	works(second, "the secret before, within its grace", true)
	works(third, "the new secret", true)
	f.db.Advance(t, time.Hour)
	works(second, "the secret before, past its grace", false)
	fourth := rotate(time.Hour)
	fifth := rotate(time.Hour)
	works(third, "the secret before the one before", false)
	works(fourth, "the one before", true)
	if err := f.store.RevokeKey(t.Context(), "bound"); err != nil {
		t.Fatal(err)
	}
	works(fourth, "the one before, of a revoked key", false)
	works(fifth, "a revoked key", false)
	if _, _, err := f.store.RotateKey(t.Context(), "bound", 0); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("rotating a revoked key: %v", err)
	}
	var input *store.InputError
	if _, _, err := f.store.RotateKey(t.Context(), "bound", 8*24*time.Hour); !errors.As(err, &input) || input.Field != "grace" {
		t.Errorf("a grace of 8 days: %v", err)
	}
}

// TestADumpHoldsNoUsableKey: what is stored of a key lets nobody in (WB-6).
func TestADumpHoldsNoUsableKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	_, first := keyOf(t, f.store, store.KeyBound, rows.readers[0], rows.connections...)
	_, second, err := f.store.RotateKey(t.Context(), "bound", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	dump := pgtest.Scalar[string](t, f.db, `SELECT string_agg(k::text, ' ') FROM api_key k`)
	for _, secret := range []string{first, second} {
		if _, _, err := f.store.Authenticate(t.Context(), secret); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(dump, secret[5:20]) {
			t.Error("part of a secret is stored")
		}
	}
	for _, word := range strings.FieldsFunc(dump, func(r rune) bool { return strings.ContainsRune(`(),"\{} `, r) }) {
		for _, guess := range []string{word, "trib_" + word, "trib_" + strings.TrimPrefix(word, "x")} {
			if _, _, err := f.store.Authenticate(t.Context(), guess); !errors.Is(err, store.ErrUnauthenticated) {
				t.Errorf("what is stored lets in: %v", err)
			}
		}
	}
}
