package web_test

import (
	"context"
	"errors"
	"html"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/folder"
	"tributary/connectors/push"
	"tributary/internal/audit"
	"tributary/internal/httpx"
	"tributary/internal/seal"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/oauthflow/refresh"
	"tributary/store"
	"tributary/web"
)

// oauthRig is an instance with one provider, whose registration is "drive", and an owner "ada" who is signed in.
type oauthRig struct {
	*rig
	provider *oauthtest.Server
	reg      *oauthflow.Registration
	ada      *browser
	by       oauthflow.By
	ring     *seal.Ring
	syncer   *countingSyncer
	folders  *folders
	shelf    *shelf
	planner  *planner
	parts    *web.OAuth
	// key is what is wrong with the master key, which then opens and seals nothing.
	key string
}

// Seal and Unseal are those of the ring, while there is one.
func (o *oauthRig) Seal(place seal.Context, text []byte) ([]byte, error) {
	if o.key != "" {
		return nil, errors.New(o.key)
	}
	return o.ring.Seal(place, text)
}

// Unseal is the inverse of Seal.
func (o *oauthRig) Unseal(place seal.Context, sealed []byte) ([]byte, error) {
	if o.key != "" {
		return nil, errors.New(o.key)
	}
	return o.ring.Unseal(place, sealed)
}

// countingSyncer takes orders for runs without having them done.
type countingSyncer struct {
	store  *store.Store
	orders []string
}

func (s *countingSyncer) RequestLanes(ctx context.Context, c store.Connection, lanes []store.Lane, cause string, _ bool, events ...audit.Event) ([]store.Run, error) {
	var reqs []store.RunRequest
	for _, lane := range lanes {
		s.orders = append(s.orders, c.Name+" "+string(lane)+" "+cause)
		kind := store.RunSnapshot
		if lane == store.Permissions {
			kind = store.RunPermissions
		}
		reqs = append(reqs, store.RunRequest{ConnectionID: c.ID, Lane: lane, Kind: kind, Cause: cause})
	}
	reqs[0].Events = events
	list, err := s.store.RequestRuns(ctx, reqs, nil)
	var runs []store.Run
	for _, r := range list {
		runs = append(runs, r.Run)
	}
	return runs, err
}

func (s *countingSyncer) RequestKind(ctx context.Context, c store.Connection, kind store.RunKind, cause string, events ...audit.Event) (store.Run, bool, error) {
	s.orders = append(s.orders, c.Name+" "+string(kind)+" "+cause)
	lane := store.Content
	switch kind {
	case store.RunPermissions:
		lane = store.Permissions
	case store.RunSnapshot, store.RunReconcile, store.RunChanges:
	default:
		return store.Run{}, false, &store.InputError{Field: "kind", Problem: "must be changes, snapshot, reconcile or permissions"}
	}
	return s.store.RequestRun(ctx, store.RunRequest{ConnectionID: c.ID, Lane: lane, Kind: kind, Cause: cause, Events: events}, nil)
}

// fakeSpec is a source at the provider of the tests.
func fakeSpec() connectors.Spec {
	return connectors.Spec{
		Source: "fakedrive", Name: "Fake Drive", Description: "Documents that do not exist.", Category: connectors.CategoryKnowledgeBase, Provider: "fake-x", CursorVersion: 1,
		Scopes: []connectors.Scope{
			{Name: "files.read", Reason: "Reads the documents."},
			{Name: "groups.read", Reason: "Reads who may see them."},
			{Name: "mail.read", Reason: "Reads letters.", When: []connectors.Condition{{Setting: "mode", Value: "b"}}},
		},
		Provides: []connectors.Capability{connectors.CanChoose, connectors.CanSelf},
		Settings: []connectors.Setting{
			{Name: "corner", Type: connectors.String, Description: "Corner of the drive", Required: true, Example: "north"},
			{Name: "depth", Type: connectors.Int, Description: "How deep"},
			{Name: "shared", Type: connectors.Bool, Description: "Shared ones too", Default: "true"},
			{Name: "mode", Type: connectors.Enum, Description: "Mode", Default: "a", Options: []string{"a", "b"}},
		},
	}
}

