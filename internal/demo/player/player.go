package player

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"tributary/internal/secret"
)

// Config says what is played, and where.
type Config struct {
	// Public is the address of Tributary, Sandbox that of the sandbox.
	Public, Sandbox string
	// Admin is the account that acts.
	Admin    string
	Password secret.Text
	// Name is that of the registration and of the connection.
	Name string
	// Person is who consents at the sandbox, by id.
	Person string
}

// Player is a newcomer at a browser. It is not safe for concurrent use.
type Player struct {
	cfg     Config
	browser *browser
}

// New returns a Player. Close ends it.
func New(cfg Config) (*Player, error) {
	b, err := newBrowser(cfg.Public, cfg.Sandbox)
	if err != nil {
		return nil, err
	}
	return &Player{cfg: cfg, browser: b}, nil
}

// Close ends what the browser keeps open.
func (p *Player) Close() { p.browser.close() }

// StepError is a page that says that something did not work.
type StepError struct {
	// Step is what was done, such as "consenting".
	Step   string
	Path   string
	Status int
	Says   string
}

// Error says what was done, where, and what the page told.
func (e *StepError) Error() string {
	return fmt.Sprintf("%s at %s (status %d): the page says: %s", e.Step, e.Path, e.Status, e.Says)
}

func stopped(step string, p *page) error {
	return &StepError{Step: step, Path: p.address.Host + shownPath(p.address.Path), Status: p.status, Says: p.says()}
}

// shownPath is a path without what is secret in it.
func shownPath(path string) string {
	if strings.HasPrefix(path, "/connect/") {
		return "/connect/…"
	}
	return path
}

func (p *Player) at(path string) string { return p.cfg.Public + path }

// fill opens a page and returns one of its forms.
func (p *Player) fill(ctx context.Context, step, address, action string) (*page, *form, error) {
	pg, err := p.browser.open(ctx, address)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", step, err)
	}
	f, ok := pg.form(action)
	if !ok {
		return nil, nil, stopped(step, pg)
	}
	return pg, f, nil
}

