package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/settings"
	"tributary/store"
)

// notFoundError is an absence that the store was not asked about.
type notFoundError struct{ what string }

func (e *notFoundError) Error() string { return e.what }
func (e *notFoundError) Unwrap() error { return store.ErrNotFound }

// resolvePrincipal turns what a person writes, such as unix:ada, into the
// principal, once for each realm in which a connected source knows it.
func (a *app) resolvePrincipal(ctx context.Context, st *store.Store, s settings.Settings, written string) ([]store.PrincipalIn, error) {
	prefix, _, ok := strings.Cut(written, ":")
	if !ok {
		return nil, usagef("%q is not a principal: write it as its source does, such as unix:NAME", written)
	}
	list := a.connectorList(s)
	connections, err := st.Connections(ctx)
	if err != nil {
		return nil, err
	}
	var found []store.PrincipalIn
	var firstErr error
	realms, known := map[int64]bool{}, []string{}
	for _, conn := range connections {
		c, ok := list.Get(conn.Source)
		if !ok {
			continue
		}
		known = append(known, c.Spec().PrincipalPrefix)
		if !namesPrincipals(c.Spec(), prefix) || conn.RealmID == nil || realms[*conn.RealmID] {
			continue
		}
		p, err := a.namePrincipal(ctx, st, s, c, conn, written)
		if err != nil {
			firstErr = cmpErr(firstErr, err)
			continue
		}
		realms[*conn.RealmID] = true
		found = append(found, store.PrincipalIn{Connection: conn.ID, Principal: p})
	}
	switch {
	case len(found) > 0:
		return found, nil
	case firstErr != nil:
		return nil, firstErr
	default:
		return nil, unknownPrefix(written, prefix, known)
	}
}

// namesPrincipals reports whether a source understands principals that begin
// with prefix: its own, or a numeric form that it documents.
func namesPrincipals(spec connectors.Spec, prefix string) bool {
	if !spec.Has(connectors.CanName) || spec.PrincipalPrefix == "" {
		return false
	}
	return prefix == spec.PrincipalPrefix || (spec.PrincipalPrefix == "unix" && (prefix == "uid" || prefix == "gid" || prefix == "group"))
}

func unknownPrefix(written, prefix string, known []string) error {
	slices.Sort(known)
	known = slices.DeleteFunc(slices.Compact(known), func(p string) bool { return p == "" })
	if len(known) == 0 {
		return &notFoundError{what: fmt.Sprintf("resolving %s: nothing is connected whose accounts have names; connect a source first, such as tributary connect folder", written)}
	}
	return usagef("resolving %s: no connected source names its accounts %s:…; there is %s:NAME", written, prefix, strings.Join(known, ":NAME, "))
}

func cmpErr(first, next error) error {
	if first != nil {
		return first
	}
	return next
}

func (a *app) namePrincipal(ctx context.Context, st *store.Store, s settings.Settings, c connectors.Connector, conn store.Connection, written string) (connectors.Principal, error) {
	if c.Spec().Provider != "" {
		return a.nameAtProvider(ctx, st, s, conn, written)
	}
	var p connectors.Principal
	err := withSession(ctx, c, conn.Settings, conn.Selection, a.logger(false), func(session connectors.Session) error {
		namer, ok := session.(connectors.PrincipalNamer)
		if !ok {
			return fmt.Errorf("resolving %s: source %s does not name its accounts", written, conn.Source)
		}
		var err error
		p, err = namer.NamePrincipal(ctx, written)
		return err
	})
	return p, err
}

// nameAtProvider asks a source with consent who somebody is.
func (a *app) nameAtProvider(ctx context.Context, st *store.Store, s settings.Settings, conn store.Connection, written string) (p connectors.Principal, err error) {
	err = a.withEngine(ctx, st, s, func(e *engine) error {
		p, _, err = e.runner.NamePrincipal(ctx, conn, written)
		return err
	})
	return p, err
}

// identity returns for whom a command asks: a reader by name or id, or
// whoever a principal is.
func (a *app) identity(ctx context.Context, st *store.Store, s settings.Settings, as string) (store.Identity, error) {
	if as == "" {
		return store.Identity{}, usagef("--as is missing: say for whom you ask, by a reader's name or id, or as a principal such as unix:NAME")
	}
	r, err := st.Reader(ctx, as)
	switch {
	case err == nil && r.DisabledAt != nil:
		return store.Identity{}, &notFoundError{what: fmt.Sprintf("reader %s is disabled: tributary readers enable %s", r.Name, r.Name)}
	case err == nil:
		return st.AsReader(ctx, r.ID)
	case !errors.Is(err, store.ErrNotFound):
		return store.Identity{}, err
	}
	if _, idErr := uuid.Parse(as); idErr == nil || !strings.Contains(as, ":") {
		return store.Identity{}, &notFoundError{what: fmt.Sprintf("there is no reader %q: tributary readers list shows them; an account of this machine is unix:%s", as, as)}
	}
	principals, err := a.resolvePrincipal(ctx, st, s, as)
	if err != nil {
		return store.Identity{}, err
	}
	return st.AsPrincipals(ctx, principals...)
}
