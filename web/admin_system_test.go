package web_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestAdminJobs: jobs and queues over the admin API are those of the pages, and so is what can be done with them.
func TestAdminJobs(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.failJobs(t, 3, "embed", "discarded", "failure ")
	o.failJobs(t, 1, "tick", "completed", "")
	o.db.MustExec(t, `INSERT INTO river.river_queue (name, updated_at) VALUES ('embed', now())`)
	p := o.program(t, "ci", store.RoleOwner, uuid.Nil)
	first := p.call(http.MethodGet, "/jobs?limit=2", "").is(http.StatusOK)
	rest := p.call(http.MethodGet, "/jobs?limit=2&cursor="+first["next_cursor"].(string), "").is(http.StatusOK)
	if len(first["items"].([]any)) != 2 || len(rest["items"].([]any)) != 1 || rest["next_cursor"] != "" {
		t.Errorf("pages of 2 of 3 jobs that failed: %v and %v", first, rest)
	}
	if got := p.call(http.MethodGet, "/jobs?state=completed&queue=tick", "").is(http.StatusOK)["items"].([]any); len(got) != 1 {
		t.Errorf("done jobs of a queue: %v", got)
	}
	p.call(http.MethodGet, "/jobs?state=asleep", "").refuses(http.StatusBadRequest, "invalid_request", "state")
	job := first["items"].([]any)[0].(map[string]any)
	if errs := job["errors"].([]any); len(errs) != 1 || errs[0].(map[string]any)["text"] == "" || job["run_id"] != nil {
		t.Errorf("a job: %v", job)
	}
	path := fmt.Sprintf("/jobs/%.0f/retry", job["id"])
	p.call(http.MethodPost, path, "").is(http.StatusOK)
	p.call(http.MethodPost, path, "").refuses(http.StatusConflict, "conflict", "")
	p.call(http.MethodPost, "/jobs/77777/retry", "").refuses(http.StatusNotFound, "not_found", "")
	p.call(http.MethodPost, "/jobs/x/retry", "").refuses(http.StatusNotFound, "not_found", "")

	if names := p.call(http.MethodGet, "/queues", "").names("name"); !slices.Contains(names, "embed") || !slices.IsSorted(names) {
		t.Errorf("queues: %v", names)
	}
	paused := func() bool {
		return pgtest.Scalar[bool](t, o.db, `SELECT paused_at IS NOT NULL FROM river.river_queue WHERE name = 'embed'`)
	}
	if p.call(http.MethodPost, "/queues/embed/pause", "").is(http.StatusOK); !paused() {
		t.Error("the queue is not paused")
	}
	if p.call(http.MethodPost, "/queues/embed/resume", "").is(http.StatusOK); paused() {
		t.Error("the queue is not resumed")
	}
	for _, name := range []string{"nosuchqueue", "*"} {
		p.call(http.MethodPost, "/queues/"+name+"/pause", "").refuses(http.StatusNotFound, "not_found", "")
	}
	o.recorded(t, 1, "job.retry ok token:ci", "queue.pause ok token:ci", "queue.resume ok token:ci")
}

// TestAdminPrincipals: groups, members and what a person is in, a page at a time.
func TestAdminPrincipals(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	r, err := p.store.CreateReader(t.Context(), "lovelace", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	p.exec(t, `INSERT INTO reader_principal (reader_id, principal_id, how) VALUES ($1, $2::bigint, 'manual')`, r.ID, p.principal(t, "u-1"))
	api := p.program(t, "ci", store.RoleAuditor, uuid.Nil)
	every := func(path, more string) (ids []string) {
		t.Helper()
		cursor := ""
		for {
			page := api.call(http.MethodGet, path+"?limit=1"+more+cursor, "").is(http.StatusOK)
			for _, item := range page["items"].([]any) {
				ids = append(ids, item.(map[string]any)["external_id"].(string))
			}
			if page["next_cursor"] == "" {
				slices.Sort(ids)
				return ids
			}
			cursor = "&cursor=" + page["next_cursor"].(string)
		}
	}
	if got := every("/groups", ""); !slices.Equal(got, []string{"g-all", "g-dev", "g-far"}) {
		t.Errorf("groups: %v", got)
	}
	if got := every("/groups", "&connection=wiki&find=DEVEL"); !slices.Equal(got, []string{"g-dev"}) {
		t.Errorf("groups that match: %v", got)
	}
	if got := every("/principals/"+p.principal(t, "g-all")+"/members", ""); !slices.Equal(got, []string{"g-dev", "u-2"}) {
		t.Errorf("members: %v", got)
	}
	if got := every("/principals/"+p.principal(t, "u-1")+"/groups", ""); !slices.Equal(got, []string{"g-dev"}) {
		t.Errorf("groups of a person: %v", got)
	}
	got := api.call(http.MethodGet, "/principals/"+p.principal(t, "u-1"), "").is(http.StatusOK)
	if readers := got["readers"].([]any); len(readers) != 1 || readers[0].(map[string]any)["name"] != "lovelace" || got["external_id"] != "u-1" || got["kind"] != "user" {
		t.Errorf("a person: %v", got)
	}
	for _, path := range []string{"/principals/0", "/principals/x", "/principals/99999999999999999999/members", "/principals/" + uuid.NewString() + "/groups"} {
		api.call(http.MethodGet, path, "").refuses(http.StatusNotFound, "not_found", "")
	}
	api.call(http.MethodGet, "/groups?connection=zebra", "").refuses(http.StatusNotFound, "not_found", "")
	api.call(http.MethodGet, "/groups?cursor=x", "").refuses(http.StatusBadRequest, "invalid_request", "cursor")
}
