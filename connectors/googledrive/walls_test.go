package googledrive

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

// TestWalls plays every obstacle that the Spec names, and holds the error to
// its code, its class and its remedy.
func TestWalls(t *testing.T) {
	t.Parallel()
	wall := func(op string, status int, reason string) func(*rig) {
		return func(r *rig) {
			r.refuse = func(at string, _ *http.Request) (int, string) {
				if at == op {
					return status, reason
				}
				return 0, ""
			}
		}
	}
	proven := map[string]bool{}
	for _, c := range []struct {
		name, code string
		class      connectors.Class
		build      func(*rig)
		says       string
	}{
		{"a grant that has ended", problemEnded, connectors.GrantLost, wall("files.list", 401, "authError"), "Testing"},
		{"the Drive API is off", problemAPI, connectors.ClientRejected, wall("files.list", 403, "accessNotConfigured"), "Enable"},
		{"the Admin SDK is off", problemAPI, connectors.ClientRejected, wall("users.list", 403, "accessNotConfigured"), "Admin SDK"},
		{"the box of Drive unticked", problemScope, connectors.ScopeDenied, func(r *rig) { r.scopes = []string{scopeUsers, scopeMembers} }, scopeDrive},
		{"the box of the directory unticked", problemScope, connectors.ScopeDenied, func(r *rig) { r.scopes = []string{scopeDrive, scopeMembers} }, scopeUsers},
		{"no administrator", problemAdmin, connectors.ScopeDenied, wall("users.list", 403, "forbidden"), "administrator"},
		{"an administrator of users alone", problemAdmin, connectors.ScopeDenied, func(r *rig) { r.groups["space"].status = http.StatusForbidden }, "groups"},
		{"apps blocked", problemBlocked, connectors.ClientRejected, wall("files.list", 403, "domainPolicy"), "Admin console"},
		{"too many requests in a minute", problemRate, connectors.RateLimited, wall("files.list", 403, "userRateLimitExceeded"), "by itself"},
		{"too many requests of the project", problemRate, connectors.RateLimited, wall("files.list", 403, "rateLimitExceeded"), "by itself"},
		{"the day's quota", problemDaily, connectors.RateLimited, wall("files.list", 403, "dailyLimitExceeded"), "quota"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.put(t, "b/doc.md")
			c.build(r)
			_, err := r.open(t).Verify(t.Context())
			for _, failed := range r.open(t).Groups(t.Context()) {
				err = errors.Join(err, failed)
			}
			e, ok := errors.AsType[*connectors.Error](err)
			if !ok || e.Code != c.code || e.Class != c.class || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want code %s, class %s and %q", err, c.code, c.class, c.says)
			}
			if strings.Contains(err.Error(), "It is refused.") {
				t.Errorf("the answer's own words are in %v", err)
			}
		})
		proven[c.code] = true
	}
	for _, p := range New(Config{}).Spec().Problems {
		if !proven[p.Code] {
			t.Errorf("problem %q is played nowhere", p.Code)
		}
	}
}

// TestLimitsCarryTheirTime holds a limit that says when to come back to it.
func TestLimitsCarryTheirTime(t *testing.T) {
	t.Parallel()
	reasons := New(Config{}).Spec().Pace.Reasons
	for _, want := range []string{"rateLimitExceeded", "userRateLimitExceeded"} {
		if !slices.Contains(reasons, want) {
			t.Errorf("the pace does not know %s: %v", want, reasons)
		}
	}
}

// TestOneFileRefused tells refusals of one file from those of the source.
func TestOneFileRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		reason string
		want   connectors.Class
	}{
		{403, "insufficientFilePermissions", connectors.ItemRefused},
		{403, "appNotAuthorizedToFile", connectors.ItemRefused},
		{403, "cannotDownloadFile", connectors.ItemRefused},
		{403, "cannotDownloadAbusiveFile", connectors.ItemRefused},
		{404, "notFound", connectors.ItemRefused},
		{403, "fileNotExportable", connectors.ItemSkipped},
		{403, "exportSizeLimitExceeded", connectors.ItemSkipped},
		{403, "userRateLimitExceeded", connectors.RateLimited},
		{403, "insufficientPermissions", connectors.ScopeDenied},
		{500, "backendError", connectors.Transient},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			id := r.put(t, "a/deep/doc.md")
			doc := find(t, read(t, r.open(t).Snapshot(t.Context(), nil)), id)
			r.refuse = func(op string, _ *http.Request) (int, string) {
				if op == "files.export" {
					return c.status, c.reason
				}
				return 0, ""
			}
			if _, err := text(t, doc); connectors.ClassOf(err) != c.want {
				t.Errorf("%v, want class %s", err, c.want)
			}
		})
	}
}
