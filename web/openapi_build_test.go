package web_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tributary/web"
)

// description builds the document of openapi/ from what is written there and from the types of the admin API.
type description struct {
	t      *testing.T
	common node
	// operations and query parameters are by file, schemas of all files.
	types    *typeSchemas
	examples map[string][]exchangeExample
	paths    node
}

// buildDescription returns the document for the routes, as indented JSON.
func buildDescription(t *testing.T, routes []web.RouteInfo) []byte {
	t.Helper()
	d := &description{t: t, common: readYAML(t, "common"), paths: node{}, examples: readExamples(t)}
	files := map[string]node{}
	d.types = &typeSchemas{source: readSource(t), written: node{"Problem": problemSchema()}, made: map[string]node{}, names: map[string]reflect.Type{}}
	for _, name := range []string{"search", "documents", "feed", "push", "admin"} {
		files[name] = readYAML(t, name)
		maps.Copy(d.types.written, sub(files[name], "schemas"))
	}
	byName := map[string]web.RouteInfo{}
	for _, r := range routes {
		byName[r.Method+" "+template(r.Path)] = r
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for at, op := range sub(files[name], "operations") {
			r, ok := byName[at]
			if !ok {
				t.Errorf("openapi/%s.yaml describes %s, which is not served: take it out", name, at)
				continue
			}
			delete(byName, at)
			d.operation(at, op.(node), sub(files[name], "query"), r)
		}
	}
	for at := range byName {
		if strings.Contains(at, " /v1/") {
			t.Errorf("%s is served and not described: add it to operations of web/openapi/%s.yaml, and run go generate ./web", at, fileFor(at))
		}
	}
	for _, fault := range d.types.faults {
		t.Error(fault)
	}
	return d.document()
}

func fileFor(at string) string {
	switch {
	case strings.Contains(at, " /v1/admin/"):
		return "admin"
	case strings.Contains(at, " /v1/push/"):
		return "push"
	}
	return "documents"
}

