package contract

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const tinyOpenAPI = `{
 "openapi": "3.0.3", "info": {"title": "tiny", "version": "1"},
 "paths": {
  "/boxes/{box}/things": {"get": {
   "parameters": [
    {"name": "box", "in": "path", "required": true, "schema": {"type": "integer"}},
    {"name": "state", "in": "query", "schema": {"type": "string", "enum": ["open", "shut"]}},
    {"name": "per_page", "in": "query", "schema": {"type": "integer", "maximum": 100}},
    {"name": "filter", "in": "query", "style": "deepObject", "explode": true, "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}],
   "responses": {
    "200": {"description": "ok", "content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/thing"}}}}},
    "422": {"description": "no", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/problem"}}}}}}},
  "/boxes/{box}/raw/{path}": {"get": {
   "parameters": [
    {"name": "box", "in": "path", "required": true, "schema": {"type": "string"}},
    {"name": "path", "in": "path", "required": true, "schema": {"type": "string"}}],
   "responses": {"200": {"description": "ok", "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}, "404": {"description": "none"}}}},
  "/search": {"post": {
   "requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object", "required": ["q"], "properties": {"q": {"type": "string"}}}}}},
   "responses": {"200": {"description": "ok", "content": {"application/json": {"schema": {"oneOf": [
     {"type": "object", "required": ["kind", "text"], "properties": {"kind": {"type": "string", "enum": ["page"]}, "text": {"type": "string"}}},
     {"type": "object", "required": ["kind", "size"], "properties": {"kind": {"type": "string", "enum": ["file"]}, "size": {"type": "integer"}}}]}}}}, "204": {"description": "nothing"}}}}
 },
 "components": {"schemas": {
  "thing": {"type": "object", "required": ["id"], "properties": {
   "id": {"type": "integer"}, "title": {"type": "string", "nullable": true}, "at": {"type": "string", "format": "date-time"},
   "owner": {"allOf": [{"type": "object", "properties": {"login": {"type": "string"}}}, {"type": "object", "properties": {"site": {"type": "boolean"}}}]},
   "labels": {"type": "object", "additionalProperties": {"type": "string"}}, "free": {"type": "object"}}},
  "problem": {"type": "object", "required": ["message"], "properties": {"message": {"type": "string"}}}}}
}`

const tinyDiscovery = `{
 "servicePath": "drive/v3/", "parameters": {
  "fields": {"type": "string", "location": "query"}, "alt": {"type": "string", "location": "query", "enum": ["json", "media"]},
  "access_token": {"type": "string", "location": "query"}},
 "schemas": {
  "File": {"id": "File", "type": "object", "properties": {
   "id": {"type": "string"}, "size": {"type": "string", "format": "int64"}, "trashed": {"type": "boolean"}, "at": {"type": "string", "format": "date-time"},
   "parents": {"type": "array", "items": {"type": "string"}}, "role": {"type": "string", "enum": ["reader", "writer"]},
   "properties": {"type": "object", "additionalProperties": {"type": "string"}}, "count": {"type": "integer", "format": "int32"},
   "owner": {"$ref": "User"}}},
  "User": {"id": "User", "type": "object", "properties": {"name": {"type": "string"}}},
  "FileList": {"id": "FileList", "type": "object", "properties": {"files": {"type": "array", "items": {"$ref": "File"}}, "nextPageToken": {"type": "string"}}}},
 "resources": {"files": {"methods": {
  "list": {"id": "drive.files.list", "httpMethod": "GET", "path": "files", "response": {"$ref": "FileList"}, "parameters": {
   "pageSize": {"type": "integer", "format": "int32", "minimum": "1", "maximum": "1000", "location": "query"},
   "includeItems": {"type": "boolean", "location": "query"}, "spaces": {"type": "string", "pattern": "[a-z]+", "location": "query"}}},
  "get": {"id": "drive.files.get", "httpMethod": "GET", "path": "files/{fileId}", "response": {"$ref": "File"}, "supportsMediaDownload": true, "parameters": {
   "fileId": {"type": "string", "location": "path", "required": true}}},
  "export": {"id": "drive.files.export", "httpMethod": "GET", "path": "files/{fileId}/export", "supportsMediaDownload": true, "parameters": {
   "fileId": {"type": "string", "location": "path", "required": true}, "mimeType": {"type": "string", "location": "query", "required": true}}}}}}
}`

