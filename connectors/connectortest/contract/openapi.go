package contract

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"tributary/connectors/connectortest/internal/route"
)

// described is one operation of an OpenAPI document.
type described struct {
	doc    *openapi3.T
	method string
	path   string
	item   *openapi3.PathItem
	op     *openapi3.Operation
	params openapi3.Parameters
}

func openAPI(data []byte) (*route.Table[operation], error) {
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		return nil, err
	}
	return operations(doc)
}

func operations(doc *openapi3.T) (*route.Table[operation], error) {
	table := &route.Table[operation]{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			d := &described{doc: doc, method: method, path: path, item: item, op: op, params: slices.Concat(item.Parameters, op.Parameters)}
			if err := table.Add(method, d.template(), d); err != nil {
				return nil, err
			}
		}
	}
	return table, nil
}

// template marks a last parameter that is a path itself.
func (d *described) template() string {
	open := strings.LastIndex(d.path, "/{")
	if open < 0 || !strings.HasSuffix(d.path, "}") {
		return d.path
	}
	name := d.path[open+2 : len(d.path)-1]
	many := strings.HasSuffix(name, "path")
	for _, p := range d.params {
		many = many || p.Value.Name == name && p.Value.In == "path" && p.Value.Extensions["x-multi-segment"] == true
	}
	if !many {
		return d.path
	}
	return strings.TrimSuffix(d.path, "}") + "...}"
}

func (d *described) name() string { return d.method + " " + d.path }

func (d *described) violation(where, message string) Violation {
	return Violation{Operation: d.name(), Where: where, Message: message}
}

// request judges the parameters and the content of a request.
func (d *described) request(x *exchange) []Violation {
	var all []Violation
	in := &openapi3filter.RequestValidationInput{
		Request: x.asRequest(), PathParams: x.params, QueryParams: x.query,
		Route:   &routers.Route{Spec: d.doc, Path: d.path, PathItem: d.item, Method: d.method, Operation: d.op},
		Options: &openapi3filter.Options{SkipSettingDefaults: true},
	}
	for _, p := range d.params {
		if p.Value.In == "path" && p.Value.Name == "path" && x.params["path"] == "" {
			continue
		}
		if err := openapi3filter.ValidateParameter(context.Background(), in, p.Value); err != nil {
			all = append(all, d.violation(p.Value.In+" "+p.Value.Name, firstLine(err)))
		}
	}
	for name := range x.query {
		if !d.queryKnown(name) {
			all = append(all, d.violation("query "+name, "the operation has no such parameter"))
		}
	}
	switch {
	case len(x.sent) == 0:
		if d.op.RequestBody != nil && d.op.RequestBody.Value.Required {
			all = append(all, d.violation("request body /", "the operation needs content"))
		}
	case d.op.RequestBody == nil:
		all = append(all, d.violation("request body /", "the operation takes no content"))
	default:
		all = append(all, d.sentBody(x)...)
	}
	return all
}

// queryKnown reports whether the operation has a parameter of that name, or an
// object parameter of which it is a member.
func (d *described) queryKnown(name string) bool {
	base, _, _ := strings.Cut(name, "[")
	return slices.ContainsFunc(d.params, func(p *openapi3.ParameterRef) bool {
		return p.Value.In == "query" && (p.Value.Name == name || strings.TrimSuffix(p.Value.Name, "[]") == base)
	})
}

func (d *described) sentBody(x *exchange) []Violation {
	kind := x.asked.Get("Content-Type")
	content := d.op.RequestBody.Value.Content.Get(kind)
	if content == nil {
		return []Violation{d.violation("request media type "+kind, "the operation takes "+keys(d.op.RequestBody.Value.Content))}
	}
	if content.Schema == nil || !isJSON(strings.Split(kind, ";")[0]) {
		return nil
	}
	v, err := decode(x.sent)
	if err != nil {
		return []Violation{d.violation("request body /", "no JSON: "+err.Error())}
	}
	var all []Violation
	for _, f := range d.judge(content.Schema.Value, v, openapi3.VisitAsRequest()) {
		all = append(all, d.violation("request body "+f.place(), f.message))
	}
	return all
}

