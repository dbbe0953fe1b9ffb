package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/store"
)

func newAdminToken(t *testing.T, s *store.Store, n store.NewAdminToken) (store.AdminToken, secret.Text) {
	t.Helper()
	token, text, err := s.CreateAdminToken(t.Context(), n, audit.Event{Actor: tester(), Action: "admin_token.create", Target: audit.Target{Kind: "admin_token"}, Outcome: audit.OK})
	if err != nil {
		t.Fatal(err)
	}
	return token, text
}

func TestAdminTokens(t *testing.T) {
	t.Parallel()
	db, s := accountStore(t)
	db.SetClock(t, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	ada := newAccount(t, s, "ada", store.RoleOwner)
	bob := newAccount(t, s, "bob", store.RoleAdmin)
	token, text := newAdminToken(t, s, store.NewAdminToken{Name: "ci", Role: store.RoleAdmin, Account: bob.ID})
	if !strings.HasPrefix(text.Reveal(), "tribadm_") || len(text.Reveal()) != 51 || !strings.HasSuffix(text.Reveal(), token.Hint) || len(token.Hint) != 4 {
		t.Errorf("the secret has %d characters, the hint is %q", len(text.Reveal()), token.Hint)
	}
	if d := token.ExpiresAt.Sub(token.CreatedAt).Round(time.Minute); d != store.AdminTokenLife || *token.Account != "bob" || token.LastUsedAt != nil {
		t.Errorf("it lives %s: %+v", d, token)
	}
	if leak := pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM admin_token t WHERE strpos(t::text, $1) > 0`, text.Reveal()[8:]); leak != 0 {
		t.Error("the secret is stored")
	}
	lives := func(role store.AccountRole) {
		t.Helper()
		got, account, err := s.AuthenticateAdmin(t.Context(), text)
		if err != nil || got.ID != token.ID || got.Role != role || account.Role != role || account.ID != bob.ID {
			t.Errorf("got %+v of %+v, %v", got, account, err)
		}
	}
	refused := func(what string, text secret.Text) {
		t.Helper()
		if got, account, err := s.AuthenticateAdmin(t.Context(), text); !errors.Is(err, store.ErrUnauthenticated) || got != (store.AdminToken{}) || account != (store.Account{}) {
			t.Errorf("%s: got %+v of %+v, %v", what, got, account, err)
		}
	}
	lives(store.RoleAdmin)
	if got, err := s.AdminToken(t.Context(), "ci"); err != nil || got.LastUsedAt == nil {
		t.Errorf("its use was not noted: %+v, %v", got, err)
	}
	for _, wrong := range []string{"", "tribadm_", text.Reveal()[:50], text.Reveal() + "x", "trib_" + text.Reveal()[8:], strings.ToUpper(text.Reveal())} {
		refused(wrong, secret.New(wrong))
	}

	// An account that may less makes the token less, and gives back what it has when it may more.
	if err := s.SetAccountRole(t.Context(), tester(), bob.ID, store.RoleAuditor); err != nil {
		t.Fatal(err)
	}
	lives(store.RoleAuditor)
	if err := s.SetAccountRole(t.Context(), tester(), bob.ID, store.RoleOwner); err != nil {
		t.Fatal(err)
	}
	lives(store.RoleAdmin)
	if _, err := s.DisableAccount(t.Context(), tester(), bob.ID); err != nil {
		t.Fatal(err)
	}
	refused("of a disabled account", text)
	if err := s.EnableAccount(t.Context(), tester(), bob.ID); err != nil {
		t.Fatal(err)
	}
	refused("of an account that was disabled", text)
	token, text = newAdminToken(t, s, store.NewAdminToken{Name: "ci2", Role: store.RoleAdmin, Account: bob.ID})
	db.Advance(t, store.AdminTokenLife-time.Hour)
	lives(store.RoleAdmin)
	db.Advance(t, time.Hour+time.Second)
	refused("expired", text)

	other, otherText := newAdminToken(t, s, store.NewAdminToken{Name: "own", Role: store.RoleOwner, Account: ada.ID, Life: time.Hour})
	revoke := audit.Event{Actor: tester(), Action: "admin_token.revoke", Target: audit.Target{Kind: "admin_token"}, Outcome: audit.OK}
	for range 2 { // the second time changes nothing
		if err := s.RevokeAdminToken(t.Context(), other.ID, revoke); err != nil {
			t.Fatal(err)
		}
	}
	refused("revoked", otherText)
	if n := pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM audit_event WHERE action = 'admin_token.revoke' AND target = $1`, other.ID.String()); n != 1 {
		t.Errorf("the revocation is recorded %d times", n)
	}
	if err := s.RevokeAdminToken(t.Context(), uuid.New(), revoke); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoking nothing: %v", err)
	}
	_, own := newAdminToken(t, s, store.NewAdminToken{Name: "nobodys", Role: store.RoleOwner})
	if got, account, err := s.AuthenticateAdmin(t.Context(), own); err != nil || got.Role != store.RoleOwner || account.ID != uuid.Nil || account.Role != store.RoleOwner {
		t.Errorf("nobody's: %+v of %+v, %v", got, account, err)
	}
	all, err := s.AdminTokens(t.Context(), uuid.Nil)
	if names := tokenNames(all); err != nil || !slices.Equal(names, []string{"ci", "ci2", "nobodys", "own"}) {
		t.Errorf("listed %v, %v", names, err)
	}
	adas, err := s.AdminTokens(t.Context(), ada.ID)
	if names := tokenNames(adas); err != nil || !slices.Equal(names, []string{"own"}) {
		t.Errorf("ada has %v, %v", names, err)
	}
	if _, err := s.DeleteAccount(t.Context(), tester(), bob.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AdminToken(t.Context(), "ci"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a token outlives its account: %v", err)
	}
}

