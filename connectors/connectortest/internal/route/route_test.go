package route_test

import (
	"maps"
	"testing"

	"tributary/connectors/connectortest/internal/route"
)

func TestFind(t *testing.T) {
	t.Parallel()
	var table route.Table[string]
	for _, template := range []string{
		"/repos/{owner}/{repo}/issues/{number}", "/repos/{owner}/{repo}/issues/comments", "/repos/{owner}/{repo}/contents/{path...}",
		"/repos/{owner}/{repo}/contents/readme", "/drives/{id}/root/delta()", "files/{fileId}:watch", "/keys/{+name}", "/",
	} {
		if err := table.Add("GET", template, template); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]struct {
		template string
		params   map[string]string
	}{
		"/repos/o/r/issues/7":             {"/repos/{owner}/{repo}/issues/{number}", map[string]string{"owner": "o", "repo": "r", "number": "7"}},
		"/repos/o/r/issues/comments":      {"/repos/{owner}/{repo}/issues/comments", map[string]string{"owner": "o", "repo": "r"}},
		"/repos/o/r/contents":             {"/repos/{owner}/{repo}/contents/{path...}", map[string]string{"owner": "o", "repo": "r", "path": ""}},
		"/repos/o/r/contents/a/b%20c":     {"/repos/{owner}/{repo}/contents/{path...}", map[string]string{"owner": "o", "repo": "r", "path": "a/b c"}},
		"/repos/o/r/contents/readme":      {"/repos/{owner}/{repo}/contents/readme", map[string]string{"owner": "o", "repo": "r"}},
		"/repos/o%2Fx/r/issues/7":         {"/repos/{owner}/{repo}/issues/{number}", map[string]string{"owner": "o/x", "repo": "r", "number": "7"}},
		"/drives/d/root/delta()":          {"/drives/{id}/root/delta()", map[string]string{"id": "d"}},
		"files/f:watch":                   {"files/{fileId}:watch", map[string]string{"fileId": "f"}},
		"/keys/k":                         {"/keys/{+name}", map[string]string{"name": "k"}},
		"/":                               {"/", map[string]string{}},
		"/repos/o/r/contents-of-a-folder": {},
		"/repos/o/r/issues":               {},
		"/repos/o/r/issues/7/more":        {},
	} {
		got, ok := table.Find("GET", path)
		if ok != (want.template != "") || got.Op != want.template || !maps.Equal(got.Params, want.params) {
			t.Errorf("%s: %+v, found %t, want %+v", path, got, ok, want)
		}
	}
	if _, ok := table.Find("POST", "/"); ok {
		t.Error("another method finds an operation")
	}
	if err := table.Add("GET", "/a/{b...}/c", ""); err == nil {
		t.Error("a parameter of several segments in the middle is accepted")
	}
}
