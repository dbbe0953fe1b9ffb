package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"tributary/connectors/connectortest/internal/route"
)

// discoveryDoc is the part of a Google discovery document that is checked.
// https://developers.google.com/discovery/v1/reference/apis
type discoveryDoc struct {
	ServicePath string                        `json:"servicePath"`
	Parameters  map[string]*discoverySchema   `json:"parameters"`
	Schemas     map[string]*discoverySchema   `json:"schemas"`
	Resources   map[string]*discoveryResource `json:"resources"`
	Methods     map[string]*discoveryMethod   `json:"methods"`
}

type discoveryResource struct {
	Methods   map[string]*discoveryMethod   `json:"methods"`
	Resources map[string]*discoveryResource `json:"resources"`
}

type discoveryMethod struct {
	ID         string                      `json:"id"`
	HTTPMethod string                      `json:"httpMethod"`
	Path       string                      `json:"path"`
	Parameters map[string]*discoverySchema `json:"parameters"`
	Request    *discoverySchema            `json:"request"`
	Response   *discoverySchema            `json:"response"`
	Download   bool                        `json:"supportsMediaDownload"`

	doc *discoveryDoc
}

func discovery(data []byte) (*route.Table[operation], error) {
	doc := &discoveryDoc{}
	if err := json.Unmarshal(data, doc); err != nil {
		return nil, err
	}
	table := &route.Table[operation]{}
	return table, doc.add(table, &discoveryResource{Methods: doc.Methods, Resources: doc.Resources})
}

func (doc *discoveryDoc) add(table *route.Table[operation], r *discoveryResource) error {
	for _, m := range r.Methods {
		m.doc = doc
		if err := table.Add(m.HTTPMethod, "/"+doc.ServicePath+m.Path, m); err != nil {
			return err
		}
	}
	for _, below := range r.Resources {
		if err := doc.add(table, below); err != nil {
			return err
		}
	}
	return nil
}

func (m *discoveryMethod) name() string { return m.ID }

func (m *discoveryMethod) violation(where, format string, args ...any) Violation {
	return Violation{Operation: m.ID, Where: where, Message: fmt.Sprintf(format, args...)}
}

// request judges the parameters and the content of a request.
func (m *discoveryMethod) request(x *exchange) []Violation {
	var all []Violation
	given := maps.Clone(x.query)
	for name, value := range x.params {
		given[name] = []string{value}
	}
	for name, values := range given {
		all = append(all, m.parameter(name, values)...)
	}
	for name, p := range m.Parameters {
		if _, ok := given[name]; p.Required && !ok {
			all = append(all, m.violation("query "+name, "the parameter is required"))
		}
	}
	if _, err := m.selected(x.query); err != nil {
		all = append(all, m.violation("query fields", "%s", err))
	}
	switch {
	case len(x.sent) == 0:
	case m.Request == nil:
		all = append(all, m.violation("request body /", "the operation takes no content"))
	default:
		v, err := decode(x.sent)
		if err != nil {
			return append(all, m.violation("request body /", "no JSON: %s", err))
		}
		for _, f := range m.doc.judge(m.Request, v, everything()) {
			all = append(all, m.violation("request body "+f.place(), "%s", f.message))
		}
	}
	return all
}

func (m *discoveryMethod) parameter(name string, values []string) []Violation {
	p := m.Parameters[name]
	where := "query " + name
	if p == nil {
		p = m.doc.Parameters[name]
	}
	switch {
	case p == nil:
		return []Violation{m.violation(where, "the operation has no such parameter")}
	case name == "access_token" || name == "oauth_token" || name == "key":
		return []Violation{m.violation(where, "a credential in an address")}
	case len(values) > 1 && !p.Repeated:
		return []Violation{m.violation(where, "the parameter is not repeated")}
	}
	if p.Location == "path" {
		where = "path " + name
	}
	var all []Violation
	for _, v := range values {
		if problem := p.fits(v); problem != "" {
			all = append(all, m.violation(where, "%s", problem))
		}
	}
	return all
}

