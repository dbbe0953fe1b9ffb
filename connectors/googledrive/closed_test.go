package googledrive

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

// TestFolderThatAnswers403: whether what lies below it is selected cannot be
// told. It is listed, nobody reads it meanwhile, and the folder is named; what
// lies elsewhere is listed as ever.
func TestFolderThatAnswers403(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		folder string
		sel    connectors.Selection
	}{
		"a chosen folder": {folder: "x"},
		"a pattern":       {sel: connectors.Selection{Include: []string{"My Drive/b/x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			one, two, three := r.put(t, "b/x/one.md"), r.put(t, "b/x/deep/two.md"), r.put(t, "b/three.md")
			deep := r.nodes[two].parent
			r.env.Selection = c.sel
			if c.folder != "" {
				r.env.Selection.Containers = []string{r.nodes[one].parent}
			}
			start, err := r.open(t).Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.noted(r.nodes[two])
			r.spoil = func(_ string, answer map[string]any) {
				if rows, ok := answer["files"].([]any); ok {
					answer["files"] = slices.DeleteFunc(rows, func(row any) bool { return row.(map[string]any)["id"] == deep })
				}
			}
			status := http.StatusForbidden
			r.refuse = func(op string, req *http.Request) (int, string) {
				if op == "files.get" && strings.HasSuffix(req.URL.Path, "/"+deep) {
					return status, map[int]string{403: "insufficientFilePermissions", 404: "notFound"}[status]
				}
				return 0, ""
			}
			for what, page := range map[string]connectors.Page{
				"snapshot": read(t, r.open(t).Snapshot(t.Context(), nil)), "ids": read(t, r.open(t).ListIDs(t.Context(), nil)),
				"permissions": read(t, r.open(t).Permissions(t.Context(), nil)), "changes": read(t, r.open(t).Changes(t.Context(), start)),
			} {
				if len(page.Blocked) != 1 || page.Blocked[0].ID != deep || page.Blocked[0].Reason == "" {
					t.Errorf("%s: blocked %v, want %s", what, page.Blocked, deep)
				}
				if c := find(t, page, two); c.Op != connectors.SetACL || c.ACL.Known() {
					t.Errorf("%s: it is %s with %+v", what, c.Op, c.ACL)
				}
				if slices.ContainsFunc(page.Changes, func(c connectors.Change) bool { return c.Ref.ID == three }) {
					t.Errorf("%s: %s is not selected", what, three)
				}
				if what != "changes" && (find(t, page, one).Ref.ID == "" || !page.Complete) {
					t.Errorf("%s: the listing is not complete", what)
				}
			}
			status = http.StatusNotFound // it is not there for this account
			if page := read(t, r.open(t).Snapshot(t.Context(), nil)); len(page.Blocked) != 0 || len(page.Changes) != 1 {
				t.Errorf("a folder that is not there: blocked %v, changes %v", page.Blocked, page.Changes)
			}
		})
	}
}
