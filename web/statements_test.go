package web_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// countingWire stands between a store and PostgreSQL and counts the statements that are executed.
type countingWire struct {
	n       atomic.Int64
	network string
	address string
	flows   sync.WaitGroup
}

// through starts the wire and returns databaseURL by way of it.
func (w *countingWire) through(t *testing.T, databaseURL string) string {
	t.Helper()
	cfg, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	w.network, w.address = "tcp", net.JoinHostPort(cfg.Host, fmt.Sprint(cfg.Port))
	if cfg.Host[0] == '/' {
		w.network, w.address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", cfg.Host, cfg.Port)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = l.Close()
		w.flows.Wait()
	})
	w.flows.Go(func() { w.accept(t, l) })
	u := url.URL{Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: l.Addr().String(), Path: "/" + cfg.Database}
	u.RawQuery = "sslmode=disable"
	return u.String()
}

func (w *countingWire) accept(t *testing.T, l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(t.Context(), w.network, w.address)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.flows.Go(func() {
			_, _ = io.Copy(client, server)
			_ = client.Close()
		})
		w.flows.Go(func() {
			if err := w.count(server, client); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				t.Log("the wire to PostgreSQL:", err)
			}
			_ = server.Close()
		})
	}
}

// count copies the messages of a client and counts those that execute a statement: Execute and Query (PostgreSQL,
// chapter "Message Formats"). The first message has no type.
func (w *countingWire) count(to io.Writer, from io.Reader) error {
	for head := 4; ; head = 5 {
		message := make([]byte, head)
		if _, err := io.ReadFull(from, message); err != nil {
			return err
		}
		if head == 5 && (message[0] == 'E' || message[0] == 'Q') {
			w.n.Add(1)
		}
		rest := int64(binary.BigEndian.Uint32(message[head-4:])) - 4
		if _, err := to.Write(message); err != nil {
			return err
		}
		if _, err := io.CopyN(to, from, rest); err != nil {
			return err
		}
	}
}

// TestListsCostTheSame: how many statements a list takes does not depend on how long it is.
func TestListsCostTheSame(t *testing.T) {
	t.Parallel()
	w := &countingWire{}
	o := newOAuthRigThrough(t, nil, func(databaseURL string) string { return w.through(t, databaseURL) })
	k := o.connected(t)
	paths := []string{"/", "/connections", "/documents", "/search", "/registrations", "/grants", "/audit", "/connect", "/system", "/system/jobs", "/profiles"}
	cost := func() map[string]int64 {
		out := map[string]int64{}
		for _, path := range paths {
			o.ada.get(path) // what is prepared once
			// What is done once a minute, or because a connection was idle, is no part of the page.
			for range 3 {
				before := w.n.Load()
				o.ada.get(path).says(t, http.StatusOK)
				if n := w.n.Load() - before; out[path] == 0 || n < out[path] {
					out[path] = n
				}
			}
		}
		return out
	}
	more := func(from, to int) {
		o.db.MustExec(t, `
			WITH r AS (
				INSERT INTO client_registration SELECT (jsonb_populate_record(c, jsonb_build_object('id', gen_random_uuid(), 'name', 'r' || n))).* FROM client_registration c, generate_series($1::int, $2) n WHERE c.name = 'drive' RETURNING id, name),
			g AS (
				INSERT INTO oauth_grant SELECT (jsonb_populate_record(g, jsonb_build_object('id', gen_random_uuid(), 'registration_id', r.id, 'subject', r.name))).* FROM oauth_grant g, r WHERE g.id = $3 RETURNING id, subject),
			cr AS (INSERT INTO credential SELECT (jsonb_populate_record(c, jsonb_build_object('grant_id', g.id))).* FROM credential c, g WHERE c.grant_id = $3)
			INSERT INTO connection (name, source, grant_id, max_permission_age) SELECT 'k' || substr(subject, 2), 'fakedrive', id, '1 day' FROM g`, from, to, *k.GrantID)
		o.db.MustExec(t, `
			INSERT INTO sync_run (connection_id, lane, kind, cause, state, queued_at, finished_at, selection_version)
			SELECT c.id, 'content', 'snapshot', 'tick', s.state, clock() - s.ago, clock(), 1
			FROM connection c, (VALUES ('failed', interval '1 hour'), ('partial', interval '0')) s (state, ago)
			WHERE NOT EXISTS (SELECT FROM sync_run x WHERE x.connection_id = c.id)`)
	}
	more(2, 3)
	three := cost()
	more(4, 30)
	thirty := cost()
	for _, path := range paths {
		if three[path] != thirty[path] || three[path] == 0 {
			t.Errorf("%s takes %d statements with 3 connections, and %d with 30", path, three[path], thirty[path])
		}
	}
	t.Logf("statements: %v", thirty)
	o.ada.get("/connections").says(t, http.StatusOK, "k30 fakedrive active")
}