func readYAML(t *testing.T, name string) node {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("openapi", name+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out := node{}
	if err := yaml.Unmarshal(text, &out); err != nil {
		t.Fatalf("openapi/%s.yaml: %v", name, err)
	}
	return out
}

func sub(n node, name string) node {
	m, _ := n[name].(node)
	return m
}

// template writes a path of the router as OpenAPI does.
func template(path string) string {
	return regexp.MustCompile(`:([a-z]+)`).ReplaceAllString(path, "{$1}")
}

func problemSchema() node {
	text := func(s string) node { return node{"type": "string", "description": s} }
	return node{
		"type": "object", "description": "What went wrong (RFC 9457).", "required": []any{"title", "status", "detail", "code"},
		"properties": node{
			"title": text("The status in words."), "status": node{"type": "integer", "minimum": 400, "maximum": 599},
			"detail": text("What is wrong and what would help."), "code": text("For programs; never changes."),
			"field": text("The part of the request that is wrong."), "request_id": text("Finds the request in the log."),
		},
	}
}

// operation adds one operation to the paths.
func (d *description) operation(at string, written, query node, r web.RouteInfo) {
	method, path, _ := strings.Cut(at, " ")
	admin := r.Takes != nil
	op := node{"operationId": written["id"], "tags": []any{written["tag"]}, "summary": written["summary"]}
	if written["description"] != nil {
		op["description"] = written["description"]
	}
	parameters := d.pathParameters(path)
	for _, p := range list(written["query"]) {
		parameters = append(parameters, queryParameter(p, query))
	}
	security, always := "key", "key"
	switch {
	case admin:
		security, always = "adminToken", "admin"
		op["x-role"] = strings.TrimPrefix(strings.TrimPrefix(r.Access, "token of an "), "token of a ")
		if method == "GET" {
			for _, p := range d.types.queryParameters(r.Takes, query) {
				if p, ok := p.(node); ok && slices.Contains(list(written["requires"]), p["name"]) {
					p["required"] = true
				}
				parameters = append(parameters, p)
			}
		}
		if slices.Contains(list(written["problems"]), any("412")) {
			parameters = append(parameters, node{"name": "If-Match", "in": "header", "schema": node{"type": "string"}, "description": "Changes only the version of that ETag."})
		}
	default:
		op["x-right"] = r.Right
		if written["reader"] == nil {
			parameters = append(parameters, node{"$ref": "#/components/parameters/Tributary-Reader"})
		}
	}
	op["security"] = []any{node{security: []any{}}}
	if body := d.body(method, written, r); body != nil {
		op["requestBody"] = body
	}
	if len(parameters) > 0 {
		op["parameters"] = parameters
	}
	responses := d.answers(method, written, r)
	problems := slices.Concat(list(sub(d.common, "always")[always]), list(written["problems"]))
	if admin {
		problems = append(problems, "409", "422")
		if strings.Contains(path, "{") {
			problems = append(problems, "404")
		}
		if method != "GET" {
			problems = append(problems, "404", "413", "415")
		}
	}
	for _, status := range problems {
		responses[status.(string)] = node{"$ref": "#/components/responses/Problem" + status.(string)}
	}
	op["responses"] = responses
	d.illustrate(at, op)
	item := sub(d.paths, path)
	if item == nil {
		item = node{}
		d.paths[path] = item
	}
	item[strings.ToLower(method)] = op
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// pathParameters describes what stands in braces, by what stands in front of it.
func (d *description) pathParameters(path string) []any {
	var out []any
	parts := strings.Split(strings.TrimPrefix(strings.TrimPrefix(path, "/v1/"), "admin/"), "/")
	for i, part := range parts {
		if !strings.HasPrefix(part, "{") {
			continue
		}
		known := sub(d.common, "path")
		text, ok := known[strings.Join(parts[:i+1], "/")]
		if !ok {
			text, ok = known[strings.Join(parts[i-1:i+1], "/")]
		}
		if !ok {
			d.t.Errorf("%s: say under path of openapi/common.yaml what %s/%s is", path, parts[i-1], part)
		}
		out = append(out, node{"name": strings.Trim(part, "{}"), "in": "path", "required": true, "schema": node{"type": "string"}, "description": text})
	}
	return out
}

// queryParameter describes a parameter that is named, or written out.
func queryParameter(p any, known node) node {
	out := node{"in": "query"}
	if name, ok := p.(string); ok {
		out["name"] = name
		maps.Copy(out, sub(known, name))
	} else if written, ok := p.(node); ok {
		maps.Copy(out, written)
	}
	if out["many"] == true {
		out["schema"] = node{"type": "array", "items": node{"type": "string"}, "maxItems": 100}
	}
	delete(out, "many")
	return out
}

func (d *description) body(method string, written node, r web.RouteInfo) node {
	var schema node
	switch {
	case written["body"] != nil:
		schema = refTo(written["body"].(string))
	case r.Takes != nil && method != "GET" && (r.Takes.Kind() != reflect.Struct || r.Takes.NumField() > 0):
		schema = d.types.of(r.Takes, true)
		if needed := list(written["requires"]); len(needed) > 0 {
			// Two operations may take one type and need different fields of it.
			d.types.require(schema, needed)
		}
	default:
		return nil
	}
	return node{"required": written["body"] != nil || written["requires"] != nil, "content": node{"application/json": node{"schema": schema}}}
}

// answers describes what is no problem.
func (d *description) answers(method string, written node, r web.RouteInfo) node {
	content := node{}
	answer := func(schema node) node {
		out := node{"description": "Done.", "headers": d.headers(append([]any{"X-Request-Id!"}, list(written["headers"])...))}
		if schema != nil {
			content["application/json"] = node{"schema": schema}
		}
		if lines, ok := written["lines"].(string); ok {
			content["application/x-ndjson"] = node{"schema": refTo(lines)}
			out["description"] = "As application/x-ndjson, one of the schema a line."
		}
		if len(content) > 0 {
			out["content"] = content
		}
		return out
	}
	switch body := written["answer"].(type) {
	case string:
		return node{"200": answer(refTo(body))}
	case node:
		out := node{}
		for status, name := range body {
			if name == "" {
				out[status] = node{"description": "Done.", "headers": d.headers([]any{"X-Request-Id!"})}
			} else {
				out[status] = answer(refTo(name.(string)))
			}
		}
		return out
	}
	if r.Gives == nil {
		return node{"200": answer(nil)}
	}
	out := node{"200": answer(d.types.of(r.Gives, false))}
	if method == "POST" && written["made"] != nil {
		out["201"] = out["200"]
	}
	return out
}

func (d *description) headers(names []any) node {
	out := node{}
	for _, n := range names {
		name, always := strings.CutSuffix(n.(string), "!")
		header := maps.Clone(sub(sub(d.common, "headers"), name))
		if header == nil {
			d.t.Fatalf("say under headers of openapi/common.yaml what %s is", name)
		}
		if always {
			header["required"] = true
		}
		out[name] = header
	}
	return out
}

func (d *description) document() []byte {
	schemas := node{}
	for name, schema := range d.types.written {
		schemas[name] = expand(schema)
	}
	for name, schema := range d.types.made {
		schemas[name] = schema
	}
	responses := node{}
	for status, codes := range sub(d.common, "problems") {
		text := []string{}
		names := slices.Sorted(maps.Keys(codes.(node)))
		for _, code := range names {
			text = append(text, "- `"+code+"`: "+codes.(node)[code].(string))
		}
		if status == "422" {
			text = append(text, "- of a consent or a token that a provider refused, a word for why")
			for _, word := range d.types.source.values["tributary/oauthflow.FlowCode"] {
				names = append(names, word.(string))
			}
		}
		headers := append([]any{"X-Request-Id!"}, list(sub(d.common, "statusHeaders")[status])...)
		responses["Problem"+status] = node{
			"description": strings.Join(text, "\n"), "headers": d.headers(headers),
			"content": node{web.ProblemType: node{"schema": refTo("Problem")}}, "x-codes": names,
		}
	}
	out, err := json.MarshalIndent(node{
		"openapi": "3.1.1", "info": d.common["info"], "externalDocs": d.common["externalDocs"], "tags": d.common["tags"], "servers": []any{node{"url": "/"}},
		"paths": d.paths,
		"components": node{
			"schemas": schemas, "responses": responses, "securitySchemes": d.common["securitySchemes"],
			"parameters": node{"Tributary-Reader": d.common["reader"]},
		},
	}, "", " ")
	if err != nil {
		d.t.Fatal(err)
	}
	return append(out, '\n')
}

// expand makes whole references of names.
func expand(v any) any {
	switch v := v.(type) {
	case node:
		out := make(node, len(v))
		for k, x := range v {
			if name, ok := x.(string); ok && k == "$ref" && !strings.HasPrefix(name, "#") {
				x = "#/components/schemas/" + name
			}
			out[k] = expand(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = expand(x)
		}
		return out
	}
	return v
}
