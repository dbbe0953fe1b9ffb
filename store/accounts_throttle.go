package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/netip"
	"time"

	"github.com/jackc/pgx/v5"
)

// SignInAttempt says what may become of an attempt to sign in.
type SignInAttempt struct {
	// RetryAfter is how long this address has to wait before it may try again;
	// 0 means that the attempt may be made, and is counted.
	RetryAfter time.Duration
	// Slow is how long to wait before the attempt is made: the account is being
	// guessed at from many addresses, and this one is not known to be its own.
	Slow time.Duration
}

// Limits of sign-in. A wait doubles with each failure beyond the free ones.
// SECURITY: the wait of an account and address is what bounds guessing: about
// thirty in an hour. Nobody can make the holder of an account wait longer than
// slowest from an address of their own.
const (
	pairFree, pairLongest       = 5, 5 * time.Minute
	addressFree, addressLongest = 40, time.Minute
	accountFree                 = 50
	slowest                     = 4 * time.Second
)

// throttleForgets is how long after the last attempt its count begins anew.
const throttleForgets = 24 * time.Hour

// familiarFor is how long an address counts as known to an account that signed
// in from there.
const familiarFor = 60 * 24 * time.Hour

// BeginSignIn counts an attempt to sign in before it is made, so that any number
// at the same time are counted too. The name need not be an account's.
func (s *Store) BeginSignIn(ctx context.Context, name, ip string) (SignInAttempt, error) {
	var out SignInAttempt
	var familiar bool
	pair := throttleKey("pair", name, addressBlock(ip))
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM sign_in_throttle WHERE key_hash = $1 AND last_at > clock() - $2::interval)`,
		throttleKey("familiar", name, addressBlock(ip)), familiarFor).Scan(&familiar)
	if err != nil {
		return out, translate("counting sign-ins", err)
	}
	for _, k := range []struct {
		key     []byte
		free    int
		longest time.Duration
	}{
		{pair, pairFree, pairLongest},
		{throttleKey("address", addressBlock(ip)), addressFree, addressLongest},
	} {
		if _, out.RetryAfter, err = s.countSignIn(ctx, k.key, k.free, k.longest); err != nil || out.RetryAfter > 0 {
			return out, err
		}
	}
	failures, _, err := s.countSignIn(ctx, throttleKey("account", name), 0, 0)
	if err == nil && !familiar && failures > accountFree {
		out.Slow = min(time.Duration(failures-accountFree)*100*time.Millisecond, slowest)
	}
	return out, err
}

// countSignIn counts an attempt under a key, or returns how long it is not to
// be made yet.
func (s *Store) countSignIn(ctx context.Context, key []byte, free int, longest time.Duration) (failures int, wait time.Duration, err error) {
	err = s.pool.QueryRow(ctx, `
		INSERT INTO sign_in_throttle AS t (key_hash, failures, last_at, next_at) VALUES ($1, 1, clock(), clock())
		ON CONFLICT (key_hash) DO UPDATE SET
			failures = CASE WHEN t.last_at < clock() - $4::interval THEN 1 ELSE least(t.failures + 1, 1000000) END,
			last_at = clock(),
			next_at = clock() + CASE WHEN t.last_at < clock() - $4::interval OR t.failures + 1 < $2 THEN interval '0'
			                    ELSE least($3::interval, make_interval(secs => 2.0 ^ least(t.failures + 1 - $2, 20))) END
		WHERE t.next_at <= clock()
		RETURNING t.failures`, key, free, longest, throttleForgets).Scan(&failures)
	if errors.Is(err, pgx.ErrNoRows) {
		err = s.pool.QueryRow(ctx, `
			SELECT greatest(coalesce((SELECT next_at - clock() FROM sign_in_throttle WHERE key_hash = $1), interval '0'), interval '1 second')`, key).Scan(&wait)
	}
	return failures, wait, translate("counting sign-ins", err)
}

// SignInSucceeded takes back what BeginSignIn counted, and remembers the
// address as one of the account's own.
func (s *Store) SignInSucceeded(ctx context.Context, name, ip string) error {
	return s.inTxErr(ctx, "counting sign-ins", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM sign_in_throttle WHERE key_hash = $1`, throttleKey("pair", name, addressBlock(ip)))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO sign_in_throttle (key_hash, failures, last_at, next_at) VALUES ($1, 0, clock(), clock())
			ON CONFLICT (key_hash) DO UPDATE SET last_at = clock()`, throttleKey("familiar", name, addressBlock(ip)))
		if err != nil {
			return err
		}
		for _, key := range [][]byte{throttleKey("address", addressBlock(ip)), throttleKey("account", name)} {
			if _, err := tx.Exec(ctx, `UPDATE sign_in_throttle SET failures = greatest(failures - 1, 0), next_at = clock() WHERE key_hash = $1`, key); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `
			DELETE FROM sign_in_throttle WHERE key_hash IN (
				SELECT key_hash FROM sign_in_throttle WHERE last_at < clock() - CASE WHEN failures = 0 THEN $1::interval ELSE $2::interval END
				ORDER BY key_hash LIMIT 1000 FOR UPDATE SKIP LOCKED)`, familiarFor, throttleForgets)
		return err
	})
}

// throttleKey hashes what an attempt is counted by, so that the table tells
// neither names nor addresses.
func throttleKey(parts ...string) []byte {
	h := sha256.New()
	for _, p := range parts {
		_, _ = h.Write([]byte(p))
		_, _ = h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// addressBlock returns what counts as one address: an IPv6 network of /64 is in
// one pair of hands.
func addressBlock(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Masked().String()
		}
	}
	return a.String()
}
