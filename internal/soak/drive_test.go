package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	connector "tributary/connectors/sandbox"
	"tributary/internal/httpx"
	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
	"tributary/jobs"
	"tributary/oauthflow/client"
	"tributary/store"
)

const domain = "soak.example"

// drive is a Sandbox Drive behind a gate.
type drive struct {
	gate   *gate
	world  *sandbox.World
	faults *sandbox.Faults
	server *http.Server
	addr   string
	tokens *tokens
	next   int
	page   int
}

func newDrive(r *rand.Rand) (*drive, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, err
	}
	d := &drive{addr: "localhost:" + port, page: 4 + r.IntN(6)}
	s, err := sandbox.New(sandbox.Config{BaseURL: "http://" + d.addr, Org: d.organisation(r)})
	if err != nil {
		return nil, err
	}
	s.Faults().Set(func(o *sandbox.Options) { o.RatePerSecond = 0 })
	d.world, d.faults = s.World(), s.Faults()
	d.gate = &gate{drive: s.Handler(), count: map[trouble]int{}}
	if d.gate.real, err = realToken(s, d.addr); err != nil {
		return nil, err
	}
	d.tokens = &tokens{g: d.gate, held: d.gate.name()}
	d.server = &http.Server{Handler: d.gate, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = d.server.Serve(l) }()
	return d, nil
}

