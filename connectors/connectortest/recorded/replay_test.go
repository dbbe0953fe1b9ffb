package recorded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

// issue is what the decoding under test knows of an answer.
type issue struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	State string `json:"state"`
	User  *struct {
		Login string `json:"login"`
	} `json:"user"`
}

// get asks the record.
func get(r Response) ([]byte, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "https://api.example.com"+r.Path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := r.Client().Do(req)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	classes := map[int]connectors.Class{401: connectors.GrantLost, 403: connectors.ScopeDenied, 404: connectors.ItemRefused, 429: connectors.RateLimited, 500: connectors.Transient}
	class, failed := classes[resp.StatusCode]
	if resp.Header.Get("X-Ratelimit-Remaining") == "0" {
		class = connectors.RateLimited
	}
	if failed {
		return nil, &connectors.Error{Op: "asking", Class: class, Err: errors.New(resp.Status)}
	}
	return data, nil
}

// decodeIssues is right.
func decodeIssues(_ testing.TB, r Response) ([]string, error) {
	data, err := get(r)
	if err != nil {
		return nil, err
	}
	var list []issue
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, &connectors.Error{Op: "asking", Class: connectors.Transient, Err: err}
	}
	var texts []string
	for _, i := range list {
		texts = append(texts, i.Title+"\n\n"+strings.ReplaceAll(i.Body, "\r\n", "\n"))
	}
	return texts, nil
}

const twoIssues = `[{"title":"One","body":"first\r\nline","user":{"login":"a","name":"Ada"},"repo":{"name":"r"}},{"title":"Two","body":null,"user":{"login":"b"},"repo":{"name":"r"}}]`

func record(status int, body string) Response {
	return Response{Name: "one", Method: "GET", Path: "/repos/o/r/issues", Status: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}
}

