package web_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/jobs"
	"tributary/store"
)

// planner plans nothing, and asks for erasures without having them done.
type planner struct {
	store *store.Store
	asked []jobs.PlanOptions
	// began is called when a plan is asked for, which then waits for its end, where it is set.
	began func()
	ended chan error
	// plan and err are answered where one is set.
	plan *jobs.Plan
	err  error
}

func (p *planner) PlanSync(ctx context.Context, conn store.Connection, o jobs.PlanOptions) (jobs.Plan, error) {
	p.asked = append(p.asked, o)
	if p.began != nil {
		p.began()
		<-ctx.Done()
		p.ended <- ctx.Err()
		return jobs.Plan{}, ctx.Err()
	}
	if p.err != nil {
		return jobs.Plan{}, p.err
	}
	if p.plan != nil {
		return *p.plan, nil
	}
	none := []store.AudienceEntry{}
	return jobs.Plan{
		Connection: conn.Name, Kind: store.RunSnapshot, Complete: true, Add: 3, Seconds: 1.25, Blocked: []connectors.Container{}, Items: []jobs.PlanItem{}, Text: jobs.PlanText{Embed: []jobs.PlanEmbed{}},
		Readers: store.Audience{TopReaders: none, TopPeople: none, TopGroups: none},
	}, nil
}

func (p *planner) RequestErasure(ctx context.Context, req store.EraseRequest, by string, events ...audit.Event) (store.Erasure, error) {
	return p.store.RequestErasure(ctx, req, by, events...)
}

// program calls the admin API with a token.
type program struct {
	t     *testing.T
	o     *oauthRig
	token string
	ip    string
}

// program returns one whose token has a role and is an account's, uuid.Nil for nobody's.
func (o *oauthRig) program(t *testing.T, name string, role store.AccountRole, account uuid.UUID) *program {
	t.Helper()
	_, text, err := o.store.CreateAdminToken(t.Context(), store.NewAdminToken{Name: name, Role: role, Account: account})
	if err != nil {
		t.Fatal(err)
	}
	return &program{t: t, o: o, token: text.Reveal(), ip: "192.0.2.7"}
}

// answer is what the admin API said.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
}

// call sends a request; headers are names and values in turn.
func (p *program) call(method, path, body string, headers ...string) answer {
	p.t.Helper()
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.o.server.URL+"/v1/admin"+path, in)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-For", p.ip)
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := p.o.server.Client().Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer{t: p.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header, body: string(text)}
}

// is fails unless the answer has the status; it returns the answer as JSON.
func (a answer) is(status int) map[string]any {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: %d, want %d\n%s", a.what, a.status, status, a.body)
	}
	return a.json()
}

func (a answer) json() map[string]any {
	a.t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal([]byte(a.body), &out); err != nil {
		a.t.Fatalf("%s: %v\n%s", a.what, err, a.body)
	}
	return out
}

// refuses fails unless the answer is a problem with that status, code and field.
func (a answer) refuses(status int, code, field string) {
	a.t.Helper()
	p := a.is(status)
	got, _ := p["field"].(string)
	if a.header.Get("Content-Type") != "application/problem+json" || p["code"] != code || got != field || p["detail"] == "" {
		a.t.Fatalf("%s: %s is not %s of %q\n%s", a.what, a.header.Get("Content-Type"), code, field, a.body)
	}
}

// names returns a field of the items of a page.
func (a answer) names(field string) []string {
	a.t.Helper()
	items, ok := a.is(http.StatusOK)["items"].([]any)
	if !ok {
		a.t.Fatalf("%s: no items\n%s", a.what, a.body)
	}
	out := []string{}
	for _, item := range items {
		m, _ := item.(map[string]any)
		name, _ := m[field].(string)
		out = append(out, name)
	}
	return out
}
