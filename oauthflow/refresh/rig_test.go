package refresh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// quick is the algorithm a hundred times as fast as it runs in life.
func quick() refresh.Timing {
	return refresh.Timing{
		Send: 600 * time.Millisecond, Lease: 1500 * time.Millisecond, Quiet: time.Second, Heartbeat: 100 * time.Millisecond, Silent: 500 * time.Millisecond,
		Margin: 20 * time.Millisecond, Retry: 50 * time.Millisecond, RetryMost: 400 * time.Millisecond, RetryDown: 200 * time.Millisecond, Poll: 5 * time.Millisecond,
		Store: 8 * time.Second, Spool: 200 * time.Millisecond,
	}
}

// calm has the time for requests that it has in life: for tests in which no answer is lost.
func calm() refresh.Timing {
	t := quick()
	t.Send, t.Lease, t.Store = 20*time.Second, 40*time.Second, 20*time.Second
	return t
}

// rig is a database with one registration at a fake server.
type rig struct {
	tb           testing.TB
	db           *pgtest.DB
	store        *store.Store
	server       *server
	ring         *seal.Ring
	registration uuid.UUID
	spool        string
}

func newRig(tb testing.TB, class string) *rig {
	tb.Helper()
	return newRigOn(tb, class, pgtest.New(tb))
}

func newRigOn(tb testing.TB, class string, db *pgtest.DB) *rig {
	tb.Helper()
	r := &rig{tb: tb, db: db, server: newServer(tb, class), spool: filepath.Join(tb.TempDir(), "spool")}
	ring, err := seal.Create(filepath.Join(tb.TempDir(), "master.key"), seal.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	r.ring = ring
	r.store = openStore(tb, r.db.URL)
	r.register()
	return r
}

func openStore(tb testing.TB, url string) *store.Store {
	tb.Helper()
	s, err := store.Open(context.Background(), store.Config{URL: url, Purpose: store.Worker})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s
}

// register makes the registration as the server's class says.
func (r *rig) register() {
	r.tb.Helper()
	rule := oauthflow.RefreshRule{Rotation: oauthflow.Rotation(r.server.class)}
	if r.server.class == "K" {
		rule.Rotation = oauthflow.RotationGrace
	}
	if rule.Rotation == oauthflow.RotationGrace {
		rule.Grace = oauthflow.Duration(r.server.grace)
	}
	profile := fakeProfile(r.server.http.URL, rule)
	raw, err := json.Marshal(profile)
	if err != nil {
		r.tb.Fatal(err)
	}
	if r.registration == uuid.Nil {
		r.registration = uuid.New()
	}
	r.db.MustExec(r.tb, `
		INSERT INTO client_registration (id, name, provider, profile, endpoints_digest, redirect_uri, client_id, state)
		VALUES ($1, 'fake', 'fake', $2, $3, 'http://127.0.0.1:8080/oauth/callback/x', 'client', 'active')
		ON CONFLICT (id) DO UPDATE SET profile = excluded.profile`, r.registration, raw, profile.Digest())
}

func fakeProfile(base string, rule oauthflow.RefreshRule) *oauthflow.Profile {
	return &oauthflow.Profile{
		Name: "fake", Title: "Fake", Hosting: oauthflow.HostingFixed, Grants: []oauthflow.GrantType{oauthflow.GrantCode}, ClientAuth: oauthflow.AuthPost, PKCE: oauthflow.PKCES256,
		Endpoints: oauthflow.Endpoints{Authorize: base + "/authorize", Token: base + "/token", Revoke: base + "/revoke"}, Request: oauthflow.TokenRequest{Body: oauthflow.BodyForm},
		Scopes: oauthflow.ScopeRule{Separator: " ", AnswerSeparator: " "}, Refresh: rule, Revocation: oauthflow.Revocation{Style: oauthflow.RevokePost, Reach: oauthflow.ReachToken}, GrantPer: oauthflow.PerAccount,
	}
}

// consent is a grant as a consent leaves it, with a connection: refresh token 0, and an access token with left of life.
func (r *rig) consent(left time.Duration) uuid.UUID {
	r.tb.Helper()
	id := uuid.New()
	r.db.MustExec(r.tb, `INSERT INTO oauth_grant (id, registration_id, kind, subject, account) VALUES ($1, $2, 'authorization_code', $3, 'someone')`, id, r.registration, id.String())
	r.db.MustExec(r.tb, `INSERT INTO connection (name, source, grant_id) VALUES ($1, 'fake', $2)`, "c"+id.String(), id)
	r.db.MustExec(r.tb, `INSERT INTO schedule (connection_id, lane, every, next_run_at) SELECT id, 'content', '1 hour', clock() + interval '1 hour' FROM connection WHERE grant_id = $1`, id)
	pair := oauthflow.Pair{Access: secret.New("at-" + id.String() + "-0"), Refresh: secret.New(refreshToken(id.String(), 0)), Type: "bearer"}
	ct, err := oauthflow.SealPair(r.ring, oauthflow.PairPlace(id, 1, 0, oauthflow.FieldTokens), pair)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.db.MustExec(r.tb, `
		INSERT INTO credential (grant_id, epoch, gen, secret_ct, at_expires, obtained_at)
		VALUES ($1, 1, 0, $2, clock() + make_interval(secs => $3), clock() + make_interval(secs => $3) - interval '1 hour')`, id, ct, left.Seconds())
	return id
}

// config is a keeper's, against the rig's server over HTTP.
func (r *rig) config(timing refresh.Timing) refresh.Config {
	return refresh.Config{Store: r.store.Credentials(), Vault: r.ring, Sender: sender(r.server.http.URL, r.registration), SpoolDir: r.spool, Timing: timing}
}

// sender is the TokenSender that asks a fake server.
func sender(base string, registration uuid.UUID) *refresh.TokenSender {
	u, _ := url.Parse(base)
	return &refresh.TokenSender{
		Tokens: oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true}),
		Client: func(context.Context, uuid.UUID) (oauthflow.Client, error) {
			return oauthflow.Client{
				Registration: &oauthflow.Registration{ID: registration, Profile: fakeProfile(base, oauthflow.RefreshRule{}), ClientID: "client", AllowHosts: []string{u.Host}},
				Credentials:  oauthflow.Credentials{Secret: secret.New("client-secret")},
			}, nil
		},
	}
}

