package jobs

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/oauthflow/client"
	"tributary/store"
)

// errNoHTTP means that this process was given no way to act for a grant.
var errNoHTTP = errors.New("this process holds no grants: tributary up, serve and worker do, with the master key")

// Authorised is what a session gets of a grant: a client that acts for it, the
// address of the instance where people host the source themselves, and what the
// grant is.
type Authorised struct {
	HTTP  *http.Client
	Base  string
	Grant connectors.Grant
}

// authorise returns what the session of a connection acts with; nothing for a
// source without a provider.
func (r *Runner) authorise(ctx context.Context, conn store.Connection) (Authorised, error) {
	c, err := r.Connector(conn.Source)
	if err != nil {
		return Authorised{}, err
	}
	spec := c.Spec()
	if spec.Provider == "" {
		return Authorised{}, nil
	}
	if r.cfg.Authorise == nil {
		return Authorised{}, &connectors.Error{Op: "opening connection", Class: connectors.Invalid, Err: errNoHTTP}
	}
	return r.cfg.Authorise(ctx, conn, spec)
}

// endUse closes the client and records how often the tokens of its grant were
// used, with what for: one event for each slice that used them, and not for each
// request, of which there are millions.
func (r *Runner) endUse(ctx context.Context, c *http.Client, detail map[string]string) error {
	if c == nil {
		return nil
	}
	c.CloseIdleConnections()
	grant, requests, ok := client.Usage(c)
	if !ok || requests == 0 {
		return nil
	}
	detail["requests"] = strconv.FormatInt(requests, 10)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return r.store.Record(ctx, audit.Event{
		Actor: audit.Actor{Kind: audit.System, Name: "sync", Authenticated: true}, Action: "token.use",
		Target: audit.Target{Kind: "grant", ID: grant.String()}, Outcome: audit.OK, Detail: detail,
	})
}

// useOf says for which slice tokens are used.
func useOf(run store.Run) map[string]string {
	return map[string]string{
		"run": run.ID.String(), "connection": run.ConnectionID.String(), "lane": string(run.Lane), "slice": strconv.Itoa(run.Slices),
	}
}