// selected returns what the request selects of the answer.
func (m *discoveryMethod) selected(query url.Values) (selector, error) {
	text := query.Get("fields")
	if text == "" || m.Response == nil {
		return everything(), nil
	}
	sel, err := parseFields(text)
	if err != nil {
		return everything(), err
	}
	return sel, m.doc.selectable(m.Response, sel, "")
}

// answer judges the status, the media type and the content of an answer.
func (m *discoveryMethod) answer(x *exchange) []Violation {
	status := "status " + strconv.Itoa(x.status)
	switch {
	case x.status == http.StatusOK || x.status == http.StatusNoContent && m.Response == nil:
	case x.status == http.StatusBadRequest:
		return m.refusal(x)
	case x.status < http.StatusBadRequest:
		problems, ok := x.general()
		if !ok {
			return []Violation{m.violation(status, "the operation does not answer so")}
		}
		var all []Violation
		for _, p := range problems {
			all = append(all, m.violation(status, "%s", p))
		}
		return all
	default:
		if _, ok := x.general(); !ok {
			return []Violation{m.violation(status, "the operation does not answer so")}
		}
		return m.refusal(x)
	}
	kind := x.mediaType()
	switch {
	case m.Download && (x.query.Get("alt") == "media" || m.Response == nil):
		if want := x.query.Get("mimeType"); want != "" && kind != want {
			return []Violation{m.violation("media type "+kind, "the request asks for %s", want)}
		}
		return nil
	case m.Response == nil:
		if len(x.body) > 0 {
			return []Violation{m.violation("/", "the operation answers without content")}
		}
		return nil
	case !isJSON(kind):
		return []Violation{m.violation("media type "+kind, "the operation answers application/json")}
	}
	v, err := x.json()
	if err != nil {
		return []Violation{m.violation("/", "no JSON: %s", err)}
	}
	sel, err := m.selected(x.query)
	if err != nil {
		return nil // the request is at fault
	}
	var all []Violation
	for _, f := range m.doc.judge(m.Response, v, sel) {
		all = append(all, m.violation(f.place(), "%s", f.message))
	}
	return all
}

// refusal judges the content of an error, which is one for every Google API:
// https://developers.google.com/workspace/drive/api/guides/handle-errors.
// Front ends answer some without JSON.
func (m *discoveryMethod) refusal(x *exchange) []Violation {
	if !isJSON(x.mediaType()) {
		return nil
	}
	var e struct {
		Error *struct {
			Code    int
			Message *string
			Errors  []struct{ Domain, Reason, Message string }
		}
	}
	if err := json.Unmarshal(x.body, &e); err != nil || e.Error == nil || e.Error.Message == nil {
		return []Violation{m.violation("/error", "an error has a code and a message")}
	}
	if e.Error.Code != x.status {
		return []Violation{m.violation("/error/code", "%d in an answer of status %d", e.Error.Code, x.status)}
	}
	for _, one := range e.Error.Errors {
		if one.Domain == "" || one.Reason == "" {
			return []Violation{m.violation("/error/errors/*", "an error has a domain and a reason")}
		}
	}
	return nil
}

// selectable reports the first name of sel that the schema does not have.
func (doc *discoveryDoc) selectable(s *discoverySchema, sel selector, at string) error {
	s = doc.resolve(s)
	for s != nil && s.Type == "array" {
		s = doc.resolve(s.Items)
	}
	for _, name := range slices.Sorted(maps.Keys(sel)) {
		if name == "*" {
			continue
		}
		var below *discoverySchema
		if s != nil {
			if below = s.Properties[name]; below == nil {
				below = s.Additional
			}
		}
		if below == nil {
			return fmt.Errorf("invalid field selection %q", strings.TrimPrefix(at+"/"+name, "/"))
		}
		if err := doc.selectable(below, sel[name], at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}