// send sends a form; want is the status of the page that it leads to.
func (p *Player) send(ctx context.Context, step string, from *page, f *form, want int) (*page, error) {
	pg, err := p.browser.send(ctx, from, f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	if pg.status != want {
		return nil, stopped(step, pg)
	}
	return pg, nil
}

// SetUp makes the first account with the one-time token.
func (p *Player) SetUp(ctx context.Context, token secret.Text) error {
	const step = "making the first account"
	pg, f, err := p.fill(ctx, step, p.at("/setup"), "/setup")
	if err != nil {
		return err
	}
	f.values.Set("token", token.Reveal())
	f.values.Set("name", p.cfg.Admin)
	f.values.Set("password", p.cfg.Password.Reveal())
	f.values.Set("again", p.cfg.Password.Reveal())
	_, err = p.send(ctx, step, pg, f, http.StatusOK)
	return err
}

// SignIn signs in with the account's password.
func (p *Player) SignIn(ctx context.Context) error {
	const step = "signing in"
	pg, f, err := p.fill(ctx, step, p.at("/signin"), "/signin")
	if err != nil {
		return err
	}
	f.values.Set("name", p.cfg.Admin)
	f.values.Set("password", p.cfg.Password.Reveal())
	_, err = p.send(ctx, step, pg, f, http.StatusOK)
	return err
}

// Register makes a registration, the client for it at the sandbox, and enters
// that. Where a registration of the name is there, it is completed.
func (p *Player) Register(ctx context.Context) error {
	pg, err := p.registration(ctx)
	if err != nil {
		return err
	}
	if _, active := p.connectLink(pg); active {
		return nil
	}
	const step = "entering the client"
	f, ok := pg.form(pg.address.Path + "/save")
	redirect := pg.byID("redirect-uri")
	if !ok || redirect == "" {
		return stopped(step, pg)
	}
	id, client, err := p.client(ctx, redirect)
	if err != nil {
		return err
	}
	f.values.Set("client_id", id)
	f.values.Set("secret", client.Reveal())
	if f.values.Get("digest") == "" {
		f.tick("digest") // these are the right hosts
	}
	pg, err = p.send(ctx, step, pg, f, http.StatusOK)
	if err != nil {
		return err
	}
	if _, active := p.connectLink(pg); !active {
		return stopped(step, pg)
	}
	return nil
}

// registration opens the page of the registration, and makes it where there is
// none.
func (p *Player) registration(ctx context.Context) (*page, error) {
	const step = "making a registration"
	list, err := p.browser.open(ctx, p.at("/registrations"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", step, err)
	}
	if to, ok := list.link(func(_ *url.URL, label string) bool { return label == p.cfg.Name }); ok {
		return p.browser.open(ctx, to)
	}
	pg, f, err := p.fill(ctx, step, p.at("/registrations/new?provider=sandbox"), "/registrations")
	if err != nil {
		return nil, err
	}
	f.values.Set("name", p.cfg.Name)
	f.values.Set("base_url", p.cfg.Sandbox)
	f.tick("private") // the sandbox runs on this machine
	return p.send(ctx, step, pg, f, http.StatusOK)
}

// connectLink is the way from a registration that is complete to a connection.
func (p *Player) connectLink(pg *page) (string, bool) {
	return pg.link(func(to *url.URL, _ string) bool {
		return to.Path == "/connect" && to.Query().Get("source") == "sandbox" && to.Query().Get("registration") != ""
	})
}

// client registers a client at the sandbox.
func (p *Player) client(ctx context.Context, redirect string) (id string, value secret.Text, err error) {
	const step = "registering a client at the sandbox"
	pg, f, err := p.fill(ctx, step, p.cfg.Sandbox+"/clients", "/clients")
	if err != nil {
		return "", value, err
	}
	f.values.Set("name", "Tributary")
	f.values.Set("redirect_uris", redirect)
	if pg, err = p.send(ctx, step, pg, f, http.StatusCreated); err != nil {
		return "", value, err
	}
	id, value = pg.byID("client-id"), secret.New(pg.byID("client-secret"))
	if id == "" || !value.IsSet() {
		return "", value, stopped(step, pg)
	}
	return id, value, nil
}

// Connect makes the connection: it starts a consent, gives it at the sandbox,
// comes back, and starts the first sync.
func (p *Player) Connect(ctx context.Context) error {
	const step = "connecting"
	pg, err := p.registration(ctx)
	if err != nil {
		return err
	}
	to, ok := p.connectLink(pg)
	if !ok {
		return stopped(step, pg)
	}
	pg, f, err := p.fill(ctx, step, to, "/connect")
	if err != nil {
		return err
	}
	f.values.Set("name", p.cfg.Name)
	f.values.Set("kind", "authorization_code")
	if pg, err = p.send(ctx, step, pg, f, http.StatusOK); err != nil {
		return err
	}
	if err := p.consent(ctx, pg); err != nil {
		return err
	}
	return p.start(ctx)
}

// start takes the last step of the connection's set-up: it starts the first sync.
func (p *Player) start(ctx context.Context) error {
	const step = "starting the first sync"
	path := "/connections/" + p.cfg.Name + "/start"
	pg, f, err := p.fill(ctx, step, p.at(path), path)
	if err != nil {
		return err
	}
	_, err = p.send(ctx, step, pg, f, http.StatusOK)
	return err
}

// Ticket follows a link of the command line.
func (p *Player) Ticket(ctx context.Context, link secret.Text) error {
	const step = "following the link"
	u, err := url.Parse(link.Reveal())
	if err != nil {
		return fmt.Errorf("%s: it is no address", step)
	}
	pg, f, err := p.fill(ctx, step, link.Reveal(), u.Path)
	if err != nil {
		return err
	}
	if pg, err = p.send(ctx, step, pg, f, http.StatusOK); err != nil {
		return err
	}
	return p.consent(ctx, pg)
}

// consent goes from the page that leads to the sandbox to its consent page, and
// allows everything.
func (p *Player) consent(ctx context.Context, pg *page) error {
	const step = "consenting"
	sandbox, err := url.Parse(p.cfg.Sandbox)
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	to, ok := pg.link(func(to *url.URL, _ string) bool { return to.Host == sandbox.Host })
	if !ok {
		return stopped(step, pg)
	}
	if pg, err = p.browser.open(ctx, to); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	if f, ok := pg.form("/signin"); ok && pg.address.Host == sandbox.Host {
		f.values.Set("person", p.cfg.Person)
		if pg, err = p.send(ctx, "signing in at the sandbox", pg, f, http.StatusOK); err != nil {
			return err
		}
	}
	f, ok := pg.form("/oauth/authorize")
	if !ok {
		return stopped(step, pg)
	}
	f.values.Set("decision", "allow")
	if pg, err = p.send(ctx, step, pg, f, http.StatusOK); err != nil {
		return err
	}
	if pg.heading() != "Connected" && pg.heading() != "Granted again" {
		return stopped(step, pg)
	}
	return nil
}
