package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
)

const (
	// browseLimit bounds how long a source may take to list containers for somebody who waits.
	browseLimit = 30 * time.Second
	// maxContainers and maxContainerID bound a selection.
	maxContainers, maxContainerID = 1000, 512
)

// Choices lists containers directly below parent, "" being the top: at most limit of them after the first skip, and whether
// there are more. It asks the source with the connection's grant, as a sync does, and records that.
func (r *Runner) Choices(ctx context.Context, conn store.Connection, parent string, skip, limit int) (list []connectors.Choice, more bool, err error) {
	list = []connectors.Choice{}
	err = r.browse(ctx, conn, func(choices func(parent string) iter.Seq2[connectors.Choice, error]) error {
		seen := 0
		for c, err := range choices(parent) {
			switch {
			case err != nil:
				return err
			case len(list) == limit:
				more = true
				return nil
			case seen >= skip:
				list = append(list, c)
			}
			seen++
		}
		return nil
	})
	return list, more, err
}

// Container is a choice and where it lies.
type Container struct {
	connectors.Choice

	Parent string `json:"parent,omitempty"`
	Depth  int    `json:"depth"`
}

// Tree lists the containers below parent at every depth, each before those below it, at most limit of them.
func (r *Runner) Tree(ctx context.Context, conn store.Connection, parent string, limit int) (list []Container, more bool, err error) {
	list = []Container{}
	err = r.browse(ctx, conn, func(choices func(parent string) iter.Seq2[connectors.Choice, error]) error {
		above := map[string]bool{}
		var walk func(parent string, depth int) error
		walk = func(parent string, depth int) error {
			above[parent] = true
			defer delete(above, parent)
			var level []connectors.Choice
			for c, err := range choices(parent) {
				if err != nil {
					return err
				}
				if len(list)+len(level) == limit {
					more = true
					break
				}
				level = append(level, c)
			}
			for _, c := range level {
				if len(list) == limit {
					more = true
					return nil
				}
				list = append(list, Container{c, parent, depth})
				if c.HasChildren && !above[c.ID] {
					if err := walk(c.ID, depth+1); err != nil {
						return err
					}
				}
			}
			return nil
		}
		return walk(parent, 0)
	})
	return list, more, err
}

// browse calls fn with what the connection's source can list.
func (r *Runner) browse(ctx context.Context, conn store.Connection, fn func(choices func(parent string) iter.Seq2[connectors.Choice, error]) error) error {
	ctx, cancel := context.WithTimeout(ctx, browseLimit)
	defer cancel()
	conn.Selection = connectors.Selection{} // one that no longer works is mended here
	return r.inSession(ctx, conn, "choosing", func(o opened) error {
		chooser, ok := o.session.(connectors.Chooser)
		if !ok || !o.spec.Has(connectors.CanChoose) {
			return &store.InputError{Field: "connection", Problem: "source " + conn.Source + " has nothing to choose from: select by patterns over paths"}
		}
		return fn(func(parent string) iter.Seq2[connectors.Choice, error] { return chooser.Choices(ctx, parent) })
	})
}

// inSession opens a session of the connection, as a sync does, and records what its tokens were used for.
func (r *Runner) inSession(ctx context.Context, conn store.Connection, use string, fn func(o opened) error) error {
	return r.withSession(ctx, conn, use, func(o opened, realm string) error {
		var err error
		if o.realm, err = r.setRealm(ctx, conn, realm); err != nil {
			return err
		}
		return fn(o)
	})
}

// withSession is inSession for a connection whose realm is named and not made known to the store.
func (r *Runner) withSession(ctx context.Context, conn store.Connection, use string, fn func(o opened, realm string) error) (err error) {
	grant, err := r.authorise(ctx, conn)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, r.endUse(ctx, grant.HTTP, map[string]string{"connection": conn.ID.String(), "for": use}))
	}()
	o, realm, err := r.connect(ctx, conn, grant)
	if err != nil {
		return err
	}
	defer func() { _ = o.session.Close(context.WithoutCancel(ctx)) }()
	return fn(o, realm)
}

