package web_test

import (
	"bytes"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"tributary/jobs"
	"tributary/store"
	"tributary/web"
)

var updateOpenAPI = flag.Bool("update", false, "write openapi/openapi.json and its examples anew")

// TestOpenAPIDocument: the document is what its sources and the types of the routes say, and it is served.
func TestOpenAPIDocument(t *testing.T) {
	t.Parallel()
	server := web.New(web.Config{
		PublicURL: mustURL("http://localhost:8081"), Store: &fakeStore{}, Accounts: nobody{}, OAuth: &web.OAuth{}, Admin: &web.Admin{}, System: &web.System{}, Push: &web.Push{}, Feed: &store.Store{},
	})
	want := buildDescription(t, server.Table())
	if t.Failed() {
		return
	}
	if *updateOpenAPI {
		if err := os.WriteFile("openapi/openapi.json", want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(web.OpenAPI(), want) {
		t.Fatal("openapi/openapi.json differs from its sources or from the types of the routes: run go generate ./web, and look at what changes for clients")
	}
	w := httptest.NewRecorder()
	server.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost:8081/openapi.json", nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || !bytes.Equal(w.Body.Bytes(), want) {
		t.Errorf("/openapi.json answers %d %s with %d bytes", w.Code, w.Header().Get("Content-Type"), w.Body.Len())
	}
}

// TestOpenAPIIsValid holds the document against the schema of OpenAPI 3.1, and each of its schemas against JSON Schema 2020-12.
func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/openapi-3.1.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var meta any
	if err := yaml.Unmarshal(text, &meta); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi:3.1", meta); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("openapi:3.1")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(web.OpenAPI()))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(doc); err != nil {
		t.Error(err)
	}
	newJudge(t) // compiles every schema
	loaded, err := openapi3.NewLoader().LoadFromData(web.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	if err := loaded.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	ids := map[string]bool{}
	for path, item := range loaded.Paths.Map() {
		for method, op := range item.Operations() {
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s %s: an operation needs an id of its own, a summary and a tag", method, path)
			}
			ids[op.OperationID] = true
		}
	}
	t.Logf("%d operations, %d schemas", len(ids), len(loaded.Components.Schemas))
}

// TestProblemCodes: the description and docs/api.md name every code that the program answers, and no other.
func TestProblemCodes(t *testing.T) {
	t.Parallel()
	described := map[string]bool{}
	for _, codes := range sub(readYAML(t, "common"), "problems") {
		for code := range codes.(node) {
			described[code] = true
		}
	}
	used := readSource(t).codes
	for _, code := range []string{jobs.PushInvalid, jobs.PushField, jobs.PushTooLarge, jobs.PushMediaType, jobs.PushUnreadable, jobs.PushExcluded} {
		used[code] = true
	}
	for _, code := range slices.Sorted(maps.Keys(used)) {
		if !described[code] {
			t.Errorf("the code %s is not described: add it to problems of openapi/common.yaml", code)
		}
	}
	for code := range described {
		if !used[code] {
			t.Errorf("the code %s is described and no constant of the program", code)
		}
	}
	table := ""
	for _, name := range []string{"api", "admin-api", "push"} {
		text, err := os.ReadFile("../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		table += string(text)
	}
	for code := range described {
		if !regexp.MustCompile("`" + code + "`").MatchString(table) {
			t.Errorf("the code %s stands in no table of docs/api.md, docs/admin-api.md or docs/push.md", code)
		}
	}
}

// TestAddressesAreDocumented: docs/api.md, docs/push.md and docs/feed.md name every address for API keys.
func TestAddressesAreDocumented(t *testing.T) {
	t.Parallel()
	text := ""
	for _, name := range []string{"api", "push"} {
		b, err := os.ReadFile("../docs/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		text += string(b)
	}
	for _, r := range newRig(t, false, nil).web.Table() {
		if r.Access != "key" || strings.HasPrefix(r.Path, "/v1/push/") {
			continue
		}
		at := r.Method + " " + strings.ReplaceAll(template(r.Path), "/chunks/{id}", "/chunks/{chunk_id}")
		if !strings.Contains(text, "`"+at+"`") {
			t.Errorf("%s is served and not in the table of docs/api.md", at)
		}
	}
}
