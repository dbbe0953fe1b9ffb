package sandbox

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a client.
const (
	maxRedirects = 10
	maxClients   = 1000
	maxName      = 100
	maxFormBytes = 64 << 10
)

// client is a program that may ask for consent. Its secret is stored as a digest.
type client struct {
	Name         string    `json:"name"`
	SecretDigest string    `json:"secret_digest"`
	RedirectURIs []string  `json:"redirect_uris"`
	TokenLife    int       `json:"token_life,omitempty"` // seconds; 0 is an hour
	Created      time.Time `json:"created"`
}

// check says what is wrong with a client that somebody wants to register.
func (c *client) check() error {
	c.Name = strings.TrimSpace(c.Name)
	switch {
	case c.Name == "" || len(c.Name) > maxName:
		return errors.New("name: write one of at most 100 bytes")
	case len(c.RedirectURIs) == 0 || len(c.RedirectURIs) > maxRedirects:
		return fmt.Errorf("redirect_uris: give one to %d", maxRedirects)
	case c.TokenLife < 0 || c.TokenLife > int(refreshIdle/time.Second):
		return errors.New("token_life: write seconds, 1 to 2592000, or 0 for an hour")
	}
	for _, r := range c.RedirectURIs {
		u, err := url.Parse(r)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil || strings.Contains(r, "#") || len(r) > 2000 {
			return fmt.Errorf("redirect_uris: %.100q is not an address without a fragment, such as https://app.example.org/callback", r)
		}
		if u.Scheme == "http" && !isLoopback(u.Hostname()) {
			return fmt.Errorf("redirect_uris: %.100q: plain http is for loopback addresses only", r)
		}
	}
	return nil
}

// register stores a checked client and returns its id and its secret.
func (a *authority) register(c client) (id, secret string, err error) {
	id, secret = "sb-"+strings.ToLower(rand.Text()[:16]), "sbs_"+rand.Text()+rand.Text()
	c.SecretDigest, c.Created = digest(secret), a.now()
	full := false
	err = a.update(func(d *authData) {
		if full = len(d.Clients) >= maxClients; !full {
			d.Clients[id] = &c
		}
	})
	if full {
		err = fmt.Errorf("registering a client: there are %d; remove some first", maxClients)
	}
	if err != nil {
		return "", "", err
	}
	return id, secret, nil
}

// clientRow is a client as its page and the JSON listing show it.
type clientRow struct {
	ID           string    `json:"client_id"`
	Name         string    `json:"client_name"`
	RedirectURIs []string  `json:"redirect_uris"`
	TokenLife    int       `json:"token_life"`
	Created      time.Time `json:"created_at"`
}

func (a *authority) clients() []clientRow {
	rows := []clientRow{}
	a.read(func(d *authData) {
		for id, c := range d.Clients {
			rows = append(rows, clientRow{id, c.Name, slices.Clone(c.RedirectURIs), c.TokenLife, c.Created})
		}
	})
	slices.SortFunc(rows, func(a, b clientRow) int {
		if c := a.Created.Compare(b.Created); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return rows
}

func isJSON(header string) bool {
	media, _, err := mime.ParseMediaType(header)
	return err == nil && media == "application/json"
}

// clientsView is what the clients page shows.
type clientsView struct {
	Clients    []clientRow
	ID, Secret string // of the client just made
	Problem    string
	Name       string
	Redirects  string
	TokenLife  string
}

func (s *Server) clientsPage(w http.ResponseWriter, r *http.Request) {
	if isJSON(r.Header.Get("Accept")) {
		writeJSON(w, http.StatusOK, map[string]any{"clients": s.auth.clients()})
		return
	}
	s.render(w, r, http.StatusOK, "clients", clientsView{Clients: s.auth.clients()})
}

// clientsAdd registers a client, from the page's form or as JSON (the fields of RFC 7591 that matter here).
func (s *Server) clientsAdd(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if isJSON(r.Header.Get("Content-Type")) {
		s.clientsAddJSON(w, r)
		return
	}
	if !s.checkForm(w, r) {
		return
	}
	v := clientsView{Name: r.PostFormValue("name"), Redirects: r.PostFormValue("redirect_uris"), TokenLife: r.PostFormValue("token_life")}
	c := client{Name: v.Name, RedirectURIs: strings.Fields(v.Redirects)}
	var err error
	if v.TokenLife != "" {
		if c.TokenLife, err = strconv.Atoi(v.TokenLife); err != nil {
			err = errors.New("token_life: write a number of seconds")
		}
	}
	if err == nil {
		err = c.check()
	}
	if err == nil {
		v.ID, v.Secret, err = s.auth.register(c)
	}
	status := http.StatusCreated
	if err != nil {
		v.Problem, status = err.Error(), http.StatusBadRequest
	}
	v.Clients = s.auth.clients()
	s.render(w, r, status, "clients", v)
}

func (s *Server) clientsAddJSON(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Name         string   `json:"client_name"`
		RedirectURIs []string `json:"redirect_uris"`
		TokenLife    int      `json:"token_life"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_client_metadata", "send JSON with client_name and redirect_uris")
		return
	}
	c := client{Name: in.Name, RedirectURIs: in.RedirectURIs, TokenLife: in.TokenLife}
	if err := c.check(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_client_metadata", err.Error())
		return
	}
	id, secret, err := s.auth.register(c)
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]any{
		"client_id": id, "client_secret": secret, "client_secret_expires_at": 0, "client_name": c.Name, "redirect_uris": c.RedirectURIs,
		"token_life": c.TokenLife, "token_endpoint_auth_method": "client_secret_basic",
		"grant_types": []string{"authorization_code", "refresh_token", "client_credentials"},
	})
}

// clientsRemove removes a client with every grant and token that it has.
func (s *Server) clientsRemove(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	id := r.PathValue("id")
	err := s.auth.update(func(d *authData) {
		delete(d.Clients, id)
		for gid, g := range d.Grants {
			if g.Client == id {
				d.end(gid)
			}
		}
		for k, t := range d.Access {
			if t.Client == id {
				delete(d.Access, k)
			}
		}
	})
	if err != nil {
		s.serverError(w, r, err)
		return
	}
	http.Redirect(w, r, "/clients", http.StatusSeeOther)
}