// Change makes settings and selection those of the connection, once the source's connector has found nothing wrong with them,
// and asks for the run that follows. A source that cannot be reached stops nobody from taking something out. The state of the
// connection that is returned says what its grant lacks. Events are recorded with the change, where there is one. What it takes
// out is held, for an admin to approve: ChangeConfirmed does not ask.
func (r *Runner) Change(ctx context.Context, conn store.Connection, settings map[string]string, selection connectors.Selection, events ...audit.Event) (store.Connection, bool, error) {
	return r.change(ctx, conn, settings, selection, nil, events)
}

func (r *Runner) change(
	ctx context.Context, conn store.Connection, settings map[string]string, selection connectors.Selection, confirmed *int64, events []audit.Event,
) (store.Connection, bool, error) {
	c, err := r.Connector(conn.Source)
	if err != nil {
		return conn, false, err
	}
	if selection.Containers, err = containers(selection.Containers); err != nil {
		return conn, false, err
	}
	needed, err := r.neededScopes(ctx, conn, c.Spec(), settings)
	if err != nil {
		return conn, false, err
	}
	same := sameSettings(c.Spec(), conn.Settings, settings)
	if same {
		settings = conn.Settings
	}
	change := store.ConnectionChange{
		Settings: settings, Selection: selection, NeededScopes: needed, From: conn.SelectionVersion,
		Narrowed: narrows(conn.Selection, selection) || !same, Confirmed: confirmed,
	}
	next := conn
	next.Settings, next.Selection = settings, selection
	checking, cancel := context.WithTimeout(ctx, browseLimit)
	defer cancel()
	if err := r.inSession(checking, next, "checking settings", func(opened) error { return nil }); connectors.ClassOf(err) == connectors.Invalid {
		return conn, false, err
	}
	return r.store.ChangeConnection(ctx, conn.ID, change, func(ctx context.Context, tx pgx.Tx, run store.Run) error {
		return r.enqueueSlice(ctx, tx, run)
	}, events...)
}

// containers returns ids in one order, each once.
func containers(ids []string) ([]string, error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if len(ids) > maxContainers {
		return nil, &store.InputError{Field: "selection", Problem: fmt.Sprintf("at most %d containers can be chosen: choose what contains them", maxContainers)}
	}
	for _, id := range ids {
		if id == "" || len(id) > maxContainerID || !store.UsableID(id) {
			return nil, &store.InputError{Field: "selection", Problem: fmt.Sprintf("%.60q is not the id of a container", id)}
		}
	}
	return ids, nil
}

// neededScopes returns the scopes that a connection with these settings needs at the provider of its grant.
func (r *Runner) neededScopes(ctx context.Context, conn store.Connection, spec connectors.Spec, settings map[string]string) ([]string, error) {
	provider := spec.Provider
	if conn.GrantID != nil {
		g, err := r.store.GrantByID(ctx, *conn.GrantID)
		if err != nil {
			return nil, err
		}
		if g != nil {
			reg, err := r.store.RegistrationByID(ctx, g.RegistrationID)
			if err != nil {
				return nil, err
			}
			provider = reg.Profile.Name
		}
	}
	var names []string
	for _, s := range spec.ScopesFor(provider, settings) {
		names = append(names, s.Name)
	}
	return names, nil
}

// narrows reports whether something that from selects may be missing in to.
func narrows(from, to connectors.Selection) bool {
	fewer := func(from, to []string) bool {
		return len(to) > 0 && (len(from) == 0 || slices.ContainsFunc(from, func(s string) bool { return !slices.Contains(to, s) }))
	}
	more := slices.ContainsFunc(to.Exclude, func(s string) bool { return !slices.Contains(from.Exclude, s) })
	return more || fewer(from.Include, to.Include) || fewer(from.Containers, to.Containers)
}

// sameSettings reports whether two values of every setting are equal, an absent one being its default, and no for a Bool.
func sameSettings(spec connectors.Spec, a, b map[string]string) bool {
	noBool := map[connectors.SettingType]string{connectors.Bool: "false"}
	for _, s := range spec.Settings {
		value := func(m map[string]string) string {
			if v := m[s.Name]; v != "" {
				return v
			}
			return cmp.Or(s.Default, noBool[s.Type])
		}
		if value(a) != value(b) {
			return false
		}
	}
	return true
}