// realToken is one of a client that reads the whole organisation.
func realToken(s *sandbox.Server, host string) (string, error) {
	id, secret, err := s.Register("http://127.0.0.1:8080/oauth/callback")
	if err != nil {
		return "", err
	}
	req := httptest.NewRequest(http.MethodPost, "http://"+host+"/oauth/token", strings.NewReader("grant_type=client_credentials&token_life=86400"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	rec := httptest.NewRecorder()
	s.Handler().ServeHTTP(rec, req)
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil || answer.AccessToken == "" {
		return "", fmt.Errorf("%w: status %d: %s", errNoToken, rec.Code, rec.Body)
	}
	return answer.AccessToken, nil
}

func (d *drive) connector() connectors.Connector {
	return connector.New(connector.Config{PageSize: d.page, Retry: httpx.Retry{Attempts: 2, Base: time.Millisecond, MaxWait: 5 * time.Millisecond}})
}

func (d *drive) authorise(context.Context, store.Connection, connectors.Spec) (jobs.Authorised, error) {
	allow, err := httpx.ParseAllowList([]string{d.addr})
	if err != nil {
		return jobs.Authorised{}, err
	}
	c, err := client.New(client.Config{
		Grant: uuid.New(), Tokens: d.tokens, Hosts: []string{d.addr}, Options: httpx.Options{Allow: allow, PlainLoopback: true},
	})
	return jobs.Authorised{HTTP: c, Base: "http://" + d.addr}, err
}

func (d *drive) settings() map[string]string     { return map[string]string{} }
func (d *drive) selection() connectors.Selection { return connectors.Selection{} }
func (d *drive) close()                          { _ = d.server.Close() }

func (d *drive) mend() {
	d.gate.mend()
	d.faults.Clear()
	d.faults.Set(func(o *sandbox.Options) { o.RatePerSecond = 0 })
}

func (d *drive) hits() map[trouble]int {
	d.gate.mu.Lock()
	defer d.gate.mu.Unlock()
	return maps.Clone(d.gate.count)
}

func (d *drive) atPage(n int, fn func()) {
	d.gate.mu.Lock()
	defer d.gate.mu.Unlock()
	d.gate.hooks = append(d.gate.hooks, &hook{left: n, fn: fn})
}

func (d *drive) disturb(r *rand.Rand, k trouble) {
	pages := []place{onItems, onChanges}
	places := append(slices.Clone(pages), onContent, onFolder, onGroups)
	f := rule{kind: k, on: pick(r, places), from: 1 + r.IntN(4), times: 1 + r.IntN(2)*2}
	switch k {
	case broken:
		f.status = pick(r, []int{500, 502, 503, 504})
	case truncated:
		f.on = pick(r, append(pages, onContent))
	case expired:
		f.on, f.from = pick(r, pages), 1+r.IntN(3)
		d.gate.add(rule{kind: k, on: onChanges, from: 1, times: 1})
	case looping:
		f.on, f.from, f.times = onItems, 2+r.IntN(3), 0
	case empty, half:
		f.on, f.from, f.times = onItems, 1, 0
	case forbidden:
		f.on, f.from, f.status, f.times = onFolder, 1, http.StatusForbidden, 1
	case refused:
		f.on, f.status = onContent, pick(r, []int{http.StatusForbidden, http.StatusNotFound})
	case token:
		f.times = 1
	case deleted, moved:
		return
	case limited, limitedMum, reset:
	}
	d.gate.add(f)
}

func (d *drive) truth() map[string]string {
	out := map[string]string{}
	for _, it := range d.world.Items() {
		if it.Kind == "file" {
			out[it.ID] = it.Body
		}
	}
	return out
}

// closed is empty: what lies in a folder that is closed is listed all the same.
func (d *drive) closed() map[string]string { return nil }

func (d *drive) people() []connectors.Principal {
	var all []connectors.Principal
	for _, p := range d.world.People() {
		all = append(all, connectors.Principal{Kind: connectors.User, ID: p.ID})
	}
	return all
}

func (d *drive) canRead(p connectors.Principal, id string) bool { return d.world.CanRead(p.ID, id) }

// of returns the ids of the items of a kind.
func (d *drive) of(kind string) []string {
	var ids []string
	for _, it := range d.world.Items() {
		if it.Kind == kind {
			ids = append(ids, it.ID)
		}
	}
	return ids
}

func (d *drive) remove(r *rand.Rand) { _ = d.world.Delete(pick(r, d.of("file"))) }

func (d *drive) move(r *rand.Rand) { _ = d.world.Move(pick(r, d.of("file")), d.folder(r)) }

func (d *drive) folder(r *rand.Rand) string { return pick(r, append(d.of("folder"), "")) }

// churn makes one change. What the drive refuses, such as a folder inside
// itself, has not happened.
func (d *drive) churn(r *rand.Rand) {
	w, file := d.world, pick(r, d.of("file"))
	item := pick(r, []string{file, file, file, pick(r, d.of("folder"))})
	switch r.IntN(12) {
	case 0, 1:
		_, _ = w.Create(d.file(r, d.folder(r)))
	case 2, 3:
		_ = w.Edit(file, d.text(r))
	case 4:
		_ = w.Rename(item, fmt.Sprintf("renamed-%d.md", r.IntN(1000)))
	case 5:
		_ = w.Move(item, d.folder(r))
	case 6:
		_ = w.Share(item, d.entry(r))
	case 7:
		if it, ok := w.Item(item); ok && len(it.Entries) > 0 {
			e := pick(r, it.Entries)
			_ = w.Unshare(item, e.Kind, e.ID)
		}
	case 8:
		_ = w.SetAccess(item, r.IntN(4) > 0, r.IntN(4) == 0)
	case 9:
		_ = w.Delete(file)
		if r.IntN(3) == 0 {
			_ = w.Restore(file)
		}
	case 10:
		ref := pick(r, []company.Ref{{Kind: "user", ID: pick(r, peopleIDs())}, {Kind: "group", ID: pick(r, groupIDs())}})
		if r.IntN(2) == 0 {
			_ = w.AddMember(pick(r, groupIDs()), ref)
		} else {
			_ = w.RemoveMember(pick(r, groupIDs()), ref)
		}
	default:
		_ = w.SetActive(pick(r, peopleIDs()), r.IntN(3) > 0)
	}
}

func peopleIDs() []string { return []string{"p-0", "p-1", "p-2", "p-3", "p-4", "p-5"} }
func groupIDs() []string  { return []string{"g-0", "g-1", "g-2"} }

// organisation is a small company.
func (d *drive) organisation(r *rand.Rand) company.Organisation {
	org := company.Organisation{ID: "org-soak", Name: "Soak", Domain: domain}
	for i, id := range peopleIDs() {
		at := domain
		if i == 5 {
			at = "guests.example"
		}
		org.People = append(org.People, company.Person{ID: id, Name: strings.ToUpper(id), Email: id + "@" + at, Active: true, Verified: r.IntN(4) > 0})
	}
	for _, id := range groupIDs() {
		g := company.Group{ID: id, Name: id}
		for _, p := range peopleIDs() {
			if r.IntN(3) == 0 {
				g.Members = append(g.Members, company.Ref{Kind: "user", ID: p})
			}
		}
		if other := pick(r, groupIDs()); other != id {
			g.Members = append(g.Members, company.Ref{Kind: "group", ID: other})
		}
		org.Groups = append(org.Groups, g)
	}
	parents := []string{""}
	for i := range 5 {
		it := company.Item{ID: fmt.Sprintf("fld-%d", i), Kind: "folder", Name: fmt.Sprintf("Folder %d", i), ParentID: pick(r, parents), Inherit: true, Entries: d.entries(r)}
		org.Items = append(org.Items, it)
		parents = append(parents, it.ID)
	}
	for range documents {
		org.Items = append(org.Items, d.file(r, pick(r, parents)))
	}
	stamp := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range org.Items {
		org.Items[i].Created, org.Items[i].Updated = stamp, stamp
	}
	return org
}

func (d *drive) file(r *rand.Rand, parent string) company.Item {
	d.next++
	return company.Item{
		ID: fmt.Sprintf("itm-%05d", d.next), Kind: "file", Name: fmt.Sprintf("paper-%d.md", d.next), ParentID: parent, MediaType: "text/markdown",
		Body: d.text(r), AuthorID: pick(r, peopleIDs()), Inherit: r.IntN(4) > 0, Restricted: r.IntN(8) == 0, Entries: d.entries(r),
	}
}

func (d *drive) entries(r *rand.Rand) []company.Entry {
	var all []company.Entry
	for range r.IntN(3) {
		all = append(all, d.entry(r))
	}
	return all
}

func (d *drive) entry(r *rand.Rand) company.Entry {
	e := pick(r, []company.Entry{
		{Kind: "user", ID: pick(r, peopleIDs())},
		{Kind: "group", ID: pick(r, groupIDs())},
		{Kind: "group", ID: pick(r, groupIDs())},
		{Kind: "domain", ID: domain},
		{Kind: "anyone", ID: "org-soak"},
		{Kind: "link", ID: "link"},
	})
	e.Role = pick(r, []string{"reader", "reader", "reader", "writer", "owner", "blocked"})
	return e
}

func (d *drive) text(r *rand.Rand) string {
	words := strings.Fields("river delta spring harbour lock weir tide bank mill bridge ferry marsh estuary basin reed otter heron")
	var b strings.Builder
	fmt.Fprintf(&b, "# %s %s\n", pick(r, words), pick(r, words))
	for range 1 + r.IntN(3) {
		fmt.Fprintf(&b, "\n## %s\n\n%s", pick(r, words), pick(r, words))
		for range 20 + r.IntN(40) {
			b.WriteString(" " + pick(r, words))
		}
		b.WriteString("\n")
	}
	return b.String()
}
