package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/demo/player"
	"tributary/internal/password"
	"tributary/internal/sandbox/company"
	"tributary/internal/secret"
	"tributary/store"
)

const (
	// demoSandboxAddr is where the demo serves Sandbox Drive.
	demoSandboxAddr = "localhost:8090"
	// demoDriveName is the name of the drive's registration and connection.
	demoDriveName = "demo-drive"
	// demoAdmin is the account that the demo makes and acts as.
	demoAdmin = "demo-admin"
	// demoConsenter is the person of the sandbox who consents: the one who may read the most.
	demoConsenter = "anna"
)

// demoDrive returns the connection to Sandbox Drive, and makes it by playing a browser where it is not there. It
// returns nil where there is none: why was told, and the rest of the demo goes on.
func (a *app) demoDrive(ctx context.Context, srv *service) (*store.Connection, error) {
	conn, err := srv.store.Connection(ctx, demoDriveName)
	switch {
	case err == nil:
		return a.standingDrive(ctx, srv, conn)
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	if why := driveHindrance(srv); why != "" {
		a.notef("tributary: leaving Sandbox Drive out: %s\n", why)
		return nil, srv.offerSetup(ctx, a)
	}
	err = a.playDrive(ctx, srv)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		a.notef("tributary: leaving Sandbox Drive out: %s; connect it by hand at %s/registrations/new?provider=sandbox, with the address %s, or start again\n",
			oneLine(err.Error()), srv.public, srv.sandbox.base)
		return nil, srv.offerSetup(ctx, a)
	}
	if conn, err = srv.store.Connection(ctx, demoDriveName); err != nil {
		return nil, err
	}
	a.printf("Connected Sandbox Drive as %s, by the consent of %s.\n", conn.Name, demoConsenter)
	return &conn, nil
}

// standingDrive is the connection of an earlier start, where it works.
func (a *app) standingDrive(ctx context.Context, srv *service, conn store.Connection) (*store.Connection, error) {
	leave := func(why string) (*store.Connection, error) {
		a.notef("tributary: leaving %s as it is: %s\n", conn.Name, why)
		return nil, srv.offerSetup(ctx, a)
	}
	r, err := srv.store.RegistrationNamed(ctx, demoDriveName)
	switch {
	case err != nil:
		return nil, err
	case srv.sandbox == nil:
		return leave("the sandbox is not served now, so it cannot sync; leave TRIBUTARY_SANDBOX_ADDR out")
	case r != nil && r.BaseURL != srv.sandbox.base:
		return leave(fmt.Sprintf("it was connected at %s and the sandbox is now at %s; start with TRIBUTARY_SANDBOX_ADDR as it was, or disconnect it", r.BaseURL, srv.sandbox.base))
	case conn.State == store.StatePaused || conn.GrantID == nil:
		return leave("it is " + connectionState(conn))
	case conn.State != store.StateActive && conn.State != store.StateDegraded:
		return leave(fmt.Sprintf("it is %s; open %s/connections/%s", connectionState(conn), srv.public, conn.Name))
	}
	return &conn, srv.offerSetup(ctx, a)
}

// driveHindrance says why the browser cannot be played here; "" where it can.
func driveHindrance(srv *service) string {
	switch {
	case srv.sandbox == nil:
		return "it is off (TRIBUTARY_SANDBOX_ADDR)"
	case srv.noRing != nil:
		return srv.noRing.Error()
	}
	if u, err := url.Parse(srv.public); err != nil || u.Scheme != "http" {
		return "the demo connects it on http://localhost only, and this instance is at " + srv.public + "; connect it by hand as docs/sandbox.md says"
	}
	return ""
}

// playDrive plays the browser of a newcomer, over the public listeners.
func (a *app) playDrive(ctx context.Context, srv *service) error {
	plain := password.Generate()
	p, err := player.New(player.Config{
		Public: srv.public, Sandbox: srv.sandbox.base, Admin: demoAdmin, Password: plain, Name: demoDriveName, Person: demoConsenter,
	})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := a.enterDemo(ctx, srv, p, plain); err != nil {
		return err
	}
	if err := p.Register(ctx); err != nil {
		return err
	}
	return p.Connect(ctx)
}

