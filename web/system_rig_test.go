package web_test

import (
	"context"
	"testing"

	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/oauthflow/vault"
	"tributary/store"
	"tributary/web"
)

// systemPages are the pages of the instance itself.
func systemPages() map[string]string {
	return map[string]string{
		"GET /system": "auditor", "GET /system/jobs": "auditor", "POST /system/jobs/:id/retry": "admin",
		"GET /system/queues/:name/pause": "owner", "POST /system/queues/:name/pause": "owner", "POST /system/queues/:name/resume": "owner",
		"GET /profiles": "auditor", "GET /profiles/:name/activate": "owner", "POST /profiles/:name/activate": "owner",
	}
}

// system makes what those pages need, with the queues of a process that works on none.
func (o *oauthRig) system(t *testing.T, st *store.Store) *web.System {
	t.Helper()
	runner, err := jobs.New(jobs.Config{Store: st, Extractor: extract.New(extract.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	return &web.System{
		Store: st, Jobs: runner, KeyFile: "/etc/tributary/key",
		Keys: func(ctx context.Context) ([]vault.KeyStatus, error) { return vault.Status(ctx, o.ring, st, "") },
	}
}