func newOAuthRig(t *testing.T) *oauthRig {
	t.Helper()
	return newOAuthRigThrough(t, nil, func(databaseURL string) string { return databaseURL })
}

// newOAuthRigThrough reaches its database by another address, with what change changes.
func newOAuthRigThrough(t *testing.T, change func(*web.Config), through func(databaseURL string) string) *oauthRig {
	t.Helper()
	o := &oauthRig{provider: oauthtest.New(t, oauthtest.Generic())}
	var err error
	if o.ring, err = seal.Create(filepath.Join(t.TempDir(), "key"), seal.Options{}); err != nil {
		t.Fatal(err)
	}
	parts := &web.OAuth{Sources: []connectors.Spec{fakeSpec(), folder.New(folder.Config{}).Spec(), push.New().Spec()}, KeyProblem: func() string { return o.key }}
	if parts.Providers, err = oauthflow.Shipped(); err != nil {
		t.Fatal(err)
	}
	o.folders, o.parts = &folders{}, parts
	parts.Opener = o.folders
	o.rig = newRigThrough(t, false, func(c *web.Config) {
		st, ok := c.Store.(*store.Store)
		if !ok {
			t.Fatal("the store is another")
		}
		o.build(t, parts, st, c.PublicURL.String())
		o.planner = &planner{store: st}
		c.OAuth, c.Admin, c.System = parts, &web.Admin{Store: st, Runner: o.planner}, o.system(t, st)
		if change != nil {
			change(c)
		}
	}, through)
	ada := o.account("ada", store.RoleOwner)
	o.ada = o.signedIn("ada")
	o.by = oauthflow.By{Actor: audit.Actor{Kind: audit.Account, Name: "ada", Authenticated: true}, Account: ada.ID, Owner: true}
	o.reg = o.register(t, "drive", nil)
	return o
}