// tiny returns a checker of two small descriptions.
func tiny(t *testing.T) *Checker {
	t.Helper()
	return tinyOf(t, tinyOpenAPI)
}

// tiny31 returns one whose OpenAPI file is of version 3.1.
func tiny31(t *testing.T) *Checker {
	t.Helper()
	return tinyOf(t, strings.NewReplacer(`"3.0.3"`, `"3.1.0"`, `"type": "string", "nullable": true`, `"type": ["string", "null"]`).Replace(tinyOpenAPI))
}

func tinyOf(t *testing.T, openAPI string) *Checker {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"tiny.openapi.json": openAPI, "tiny.discovery.json": tinyDiscovery} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := load(dir, File{Name: "tiny.openapi.json", Prefix: "/api/v1"}, File{Name: "tiny.discovery.json"})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reply is what the fake site answers.
type reply struct {
	status   int
	kind     string
	body     string
	location string
}

// ask sends one request through c to a site that answers so.
func ask(t *testing.T, c *Checker, req *http.Request, with reply) {
	t.Helper()
	w := httptest.NewRecorder()
	c.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		if with.kind != "" {
			w.Header().Set("Content-Type", with.kind)
		}
		if with.location != "" {
			w.Header().Set("Location", with.location)
		}
		if with.status != 0 {
			w.WriteHeader(with.status)
		}
		if with.body != "" {
			_, _ = io.WriteString(w, with.body)
		}
	})).ServeHTTP(w, req)
	if w.Body.String() != with.body && with.status != http.StatusNoContent {
		t.Errorf("the answer is %q behind the checker, want %q", w.Body, with.body)
	}
}

type exchangeCase struct {
	// ask is "METHOD address"; headers and content of the request follow.
	ask, condition, sent, sentKind string
	with                           reply
	// want is "operation: where" of each violation.
	want []string
}

func json200(body string) reply { return reply{kind: "application/json; charset=utf-8", body: body} }

