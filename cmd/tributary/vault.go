package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"

	"tributary/internal/audit"
	"tributary/internal/seal"
	"tributary/internal/settings"
	"tributary/oauthflow/vault"
	"tributary/store"
)

// vaultConfig says where the master key of s lies.
func vaultConfig(s settings.Settings, st *store.Store) vault.Config {
	return vault.Config{Path: s.MasterKeyFile, DataDir: s.DataDir, Store: st}
}

// openVault returns the ring that opens what the database keeps sealed. Without the right key it returns none and why:
// connections with a grant then say that they need a new consent, and everything else goes on. A failing database is
// the second error.
func openVault(ctx context.Context, s settings.Settings, st *store.Store, log *slog.Logger) (ring *seal.Ring, why, err error) {
	ring, err = vault.Open(ctx, vaultConfig(s, st))
	if err == nil {
		n, err := st.KeyFound(ctx)
		if n > 0 {
			log.Info("the master key is there again", "connections", n)
		}
		return ring, nil, err
	}
	if _, ok := errors.AsType[*vault.KeyError](err); !ok {
		return nil, nil, err
	}
	why = err
	n, err := st.KeyLost(ctx, "the master key "+s.MasterKeyFile+" does not open its tokens: restore that file and restart, or grant again")
	log.Error("connections with a grant cannot sync; what is stored stays searchable", "error", why, "connections", n)
	return nil, why, err
}

// checkVault says whether the key opens what is sealed, without making one. A
// copy of a volume that holds both is all that a thief needs: with something
// sealed that is a failure (a remote database has volumes of its own).
func checkVault(ctx context.Context, s settings.Settings, st *store.Store, managed bool) finding {
	const check = "sealed values"
	proof, sealed, err := st.SealState(ctx)
	if err != nil {
		return fail(check, err.Error(), "see the log of the database")
	}
	if proof == nil && !sealed {
		return ok(check, "there are none yet")
	}
	ring, err := seal.Open(s.MasterKeyFile, seal.Options{DataDir: s.DataDir})
	if err == nil && proof != nil {
		err = ring.VerifyCheck(proof)
	}
	if err != nil {
		return fail(check, (&vault.KeyError{Path: s.MasterKeyFile, Err: err}).Error(), "until then connections with a grant cannot sync")
	}
	counts, err := st.SealedCounts(ctx)
	if err != nil {
		return fail(check, err.Error(), "see the log of the database")
	}
	values, lost := int64(0), int64(0)
	for _, c := range counts {
		values += c.Rows
		if !slices.Contains(ring.KeyIDs(), c.Key) {
			lost += c.Rows
		}
	}
	values-- // the proof is no secret
	switch {
	case lost > 0:
		return fail(check, fmt.Sprintf("%d of %d need a key that %s does not hold", lost, values, s.MasterKeyFile), "restore the file that holds it; tributary master-key status lists the keys")
	case values == 0:
		return ok(check, "there are none yet")
	case managed && sameVolume(s.MasterKeyFile, s.DataDir) && onlySandbox(ctx, st):
		return warn(check, fmt.Sprintf("%s lies on the volume of the managed database; the %d there belong to Sandbox Drive, which holds invented documents only", s.MasterKeyFile, values),
			"before you connect anything else, set TRIBUTARY_MASTER_KEY_FILE to a file on another volume")
	case managed && sameVolume(s.MasterKeyFile, s.DataDir):
		return fail(check, fmt.Sprintf("%s lies on the volume of the managed database, which holds %d of them", s.MasterKeyFile, values),
			"keep them apart, so that a copy of one volume is useless alone: set TRIBUTARY_MASTER_KEY_FILE to a file on another volume")
	default:
		return ok(check, "%d, and the master key opens them", values)
	}
}

// onlySandbox reports whether everything that is sealed is the sandbox's: every registration is at one on this machine.
func onlySandbox(ctx context.Context, st *store.Store) bool {
	list, err := st.Registrations(ctx)
	if err != nil {
		return false
	}
	for _, r := range list {
		u, err := url.Parse(r.BaseURL)
		if err != nil || r.Provider != "sandbox" || !isLoopback(u.Hostname()) {
			return false
		}
	}
	return true
}

// isLoopback reports whether a host is this machine.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// record writes an event of the command line to the audit log, of something that is no transaction of the store. What can
// be one takes the event with it: no change stands there without its event.
func (a *app) record(ctx context.Context, st *store.Store, action string, target audit.Target, detail map[string]string) error {
	// What is done is recorded also when Ctrl-C came meanwhile.
	return st.Record(context.WithoutCancel(ctx), a.event(action, target, detail))
}

// event is an event of the command line, of something that is done.
func (a *app) event(action string, target audit.Target, detail map[string]string) audit.Event {
	clean := map[string]string{}
	for k, v := range detail {
		if v != "" {
			clean[k] = auditText(v)
		}
	}
	target.ID = auditText(target.ID)
	return audit.Event{Actor: a.cliActor(), Action: action, Target: target, Outcome: audit.OK, Detail: clean}
}

func connectionTarget(c store.Connection) audit.Target {
	return audit.Target{Kind: "connection", ID: c.ID.String()}
}

func runTarget(r store.Run) audit.Target {
	return audit.Target{Kind: "run", ID: r.ID.String()}
}
