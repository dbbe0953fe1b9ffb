package github

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
)

// wall is what GitHub answers where an admin is in the way.
type wall struct {
	status  int
	message string
	header  map[string]string
	// below restricts it to addresses that contain it.
	below string
}

func (w wall) put(r *rig) {
	r.with(func(s *site) {
		s.refuse = func(rw http.ResponseWriter, req *http.Request) bool {
			if !strings.Contains(req.URL.Path, w.below) {
				return false
			}
			a := no(w.status, w.message)
			a.header = w.header
			s.send(rw, req, a)
			return true
		}
	})
}

// TestWallsOfTheWholeSource: every way to be refused is the problem that says
// what to do, and nothing of the answer is in the error.
func TestWallsOfTheWholeSource(t *testing.T) {
	t.Parallel()
	hint := "Although you appear to have the correct authorization credentials, the `harbour` organization has "
	for name, c := range map[string]struct {
		wall  wall
		code  string
		class connectors.Class
		after time.Duration
	}{
		"an organisation that restricts OAuth apps": {
			wall{status: 403, message: hint + "enabled OAuth App access restrictions, meaning that data access to third-parties is limited."},
			problemApproval, connectors.ScopeDenied, 0,
		},
		"single sign-on by header": {
			wall{status: 403, message: "Resource protected.", header: map[string]string{"X-Github-Sso": "required; url=https://github.com/orgs/harbour/sso?authorization_request=AZSCKL"}},
			problemSSO, connectors.ScopeDenied, 0,
		},
		"single sign-on by message": {
			wall{status: 403, message: "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this organization."},
			problemSSO, connectors.ScopeDenied, 0,
		},
		"a suspended installation":  {wall{status: 403, message: "This installation has been suspended"}, problemSuspended, connectors.ScopeDenied, 0},
		"a permission that lacks":   {wall{status: 403, message: "Resource not accessible by integration"}, problemPermission, connectors.ScopeDenied, 0},
		"an IP allow list":          {wall{status: 403, message: hint + "an IP allow list enabled, and your IP address is not permitted to access this resource."}, problemAddress, connectors.ScopeDenied, 0},
		"the primary limit":         {wall{status: 403, message: "API rate limit exceeded for user ID 101.", header: map[string]string{"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "1772359233"}}, problemPace, connectors.RateLimited, 30 * time.Second},
		"a limit that is over":      {wall{status: 403, message: "API rate limit exceeded for user ID 101.", header: map[string]string{"X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "1772350000"}}, problemPace, connectors.RateLimited, unstatedPause},
		"a secondary limit":         {wall{status: 403, message: "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."}, problemPace, connectors.RateLimited, unstatedPause},
		"a secondary limit in time": {wall{status: 429, message: "You have exceeded a secondary rate limit.", header: map[string]string{"Retry-After": "90"}}, problemPace, connectors.RateLimited, 90 * time.Second},
		"a lost grant":              {wall{status: 401, message: "Bad credentials"}, "", connectors.GrantLost, 0},
		"a plain refusal":           {wall{status: 403, message: "Forbidden", header: map[string]string{"X-Ratelimit-Remaining": "4999", "X-Ratelimit-Reset": "1772359233"}}, "", connectors.ScopeDenied, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, userGrant())
			r.put("a/doc.md", "text")
			c.wall.put(r)
			_, err := r.open().Verify(t.Context())
			e, ok := errors.AsType[*connectors.Error](err)
			if !ok || e.Code != c.code || e.Class != c.class || e.RetryAfter != c.after {
				t.Errorf("code %q, class %s, wait %s, want %q, %s, %s (%v)", codeOf(err), connectors.ClassOf(err), connectors.RetryAfterOf(err), c.code, c.class, c.after, err)
			}
			for _, secret := range []string{"harbour", "AZSCKL", canary} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error says %q: %v", secret, err)
				}
			}
		})
	}
}

// TestWallsOfOneRepository: what is closed is blocked, and the others are read.
func TestWallsOfOneRepository(t *testing.T) {
	t.Parallel()
	for name, w := range map[string]wall{
		"blocked for legal reasons": {status: 451, message: "Repository access blocked"},
		"blocked":                   {status: 403, message: "Repository access blocked"},
		"single sign-on":            {status: 403, message: "no", header: map[string]string{"X-Github-Sso": "required; url=https://github.com"}},
		"gone":                      {status: 404, message: "Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, userGrant())
			closed, open := r.put("a/doc.md", "text"), r.put("b/doc.md", "text")
			r.snapshot()
			w.below = "/repos/harbour/a"
			w.put(r)
			if _, err := r.text(closed); connectors.ClassOf(err) != connectors.ItemRefused {
				t.Errorf("opening its file: class %s, want %s (%v)", connectors.ClassOf(err), connectors.ItemRefused, err)
			}
			r.changes()
			if len(r.docs) != 6 {
				t.Errorf("the feed leaves %d documents, want 6: nothing is inferred to be deleted", len(r.docs))
			}
			if !r.snapshot() {
				t.Error("the listing is not complete")
			}
			if _, there := r.docs[closed]; there {
				t.Error("a file of the closed repository is listed")
			}
			if _, there := r.docs[open]; !there {
				t.Error("a file of the other repository is missing")
			}
			repo, _, _ := strings.Cut(closed, ":file")
			if len(r.blocked) != 1 || r.blocked[0].ID != repo {
				t.Errorf("blocked: %+v", r.blocked)
			}
			for _, m := range r.groups() {
				if m.Group.ID == repo {
					t.Errorf("%+v reads it", m.Member)
				}
			}
			r.changes()
			r.with(func(s *site) { s.refuse = nil })
			if _, err := r.tryChanges(); connectors.ClassOf(err) != connectors.CursorExpired {
				t.Errorf("it opened again: class %s, want a new snapshot (%v)", connectors.ClassOf(err), err)
			}
		})
	}
}

// TestApp: an app that is not installed, or suspended, says so; what is
// suspended makes no listing complete.
func TestApp(t *testing.T) {
	t.Parallel()
	r := newRig(t, appGrant())
	r.put("a/doc.md", "text")
	r.put("c/doc.md", "text")
	suspend := func(harbour, lantern bool) {
		r.with(func(s *site) { s.orgs["harbour"].suspended, s.orgs["lantern"].suspended = harbour, lantern })
	}
	verify := func(code, says string) {
		t.Helper()
		summary, err := r.open().Verify(t.Context())
		if codeOf(err) != code || !strings.Contains(summary, says) {
			t.Errorf("summary %q, error %v, want %q and %q", summary, err, says, code)
		}
	}
	verify("", "github.com, as alice, 2 repositories")
	if !r.snapshot() {
		t.Error("the listing is not complete")
	}
	suspend(true, false)
	verify("", "missing")
	if r.snapshot() {
		t.Error("one installation is suspended, and the listing is complete")
	}
	suspend(true, true)
	verify(problemSuspended, "")
	suspend(false, false)
	r.with(func(s *site) { s.orgs["harbour"].uninstalled, s.orgs["lantern"].uninstalled = true, true })
	verify(problemInstall, "")
}

// TestSingleSignOnLeavesOut: a list from which organisations are missing is
// never complete, and nothing of them is given up.
func TestSingleSignOnLeavesOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	id := r.put("a/doc.md", "text")
	r.put("c/doc.md", "text")
	r.snapshot()
	var gone *siteRepo
	r.with(func(s *site) { s.sso, gone, s.repos = "partial-results; organizations=11", s.repos[0], s.repos[1:] })
	r.changes()
	if _, there := r.docs[id]; !there {
		t.Error("the feed gave up what single sign-on hides")
	}
	r.with(func(s *site) { s.sso, s.repos = "", append([]*siteRepo{gone}, s.repos...) })
	r.put("a/doc.md", "edited")
	r.changes()
	if text, err := r.text(id); text != "edited" {
		t.Errorf("after signing on the text is %q, error %v", text, err)
	}
	r.with(func(s *site) { s.sso = "partial-results; organizations=11" })
	if r.snapshot() {
		t.Error("a partial list is complete")
	}
}

