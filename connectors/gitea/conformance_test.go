package gitea

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/internal/httpx"
)

var _ connectortest.Site = (*site)(nil)

var numbered = regexp.MustCompile(`(\d\d)\.md$`)

// kindOf says what the kit's item of a name is at this site: files, and among them issues, pull requests and wiki pages.
func kindOf(name string) string {
	m := numbered.FindStringSubmatch(name)
	if m == nil {
		return kindFile
	}
	n, _ := strconv.Atoi(m[1])
	kinds := []string{kindFile, kindIssue, kindWiki, kindPull, kindFile, kindPull, kindFile, kindWiki, kindIssue, kindFile, kindWiki, kindIssue}
	return kinds[n%len(kinds)]
}

// split takes the name of the kit's item apart into the repository and the rest.
func split(name string) (repo, rest string) {
	repo, rest, _ = strings.Cut(name, "/")
	return repo, rest
}

// Put creates or edits a file, an issue, a pull request or a wiki page.
func (s *site) Put(name, text string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(name, text), nil
}

func (s *site) put(name, text string) string {
	repoName, rest := split(name)
	r := s.w.repo(repoName)
	var id string
	switch kindOf(name) {
	case kindFile:
		r.files[rest] = text
		r.commit(s.w)
		id = (&repository{ID: r.id}).fileID(rest)
	case kindWiki:
		s.w.writeWiki(r, wikiSub(rest), rest, text)
		id = (&repository{ID: r.id}).wikiID(wikiSub(rest))
	default:
		id = s.putIssue(r, name, rest, text)
	}
	s.names[name] = id
	return id
}

func (s *site) putIssue(r *fakeRepo, name, title, text string) string {
	if id, ok := s.names[name]; ok {
		_, _, rest, _ := splitID(id)
		n, _ := strconv.ParseInt(rest, 10, 64)
		if is := r.issues[n]; is != nil {
			is.body, is.updated = text, s.w.tick()
			return id
		}
	}
	r.nextIssue++
	is := &fakeIssue{number: r.nextIssue, title: title, body: text, pull: kindOf(name) == kindPull, updated: s.w.tick()}
	r.issues[is.number] = is
	s.w.remark(is, carol, "A remark on "+title+".")
	if is.pull {
		is.reviews = []fakeReview{{id: s.w.id(), body: "A review of " + title + ".", lines: []string{"A line of it."}}}
	}
	return (&repository{ID: r.id}).issueID(is.number)
}

// Delete removes a document.
func (s *site) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _ := s.w.unitOf(id)
	_, kind, rest, _ := splitID(id)
	switch kind {
	case "file":
		delete(r.files, rest)
		r.commit(s.w)
	case "issue":
		n, _ := strconv.ParseInt(rest, 10, 64)
		delete(r.issues, n)
	case "wiki":
		delete(r.wiki, rest)
	default:
		return errors.ErrUnsupported
	}
	s.w.tick()
	for name, other := range s.names {
		if other == id {
			delete(s.names, name)
		}
	}
	return nil
}

// Move renames a file; it has another id then.
func (s *site) Move(id, name string) (string, error) {
	s.mu.Lock()
	r, _ := s.w.unitOf(id)
	_, kind, rest, _ := splitID(id)
	if kind != "file" || kindOf(name) != kindFile {
		s.mu.Unlock()
		return "", errors.ErrUnsupported
	}
	text := r.files[rest]
	s.mu.Unlock()
	if err := s.Delete(id); err != nil {
		return "", err
	}
	return s.Put(name, text)
}

// Truth returns every document, those of the repositories themselves too.
func (s *site) Truth() ([]connectortest.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []connectortest.Item
	for _, r := range s.w.repos {
		if s.about {
			all = append(all, connectortest.Item{ID: "repo:" + strconv.FormatInt(r.id, 10), Name: r.name + "/", Text: r.about})
		}
	}
	for name, id := range s.names {
		r, _ := s.w.unitOf(id)
		_, kind, rest, _ := splitID(id)
		var text string
		switch kind {
		case "file":
			text = r.files[rest]
		case "wiki":
			text = r.wiki[rest].text
		default:
			n, _ := strconv.ParseInt(rest, 10, 64)
			text = r.issues[n].body
		}
		all = append(all, connectortest.Item{ID: id, Name: name, Text: text})
	}
	return all, nil
}

// People returns everybody, the restricted account too.
func (s *site) People() []connectors.Principal {
	var all []connectors.Principal
	for _, u := range s.w.users {
		all = append(all, connectors.Principal{Kind: connectors.User, ID: strconv.FormatInt(u.id, 10)})
	}
	return all
}