func issues(decode func(testing.TB, Response) ([]string, error)) Operation {
	return Operation{Method: "GET", Path: "/repos/{owner}/{repo}/issues", Decode: decode, Elsewhere: map[string]string{
		"/*/user/name": "people have no text", "/**/repo/name": "the repository is not the issue",
	}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	limited := record(403, `{}`)
	limited.Header.Set("X-RateLimit-Remaining", "0")
	named := issues(decodeIssues)
	named.Classes = map[string]connectors.Class{"one": connectors.Transient}
	panics := func(t testing.TB, r Response) ([]string, error) {
		texts, err := decodeIssues(t, r)
		var list []struct{ User map[string]any }
		if json.Unmarshal(r.Body, &list) == nil && list[0].User == nil {
			panic("no user")
		}
		return texts, err
	}
	for name, c := range map[string]struct {
		op     Operation
		record Response
		says   string
	}{
		"a list":                         {issues(decodeIssues), record(200, twoIssues), ""},
		"an empty list":                  {issues(decodeIssues), record(200, `[]`), ""},
		"a grant that is lost":           {issues(decodeIssues), record(401, `{}`), ""},
		"a refusal":                      {issues(decodeIssues), record(403, `{}`), ""},
		"a limit":                        {issues(decodeIssues), limited, ""},
		"a failure":                      {issues(decodeIssues), record(500, `{}`), ""},
		"an answer that is an error":     {named, record(200, `<p>`), ""},
		"an operation that is not ours":  {Operation{Method: "GET", Path: "/repos/{owner}/{repo}/issues", NotOurs: "a reason"}, record(200, `[]`), ""},
		"an operation that nobody named": {Operation{Method: "POST", Path: "/x", NotOurs: "a reason"}, record(200, `[]`), "no operation of the table"},
		"a text that is left out": {issues(func(t testing.TB, r Response) ([]string, error) {
			texts, err := decodeIssues(t, r)
			return texts[:len(texts)-1], err
		}), record(200, twoIssues), `"Two" is in no text`},
		"a name that is left out": {Operation{Method: "GET", Path: "/repos/{owner}/{repo}/issues", Decode: decodeIssues}, record(200, twoIssues), `/*/user/name: "Ada" is in no text`},
		"an error where none is": {issues(func(testing.TB, Response) ([]string, error) {
			return nil, &connectors.Error{Class: connectors.Transient}
		}), record(200, twoIssues), "the record is no error"},
		"no error where one is": {issues(func(testing.TB, Response) ([]string, error) { return nil, nil }), record(404, `{}`), "decoding it is none"},
		"an error of another class": {issues(func(testing.TB, Response) ([]string, error) {
			return nil, &connectors.Error{Class: connectors.GrantLost}
		}), record(403, `{}`), "class grant_lost"},
		"a limit that is taken for a refusal": {issues(func(testing.TB, Response) ([]string, error) {
			return nil, &connectors.Error{Class: connectors.ScopeDenied}
		}), limited, "class scope_denied"},
		"a decoder that takes no unknown field": {issues(func(t testing.TB, r Response) ([]string, error) {
			d := json.NewDecoder(strings.NewReader(string(r.Body)))
			d.DisallowUnknownFields()
			var list []struct {
				Title string
				Body  *string
				User  any
				Repo  any
			}
			if err := d.Decode(&list); err != nil {
				return nil, err
			}
			return decodeIssues(t, r)
		}), record(200, twoIssues), "with unknown fields"},
		"a decoder that shows unknown fields": {issues(func(_ testing.TB, r Response) ([]string, error) {
			return []string{string(r.Body), "first line"}, nil
		}), record(200, twoIssues), "other texts"},
		"a decoder that panics at null": {issues(panics), record(200, twoIssues), "members that are null"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := newReplay([]Operation{c.op}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(r.judge(t, c.record), "\n")
			if !strings.Contains(got, c.says) || (got == "") != (c.says == "") {
				t.Errorf("judged %q, want %q", got, c.says)
			}
		})
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	if _, err := newReplay([]Operation{{Method: "GET", Path: "/x"}}, nil); err == nil {
		t.Error("an operation that is neither decoded nor excused is accepted")
	}
	if _, err := newReplay([]Operation{{Method: "GET", Path: "/x", Decode: decodeIssues, NotOurs: "a reason"}}, nil); err == nil {
		t.Error("an operation that is decoded and excused is accepted")
	}
	unused := issues(decodeIssues)
	unused.Elsewhere = map[string]string{"/*/labels/name": "never", "/*/user/name": ""}
	r, err := newReplay([]Operation{
		unused, {Method: "GET", Path: "/nobody", NotOurs: "a reason"}, {Method: "GET", Path: "/kept/{a}", NotOurs: "a reason"},
	}, map[string]bool{anonymous("GET /kept/{b}"): true})
	if err != nil {
		t.Fatal(err)
	}
	r.judge(t, record(200, twoIssues))
	all := strings.Join(r.stale(), "\n")
	for _, want := range []string{`elsewhere "/*/labels/name"`, `elsewhere "/*/user/name"`, "GET /nobody: no record", "GET /kept/{a}: the contract keeps"} {
		if !strings.Contains(all, want) {
			t.Errorf("stale %q, want %q", all, want)
		}
	}
}

// TestRecords: hosts, queries, statuses, texts and redirects as the files have
// them.
func TestRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a": `{"request":{"method":"GET","path":"api.example.com/old?x=1","query":{"page":2}},"status":301,"headers":{"location":"https://api.example.com/new","link":"<https://api.example.com/2>; rel=\"next\""},"body":""}`,
		"b": `{"request":{"method":"GET","path":"/new"},"status":null,"headers":{"content-encoding":"gzip"},"body":{"title":"x"}}`,
		"c": `{"request":{"method":"GET","path":"/text"},"status":200,"headers":{"content-type":"text/plain"},"body":"plain"}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := load(dir)
	if err != nil || len(all) != 3 {
		t.Fatalf("%d records, %v", len(all), err)
	}
	for i := range all {
		all[i].others = all
	}
	a := all[0]
	if a.Host != "api.example.com" || a.Path != "/old" || a.Query.Get("x") != "1" || a.Query.Get("page") != "2" || strings.Contains(a.Header.Get("Link"), `"next"`) {
		t.Errorf("%+v", a)
	}
	data, err := get(a)
	if err != nil || string(data) != `{"title":"x"}` {
		t.Errorf("the redirect leads to %q, %v", data, err)
	}
	if all[1].Status != 200 || all[1].Header.Get("Content-Encoding") != "" || all[1].Header.Get("Content-Type") == "" {
		t.Errorf("%+v", all[1])
	}
	if string(all[2].Body) != "plain" {
		t.Errorf("%q", all[2].Body)
	}
	client := all[2].Client()
	for n := 0; ; n++ {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.example.com/", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if errors.Is(err, errAgain) && n == maxRequests {
			break
		}
		if err != nil || n > maxRequests {
			t.Fatalf("request %d: %v", n, err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := load(t.TempDir()); err == nil {
		t.Error("a folder without records is accepted")
	}
}

// TestKept: the selection of a contract speaks for every spelling of a path.
func TestKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ops := filepath.Join(dir, "trim", "ops")
	if err := os.MkdirAll(ops, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{
		filepath.Join(ops, "drive.txt"):            "drive.files.get\ndrive.files.unknown\n",
		filepath.Join(ops, "drive-more.txt"):       "GET /things/{id}\nGET /me user\n!type\n",
		filepath.Join(ops, "other.txt"):            "GET /other\n",
		filepath.Join(dir, "drive.discovery.json"): `{"servicePath":"drive/v3/","resources":{"files":{"methods":{"get":{"id":"drive.files.get","httpMethod":"GET","path":"files/{fileId}"}}}}}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := kept(dir, "drive")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GET /drive/v3/files/{f}", "GET /api/v1/things/{x}", "GET /v1.0/me"} {
		if !got[anonymous(want)] {
			t.Errorf("%s is not kept: %v", want, got)
		}
	}
	if len(got) != 3 {
		t.Errorf("%v, want three", got)
	}
}

func TestFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, at string
		want        bool
	}{
		{"*/name", "*/name", true},
		{"*/name", "*/a/name", false},
		{"**/name", "name", true},
		{"**/name", "a/b/name", true},
		{"**/name", "a/name/b", false},
		{"a/**", "a/b/c", true},
		{"a/**", "b/c", false},
	} {
		if got := fits(strings.Split(c.pattern, "/"), strings.Split(c.at, "/")); got != c.want {
			t.Errorf("%s covers %s: %t", c.pattern, c.at, got)
		}
	}
}

// TestCopiesAreRepeatable: a copy that fails fails again.
func TestCopiesAreRepeatable(t *testing.T) {
	t.Parallel()
	copies := func() []string {
		var all []string
		unknownFields(t, issues(func(_ testing.TB, r Response) ([]string, error) {
			all = append(all, string(r.Body))
			return nil, nil
		}), record(200, twoIssues), nil)
		return all
	}
	first := copies()
	if len(first) != variants || !slices.Equal(first, copies()) || !strings.Contains(fmt.Sprint(first), "recorded_unknown") {
		t.Errorf("%q", first)
	}
}
