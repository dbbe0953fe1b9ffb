package interop

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// startZitadel starts the server of zitadel/oidc in this process, with a storage of ours. Refresh tokens rotate
// always: that, and what becomes of a reused one, is the storage's part of such a server.
func startZitadel(t *testing.T, o options) *server {
	t.Helper()
	listening := httptest.NewUnstartedServer(nil)
	issuer := "http://" + listening.Listener.Addr().String()
	store := newOpStorage(t, o.orDefaults())
	config := &op.Config{
		CodeMethodS256: true, AuthMethodPost: true, AuthMethodPrivateKeyJWT: true, GrantTypeRefreshToken: true,
		SupportedScopes: []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeOfflineAccess, readFiles, writeFiles},
	}
	if _, err := rand.Read(config.CryptoKey[:]); err != nil {
		t.Fatal(err)
	}
	provider, err := op.NewProvider(config, store, op.StaticIssuer(issuer), op.WithAllowInsecure())
	if err != nil {
		t.Fatal(err)
	}
	notes := &notebook{}
	mux := http.NewServeMux()
	mux.Handle("/", notes.around(provider))
	mux.HandleFunc("GET /sign-in", store.page)
	mux.HandleFunc("POST /sign-in", func(w http.ResponseWriter, r *http.Request) {
		store.signIn(w, r, op.AuthCallbackURL(provider)(op.ContextWithIssuer(r.Context(), issuer), r.PostFormValue("id")))
	})
	listening.Config.Handler = mux
	listening.Start()
	t.Cleanup(listening.Close)
	return &server{
		issuer:    issuer,
		register:  func(_ *testing.T, c client) client { return store.register(c) },
		requests:  func(*testing.T) []request { return notes.all() },
		newSecret: store.newSecret,
		narrow:    store.narrow,
	}
}

// page asks who it is, and what is allowed.
func (s *opStorage) page(w http.ResponseWriter, r *http.Request) {
	req, err := s.AuthRequestByID(r.Context(), r.FormValue("id"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	fmt.Fprintf(w, `<form method="post" action="/sign-in"><input name="id" value="%s"><input name="login"><input name="password">`, html.EscapeString(req.GetID()))
	for _, scope := range req.GetScopes() {
		fmt.Fprintf(w, `<input type="checkbox" name="scope" value="%s">`, html.EscapeString(scope))
	}
	fmt.Fprint(w, `<button name="answer" value="allow"></button><button name="answer" value="deny"></button></form>`)
}

// signIn checks the person and goes back to the library, or to the client where the person says no.
func (s *opStorage) signIn(w http.ResponseWriter, r *http.Request, onward string) {
	login := r.PostFormValue("login")
	if accounts()[login] != r.PostFormValue("password") {
		http.Error(w, "wrong name or password", http.StatusForbidden)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	req := s.pending[r.PostFormValue("id")]
	if req == nil {
		http.Error(w, "no such request", http.StatusNotFound)
		return
	}
	if r.PostFormValue("answer") == "deny" {
		q := url.Values{"error": {"access_denied"}, "error_description": {"The person said no"}, "state": {req.GetState()}}
		http.Redirect(w, r, req.GetRedirectURI()+"?"+q.Encode(), http.StatusFound)
		return
	}
	req.subject, req.at = login, time.Now()
	req.scopes = slices.DeleteFunc(slices.Clone(req.scopes), func(scope string) bool { return !slices.Contains(r.PostForm["scope"], scope) })
	http.Redirect(w, r, onward, http.StatusFound)
}

// notebook notes requests.
type notebook struct {
	mu    sync.Mutex
	notes []request
}

func (n *notebook) all() []request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.notes)
}

// around notes what next answers.
func (n *notebook) around(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		form, _ := url.ParseQuery(string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		answered := httptest.NewRecorder()
		next.ServeHTTP(answered, r)
		note := request{
			Path: r.URL.Path, Status: answered.Code, GrantType: form.Get("grant_type"),
			Challenge: r.URL.Query().Get("code_challenge_method"),
		}
		if token := form.Get("refresh_token"); token != "" {
			note.RefreshToken = digest(token)
		}
		if strings.HasPrefix(answered.Header().Get("Content-Type"), "application/json") {
			var problem struct{ Error string }
			if json.Unmarshal(answered.Body.Bytes(), &problem) == nil {
				note.Error = problem.Error
			}
		}
		n.mu.Lock()
		n.notes = append(n.notes, note)
		n.mu.Unlock()
		maps.Copy(w.Header(), answered.Header())
		w.WriteHeader(answered.Code)
		_, _ = w.Write(answered.Body.Bytes())
	})
}
