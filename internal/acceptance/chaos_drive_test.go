package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
	"tributary/internal/secret"
	"tributary/jobs"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
	"tributary/store"
)

// httpDrive is a Sandbox Drive in the test's process, for workers in theirs. It
// counts the downloads and takes its time for each.
type httpDrive struct {
	addr, token string
	world       *sandbox.World
	downloads   atomic.Int64
}

// newHTTPDrive serves n documents; a download takes at least delay.
func newHTTPDrive(t *testing.T, n int, delay time.Duration) *httpDrive {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d := &httpDrive{addr: "localhost:" + port}
	s, err := sandbox.New(sandbox.Config{BaseURL: "http://" + d.addr, Org: manyPapers(n)})
	if err != nil {
		t.Fatal(err)
	}
	s.Faults().Set(func(o *sandbox.Options) { o.RatePerSecond = 0 })
	d.world = s.World()
	d.token = clientToken(t, s, d.addr)
	srv := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/content") {
			d.downloads.Add(1)
			timer := time.NewTimer(delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
			}
		}
		s.Handler().ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return d
}

// clientToken is the token of a client that reads the whole organisation.
func clientToken(t *testing.T, s *sandbox.Server, host string) string {
	t.Helper()
	id, password, err := s.Register("http://127.0.0.1:8080/oauth/callback")
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "token_life": {"86400"}}
	req := httptest.NewRequest(http.MethodPost, "http://"+host+"/oauth/token", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(password))
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("no token: status %d: %s", rec.Code, rec.Body)
	}
	return answer.AccessToken
}

// manyPapers is a company of n documents in twenty folders, the same each time.
func manyPapers(n int) company.Organisation {
	const folders = 20
	r := rand.New(rand.NewPCG(11, 11))
	words := strings.Fields("river delta spring harbour lock weir tide bank mill bridge ferry marsh estuary basin reed otter heron")
	org := company.Organisation{ID: "org-chaos", Name: "Chaos", Domain: "chaos.example"}
	for i := range 8 {
		org.People = append(org.People, company.Person{ID: fmt.Sprintf("p-%d", i), Name: fmt.Sprintf("Person %d", i), Email: fmt.Sprintf("p%d@chaos.example", i), Active: true, Verified: true})
	}
	org.Groups = []company.Group{
		{ID: "g-0", Name: "even", Members: []company.Ref{{Kind: "user", ID: "p-0"}, {Kind: "user", ID: "p-2"}}},
		{ID: "g-1", Name: "all", Members: []company.Ref{{Kind: "group", ID: "g-0"}, {Kind: "user", ID: "p-1"}}},
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range folders {
		org.Items = append(org.Items, company.Item{
			ID: fmt.Sprintf("fld-%02d", i), Kind: "folder", Name: fmt.Sprintf("Folder %02d", i), Inherit: true, Created: at, Updated: at,
			Entries: []company.Entry{{Kind: "group", ID: fmt.Sprintf("g-%d", i%2), Role: "reader"}},
		})
	}
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, "# Paper %d\n", i)
		for range 2 + r.IntN(3) {
			fmt.Fprintf(&b, "\n## About %s\n\n%s", words[r.IntN(len(words))], words[r.IntN(len(words))])
			for range 60 + r.IntN(100) {
				b.WriteString(" " + words[r.IntN(len(words))])
			}
			b.WriteString("\n")
		}
		org.Items = append(org.Items, company.Item{
			ID: fmt.Sprintf("itm-%06d", i), Kind: "file", Name: fmt.Sprintf("paper-%06d.md", i), ParentID: fmt.Sprintf("fld-%02d", i%folders), MediaType: "text/markdown",
			Body: b.String(), AuthorID: "p-0", Inherit: true, Created: at, Updated: at, Entries: []company.Entry{{Kind: "user", ID: fmt.Sprintf("p-%d", i%8), Role: "owner"}},
		})
	}
	return org
}

// oneToken is a grant whose token never ends.
type oneToken string

func (t oneToken) Access(context.Context, uuid.UUID) (oauthflow.Access, error) {
	return oauthflow.Access{Token: secret.New(string(t)), Type: "bearer"}, nil
}

func (t oneToken) Rejected(ctx context.Context, grant uuid.UUID, _ oauthflow.Access) (oauthflow.Access, error) {
	return t.Access(ctx, grant)
}

func (oneToken) Lives(context.Context, uuid.UUID, oauthflow.Access) (bool, error) { return true, nil }

// authoriseDrive acts with a token at the drive at addr.
func authoriseDrive(addr, token string) func(context.Context, store.Connection, connectors.Spec) (jobs.Authorised, error) {
	return func(context.Context, store.Connection, connectors.Spec) (jobs.Authorised, error) {
		allow, err := httpx.ParseAllowList([]string{addr})
		if err != nil {
			return jobs.Authorised{}, err
		}
		c, err := client.New(client.Config{
			Grant: uuid.New(), Tokens: oneToken(token), Hosts: []string{addr}, Options: httpx.Options{Allow: allow, PlainLoopback: true},
		})
		return jobs.Authorised{HTTP: c, Base: "http://" + addr}, err
	}
}