// CanRead is the server's own rule.
func (s *site) CanRead(who connectors.Principal, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := strconv.ParseInt(who.ID, 10, 64)
	r, u := s.w.unitOf(id)
	return r != nil && s.w.may(n, r, u)
}

// Share changes the rights of the document's repository, because a document has none of its own.
func (s *site) Share(id string, with connectortest.Audience) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, _ := s.w.unitOf(id)
	switch with {
	case connectortest.ForOne:
		r.private, r.collaborators, r.teams = true, []int64{dave}, []int64{r.owner.teams[0].id}
	case connectortest.ForGroup:
		r.private, r.collaborators, r.teams = true, nil, []int64{r.owner.teams[0].id, r.owner.teams[1].id, r.owner.teams[2].id}
	case connectortest.ForAll:
		r.private, r.collaborators, r.teams = false, nil, []int64{r.owner.teams[0].id}
	default:
		return errors.ErrUnsupported
	}
	return nil
}

// Memberships are those of the whole world.
func (s *site) Memberships() ([]connectors.Membership, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.memberships(), nil
}

// Emails is what the source does not tell.
func (s *site) Emails() ([]connectors.Person, error) { return nil, errors.ErrUnsupported }

// ChangeMembership takes bob out of the readers and puts dave in, in every organisation.
func (s *site) ChangeMembership() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.w.owners {
		readers := o.teams[1]
		if slices.Contains(readers.members, bob) {
			readers.members = []int64{carol, dave, rick}
		} else {
			readers.members = []int64{bob, carol, rick}
		}
	}
	s.w.repos[0].collaborators = append(slices.Clone(s.w.repos[0].collaborators), bob)
	slices.Sort(s.w.repos[0].collaborators)
	s.w.repos[0].collaborators = slices.Compact(s.w.repos[0].collaborators)
	return nil
}

// Fail sets a fault. A container is a repository, and a forgotten position a branch that was rewritten.
func (s *site) Fail(f connectortest.Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	aclKinds := []connectortest.FaultKind{connectortest.Forbidden, connectortest.NotFound, connectortest.ServerError}
	switch {
	case f.Kind == connectortest.ExpiredCursor && f.On == connectortest.OnFeed:
		for _, r := range s.w.repos {
			clear(r.trees)
			r.commit(s.w)
		}
	case f.Kind == connectortest.ExpiredCursor:
		return errors.ErrUnsupported
	case f.Kind == connectortest.Truncated && kindOf(f.Name) != kindFile:
		return errors.ErrUnsupported
	case f.On == connectortest.OnACL && !slices.Contains(aclKinds, f.Kind):
		return errors.ErrUnsupported
	default:
		s.faults = append(s.faults, &siteFault{Fault: f})
	}
	return nil
}

// Mend takes every fault away.
func (s *site) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	close(s.mended)
	s.mended = make(chan struct{})
}

// BodyOpens counts what was asked for one document.
func (s *site) BodyOpens() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies, nil
}

// Names are an account, a team and the signed-in.
func (s *site) Names() (map[string]connectors.Principal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.w.repo("a")
	return map[string]connectors.Principal{
		"gitea:alice":          {Kind: connectors.User, ID: "1"},
		"gitea:BOB":            {Kind: connectors.User, ID: "2"},
		"gitea:@org-a/Readers": {Kind: connectors.Group, ID: "team:" + strconv.FormatInt(r.owner.teams[1].id, 10)},
		"gitea:signed-in":      {Kind: connectors.Group, ID: "signed-in"},
	}, nil
}

func testConfig() Config {
	return Config{PageSize: pageSize, TreePage: pageSize, Retry: httpx.Retry{Attempts: 1}}
}

// harness is the kit's, with something put before the site.
func harness(wrap func(http.Handler) http.Handler) connectortest.Harness {
	return connectortest.Harness{Rendered: true, Setup: func(tb connectortest.TB) connectortest.Fixture {
		s := newSite(wrap)
		client, release := s.client()
		tb.Cleanup(func() {
			release()
			s.close()
		})
		return connectortest.Fixture{
			Connector: New(testConfig()), Site: s, Secret: canary, // The kit deletes and edits every document, which those of the repositories themselves are not for.
			Env: connectors.Env{HTTP: client, Base: s.server.URL + subPath, Settings: map[string]string{settingAbout: "false"}},
		}
	}}
}

// TestConformance is not parallel: the kit looks for goroutines left behind.
func TestConformance(t *testing.T) { connectortest.Run(t, harness(nil)) }