// build makes what a process has of OAuth.
func (o *oauthRig) build(t *testing.T, p *web.OAuth, st *store.Store, public string) {
	t.Helper()
	client := oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true, Limits: httpx.Limits{Header: time.Second, Total: time.Second}})
	k, err := refresh.New(refresh.Config{
		Store: st.Credentials(), Vault: o, SpoolDir: filepath.Join(t.TempDir(), "spool"),
		Sender: &refresh.TokenSender{Tokens: client, Client: func(ctx context.Context, id uuid.UUID) (oauthflow.Client, error) {
			r, err := st.RegistrationByID(ctx, id)
			if err != nil {
				return oauthflow.Client{}, err
			}
			ct, gen, err := st.RegistrationSecret(ctx, id)
			if err != nil {
				return oauthflow.Client{}, err
			}
			creds, err := oauthflow.OpenCredentials(o, oauthflow.RegistrationPlace(id, gen), ct)
			return oauthflow.Client{Registration: r, Credentials: creds}, err
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	o.syncer, o.shelf = &countingSyncer{store: st}, &shelf{store: st}
	p.Store, p.Refresher, p.Syncer, p.Chooser = st, k, o.syncer, o.shelf
	p.Registrations = oauthflow.NewRegistrations(oauthflow.RegistrationsConfig{Store: st, Vault: o, Client: client, PublicURL: public, LoopbackHTTP: true})
	p.Flows = oauthflow.NewFlows(oauthflow.FlowsConfig{Store: st, Vault: o, Client: client, PublicURL: public, Returns: func(path string) bool { return o.web.Returns(path) }})
	p.Grants = oauthflow.NewGrants(oauthflow.GrantsConfig{Store: st, Vault: o, Client: client, Tokens: k})
}

// register makes a complete registration through the pages, as an owner does.
func (o *oauthRig) register(t *testing.T, name string, edit func(map[string]any)) *oauthflow.Registration {
	t.Helper()
	p := o.ada.post("/registrations", "provider", "document", "name", name, "document", string(o.provider.Profile(t, "", edit)), "allow_hosts", o.provider.Host())
	if p.status != http.StatusSeeOther {
		t.Fatalf("drafting: %d\n%s", p.status, p.text())
	}
	r := o.registration(t, name)
	p = o.ada.post(p.location()+"/save", "client_id", o.provider.ClientID, "secret", o.provider.ClientSecret, "digest", r.Digest)
	if p.status != http.StatusOK || !strings.Contains(p.body, "The registration is saved") {
		t.Fatalf("saving: %d\n%s", p.status, p.text())
	}
	return o.registration(t, name)
}

func (o *oauthRig) registration(t *testing.T, name string) *oauthflow.Registration {
	t.Helper()
	r, err := o.store.RegistrationNamed(t.Context(), name)
	if err != nil || r == nil {
		t.Fatalf("registration %s: %v, %v", name, r, err)
	}
	return r
}

// begin starts the consent of a connection, and returns the page that leads to the provider.
func (o *oauthRig) begin(b *browser, name string) page {
	return b.post("/connect", "source", "fakedrive", "registration", o.reg.ID.String(), "kind", "authorization_code", "name", name, "set.corner", "north")
}

var continueLink = regexp.MustCompile(`<a class="button" href="([^"]*)"[^>]*>Continue to `)

// link is the link to the provider.
func (p page) link(t *testing.T) string {
	t.Helper()
	m := continueLink.FindStringSubmatch(p.body)
	if p.status != http.StatusOK || m == nil {
		t.Fatalf("no link to the provider: %d\n%s", p.status, p.text())
	}
	return html.UnescapeString(m[1])
}

// consent starts a consent and gives it; it returns where the provider sends the browser back to.
func (o *oauthRig) consent(t *testing.T, b *browser, name string) *url.URL {
	t.Helper()
	return o.provider.Browser(o.begin(b, name).link(t))
}

// land takes the browser to the callback, and on to the page that it leads to.
func (o *oauthRig) land(t *testing.T, b *browser, to *url.URL) page {
	t.Helper()
	p := b.get(to.RequestURI())
	if p.status != http.StatusSeeOther || p.location() != "/oauth/result" {
		t.Fatalf("the callback: %d to %q\n%s", p.status, p.location(), p.text())
	}
	return b.get(p.location())
}

// connected makes the connection "files", whose set-up is finished.
func (o *oauthRig) connected(t *testing.T) store.Connection {
	t.Helper()
	if p := o.land(t, o.ada, o.consent(t, o.ada, "files")); p.status != http.StatusOK || !strings.Contains(p.body, "Connected") {
		t.Fatalf("connecting: %d\n%s", p.status, p.text())
	}
	return o.finished(t)
}

// finished ends the set-up of the connection "files", as its last step does.
func (o *oauthRig) finished(t *testing.T) store.Connection {
	t.Helper()
	k, err := o.store.Connection(t.Context(), "files")
	if err != nil || !k.SettingUp() {
		t.Fatalf("the connection is %s (%s), %v", k.State, k.StateReason, err)
	}
	if err := o.store.SetPaused(t.Context(), k.ID, false); err != nil {
		t.Fatal(err)
	}
	k, err = o.store.Connection(t.Context(), "files")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var (
	tags   = regexp.MustCompile(`<[^>]*>`)
	blanks = regexp.MustCompile(`\s+`)
)

// text is what a person reads on the page.
func (p page) text() string {
	return strings.TrimSpace(blanks.ReplaceAllString(html.UnescapeString(tags.ReplaceAllString(p.body, " ")), " "))
}

// says fails unless the page has the status and the texts.
func (p page) says(t *testing.T, status int, texts ...string) {
	t.Helper()
	if p.status != status {
		t.Errorf("status %d, want %d", p.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(p.text(), text) {
			t.Errorf("the page does not say %q:\n%s", text, p.text())
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// has fails unless the HTML of the page holds the texts.
func (p page) has(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(p.body, text) {
			t.Fatalf("the page does not hold %q:\n%s", text, p.body)
		}
	}
}

// none fails where the connection "files" was made.
func (o *oauthRig) none(t *testing.T) {
	t.Helper()
	if _, err := o.store.Connection(t.Context(), "files"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the connection: %v", err)
	}
}

// plantOutcome puts the outcome of a consent into the browser.
func (b *browser) plantOutcome(value string) {
	u, err := url.Parse(b.r.server.URL)
	if err != nil {
		b.r.t.Fatal(err)
	}
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "tributary-result", Value: value, Path: "/"}})
}