func (e exchangeCase) run(t *testing.T, c *Checker) {
	t.Helper()
	e.send(t, c)
	got := []string{}
	for v := range c.found() {
		got = append(got, v.Operation+": "+v.Where)
	}
	slices.Sort(got)
	want := append([]string{}, e.want...)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("violations %q, want %q\n%v", got, want, c.found())
	}
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	const (
		things = "GET /boxes/{box}/things"
		raw    = "GET /boxes/{box}/raw/{path}"
		search = "POST /search"
		list   = "GET /api/v1/boxes/7/things"
	)
	for name, e := range map[string]exchangeCase{
		"what is described passes":           {ask: list + "?state=open&per_page=5&filter%5Ba%5D=x", with: json200(`[{"id":1,"title":null,"at":"2026-01-02T03:04:05Z","owner":{"login":"a","site":true},"labels":{"x":"y"},"free":{"z":1}}]`)},
		"a path with slashes":                {ask: "GET /api/v1/boxes/7/raw/a/b.md", with: reply{kind: "application/octet-stream", body: "# text"}},
		"an error that HTTP defines":         {ask: list, with: reply{status: 503, body: "busy"}},
		"an error that is described":         {ask: list, with: reply{status: 422, kind: "application/json", body: `{"message":"no"}`}},
		"an error without described content": {ask: "GET /api/v1/boxes/7/raw/a", with: reply{status: 404, kind: "application/json", body: `{"any":1}`}},
		"an unchanged answer":                {ask: list, condition: `"x"`, with: reply{status: 304}},
		"a redirect":                         {ask: list, with: reply{status: 302, location: "/elsewhere"}},
		"a branch of oneOf":                  {ask: "POST /api/v1/search", sent: `{"q":"x"}`, sentKind: "application/json", with: json200(`{"kind":"file","size":3}`)},

		"a call that is not described":   {ask: "GET /api/v1/boxes", with: json200(`[]`), want: []string{"GET /api/v1/boxes: path"}},
		"another method":                 {ask: "DELETE /api/v1/boxes/7/things", with: json200(`[]`), want: []string{"DELETE /api/v1/boxes/7/things: path"}},
		"no prefix":                      {ask: "GET /boxes/7/things", with: json200(`[]`), want: []string{"GET /boxes/7/things: path"}},
		"an unknown parameter":           {ask: list + "?page=2", with: json200(`[]`), want: []string{things + ": query page"}},
		"a value outside the enum":       {ask: list + "?state=ajar", with: json200(`[]`), want: []string{things + ": query state"}},
		"a value above the maximum":      {ask: list + "?per_page=500", with: json200(`[]`), want: []string{things + ": query per_page"}},
		"a path value of another type":   {ask: "GET /api/v1/boxes/seven/things", with: json200(`[]`), want: []string{things + ": path box"}},
		"content where none belongs":     {ask: list, sent: "x", with: json200(`[]`), want: []string{things + ": request body /"}},
		"no content where some belongs":  {ask: "POST /api/v1/search", with: reply{status: 204}, want: []string{search + ": request body /"}},
		"a request without a member":     {ask: "POST /api/v1/search", sent: `{}`, sentKind: "application/json", with: reply{status: 204}, want: []string{search + ": request body /q"}},
		"a request of another kind":      {ask: "POST /api/v1/search", sent: `q=x`, sentKind: "text/plain", with: reply{status: 204}, want: []string{search + ": request media type text/plain"}},
		"an undescribed status":          {ask: list, with: reply{status: 418}, want: []string{things + ": status 418"}},
		"unchanged without a condition":  {ask: list, with: reply{status: 304}, want: []string{things + ": status 304"}},
		"a redirect to nowhere":          {ask: list, with: reply{status: 302}, want: []string{things + ": status 302"}},
		"another media type":             {ask: list, with: reply{kind: "text/html", body: "<p>"}, want: []string{things + ": media type text/html"}},
		"raw content as JSON":            {ask: "GET /api/v1/boxes/7/raw/a", with: json200(`{}`), want: []string{raw + ": media type application/json"}},
		"a media type that is sniffed":   {ask: list, with: reply{body: "[]"}, want: []string{things + ": media type text/plain"}},
		"no JSON":                        {ask: list, with: json200(`[{]`), want: []string{things + ": /"}},
		"two JSON values":                {ask: list, with: json200(`[] []`), want: []string{things + ": /"}},
		"a missing member":               {ask: list, with: json200(`[{"id":1},{}]`), want: []string{things + ": /*/id"}},
		"a member of another type":       {ask: list, with: json200(`[{"id":"1"}]`), want: []string{things + ": /*/id"}},
		"null where none is allowed":     {ask: list, with: json200(`[{"id":null}]`), want: []string{things + ": null /*/id"}},
		"no time":                        {ask: list, with: json200(`[{"id":1,"at":"yesterday"}]`), want: []string{things + ": /*/at"}},
		"a made-up member":               {ask: list, with: json200(`[{"id":1,"colour":"red"}]`), want: []string{things + ": /*/colour"}},
		"a made-up member of a mixture":  {ask: list, with: json200(`[{"id":1,"owner":{"login":"a","age":3}}]`), want: []string{things + ": /*/owner/age"}},
		"an error of another form":       {ask: list, with: reply{status: 422, kind: "application/json", body: `{}`}, want: []string{things + ": /message"}},
		"no branch of oneOf":             {ask: "POST /api/v1/search", sent: `{"q":"x"}`, sentKind: "application/json", with: json200(`{"kind":"page","text":3}`), want: []string{search + ": /text"}},
		"content of an answer of none":   {ask: "POST /api/v1/search", sent: `{"q":"x"}`, sentKind: "application/json", with: reply{status: 204, body: "x"}, want: []string{search + ": /"}},
		"a member of an array's element": {ask: list, with: json200(`{}`), want: []string{things + ": /"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e.run(t, tiny(t))
			// Documents of version 3.1 have another validator, which says less of
			// where.
			c := tiny31(t)
			e.send(t, c)
			if got := len(c.found()); (got == 0) != (len(e.want) == 0) {
				t.Errorf("version 3.1: %v, want %q", c.found(), e.want)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	const list = "GET /drive/v3/files"
	failed := func(body string) reply { return reply{status: 403, kind: "application/json", body: body} }
	for name, e := range map[string]exchangeCase{
		"what is described passes": {ask: list + "?fields=files(id,owner/name,parents),nextPageToken&pageSize=10&includeItems=true&spaces=drive", with: json200(`{"nextPageToken":"x","files":[{"id":"1","owner":{"name":"a"},"parents":["p"]}]}`)},
		"all fields":               {ask: list + "?fields=*", with: json200(`{"files":[{"size":"12","trashed":false,"at":"2026-01-02T03:04:05.678Z","role":"reader","properties":{"any":"x"},"count":3}]}`)},
		"a download":               {ask: "GET /drive/v3/files/f?alt=media", with: reply{kind: "text/markdown", body: "# x"}},
		"an export":                {ask: "GET /drive/v3/files/f/export?mimeType=text%2Fmarkdown", with: reply{kind: "text/markdown", body: "# x"}},
		"an error":                 {ask: list, with: failed(`{"error":{"code":403,"message":"no","errors":[{"domain":"usageLimits","reason":"quotaExceeded"}]}}`)},
		"an error without JSON":    {ask: list, with: reply{status: 502, kind: "text/html", body: "<p>"}},

		"an unknown parameter":            {ask: list + "?maxSize=1", with: json200(`{}`), want: []string{"drive.files.list: query maxSize"}},
		"a credential in the address":     {ask: list + "?access_token=x", with: json200(`{}`), want: []string{"drive.files.list: query access_token"}},
		"a repeated parameter":            {ask: list + "?pageSize=1&pageSize=2", with: json200(`{}`), want: []string{"drive.files.list: query pageSize"}},
		"a value that is no number":       {ask: list + "?pageSize=x", with: json200(`{}`), want: []string{"drive.files.list: query pageSize"}},
		"a value above the maximum":       {ask: list + "?pageSize=5000", with: json200(`{}`), want: []string{"drive.files.list: query pageSize"}},
		"a value below the minimum":       {ask: list + "?pageSize=0", with: json200(`{}`), want: []string{"drive.files.list: query pageSize"}},
		"a value that is no boolean":      {ask: list + "?includeItems=yes", with: json200(`{}`), want: []string{"drive.files.list: query includeItems"}},
		"a value outside the pattern":     {ask: list + "?spaces=A", with: json200(`{}`), want: []string{"drive.files.list: query spaces"}},
		"a value outside the enum":        {ask: list + "?alt=xml", with: json200(`{}`), want: []string{"drive.files.list: query alt"}},
		"a required parameter missing":    {ask: "GET /drive/v3/files/f/export", with: reply{kind: "text/plain"}, want: []string{"drive.files.export: query mimeType"}},
		"fields of no form":               {ask: list + "?fields=files(id", with: json200(`{}`), want: []string{"drive.files.list: query fields"}},
		"fields that are not described":   {ask: list + "?fields=files(id,colour)", with: json200(`{}`), want: []string{"drive.files.list: query fields"}},
		"fields that were not selected":   {ask: list + "?fields=files(id)", with: json200(`{"files":[{"id":"1","size":"2"}]}`), want: []string{"drive.files.list: /files/*/size"}},
		"a made-up member":                {ask: list, with: json200(`{"files":[{"colour":"red"}]}`), want: []string{"drive.files.list: /files/*/colour"}},
		"a 64-bit number as a number":     {ask: list, with: json200(`{"files":[{"size":12}]}`), want: []string{"drive.files.list: /files/*/size"}},
		"a 64-bit number that is none":    {ask: list, with: json200(`{"files":[{"size":"big"}]}`), want: []string{"drive.files.list: /files/*/size"}},
		"a string for a boolean":          {ask: list, with: json200(`{"files":[{"trashed":"false"}]}`), want: []string{"drive.files.list: /files/*/trashed"}},
		"null for a string":               {ask: list, with: json200(`{"files":[{"id":null}]}`), want: []string{"drive.files.list: null /files/*/id"}},
		"a role outside the enum":         {ask: list, with: json200(`{"files":[{"role":"king"}]}`), want: []string{"drive.files.list: /files/*/role"}},
		"no time":                         {ask: list, with: json200(`{"files":[{"at":"today"}]}`), want: []string{"drive.files.list: /files/*/at"}},
		"an object for an array":          {ask: list, with: json200(`{"files":{}}`), want: []string{"drive.files.list: /files"}},
		"an array for an object":          {ask: list, with: json200(`[]`), want: []string{"drive.files.list: /"}},
		"a number above 32 bits":          {ask: list, with: json200(`{"files":[{"count":5000000000}]}`), want: []string{"drive.files.list: /files/*/count"}},
		"another media type":              {ask: list, with: reply{kind: "text/html", body: "{}"}, want: []string{"drive.files.list: media type text/html"}},
		"an export of another kind":       {ask: "GET /drive/v3/files/f/export?mimeType=text%2Fmarkdown", with: reply{kind: "text/plain", body: "# x"}, want: []string{"drive.files.export: media type text/plain"}},
		"an error without a message":      {ask: list, with: failed(`{"error":{"code":403}}`), want: []string{"drive.files.list: /error"}},
		"an error with another code":      {ask: list, with: failed(`{"error":{"code":404,"message":"no"}}`), want: []string{"drive.files.list: /error/code"}},
		"an error without a reason":       {ask: list, with: failed(`{"error":{"code":403,"message":"no","errors":[{}]}}`), want: []string{"drive.files.list: /error/errors/*"}},
		"an undescribed status":           {ask: list, with: reply{status: 201}, want: []string{"drive.files.list: status 201"}},
		"a call that is not described":    {ask: "GET /drive/v3/about", with: json200(`{}`), want: []string{"GET /drive/v3/about: path"}},
		"content where none belongs":      {ask: list, sent: "{}", with: json200(`{}`), want: []string{"drive.files.list: request body /"}},
		"a download that is JSON of ours": {ask: "GET /drive/v3/files/f", with: reply{kind: "text/markdown", body: "# x"}, want: []string{"drive.files.get: media type text/markdown"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e.run(t, tiny(t))
		})
	}
}

// TestExceptions: what is admitted passes, with its reason, as long as it is
// needed.
func TestExceptions(t *testing.T) {
	t.Parallel()
	admit := func(c *Checker) {
		c.Exhaustive()
		c.Undescribed("GET", "/wiki/{page...}", "the wiki is not part of the API")
		c.Differs("GET /boxes/{box}/things", "/*/colour", "the server sends it since 2.0")
		c.Differs("GET /boxes/{box}/things", "query page", "the server pages")
	}
	c := tiny(t)
	admit(c)
	exchangeCase{ask: "GET /wiki/a/b"}.send(t, c)
	exchangeCase{ask: "GET /api/v1/wiki/a"}.send(t, c)
	exchangeCase{ask: "GET /api/v1/boxes/7/things?page=2", with: json200(`[{"id":1,"colour":"red"}]`)}.run(t, c)

	c = tiny(t)
	admit(c)
	exchangeCase{ask: "GET /api/v1/boxes/7/things", with: json200(`[{"id":1,"colour":"red"}]`), want: []string{
		"GET /wiki/{page...}: ", "GET /boxes/{box}/things: query page",
	}}.run(t, c)

	c = tiny(t)
	for _, path := range []string{"/1", "/2", "/3", "/4", "/5"} {
		c.Undescribed("GET", path, "a reason")
	}
	exchangeCase{ask: "GET /5"}.run(t, c)
	c.Undescribed("GET", "/6", "a reason")
	exchangeCase{ask: "GET /6", want: []string{"GET /6: undescribed"}}.run(t, c)
	c = tiny(t)
	c.Undescribed("GET", "/1", "")
	c.Differs("GET /search", "query x", "")
	exchangeCase{ask: "GET /1", want: []string{"GET /1: undescribed", "GET /search: query x"}}.run(t, c)
}

// send sends the request through c, to a site that answers as the case says.
func (e exchangeCase) send(t *testing.T, c *Checker) {
	t.Helper()
	method, address, _ := strings.Cut(e.ask, " ")
	req := httptest.NewRequestWithContext(t.Context(), method, address, strings.NewReader(e.sent))
	if e.condition != "" {
		req.Header.Set("If-None-Match", e.condition)
	}
	if e.sentKind != "" {
		req.Header.Set("Content-Type", e.sentKind)
	}
	ask(t, c, req, e.with)
}

// TestPatterns: an exception covers what it says and nothing beside it.
func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, where string
		want           bool
	}{
		{"/*/id", "/*/id", true},
		{"/*/id", "/a/id", true},
		{"/*/id", "/a/b/id", false},
		{"/*/id", "null /a/id", false},
		{"null /**", "null /a/b", true},
		{"null /**", "/a/b", false},
		{"/**/id", "/id", true},
		{"/**/id", "/a/b/id", true},
		{"/**/id", "/a/id/b", false},
		{"query page", "query page", true},
		{"query *", "query page", false},
		{"media type text/*", "media type text/html", false},
		{"media type text/html", "media type text/html", true},
		{"status 418", "status 422", false},
	} {
		if got := fits(c.pattern, c.where); got != c.want {
			t.Errorf("%q covers %q: %t", c.pattern, c.where, got)
		}
	}
}

// TestCutAnswers: an answer that breaks off is not judged; its request is.
func TestCutAnswers(t *testing.T) {
	t.Parallel()
	c := tiny(t)
	h := c.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, `[{"id`); err != nil {
			t.Error(err)
		}
		panic(http.ErrAbortHandler)
	}))
	func() {
		defer func() {
			if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("the site broke off, and the checker passes on %v", err)
			}
		}()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/boxes/7/things?page=2", nil))
	}()
	for v := range c.found() {
		if v.Where != "query page" {
			t.Error(v)
		}
	}
	if len(c.found()) != 1 {
		t.Errorf("violations %v, want one", c.found())
	}
}

// TestOff: without descriptions nothing is judged.
func TestOff(t *testing.T) {
	t.Parallel()
	c, err := load("", File{Name: "none.openapi.json"})
	if err != nil {
		t.Fatal(err)
	}
	exchangeCase{ask: "GET /anything", with: reply{status: 418}}.run(t, c)
	if _, err := load(t.TempDir(), File{Name: "none.openapi.json"}); err == nil {
		t.Error("a description that is missing is no error")
	}
}

// TestHosts: a file may speak for one host only.
func TestHosts(t *testing.T) {
	t.Parallel()
	c := tiny(t)
	c.sources[1].Host = "www.example.com"
	exchangeCase{ask: "GET https://www.example.com/drive/v3/files", with: json200(`{}`)}.run(t, c)
	exchangeCase{ask: "GET https://other.example.com/drive/v3/files", with: json200(`{}`), want: []string{"GET /drive/v3/files: path"}}.run(t, c)
}
