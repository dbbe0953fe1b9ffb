package connectortest_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
)

// plainSite has what every site has: items, people, and its own answers.
type plainSite struct {
	connectortest.Limited
	site *reference.Site
}

func (s plainSite) Put(name, text string) (string, error)          { return s.site.Put(name, text) }
func (s plainSite) Delete(id string) error                         { return s.site.Delete(id) }
func (s plainSite) Truth() ([]connectortest.Item, error)           { return s.site.Truth() }
func (s plainSite) People() []connectors.Principal                 { return s.site.People() }
func (s plainSite) CanRead(p connectors.Principal, id string) bool { return s.site.CanRead(p, id) }

// plainHarness is a connector that claims caps, on a site that cannot do
// anything that is optional.
func plainHarness(caps ...connectors.Capability) connectortest.Harness {
	return connectortest.Harness{Setup: func(connectortest.TB) connectortest.Fixture {
		w := reference.New()
		w.SetPageSize(3)
		c := twistedConnector{inner: w.Connector(), twist: twist{
			spec: func(s connectors.Spec) connectors.Spec { s.Provides = caps; return s },
			open: func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error) {
				s, err := next(ctx, env)
				if len(caps) > 0 {
					return s, err
				}
				return struct{ connectors.Session }{s}, err
			},
		}}
		return connectortest.Fixture{
			Connector: c, Site: plainSite{site: reference.NewSite(w)},
			Env: connectors.Env{Settings: w.Settings()},
		}
	}}
}

// TestPlainSourceSkipsByName: a connector that claims nothing passes on a site
// that can do nothing more, and every rule that it leaves out says why.
func TestPlainSourceSkipsByName(t *testing.T) {
	judged := 0
	for _, r := range connectortest.Rules() {
		v, err := connectortest.CheckRule(t.Context(), plainHarness(), r.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range v.Violations {
			t.Error(one)
		}
		if v.Skipped == "" {
			judged++
		}
	}
	const least = 25
	if judged < least {
		t.Errorf("%d rules judged a plain source, want at least %d", judged, least)
	}
}

// TestClaimsMayNotBeSkipped: what the Spec claims and the site cannot show is a
// violation.
func TestClaimsMayNotBeSkipped(t *testing.T) {
	for rule, capability := range map[string]connectors.Capability{
		"acl-feed-same": connectors.CanPermissions,
		"groups-equal":  connectors.CanGroups,
		"people-equal":  connectors.CanPeople,
		"feed-expired":  connectors.CanChanges,
		"class-feed":    connectors.CanChanges,
		"name-resolves": connectors.CanName,
	} {
		v, err := connectortest.CheckRule(t.Context(), plainHarness(capability), rule)
		if err != nil {
			t.Fatal(err)
		}
		claimed := slices.ContainsFunc(v.Violations, func(one connectortest.Violation) bool {
			return strings.Contains(one.Detail, "the Spec claims")
		})
		if !claimed {
			t.Errorf("%s: the site cannot show %q, and the rule has %v, skipped %q", rule, capability, v.Violations, v.Skipped)
		}
	}
}

// TestAProviderNeedsASecret: a connector with a provider that plants none is
// not judged leniently.
func TestAProviderNeedsASecret(t *testing.T) {
	h := plainHarness()
	setup := h.Setup
	h.Setup = func(tb connectortest.TB) connectortest.Fixture {
		f := setup(tb)
		c, ok := f.Connector.(twistedConnector)
		if !ok {
			tb.Fatalf("the connector is a %T", f.Connector)
		}
		c.twist.spec = func(s connectors.Spec) connectors.Spec {
			s.Provides, s.Provider = nil, "example"
			return s
		}
		f.Connector = c
		return f
	}
	for _, rule := range []string{"secret-log", "secret-error"} {
		v, err := connectortest.CheckRule(t.Context(), h, rule)
		if err != nil || len(v.Violations) == 0 {
			t.Errorf("%s: verdict %+v, error %v", rule, v, err)
		}
	}
}

// TestHangingConnectorIsAVerdict: a connector that never returns costs a
// violation and not the suite.
func TestHangingConnectorIsAVerdict(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	b := breakage{twist: func(*bench) twist {
		return twist{seq: func(lane, context.Context, connectors.Cursor, reader) pages {
			return func(func(connectors.Page, error) bool) { <-over }
		}}
	}}
	h := b.harness(t)
	h.Timeout = 50 * time.Millisecond
	v, err := connectortest.CheckRule(t.Context(), h, "crawl-truth")
	if err != nil || len(v.Violations) != 1 || !strings.Contains(v.Violations[0].Detail, "does not return") {
		t.Errorf("verdict %+v, error %v", v, err)
	}
}

// TestPanicIsAVerdict: a connector that panics costs a violation.
func TestPanicIsAVerdict(t *testing.T) {
	b := breakage{twist: func(*bench) twist {
		return twist{seq: func(lane, context.Context, connectors.Cursor, reader) pages { panic("out of order") }}
	}}
	v, err := connectortest.CheckRule(t.Context(), b.harness(t), "crawl-truth")
	if err != nil || len(v.Violations) != 1 || !strings.Contains(v.Violations[0].Detail, "out of order") {
		t.Errorf("verdict %+v, error %v", v, err)
	}
}

// TestTooFewPagesIsAVerdict: a listing of one page would prove nothing about
// the boundaries of pages.
func TestTooFewPagesIsAVerdict(t *testing.T) {
	h := plainHarness()
	h.Items = 5
	v, err := connectortest.CheckRule(t.Context(), h, "resume-pages")
	if err != nil || len(v.Violations) == 0 || !strings.Contains(v.Violations[0].Detail, "the harness") {
		t.Errorf("verdict %+v, error %v", v, err)
	}
}

func TestUnknownRule(t *testing.T) {
	if _, err := connectortest.CheckRule(t.Context(), plainHarness(), "no-such-rule"); err == nil {
		t.Error("no error")
	}
}

func TestRuleIDsAreUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range connectortest.Rules() {
		if r.ID == "" || r.Says == "" || seen[r.ID] {
			t.Errorf("rule %q: ids are unique, and every rule says what it wants", r.ID)
		}
		seen[r.ID] = true
	}
}

// TestCheckNamesEveryBrokenRule: the whole suite in one call, on a connector
// with two things wrong.
func TestCheckNamesEveryBrokenRule(t *testing.T) {
	b := breakage{twist: func(*bench) twist {
		return twist{
			spec:   func(s connectors.Spec) connectors.Spec { s.CursorVersion = 0; return s },
			verify: func(string, error) (string, error) { return "", nil },
		}
	}}
	got := map[string]bool{}
	for _, v := range connectortest.Check(t.Context(), b.harness(t)) {
		got[v.Rule] = true
	}
	for _, want := range []string{"spec-valid", "verify-works", "verify-honest"} {
		if !got[want] {
			t.Errorf("%s is not named", want)
		}
		delete(got, want)
	}
	if len(got) > 0 {
		t.Errorf("named besides: %v", got)
	}
}
