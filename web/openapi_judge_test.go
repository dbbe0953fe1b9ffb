package web_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tributary/web"
)

// judge holds exchanges against the description, in which nothing may stand that is not described.
type judge struct {
	operations []judgedOperation
	problem    *jsonschema.Schema
	// codes are those of every status.
	codes map[string][]any
}

// judgedOperation is one operation with its schemas.
type judgedOperation struct {
	method, path string
	pattern      *regexp.Regexp
	op           node
	query        map[string]judgedParameter
	body         *jsonschema.Schema
	needsBody    bool
	// answers are by status and media type; an answer without content is nil under "".
	answers map[string]map[string]*jsonschema.Schema
	headers map[string]node
	codes   map[string][]any
}

type judgedParameter struct {
	schema   *jsonschema.Schema
	kind     any
	required bool
}

// sharedJudge is made once; to compile it takes a while.
var sharedJudge = sync.OnceValues(makeJudge)

func newJudge(t *testing.T) *judge {
	t.Helper()
	j, err := sharedJudge()
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func makeJudge() (*judge, error) {
	var doc node
	if err := json.Unmarshal(web.OpenAPI(), &doc); err != nil {
		return nil, err
	}
	tighten(doc)
	doc["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("api", doc); err != nil {
		return nil, err
	}
	b := judgeBuilder{c: c, doc: doc}
	j := &judge{problem: b.schema("/components/schemas/Problem"), codes: map[string][]any{}}
	for name, answer := range sub(sub(doc, "components"), "responses") {
		j.codes[strings.TrimPrefix(name, "Problem")] = list(sub(node{"": answer}, "")["x-codes"])
	}
	for name := range sub(sub(doc, "components"), "schemas") {
		b.schema("/components/schemas/" + name)
	}
	for path, item := range sub(doc, "paths") {
		for method, op := range item.(node) {
			j.operations = append(j.operations, b.operation(strings.ToUpper(method), path, op.(node)))
		}
	}
	// A path with fewer parameters goes before one with more.
	slices.SortFunc(j.operations, func(a, b judgedOperation) int { return strings.Count(a.path, "{") - strings.Count(b.path, "{") })
	return j, b.err
}

// tighten forbids what is not described.
func tighten(v any) {
	switch v := v.(type) {
	case node:
		if v["type"] == "object" && v["properties"] != nil && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for k, x := range v {
			if k != "example" {
				tighten(x)
			}
		}
	case []any:
		for _, x := range v {
			tighten(x)
		}
	}
}

type judgeBuilder struct {
	c   *jsonschema.Compiler
	doc node
	err error
}

func (b *judgeBuilder) schema(pointer string) *jsonschema.Schema {
	s, err := b.c.Compile("api#" + (&url.URL{Path: pointer}).EscapedPath())
	if err != nil && b.err == nil {
		b.err = err
	}
	return s
}

func (b *judgeBuilder) operation(method, path string, op node) judgedOperation {
	escape := strings.NewReplacer("~", "~0", "/", "~1").Replace
	at := "/paths/" + escape(path) + "/" + strings.ToLower(method)
	o := judgedOperation{
		method: method, path: path, op: op, query: map[string]judgedParameter{}, answers: map[string]map[string]*jsonschema.Schema{}, headers: map[string]node{}, codes: map[string][]any{},
		pattern: regexp.MustCompile("^" + regexp.MustCompile(`\\\{[a-z]+\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$"),
	}
	for i, p := range list(op["parameters"]) {
		if p := p.(node); p["in"] == "query" {
			o.query[p["name"].(string)] = judgedParameter{b.schema(fmt.Sprintf("%s/parameters/%d/schema", at, i)), sub(p, "schema")["type"], p["required"] == true}
		}
	}
	if body := sub(op, "requestBody"); body != nil {
		o.needsBody, o.body = body["required"] == true, b.schema(at+"/requestBody/content/application~1json/schema")
	}
	for status, r := range sub(op, "responses") {
		answer := r.(node)
		o.answers[status] = map[string]*jsonschema.Schema{}
		if ref, ok := answer["$ref"].(string); ok {
			answer = sub(sub(sub(b.doc, "components"), "responses"), strings.TrimPrefix(ref, "#/components/responses/"))
			o.answers[status][web.ProblemType] = b.schema("/components/schemas/Problem")
			o.codes[status] = list(answer["x-codes"])
		} else {
			for media := range sub(answer, "content") {
				o.answers[status][media] = b.schema(at + "/responses/" + status + "/content/" + escape(media) + "/schema")
			}
		}
		o.headers[status] = sub(answer, "headers")
	}
	return o
}

// find returns the operation of a request, nil where none is described.
func (j *judge) find(method, path string) *judgedOperation {
	for i, o := range j.operations {
		if o.method == method && o.pattern.MatchString(path) {
			return &j.operations[i]
		}
	}
	return nil
}

// judged is an exchange.
type judged struct {
	request *http.Request
	sent    []byte
	status  int
	header  http.Header
	body    []byte
}

// failedItems is in the answer to a batch some of whose items were refused.
var failedItems = regexp.MustCompile(`"counts":\{[^}]*"failed":`)

// faults says where an exchange is not as it is described.
func (j *judge) faults(x judged) []string {
	method := x.request.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	o := j.find(method, x.request.URL.EscapedPath())
	if o == nil {
		if x.status < http.StatusBadRequest {
			return []string{"is answered and not described"}
		}
		return j.problemFaults(x)
	}
	all := o.answerFaults(x)
	if x.status < http.StatusBadRequest && !failedItems.Match(x.body) {
		all = append(all, o.requestFaults(x)...)
	}
	return all
}

// problemFaults judges a problem of any operation.
func (j *judge) problemFaults(x judged) []string {
	if x.request.Method == http.MethodHead {
		return nil
	}
	return append(check(j.problem, x.body, "the problem"), codeFaults(j.codes[strconv.Itoa(x.status)], x)...)
}

// requestFaults judges a request that was accepted.
func (o *judgedOperation) requestFaults(x judged) []string {
	var all []string
	for name, p := range o.query {
		if p.required && x.request.URL.Query().Get(name) == "" {
			all = append(all, "takes a request without the parameter "+name+", which is described as required")
		}
	}
	for name, values := range x.request.URL.Query() {
		p, ok := o.query[name]
		if !ok {
			all = append(all, "takes the parameter "+name+", which is not described")
			continue
		}
		var v any = values[0]
		if p.kind == "array" {
			many := []any{}
			for _, value := range values {
				many = append(many, value)
			}
			v = many
		} else if n, err := strconv.Atoi(values[0]); err == nil && p.kind == "integer" {
			v = n
		} else if p.kind == "boolean" {
			v = values[0] == "true"
		}
		if values[0] == "" {
			continue // as if it were left out
		}
		if err := p.schema.Validate(v); err != nil {
			all = append(all, fmt.Sprintf("takes the parameter %s=%v: %v", name, v, err))
		}
	}
	switch {
	case len(x.sent) > 0 && o.body == nil:
		if strings.TrimSpace(string(x.sent)) != "{}" {
			all = append(all, "takes a body, which is not described: "+string(x.sent))
		}
	case len(x.sent) > 0:
		all = append(all, check(o.body, x.sent, "the request")...)
	case o.needsBody:
		all = append(all, "takes a request without its body, which is described as required")
	}
	return all
}

func (o *judgedOperation) answerFaults(x judged) []string {
	status := strconv.Itoa(x.status)
	media, ok := o.answers[status]
	if !ok {
		return []string{"answers " + status + ", which is not described: " + string(x.body)}
	}
	var all []string
	for name, header := range o.headers[status] {
		if h, ok := header.(node); ok && h["required"] == true && x.header.Get(name) == "" {
			all = append(all, "answers "+status+" without the header "+name)
		}
	}
	for _, name := range []string{"Retry-After", "Www-Authenticate", "Etag", "Tributary-Degraded", "Link", "Location"} {
		if x.header.Get(name) != "" && !slices.ContainsFunc(keys(o.headers[status]), func(k string) bool { return strings.EqualFold(k, name) }) {
			all = append(all, "answers "+status+" with the header "+name+", which is not described")
		}
	}
	if x.request.Method == http.MethodHead {
		return all
	}
	kind := x.header.Get("Content-Type")
	schema, ok := media[kind]
	if !ok {
		if len(media) == 0 && len(x.body) == 0 {
			return all
		}
		return append(all, "answers "+status+" as "+kind+", which is not described")
	}
	if kind == "application/x-ndjson" {
		for line := range bytes.Lines(x.body) {
			all = append(all, check(schema, line, "a line of the answer")...)
		}
		return all
	}
	all = append(all, check(schema, x.body, "the answer "+status)...)
	if codes := o.codes[status]; codes != nil {
		all = append(all, codeFaults(codes, x)...)
	}
	return all
}

func codeFaults(codes []any, x judged) []string {
	var p web.Problem
	if err := json.Unmarshal(x.body, &p); err != nil || !slices.Contains(codes, any(p.Code)) || p.Status != x.status {
		return []string{fmt.Sprintf("answers %d with the code %q of status %d, which is not described", x.status, p.Code, p.Status)}
	}
	return nil
}

func keys(n node) []string {
	var out []string
	for k := range n {
		out = append(out, k)
	}
	return out
}

func check(schema *jsonschema.Schema, body []byte, what string) []string {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		return []string{fmt.Sprintf("%s: %v\n%.600s", what, err, body)}
	}
	return nil
}