// keeper returns a keeper that is closed with the test.
func (r *rig) keeper(cfg refresh.Config) *refresh.Keeper {
	r.tb.Helper()
	k, err := refresh.New(cfg)
	if err != nil {
		r.tb.Fatal(err)
	}
	r.tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := k.Close(ctx); err != nil {
			r.tb.Error(err)
		}
	})
	return k
}

// running returns a keeper whose Run runs until the test ends.
func (r *rig) running(cfg refresh.Config) *refresh.Keeper {
	r.tb.Helper()
	k := r.keeper(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = k.Run(ctx) })
	r.tb.Cleanup(func() { cancel(); wg.Wait() })
	return k
}

// row is what a test looks at of a credential.
type row struct {
	Gen                          int64
	Phase, State, Class, Note    string
	MaybeSent                    bool
	Left                         time.Duration
	Failures                     int
	Connection, Reason           string
	Spares, Open, Attempts, Lost int
	NextTry                      time.Duration
}

func (r *rig) row(grant uuid.UUID) row {
	r.tb.Helper()
	v, err := r.look(grant)
	if err != nil {
		r.tb.Fatal(err)
	}
	return v
}

func (r *rig) look(grant uuid.UUID) (row, error) {
	var v row
	var left, next float64
	err := r.db.Owner.QueryRow(context.Background(), `
		SELECT c.gen, c.phase, c.state, c.fail_class, c.fail_note, c.maybe_sent, coalesce(extract(epoch FROM c.at_expires - clock()), 0)::float8, c.failures,
			coalesce(n.state, ''), coalesce(n.state_reason, ''),
			(SELECT count(*) FROM credential_spare WHERE grant_id = $1), (SELECT count(*) FROM refresh_attempt WHERE grant_id = $1 AND outcome = ''),
			(SELECT count(*) FROM refresh_attempt WHERE grant_id = $1), (SELECT count(*) FROM refresh_attempt WHERE grant_id = $1 AND outcome = 'lost'),
			extract(epoch FROM c.next_try - clock())::float8
		FROM credential c LEFT JOIN connection n ON n.grant_id = c.grant_id WHERE c.grant_id = $1`, grant).Scan(
		&v.Gen, &v.Phase, &v.State, &v.Class, &v.Note, &v.MaybeSent, &left, &v.Failures, &v.Connection, &v.Reason, &v.Spares, &v.Open, &v.Attempts, &v.Lost, &next)
	v.Left, v.NextTry = time.Duration(left*float64(time.Second)), time.Duration(next*float64(time.Second))
	return v, err
}