func tokenNames(list []store.AdminToken) []string {
	names := []string{}
	for _, t := range list {
		names = append(names, t.Name)
	}
	return names
}

func TestAdminTokensThatAreRefused(t *testing.T) {
	t.Parallel()
	_, s := accountStore(t)
	newAccount(t, s, "ada", store.RoleOwner)
	bob := newAccount(t, s, "bob", store.RoleAdmin)
	gone := newAccount(t, s, "gone", store.RoleAdmin)
	if _, err := s.DisableAccount(t.Context(), tester(), gone.ID); err != nil {
		t.Fatal(err)
	}
	newAdminToken(t, s, store.NewAdminToken{Name: "taken", Role: store.RoleAuditor})
	for field, n := range map[string]store.NewAdminToken{
		"role":    {Name: "x", Role: store.RoleOwner, Account: bob.ID},
		"account": {Name: "x", Role: store.RoleAuditor, Account: gone.ID},
		"name":    {Name: "X y", Role: store.RoleAuditor},
		"expires": {Name: "x", Role: store.RoleAuditor, Life: 367 * 24 * time.Hour},
	} {
		_, text, err := s.CreateAdminToken(t.Context(), n)
		if input, ok := errors.AsType[*store.InputError](err); !ok || input.Field != field || text.IsSet() {
			t.Errorf("%s: got %v", field, err)
		}
	}
	for _, n := range []store.NewAdminToken{{Name: "x", Role: "root"}, {Name: "x"}, {Name: "x", Role: store.RoleAuditor, Life: -time.Second}, {Name: "x", Role: store.RoleAuditor, Account: uuid.New()}} {
		if _, _, err := s.CreateAdminToken(t.Context(), n); err == nil {
			t.Errorf("made %+v", n)
		}
	}
	if _, _, err := s.CreateAdminToken(t.Context(), store.NewAdminToken{Name: "taken", Role: store.RoleAuditor}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a name that is taken: %v", err)
	}
}