// TestReadersThatCannotBeListed: nobody reads, the run says how many, and the
// groups have the readers when they can be listed.
func TestReadersThatCannotBeListed(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	id := r.put("a/doc.md", "text")
	r.put("b/doc.md", "text")
	r.with(func(s *site) { s.repo("a").hideReaders = true })
	r.snapshot()
	s := r.open()
	for m, err := range s.Groups(t.Context()) {
		if err != nil || strings.HasPrefix(id, m.Group.ID+":") {
			t.Errorf("membership %+v, error %v", m, err)
		}
	}
	if n := s.Counts()["repositories_without_readers"]; n != 1 {
		t.Errorf("%d repositories without readers", n)
	}
	if summary, err := s.Verify(t.Context()); err != nil || !strings.Contains(summary, "readers of 1") {
		t.Errorf("summary %q, error %v", summary, err)
	}
	r.with(func(s *site) { s.repo("a").hideReaders = false })
	if !readersBy(r.docs[id].ACL, r.groups(), r.site.principal(siteMe)) {
		t.Error("the readers can be listed, and the owner does not read")
	}
}

// TestEveryProblemIsMet: the walls above are all that the Spec names.
func TestEveryProblemIsMet(t *testing.T) {
	t.Parallel()
	met := map[string]bool{
		problemApproval: true, problemSSO: true, problemInstall: true, problemSuspended: true, problemPermission: true,
		problemReaders: true, problemAddress: true, problemLegal: true, problemPace: true,
	}
	for _, p := range problems() {
		if !met[p.Code] {
			t.Errorf("no test meets %s", p.Code)
		}
		delete(met, p.Code)
	}
	if len(met) > 0 {
		t.Errorf("the Spec does not name %v", met)
	}
}
