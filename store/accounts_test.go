package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/store"
)

func accountStore(t *testing.T) (*pgtest.DB, *store.Store) {
	t.Helper()
	db := pgtest.New(t)
	s, err := store.Open(t.Context(), store.Config{URL: db.URL, Purpose: store.Web})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return db, s
}

func tester() audit.Actor { return audit.Actor{Kind: audit.CLI, Name: "root@host"} }

func newAccount(t *testing.T, s *store.Store, name string, role store.AccountRole) store.Account {
	t.Helper()
	a, err := s.CreateAccount(t.Context(), tester(), store.NewAccount{Name: name, Role: role, Password: store.Password{Hash: "hash of " + name}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAccountNames(t *testing.T) {
	t.Parallel()
	_, s := accountStore(t)
	newAccount(t, s, "Ada.Lovelace+x@example.org", store.RoleOwner)
	if a, err := s.Account(t.Context(), "ADA.lovelace+x@example.org"); err != nil || a.Name != "ada.lovelace+x@example.org" {
		t.Errorf("got %+v, %v", a, err)
	}
	var input *store.InputError
	for _, name := range []string{"", " ", "-ada", "ada lovelace", "ada\nx", "ad\u00e0", "\u0430da", "a/b", "<b>", strings.Repeat("a", 101), uuid.NewString(), "ada\x00"} {
		_, err := s.CreateAccount(t.Context(), tester(), store.NewAccount{Name: name, Role: store.RoleAdmin})
		if !errors.As(err, &input) || input.Field != "name" {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if _, err := s.CreateAccount(t.Context(), tester(), store.NewAccount{Name: " ADA.lovelace+x@example.org ", Role: store.RoleAdmin}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a name that is taken: %v", err)
	}
	if _, err := s.CreateAccount(t.Context(), tester(), store.NewAccount{Name: "eve", Role: "root"}); !errors.As(err, &input) || input.Field != "role" {
		t.Errorf("a role that is none: %v", err)
	}
}

// TestChangesOfAccountsAreRecorded: with the change, or not at all.
func TestChangesOfAccountsAreRecorded(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	ctx := t.Context()
	newAccount(t, s, "ada", store.RoleOwner)
	bob := newAccount(t, s, "bob", store.RoleAdmin)
	for name, change := range map[string]func() error{
		"account.role":     func() error { return s.SetAccountRole(ctx, tester(), bob.ID, store.RoleAuditor) },
		"account.disable":  func() error { return second(s.DisableAccount(ctx, tester(), bob.ID)) },
		"account.password": func() error { return s.SetPassword(ctx, tester(), bob.ID, store.Password{Hash: "x"}) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if n := pgtest.Scalar[int](t, db, `SELECT count(*) FROM audit_event WHERE action = $1 AND target = 'bob' AND actor_kind = 'cli' AND actor = 'root@host' AND NOT authenticated`, name); n != 1 {
			t.Errorf("%s is recorded %d times", name, n)
		}
	}
	if err := s.EnableAccount(ctx, tester(), bob.ID); err != nil {
		t.Fatal(err)
	}
	// What changes nothing is no event, and what cannot be recorded does not happen.
	before := pgtest.Scalar[int](t, db, `SELECT count(*) FROM audit_event`)
	if err := errors.Join(s.EnableAccount(ctx, tester(), bob.ID), s.SetAccountRole(ctx, tester(), bob.ID, store.RoleAuditor)); err != nil {
		t.Fatal(err)
	}
	if after := pgtest.Scalar[int](t, db, `SELECT count(*) FROM audit_event`); after != before {
		t.Errorf("%d events of nothing", after-before)
	}
	db.MustExec(t, `REVOKE INSERT ON audit_event FROM `+pgtest.RolePrefix()+`_app`)
	if _, err := s.DisableAccount(ctx, tester(), bob.ID); err == nil {
		t.Error("a change without its record is no error")
	}
	if a, err := s.Account(ctx, "bob"); err != nil || a.DisabledAt != nil {
		t.Errorf("bob is %+v, %v", a, err)
	}
	for name, err := range map[string]error{
		"disable":  second(s.DisableAccount(ctx, tester(), uuid.New())),
		"reset":    second(s.ResetPassword(ctx, tester(), uuid.New(), store.Password{Hash: "x"})),
		"sessions": func() error { _, err := s.EndSessions(ctx, tester(), uuid.New(), uuid.Nil); return err }(),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s of nobody: %v", name, err)
		}
	}
}

// TestAnOwnerIsLeft: whoever removes whom at the same time.
func TestAnOwnerIsLeft(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	ctx := t.Context()
	for round := range 15 {
		var owners []store.Account
		for i := range 4 {
			owners = append(owners, newAccount(t, s, fmt.Sprintf("owner-%d-%d", round, i), store.RoleOwner))
		}
		db.MustExec(t, `DELETE FROM account WHERE name NOT LIKE $1`, fmt.Sprintf("owner-%d-%%", round))
		var wg sync.WaitGroup
		errs := make([]error, len(owners))
		for i, o := range owners {
			wg.Go(func() {
				switch i % 3 {
				case 0:
					_, errs[i] = s.DisableAccount(ctx, tester(), o.ID)
				case 1:
					errs[i] = s.SetAccountRole(ctx, tester(), o.ID, store.RoleAdmin)
				default:
					_, errs[i] = s.DeleteAccount(ctx, tester(), o.ID)
				}
			})
		}
		wg.Wait()
		refused := 0
		for _, err := range errs {
			if errors.Is(err, store.ErrLastOwner) {
				refused++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		left := pgtest.Scalar[int](t, db, `SELECT count(*) FROM account WHERE role = 'owner' AND disabled_at IS NULL`)
		if left != 1 || refused != 1 {
			t.Fatalf("round %d: %d owners are left, %d refusals", round, left, refused)
		}
	}
}

// TestSessionStartsOnlyForWhatWasProven: between the comparison of a password
// and the session, the account may have changed.
func TestSessionStartsOnlyForWhatWasProven(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	ctx := t.Context()
	db.SetClock(t, time.Now())
	newAccount(t, s, "ada", store.RoleOwner)
	bob := newAccount(t, s, "bob", store.RoleAdmin)
	start := func(hash string) error {
		_, err := s.StartSession(ctx, store.NewSession{AccountID: bob.ID, ProvenHash: hash, Secret: secret.New(uuid.NewString())})
		return err
	}
	if err := start("hash of bob"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPassword(ctx, tester(), bob.ID, store.Password{Hash: "new", ChangeWith: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := start("hash of bob"); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("by the password from before: %v", err)
	}
	if err := start("new"); err != nil {
		t.Errorf("by the new one: %v", err)
	}
	db.Advance(t, 61*time.Minute)
	if err := start("new"); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("by a one-time password that ran out: %v", err)
	}
	if err := errors.Join(s.SetPassword(ctx, tester(), bob.ID, store.Password{Hash: "third"}), second(s.DisableAccount(ctx, tester(), bob.ID))); err != nil {
		t.Fatal(err)
	}
	if err := start("third"); !errors.Is(err, store.ErrUnauthenticated) {
		t.Errorf("for a disabled account: %v", err)
	}
	if n := pgtest.Scalar[int](t, db, `SELECT count(*) FROM web_session`); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
}

func second[T any](_ T, err error) error { return err }

// Whoever had a way into an account keeps none when somebody else acts on it; what its holder does leaves its programs alone.
func TestAnAccountsTokensEndWithItsPassword(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	ctx := t.Context()
	ada := newAccount(t, s, "ada", store.RoleOwner)
	newAdminToken(t, s, store.NewAdminToken{Name: "others", Role: store.RoleOwner, Account: ada.ID})
	newAdminToken(t, s, store.NewAdminToken{Name: "nobodys", Role: store.RoleOwner})
	for name, c := range map[string]struct {
		act   func(id uuid.UUID) (store.Ended, error)
		ended store.Ended
		lives bool
	}{
		"own": {act: func(id uuid.UUID) (store.Ended, error) {
			return store.Ended{}, s.SetPassword(ctx, tester(), id, store.Password{Hash: "own"})
		}, lives: true},
		"reset": {act: func(id uuid.UUID) (store.Ended, error) {
			return s.ResetPassword(ctx, tester(), id, store.Password{Hash: "reset", ChangeWith: time.Hour})
		}, ended: store.Ended{Sessions: 1, Tokens: 2}},
		"disable": {act: func(id uuid.UUID) (store.Ended, error) { return s.DisableAccount(ctx, tester(), id) }, ended: store.Ended{Sessions: 1, Tokens: 2}},
		"delete":  {act: func(id uuid.UUID) (store.Ended, error) { return s.DeleteAccount(ctx, tester(), id) }, ended: store.Ended{Sessions: 1, Tokens: 2}},
	} {
		a := newAccount(t, s, name, store.RoleAdmin)
		if _, err := s.StartSession(ctx, store.NewSession{AccountID: a.ID, ProvenHash: "hash of " + name, Secret: secret.New(uuid.NewString())}); err != nil {
			t.Fatal(err)
		}
		var texts []secret.Text
		for _, n := range []string{"-one", "-two", "-gone"} {
			token, text := newAdminToken(t, s, store.NewAdminToken{Name: name + n, Role: store.RoleAdmin, Account: a.ID})
			if n == "-gone" {
				db.MustExec(t, `UPDATE admin_token SET expires_at = clock() - interval '1 second' WHERE id = $1`, token.ID)
				continue
			}
			texts = append(texts, text)
		}
		if got, err := c.act(a.ID); err != nil || got != c.ended {
			t.Errorf("%s ended %+v, %v", name, got, err)
		}
		if err := s.EnableAccount(ctx, tester(), a.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		for _, text := range texts {
			if _, _, err := s.AuthenticateAdmin(ctx, text); (err == nil) != c.lives {
				t.Errorf("a token after %s: %v", name, err)
			}
		}
		if n := pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM web_session`); n != 0 {
			t.Errorf("%d sessions after %s", n, name)
		}
		if c.lives {
			continue
		}
		if n := pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM audit_event WHERE target = $1 AND detail = '{"sessions": "1", "tokens": "2"}'`, name); n != 1 {
			t.Errorf("%s is recorded with its counts %d times", name, n)
		}
	}
	if n := pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM admin_token WHERE name IN ('others', 'nobodys') AND revoked_at IS NULL`); n != 2 {
		t.Errorf("%d of 2 tokens that are not theirs are left", n)
	}
	if text := (store.Ended{Sessions: 1, Tokens: 2}).String(); text != "1 session ended, 2 admin tokens revoked" {
		t.Errorf("it reads %q", text)
	}
}

// TestDisablingAndSigningInAtOnce: whichever comes first, no session is left.
func TestDisablingAndSigningInAtOnce(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	ctx := t.Context()
	newAccount(t, s, "ada", store.RoleOwner)
	for i := range 25 {
		bob := newAccount(t, s, fmt.Sprintf("bob%d", i), store.RoleAdmin)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				_, err := s.StartSession(ctx, store.NewSession{AccountID: bob.ID, ProvenHash: "hash of " + bob.Name, Secret: secret.New(uuid.NewString())})
				if err != nil && !errors.Is(err, store.ErrUnauthenticated) {
					t.Error(err)
				}
			})
		}
		wg.Go(func() {
			if _, err := s.DisableAccount(ctx, tester(), bob.ID); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	}
	if n := pgtest.Scalar[int](t, db, `SELECT count(*) FROM web_session`); n != 0 {
		t.Errorf("%d sessions outlived their accounts", n)
	}
}

func TestExpiredSessionsAreDeleted(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	db.SetClock(t, time.Now())
	ada := newAccount(t, s, "ada", store.RoleOwner)
	start := func() {
		t.Helper()
		_, err := s.StartSession(t.Context(), store.NewSession{
			AccountID: ada.ID, ProvenHash: "hash of ada", Secret: secret.New(uuid.NewString()), IP: "192.0.2.1", UserAgent: "Firefox\x1b[31m\r\n" + strings.Repeat("x", 500),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		start()
	}
	db.Advance(t, 31*time.Minute)
	start()
	list, err := s.Sessions(t.Context(), ada.ID)
	if err != nil || len(list) != 1 || len(list[0].UserAgent) != 200 || strings.ContainsAny(list[0].UserAgent, "\x1b\r\n") {
		t.Errorf("got %+v, %v", list, err)
	}
	if n := pgtest.Scalar[int](t, db, `SELECT count(*) FROM web_session`); n != 1 {
		t.Errorf("%d rows are left", n)
	}
}

// TestThrottleForgets: after a day without an attempt counting begins anew, and
// what is of no use any more is deleted.
func TestThrottleForgets(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	db.SetClock(t, time.Now())
	ctx := t.Context()
	try := func(name, ip string) store.SignInAttempt {
		t.Helper()
		a, err := s.BeginSignIn(ctx, name, ip)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var waits []time.Duration
	for range 17 {
		wait := try("ada", "192.0.2.1").RetryAfter
		waits = append(waits, wait)
		db.Advance(t, wait)
		if wait > 0 {
			try("ada", "192.0.2.1")
		}
	}
	for i, w := range waits {
		if (i < 5) != (w == 0) || w > 5*time.Minute || (i > 5 && w < waits[i-1]) {
			t.Fatalf("the waits are %v", waits)
		}
	}
	if waits[16] != 5*time.Minute {
		t.Errorf("the longest wait is %s", waits[16])
	}
	db.Advance(t, 25*time.Hour)
	for i := range 5 {
		if a := try("ada", "192.0.2.1"); a.RetryAfter != 0 || a.Slow != 0 {
			t.Errorf("attempt %d the day after: %+v", i, a)
		}
	}
	db.Advance(t, 25*time.Hour)
	if err := s.SignInSucceeded(ctx, "bob", "192.0.2.77"); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int](t, db, `SELECT count(*) FROM sign_in_throttle`); n != 1 {
		t.Errorf("%d rows are left", n)
	}
	if pgtest.Scalar[bool](t, db, `SELECT bool_or(encode(key_hash, 'escape') LIKE '%192.0.2%' OR encode(key_hash, 'escape') LIKE '%bob%') FROM sign_in_throttle`) {
		t.Error("the table tells a name or an address")
	}
}

// TestSuccessFreesTheAddress: somebody who signs in often is never throttled.
func TestSuccessFreesTheAddress(t *testing.T) {
	t.Parallel()
	_, s := accountStore(t)
	for i := range 200 {
		a, err := s.BeginSignIn(context.Background(), fmt.Sprintf("user%d", i%3), "192.0.2.1")
		if err != nil || a.RetryAfter != 0 || a.Slow != 0 {
			t.Fatalf("sign-in %d: %+v, %v", i, a, err)
		}
		if err := s.SignInSucceeded(context.Background(), fmt.Sprintf("user%d", i%3), "192.0.2.1"); err != nil {
			t.Fatal(err)
		}
	}
}
