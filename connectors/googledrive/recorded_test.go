package googledrive

import (
	"net/url"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest/recorded"
	"tributary/internal/httpx"
)

// played opens a session that the record answers.
func played(t testing.TB, r recorded.Response) *session {
	t.Helper()
	opened, err := New(Config{Retry: once}).Open(t.Context(), connectors.Env{HTTP: r.Client()})
	if err != nil {
		t.Fatal(err)
	}
	return opened.(*session)
}

func replayFiles(t testing.TB, r recorded.Response) ([]string, error) {
	s := played(t, r)
	page, _, err := s.files(t.Context(), "replaying", userCorpus, queryFiles, fileFields, "")
	var texts []string
	for i := range page.Files {
		f := &page.Files[i]
		d := s.document(f, place{}, formatOf(f))
		texts = append(texts, d.Title, f.Name)
	}
	return texts, err
}

func replayPermission(t testing.TB, r recorded.Response) ([]string, error) {
	var p permission
	s := played(t, r)
	_, err := s.api.JSON(t.Context(), itemCall("replaying", r.Params["fileId"], "/permissions/"+r.Params["permissionId"], url.Values{}), &p)
	return readersOf(s, granted{list: []permission{p}, known: true}), err
}

// readersOf names whom a record lets read.
func readersOf(s *session, g granted) []string {
	var names []string
	for _, clause := range s.aclOf(g, scope{}, nil).AllOf {
		for _, p := range clause {
			names = append(names, string(p.Kind)+":"+p.ID)
		}
	}
	return names
}

func TestRecorded(t *testing.T) {
	recorded.Replay(t, "google-drive", []recorded.Operation{
		{Method: "GET", Path: "/drive/v3/files", Decode: replayFiles},
		{Method: "GET", Path: "/drive/v3/about", Decode: func(t testing.TB, r recorded.Response) ([]string, error) {
			me, err := played(t, r).about(t.Context(), "replaying")
			return []string{me.Name, me.Email}, err
		}},
		{Method: "GET", Path: "/drive/v3/drives", Decode: func(t testing.TB, r recorded.Response) ([]string, error) {
			var texts []string
			drives, _, err := played(t, r).drivesPage(t.Context(), "replaying", "")
			for _, d := range drives {
				texts = append(texts, d.Name)
			}
			return texts, err
		}},
		{Method: "GET", Path: "/drive/v3/drives/{driveId}", Decode: func(t testing.TB, r recorded.Response) ([]string, error) {
			var d drive
			_, err := played(t, r).api.JSON(t.Context(), httpx.Call{Op: "replaying", Path: "drives/" + r.Params["driveId"]}, &d)
			return []string{d.Name}, err
		}},
		{Method: "GET", Path: "/drive/v3/files/{fileId}/permissions", Decode: func(t testing.TB, r recorded.Response) ([]string, error) {
			s := played(t, r)
			page, at, err := s.permissionsPage(t.Context(), "replaying", r.Params["fileId"], "")
			return readersOf(s, granted{list: page.Permissions, at: at, known: true}), err
		}},
		{Method: "GET", Path: "/drive/v3/files/{fileId}/permissions/{permissionId}", Decode: replayPermission},
		{Method: "GET", Path: "/drive/v3/changes/startPageToken", Decode: func(t testing.TB, r recorded.Response) ([]string, error) {
			token, err := played(t, r).startToken(t.Context(), "replaying", userCorpus)
			if err == nil && token == "" {
				t.Error("no position")
			}
			return nil, err
		}},
		{Method: "GET", Path: "/drive/v3/changes", Decode: func(t testing.TB, r recorded.Response) ([]string, error) {
			f := &feed{s: played(t, r), op: "replaying", at: feedCursor{User: "0"}, logs: []corpus{userCorpus}}
			var page connectors.Page
			err := f.log(t.Context(), &page)
			if err == nil && f.at.User == "0" {
				t.Error("the log does not move")
			}
			return nil, err
		}},
		{Method: "POST", Path: "/drive/v3/drives", NotOurs: "it creates a shared drive; the connector reads"},
		{Method: "PATCH", Path: "/drive/v3/files/{fileId}/permissions/{permissionId}", NotOurs: "it changes a permission; the connector reads"},
	})
}
