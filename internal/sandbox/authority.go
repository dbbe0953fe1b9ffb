package sandbox

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Lives of what the authorization server gives out.
const (
	codeLife     = 60 * time.Second
	codeMemory   = 10 * time.Minute // how long a used code is recognised
	tokenLife    = time.Hour
	refreshIdle  = 720 * time.Hour
	sessionLife  = 12 * time.Hour
	tokenMemory  = time.Hour // how long an expired access token is told from an unknown one
	minTokenLife = time.Second
)

// authData is the state of the authorization server. Of everything that is a secret of somebody else it holds the
// SHA-256 only: the values are random and long, so that a digest cannot be turned back.
type authData struct {
	Version  int                      `json:"version"`
	Key      []byte                   `json:"key"` // signs form tokens and page tokens; opens nothing
	Clients  map[string]*client       `json:"clients"`
	Grants   map[string]*grant        `json:"grants"`
	Codes    map[string]*code         `json:"codes"`    // by digest
	Access   map[string]*accessToken  `json:"access"`   // by digest
	Refresh  map[string]*refreshToken `json:"refresh"`  // by digest; old ones stay to be recognised
	Sessions map[string]*session      `json:"sessions"` // by digest
}

// grant is one consent: the family of every token that came of it.
type grant struct {
	Client  string    `json:"client"`
	Person  string    `json:"person"`
	Scopes  []string  `json:"scopes"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used"`
}

// code is an authorization code.
type code struct {
	Grant     string    `json:"grant"`
	Client    string    `json:"client"`
	Redirect  string    `json:"redirect"`
	Challenge string    `json:"challenge"`
	Expires   time.Time `json:"expires"`
	Used      bool      `json:"used"`
}

// accessToken has no grant where the client asked for itself.
type accessToken struct {
	Grant   string    `json:"grant,omitempty"`
	Client  string    `json:"client"`
	Person  string    `json:"person,omitempty"`
	Scopes  []string  `json:"scopes"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

type refreshToken struct {
	Grant string `json:"grant"`
	Used  bool   `json:"used"`
}

type session struct {
	Person  string    `json:"person"`
	Expires time.Time `json:"expires"`
}

// authority keeps authData and saves every change before it is answered.
type authority struct {
	mu    sync.Mutex
	file  file
	data  *authData
	saved []byte
	now   func() time.Time
	seen  Seen
}

// Seen counts what the authorization server was asked.
type Seen struct {
	// Codes, Refreshes and ClientCredentials are tokens issued, by grant type.
	Codes, Refreshes, ClientCredentials int
	// Reused counts refresh tokens and codes that were presented again; each ended its grant.
	Reused int
	// Refused counts token requests that were answered with an error.
	Refused int
	// Revoked counts tokens that were revoked by their client.
	Revoked int
}

func openAuthority(f file, now func() time.Time) (*authority, error) {
	a := &authority{file: f, data: &authData{}, now: now}
	found, err := f.load(a.data)
	if err != nil {
		return nil, err
	}
	if found && (a.data.Version != 1 || len(a.data.Key) != sha256.Size) {
		return nil, fmt.Errorf("reading the sandbox's state %s: it is of another version; remove the file to start over", f)
	}
	a.data.fill()
	return a, a.update(func(*authData) {})
}

// fill makes what is missing.
func (d *authData) fill() {
	d.Version = 1
	if d.Key == nil {
		d.Key = make([]byte, sha256.Size)
		_, _ = rand.Read(d.Key) // never fails: crypto/rand
	}
	for _, m := range []func(){
		func() { d.Clients = made(d.Clients) }, func() { d.Grants = made(d.Grants) }, func() { d.Codes = made(d.Codes) },
		func() { d.Access = made(d.Access) }, func() { d.Refresh = made(d.Refresh) }, func() { d.Sessions = made(d.Sessions) },
	} {
		m()
	}
}

func made[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// update changes the data and saves it; where it cannot be saved, nothing has changed.
func (a *authority) update(change func(d *authData)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.data.prune(a.now())
	change(a.data)
	if a.file == "" {
		return nil
	}
	b, err := json.MarshalIndent(a.data, "", " ")
	if err == nil {
		err = a.file.save(b)
	}
	if err == nil {
		a.saved = b
		return nil
	}
	back := &authData{}
	if uerr := json.Unmarshal(a.saved, back); uerr == nil {
		back.fill()
		a.data = back
	}
	return err
}

// read looks at the data.
func (a *authority) read(look func(d *authData)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	look(a.data)
}

func (a *authority) count(f func(*Seen)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	f(&a.seen)
}

// Seen returns the counts since the start.
func (s *Server) Seen() Seen {
	s.auth.mu.Lock()
	defer s.auth.mu.Unlock()
	return s.auth.seen
}

// prune forgets what has been over for long enough.
func (d *authData) prune(now time.Time) {
	for k, t := range d.Access {
		if now.After(t.Expires.Add(tokenMemory)) {
			delete(d.Access, k)
		}
	}
	for k, s := range d.Sessions {
		if now.After(s.Expires) {
			delete(d.Sessions, k)
		}
	}
	for id, g := range d.Grants {
		if !now.Before(g.Used.Add(refreshIdle)) {
			d.end(id)
		}
	}
	for k, c := range d.Codes {
		if !c.Used && now.After(c.Expires) {
			d.end(c.Grant)
		}
		if now.After(c.Expires.Add(codeMemory)) {
			delete(d.Codes, k)
		}
	}
}

// end removes a grant and every token of it.
func (d *authData) end(id string) {
	delete(d.Grants, id)
	for k, t := range d.Access {
		if t.Grant == id {
			delete(d.Access, k)
		}
	}
	for k, t := range d.Refresh {
		if t.Grant == id {
			delete(d.Refresh, k)
		}
	}
}

// issue returns a new access token of the client; g and its id are empty for the client itself.
func (d *authData) issue(clientID, grantID string, g *grant, scopes []string, now time.Time, life time.Duration) string {
	t := &accessToken{Grant: grantID, Client: clientID, Scopes: scopes, Issued: now, Expires: now.Add(life)}
	if g != nil {
		t.Person = g.Person
	}
	text := "sba_" + rand.Text() + rand.Text()
	d.Access[digest(text)] = t
	return text
}

// issueRefresh returns the grant's next refresh token.
func (d *authData) issueRefresh(grantID string) string {
	text := "sbr_" + rand.Text() + rand.Text()
	d.Refresh[digest(text)] = &refreshToken{Grant: grantID}
	return text
}

// token returns a live access token.
func (a *authority) token(text string) (accessToken, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t, ok := a.data.Access[digest(text)]
	if !ok || !a.now().Before(t.Expires) {
		return accessToken{}, false
	}
	return *t, true
}

// sign returns a tag that only this server can make.
func (a *authority) sign(parts ...string) string {
	a.mu.Lock()
	mac := hmac.New(sha256.New, a.data.Key)
	a.mu.Unlock()
	for _, p := range parts {
		fmt.Fprintf(mac, "%d:%s", len(p), p)
	}
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)[:16])
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// within returns those of asked that are in allowed, in the order of allowed.
func within(asked, allowed []string) []string {
	out := []string{}
	for _, s := range allowed {
		if slices.Contains(asked, s) {
			out = append(out, s)
		}
	}
	return out
}
