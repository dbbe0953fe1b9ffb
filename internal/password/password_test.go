package password_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/internal/password"
	"tributary/internal/secret"
)

func TestHashAndVerify(t *testing.T) {
	t.Parallel()
	h := password.NewHasher()
	p := secret.New("wild horses drink tea")
	hash, err := h.Hash(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := h.Hash(t.Context(), p)
	if err != nil || again == hash {
		t.Errorf("two hashes of one password are the same, %v", err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=47104,t=2,p=1$") || strings.Contains(hash, p.Reveal()) {
		t.Errorf("got %s", hash)
	}
	for _, tc := range []struct {
		name, hash, try string
		want            bool
	}{
		{"the password", hash, "wild horses drink tea", true},
		{"another", hash, "wild horses drink te", false},
		{"none", hash, "", false},
		{"no account", "", "wild horses drink tea", false},
		{"no account and no password", "", "", false},
	} {
		if got, err := h.Verify(t.Context(), tc.hash, secret.New(tc.try)); err != nil || got != tc.want {
			t.Errorf("%s: got %v, %v", tc.name, got, err)
		}
	}
}

// TestVerifyKnownHash reads a hash of the reference implementation (argon2 CLI:
// echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1).
func TestVerifyKnownHash(t *testing.T) {
	t.Parallel()
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	if ok, err := password.NewHasher().Verify(t.Context(), hash, secret.New("password")); err != nil || !ok {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestComposedLettersAreOne(t *testing.T) {
	t.Parallel()
	h := password.NewHasher()
	hash, err := h.Hash(t.Context(), secret.New("caf\u00e9 au lait du matin"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := h.Verify(t.Context(), hash, secret.New("cafe\u0301 au lait du matin")); err != nil || !ok {
		t.Errorf("the decomposed form: %v, %v", ok, err)
	}
}

// TestBrokenHashesAreRefused: a row that was tampered with costs no memory, and
// opens nothing.
func TestBrokenHashesAreRefused(t *testing.T) {
	t.Parallel()
	salt, key := "c29tZXNhbHRzb21lc2FsdA", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for _, hash := range []string{
		"x", "wild horses drink tea", "$2y$10$abc", "$argon2i$v=19$m=47104,t=2,p=1$" + salt + "$" + key, "$argon2id$v=16$m=47104,t=2,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=4294967295,t=2,p=1$" + salt + "$" + key, "$argon2id$v=19$m=47104,t=4000000,p=1$" + salt + "$" + key, "$argon2id$v=19$m=47104,t=0,p=1$" + salt + "$" + key,
		"$argon2id$v=19$m=47104,t=2,p=200$" + salt + "$" + key, "$argon2id$v=19$m=47104,t=2,p=0$" + salt + "$" + key, "$argon2id$v=19$m=47104,t=2,p=1$" + salt + "$",
		"$argon2id$v=19$m=47104,t=2,p=1$$" + key, "$argon2id$v=19$m=47104,t=2,p=1$" + salt + "$" + key + "$x", "$argon2id$v=19$m=47104,t=2$" + salt + "$" + key,
		"$argon2id$v=19$m=47104,t=2,p=1$" + salt + "$AAAA",
	} {
		if ok, err := password.NewHasher().Verify(t.Context(), hash, secret.New("password")); ok || !errors.Is(err, password.ErrHash) {
			t.Errorf("%s: got %v, %v", hash, ok, err)
		}
	}
}

// TestTwoAtATime: hashing waits its turn, and gives up with its context.
func TestTwoAtATime(t *testing.T) {
	t.Parallel()
	h := password.NewHasher()
	release := password.Occupy(h)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	// Where a place is free, either may be chosen.
	for range 20 {
		if _, err := h.Hash(ctx, secret.New("x")); !errors.Is(err, context.Canceled) {
			t.Fatalf("a third at the same time: %v", err)
		}
	}
	release()
	if _, err := h.Hash(t.Context(), secret.New("x")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, account, p string
		ok               bool
	}{
		{"a sentence", "ada", "wild horses drink tea", true},
		{"twelve random characters", "ada", "k3#vWq9!zLp2", true},
		{"a hundred and twenty-eight", "ada", strings.Repeat("wild horses drink tea? ", 6)[:120] + "k3#vWq9!", true},
		{"other scripts", "ada", "дикие кони пьют чай", true},
		{"Chinese", "ada", "野马在清晨的河边喝着温热的茶", true},
		{"words of one keyboard row", "ada", "property typewriter", true},
		{"account's name inside a sentence", "ada", "canada has many lakes and moose", true},
		{"no kinds of characters are asked for", "ada", "vjtplqkzmwrnxb", true},
		{"empty", "ada", "", false},
		{"eleven", "ada", "k3#vWq9!zLp", false},
		{"eleven that need many bytes", "ada", "дикиеконипь", false},
		{"a hundred and twenty-nine", "ada", strings.Repeat("wild horses drink tea? ", 6)[:120] + "k3#vWq9!X", false},
		{"endless", "ada", strings.Repeat("wild horses ", 100_000), false},
		{"account's name and digits", "adalovelace", "AdaLovelace123", false},
		{"account's name twice", "charles", "charlescharles", false},
		{"product's name", "ada", "Tributary2026", false},
		{"product's name and account's", "grace", "tributary-grace", false},
		{"an ordinary word", "ada", "password2026", false},
		{"two ordinary words", "ada", "AdminPassword", false},
		{"one character", "ada", "aaaaaaaaaaaaaaaaaaaa", false},
		{"two characters in turn", "ada", "abababababababab", false},
		{"a unit again and again", "ada", "x7Kx7Kx7Kx7Kx7K", false},
		{"the alphabet", "ada", "abcdefghijklmnopqrst", false},
		{"backwards", "ada", "zyxwvutsrqponml", false},
		{"digits", "ada", "1234567890123456", false},
		{"the keyboard", "ada", "qwertyuiopasdfgh", false},
		{"the keyboard backwards", "ada", "poiuytrewqlkjhg", false},
		{"NUL", "ada", "wild horses\x00drink tea", false},
		{"no UTF-8", "ada", "wild horses \xff\xfe drink", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			err := password.Check(tc.account, secret.New(tc.p))
			if (err == nil) != tc.ok {
				t.Fatalf("got %v", err)
			}
			if _, ok := errors.AsType[*password.PolicyError](err); err != nil && (!ok || (len(tc.p) > 3 && strings.Contains(err.Error(), tc.p))) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestCheckIsForEveryText: no text makes it panic, and what it takes has a
// length within the bounds.
func TestCheckIsForEveryText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, account := rapid.String().Draw(t, "password"), rapid.StringN(0, 20, -1).Draw(t, "account")
		if n := len([]rune(p)); password.Check(account, secret.New(p)) == nil && (n < password.MinLength || n > 2*password.MaxLength) {
			t.Fatalf("%d characters were taken", n)
		}
	})
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		p := password.Generate()
		if err := password.Check("ada", p); err != nil || seen[p.Reveal()] || len(strings.ReplaceAll(p.Reveal(), "-", "")) < 26 {
			t.Fatalf("%q: %v", p.Reveal(), err)
		}
		seen[p.Reveal()] = true
	}
}