// enterDemo signs the player in: as the first account, which it makes, or as the one that an earlier start made and did
// not get further with.
func (a *app) enterDemo(ctx context.Context, srv *service, p *player.Player, plain secret.Text) error {
	open, err := srv.store.SetupOpen(ctx)
	if err != nil {
		return err
	}
	if open {
		token, err := newSetupToken(ctx, srv.store, audit.Actor{Kind: audit.System, Name: "demo", Authenticated: true})
		if err != nil {
			return err
		}
		if err := p.SetUp(ctx, token); err != nil {
			return err
		}
		a.printDemoAdmin(srv, "Made the first account, an owner", plain)
		return nil
	}
	account, err := srv.store.Account(ctx, demoAdmin)
	if errors.Is(err, store.ErrNotFound) {
		return errors.New("people have accounts here, and the demo does not act for them")
	}
	if err != nil {
		return err
	}
	hash, err := password.NewHasher().Hash(ctx, plain)
	if err != nil {
		return err
	}
	if err := srv.store.SetPassword(ctx, a.cliActor(), account.ID, store.Password{Hash: hash}); err != nil {
		return err
	}
	if err := p.SignIn(ctx); err != nil {
		return err
	}
	a.printDemoAdmin(srv, "The demo had not come to its end, so its account has another password", plain)
	return nil
}

// printDemoAdmin tells, once, how to sign in.
func (a *app) printDemoAdmin(srv *service, what string, plain secret.Text) {
	a.printf("\n%s. Sign in at %s/signin as %s with\n\n  %s\n\nThis password is not shown again; tributary users reset-password %s makes another.\n\n", what, srv.public, demoAdmin, plain.Reveal(), demoAdmin)
}

// driveTour is what the demo shows of the drive.
type driveTour struct {
	question string
	// asks and lacks are readers: one finds the answer, and one may not read it.
	asks, lacks string
	keys        [][2]string // name and secret of those just made
}

// demoPeople makes readers for two people of the sandbox, with a key each.
func (a *app) demoPeople(ctx context.Context, srv *service, id uuid.UUID) (driveTour, error) {
	questions, err := company.Questions()
	if err != nil || len(questions) == 0 {
		return driveTour{}, err
	}
	conn, err := srv.store.Connection(ctx, id.String())
	if err != nil {
		return driveTour{}, err
	}
	q := questions[0]
	tour := driveTour{question: q.Question, asks: "demo-" + q.Person, lacks: "demo-" + q.HiddenFrom}
	for _, person := range []string{q.Person, q.HiddenFrom} {
		key, err := a.demoPerson(ctx, srv, conn, "demo-"+person, "sandbox:"+person)
		if err != nil {
			return driveTour{}, fmt.Errorf("making the reader of %s: %w", person, err)
		}
		if key != "" {
			tour.keys = append(tour.keys, [2]string{"demo-" + person, key})
		}
	}
	return tour, nil
}

// demoPerson makes a reader that is a person of the sandbox, and a key for it. It returns the key's secret, "" where
// the key stood.
func (a *app) demoPerson(ctx context.Context, srv *service, conn store.Connection, name, principal string) (string, error) {
	r, err := srv.store.Reader(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if err != nil || len(r.Links) == 0 {
		found, _, err := srv.engine.runner.NamePrincipal(ctx, conn, principal)
		if err != nil {
			return "", err
		}
		is := store.PrincipalIn{Connection: conn.ID, Principal: found}
		if r.ID != uuid.Nil {
			err = srv.store.LinkReader(ctx, r.ID, is, store.LinkSetup, a.linkEvent("reader.link", r, found))
		} else {
			r, err = a.makeReader(ctx, srv.store, store.NewReader{Name: name, Kind: store.Person}, []string{principal}, []store.PrincipalIn{is}, store.LinkSetup)
		}
		if err != nil {
			return "", err
		}
	}
	rights := []string{store.RightSearch, store.RightDocuments}
	_, value, err := srv.store.CreateKey(ctx, store.CreateKeyParams{Name: name, ReaderID: &r.ID, Rights: rights, Connections: []uuid.UUID{conn.ID}},
		a.event("api_key.create", audit.Target{Kind: "api_key"}, map[string]string{"name": name, "reader": name}))
	if errors.Is(err, store.ErrConflict) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return value, nil
}

// printDriveTour prints the same question for two people, and their keys where they were just made.
func (a *app) printDriveTour(self string, t driveTour) {
	if t.question == "" {
		return
	}
	a.printf("\nThe same question, asked by two people of Sandbox Drive:\n")
	for _, who := range []string{t.asks, t.lacks} {
		a.printf("  %s search %s --as %s --connection %s\n", self, shellQuote(t.question), who, demoDriveName)
	}
	if len(t.keys) == 0 {
		return
	}
	a.printf("\nTheir keys for POST /v1/search, shown once:\n")
	for _, k := range t.keys {
		a.printf("  %s  %s\n", k[0], k[1])
	}
}
