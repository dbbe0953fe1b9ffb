package jobs

import (
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestErasingAConnectionEndsItsMapping: with what it said of addresses go the links that
// stood on it, and what made an address ambiguous.
func TestErasingAConnectionEndsItsMapping(t *testing.T) {
	t.Parallel()
	a := newAttack(t)
	a.reader("victim", victimMail)
	tenant := a.tenant(mail("t-1", victimMail, true))
	a.linkedTo("before", "victim", victimID, "t-1")
	asked, err := a.runner.RequestErasure(t.Context(), store.EraseRequest{Connection: tenant.ID, Scope: store.EraseConnection}, "ada")
	if err != nil {
		t.Fatal(err)
	}
	done, err := a.runner.EraseHere(t.Context(), asked.ID, nil)
	if err != nil || done.State != store.EraseDone {
		t.Fatalf("%s: %s, %v", done.State, done.Error, err)
	}
	a.linkedTo("erased", "victim", victimID)
	receipt, err := a.store.EraseReceipt(t.Context(), asked.ID)
	if err != nil || receipt.Hits != 0 || receipt.Removed["principal_email"] != 1 || receipt.Removed["reader_principal"] != 1 || receipt.Removed["principal"] != 1 {
		t.Errorf("%+v %v", receipt, err)
	}
	if n := pgtest.Scalar[int](t, a.db, `SELECT count(*)::int FROM realm WHERE external_id = 'tenant'`); n != 0 {
		t.Error("the realm is left")
	}
}