// token returns the number of the refresh token that the row holds.
func (r *rig) token(grant uuid.UUID) int {
	r.tb.Helper()
	var epoch int
	var gen int64
	var ct []byte
	if err := r.db.Owner.QueryRow(context.Background(), `SELECT epoch, gen, secret_ct FROM credential WHERE grant_id = $1`, grant).Scan(&epoch, &gen, &ct); err != nil {
		r.tb.Fatal(err)
	}
	p, err := oauthflow.OpenPair(r.ring, oauthflow.PairPlace(grant, epoch, gen, oauthflow.FieldTokens), ct)
	if err != nil {
		r.tb.Fatal(err)
	}
	_, n := grantOf(p.Refresh.Reveal())
	return n
}

// expire makes the access token of a grant expire at once.
func (r *rig) expire(grant uuid.UUID) {
	r.tb.Helper()
	r.db.MustExec(r.tb, `UPDATE credential SET at_expires = clock() - interval '1 second' WHERE grant_id = $1`, grant)
}

// until polls until ok, or fails the test after limit.
func until(tb testing.TB, limit time.Duration, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %s: %s", limit, what)
		}
		<-tick.C
	}
}

// accessUntil asks for a token until there is one.
func accessUntil(tb testing.TB, k *refresh.Keeper, grant uuid.UUID, limit time.Duration) oauthflow.Access {
	tb.Helper()
	var got oauthflow.Access
	var err error
	said := map[string]int{}
	deadline := time.Now().Add(limit)
	for {
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		got, err = k.Access(ctx, grant)
		cancel()
		if err == nil {
			return got
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no token within %s: %v; before: %v", limit, err, said)
		}
		said[err.Error()]++
		<-time.After(5 * time.Millisecond)
	}
}

func wantClass(tb testing.TB, err error, class connectors.Class) {
	tb.Helper()
	if err == nil || connectors.ClassOf(err) != class {
		tb.Fatalf("error %v is of class %s, want %s", err, connectors.ClassOf(err), class)
	}
}

func atOf(grant uuid.UUID, n int) string { return fmt.Sprintf("at-%s-%d", grant, n) }

func mustAccess(tb testing.TB, k *refresh.Keeper, grant uuid.UUID) oauthflow.Access {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	a, err := k.Access(ctx, grant)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

// mustBeSound checks a settled grant against what the server knows.
func (r *rig) mustBeSound(g uuid.UUID) {
	r.tb.Helper()
	v := r.row(g)
	if v.State != "active" || v.Connection != "active" || v.Phase != "idle" || !r.server.good(g.String(), r.token(g)) {
		r.tb.Errorf("row %+v, token %d", v, r.token(g))
	}
	if extra := r.unrecorded(g); extra != "" {
		r.tb.Error(extra)
	}
	if r.server.reuse != 0 {
		r.tb.Errorf("%d families revoked", r.server.reuse)
	}
}

// spooled lists the files of the spool.
func spooled(tb testing.TB, dir string) []string {
	tb.Helper()
	list, err := filepath.Glob(filepath.Join(dir, "*.pair"))
	if err != nil {
		tb.Fatal(err)
	}
	return list
}

// killed ends this process as kill -9 does, and does not return.
func killed() {
	p, _ := os.FindProcess(os.Getpid())
	_ = p.Kill()
	select {}
}

var errTest = errors.New("made by the test")

func secretText(s string) secret.Text { return secret.New(s) }