// answer judges the status, the media type and the content of an answer.
func (d *described) answer(x *exchange) []Violation {
	ref := d.op.Responses.Status(x.status)
	if ref == nil {
		problems, ok := x.general()
		if ok {
			return d.general(x, problems)
		}
		ref = d.op.Responses.Default()
	}
	if ref == nil {
		return []Violation{d.violation(fmt.Sprintf("status %d", x.status), "the operation does not answer so")}
	}
	switch {
	case x.status == http.StatusNotModified:
		problems, _ := x.general()
		return d.general(x, problems)
	case len(ref.Value.Content) == 0:
		return d.bare(x)
	case x.method == http.MethodHead:
		return nil
	}
	kind := x.mediaType()
	content := ref.Value.Content.Get(kind)
	if content == nil {
		return []Violation{d.violation("media type "+kind, "the operation answers "+keys(ref.Value.Content))}
	}
	if content.Schema == nil || !isJSON(kind) {
		return nil
	}
	v, err := x.json()
	if err != nil {
		return []Violation{d.violation("/", "no JSON: "+err.Error())}
	}
	var all []Violation
	schema := content.Schema.Value
	for _, f := range append(d.judge(schema, v, openapi3.VisitAsResponse()), unknown([]*openapi3.Schema{schema}, v)...) {
		all = append(all, d.violation(f.place(), f.message))
	}
	return all
}

func (d *described) general(x *exchange, problems []string) []Violation {
	var all []Violation
	for _, p := range problems {
		all = append(all, d.violation(fmt.Sprintf("status %d", x.status), p))
	}
	return all
}

// bare judges an answer of which the description names no content: errors may
// have some all the same.
func (d *described) bare(x *exchange) []Violation {
	if x.status >= 300 || len(x.body) == 0 {
		return nil
	}
	return []Violation{d.violation("/", "the operation answers without content")}
}

// finding is one violation of a schema.
type finding struct {
	where, message string
	// null says that the value is null and may not be.
	null bool
}

// place is where the finding is, in the words of [Violation].
func (f finding) place() string {
	if f.null {
		return "null " + f.where
	}
	return f.where
}

// judge holds v to schema.
func (d *described) judge(schema *openapi3.Schema, v any, as openapi3.SchemaValidationOption) []finding {
	opts := []openapi3.SchemaValidationOption{
		as, openapi3.MultiErrors(), openapi3.EnableFormatValidation(),
		openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(checkTime)),
	}
	if d.doc.IsOpenAPI31OrLater() {
		opts = append(opts, openapi3.EnableJSONSchema2020())
	}
	return findings(schema.VisitJSON(v, opts...), opts)
}

// findings takes the errors of a validation apart. Where no branch of a oneOf
// or anyOf fits, the one with the fewest errors speaks; documents of version 3.1
// do not tell which branches there are.
func findings(err error, opts []openapi3.SchemaValidationOption) []finding {
	if err == nil {
		return nil
	}
	// The type of err itself counts: a schema error wraps those of its branches.
	many, ok := err.(openapi3.MultiError) //nolint:errorlint // see above
	if ok {
		var all []finding
		for _, e := range many {
			all = append(all, findings(e, opts)...)
		}
		return all
	}
	var one *openapi3.SchemaError
	if !errors.As(err, &one) {
		return []finding{{where: "/", message: strings.Join(strings.Fields(err.Error()), " ")}}
	}
	where := starred(one.JSONPointer())
	if one.Schema != nil && (one.SchemaField == "oneOf" || one.SchemaField == "anyOf") {
		if best := closest(one, opts); len(best) > 0 {
			for i := range best {
				best[i].where = below(where, best[i].where)
				best[i].message = "no branch of " + one.SchemaField + " fits; in the closest: " + best[i].message
			}
			return best
		}
	}
	return []finding{{where: where, message: one.Reason, null: one.Value == nil}}
}

// below joins two pointers.
func below(at, where string) string {
	switch {
	case at == "/":
		return where
	case where == "/":
		return at
	default:
		return at + where
	}
}

func closest(e *openapi3.SchemaError, opts []openapi3.SchemaValidationOption) []finding {
	var best []finding
	for i, branch := range slices.Concat(e.Schema.OneOf, e.Schema.AnyOf) {
		f := findings(branch.Value.VisitJSON(e.Value, opts...), opts)
		if i == 0 || len(f) < len(best) {
			best = f
		}
	}
	return best
}

// starred makes a pointer in which indices are "*".
func starred(steps []string) string {
	steps = slices.Clone(steps)
	for i, s := range steps {
		if s != "" && strings.Trim(s, "0123456789") == "" {
			steps[i] = "*"
		}
	}
	return pointer(steps...)
}

func keys(c openapi3.Content) string {
	var all []string
	for k := range c {
		all = append(all, k)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// asRequest is the request without its body.
func (x *exchange) asRequest() *http.Request {
	return &http.Request{Method: x.method, Header: x.asked, URL: &url.URL{Path: x.path, RawQuery: x.query.Encode()}, Body: http.NoBody}
}
