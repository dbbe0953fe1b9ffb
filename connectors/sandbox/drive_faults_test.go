package sandbox

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tributary/connectors"
	server "tributary/internal/sandbox"
)

// TestFaultsOfTheDrive have their classes.
func TestFaultsOfTheDrive(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	s := d.consented(t, "anna")
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	defer elsewhere.Close()
	d.Faults().Set(func(o *server.Options) { o.RetryAfter, o.RedirectTo = 7*time.Second, elsewhere.URL })
	for _, c := range []struct {
		kind server.Kind
		want connectors.Class
	}{
		{server.RateLimited, connectors.RateLimited},
		{server.ItemsError, connectors.Transient},
		{server.ItemsTruncated, connectors.Transient},
		{server.ItemsExpired, connectors.CursorExpired},
	} {
		d.Faults().Next(c.kind, 1)
		err := snapshotError(t, s)
		wantClass(t, err, c.want)
		if c.want == connectors.RateLimited && connectors.RetryAfterOf(err) != 7*time.Second {
			t.Errorf("Retry-After %s", connectors.RetryAfterOf(err))
		}
	}
	for _, c := range []struct {
		kind server.Kind
		want connectors.Class
	}{
		{server.ContentForbidden, connectors.ItemRefused},
		{server.ContentGone, connectors.ItemRefused},
		{server.ContentError, connectors.Transient},
		{server.ContentTruncated, connectors.Transient},
		{server.ContentRedirect, connectors.ItemSkipped},
	} {
		d.Faults().Next(c.kind, 1)
		rc, err := s.open(t.Context(), connectors.ItemRef{ID: "travel-rules", Revision: "1"})
		if err == nil {
			_, err = io.ReadAll(rc)
			_ = rc.Close()
		}
		wantClass(t, err, c.want)
	}
	// A page that names itself as the next, and one without items, end nowhere
	// else than where the listing ends.
	d.Faults().Next(server.ItemsEmpty, 1)
	if n := len(snapshot(t, s)); n != files(d.World().Items())-2 {
		t.Errorf("%d documents behind an empty page", n)
	}
	d.Faults().Next(server.ItemsRepeat, 50)
	wantClass(t, snapshotError(t, s), connectors.Transient, "repeats")
	d.Faults().Clear()
	from, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.Faults().ExpireFeed()
	for _, err := range s.Changes(t.Context(), from) {
		wantClass(t, err, connectors.CursorExpired)
	}
}

// TestUntickedScopes are named.
func TestUntickedScopes(t *testing.T) {
	t.Parallel()
	d := startDrive(t)
	s := d.consented(t, "anna", scopeGroups)
	if len(snapshot(t, s)) == 0 {
		t.Error("files need no groups")
	}
	for _, err := range s.Groups(t.Context()) {
		wantClass(t, err, connectors.ScopeDenied, scopeGroups)
	}
	wantClass(t, snapshotError(t, d.consented(t, "anna", scopeFiles)), connectors.ScopeDenied, scopeFiles)
}
