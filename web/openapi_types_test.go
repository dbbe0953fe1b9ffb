package web_test

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
)

// node is a part of the description, as JSON has it.
type node = map[string]any

// typeSchemas writes schemas of Go types, and keeps those of structs by name.
type typeSchemas struct {
	source *goSource
	// written are the schemas that are written by hand, made those of types.
	written node
	made    map[string]node
	names   map[string]reflect.Type
	faults  []string
}

func refTo(name string) node { return node{"$ref": "#/components/schemas/" + name} }

// of returns the schema of t, as a request or an answer has it.
func (s *typeSchemas) of(t reflect.Type, request bool) node {
	switch t {
	case reflect.TypeFor[time.Time]():
		return node{"type": "string", "format": "date-time"}
	case reflect.TypeFor[uuid.UUID]():
		return node{"type": "string", "format": "uuid"}
	case reflect.TypeFor[json.RawMessage]():
		return node{}
	}
	if name := t.Name(); s.written[name] != nil && t.PkgPath() != "" && !strings.HasSuffix(t.PkgPath(), "/connectors") {
		return refTo(name)
	}
	if t.Kind() == reflect.Pointer {
		return orNull(s.of(t.Elem(), request))
	}
	if t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return node{"type": "string"}
	}
	if t.Implements(reflect.TypeFor[json.Marshaler]()) {
		s.faults = append(s.faults, "the type "+t.String()+" writes its own JSON: describe it by hand under schemas of openapi/admin.yaml")
	}
	return s.plain(t, request)
}

func (s *typeSchemas) plain(t reflect.Type, request bool) node {
	switch t.Kind() {
	case reflect.Bool:
		return node{"type": "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return node{"type": "integer"}
	case reflect.Float32, reflect.Float64:
		return node{"type": "number"}
	case reflect.String:
		if values := s.source.values[typeName(t)]; len(values) > 0 {
			return node{"enum": values}
		}
		return node{"type": "string"}
	case reflect.Slice, reflect.Array:
		return nullable(node{"type": "array", "items": s.of(t.Elem(), request)}, request)
	case reflect.Map:
		return nullable(node{"type": "object", "additionalProperties": s.of(t.Elem(), request)}, request)
	case reflect.Struct:
		return s.named(t, request)
	case reflect.Interface:
		return node{}
	default:
		s.faults = append(s.faults, "nothing is known of the type "+t.String())
		return node{}
	}
}

func nullable(schema node, yes bool) node {
	if yes {
		return orNull(schema)
	}
	return schema
}

// orNull lets a schema take null besides.
func orNull(schema node) node {
	switch kind := schema["type"].(type) {
	case string:
		schema["type"] = []any{kind, "null"}
	case nil:
		if values, ok := schema["enum"].([]any); ok {
			schema["enum"] = append(slices.Clone(values), nil)
		} else if schema["$ref"] != nil {
			return node{"oneOf": []any{schema, node{"type": "null"}}}
		}
	}
	return schema
}

func typeName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// named writes the schema of a struct once, under a name of its own.
func (s *typeSchemas) named(t reflect.Type, request bool) node {
	name := componentName(t)
	if request && !strings.HasSuffix(name, "Request") {
		name += "Request"
	}
	if had, ok := s.names[name]; ok && had != t || s.written[name] != nil {
		name = title(t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]) + name
	}
	if s.made[name] != nil {
		return refTo(name)
	}
	s.names[name] = t
	schema := node{"type": "object"}
	s.made[name] = schema
	properties, required := node{}, []any{}
	for _, f := range jsonFields(t) {
		p := s.of(f.Type, request)
		if f.omit {
			p = plainOf(s, f.Type, request)
		}
		if doc := s.source.docs[f.owner+"."+f.Name]; doc != "" {
			p["description"] = describe(doc, f.Name, f.name)
		}
		if values, ok := p["enum"].([]any); ok && !f.omit && (request || strings.Contains(s.source.docs[f.owner+"."+f.Name], `""`)) {
			p["enum"] = append(slices.Clone(values), "")
		}
		properties[f.name] = p
		if !f.omit {
			required = append(required, f.name)
		}
	}
	schema["properties"] = properties
	if request {
		schema["additionalProperties"] = false
	} else if len(required) > 0 {
		schema["required"] = required
	}
	if doc := s.source.docs[typeName(t)]; doc != "" {
		schema["description"] = describe(doc, t.Name(), "")
	}
	return refTo(name)
}

// plainOf is the schema of what is left out where it is empty: a pointer's is never null.
func plainOf(s *typeSchemas, t reflect.Type, request bool) node {
	if t.Kind() == reflect.Pointer && !request {
		return s.of(t.Elem(), request)
	}
	return s.of(t, request)
}

// componentName is a type's name; of a page of something it is PageOfSomething.
func componentName(t reflect.Type) string {
	name, argument, generic := strings.Cut(t.Name(), "[")
	if generic {
		argument = strings.TrimSuffix(argument, "]")
		name += "Of" + title(argument[strings.LastIndexAny(argument, "./")+1:])
	}
	return title(name)
}

func title(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}

// describe turns a comment into a description: what it says of a Go name it says of the field.
func describe(doc, goName, field string) string {
	doc = strings.Join(strings.Fields(doc), " ")
	doc = regexp.MustCompile(`\bnil\b`).ReplaceAllString(doc, "null")
	rest, ok := strings.CutPrefix(doc, goName+" ")
	switch {
	case !ok:
		return doc
	case field != "":
		return "`" + field + "` " + rest
	}
	for _, verb := range []string{"is ", "are "} {
		if what, ok := strings.CutPrefix(rest, verb); ok {
			return title(what)
		}
	}
	return title(rest)
}

// jsonField is a field as encoding/json sees it.
type jsonField struct {
	reflect.StructField

	name  string
	omit  bool
	depth int
	// owner is the type that has it, by package and name.
	owner string
}

// jsonFields lists the fields of t with those of embedded structs; of two with one name the outer one counts.
func jsonFields(t reflect.Type) []jsonField {
	byName := map[string]jsonField{}
	var walk func(t reflect.Type, depth int)
	walk = func(t reflect.Type, depth int) {
		for f := range t.Fields() {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case name == "-":
			case f.Anonymous && name == "":
				walk(f.Type, depth+1)
			case f.IsExported():
				if name == "" {
					name = f.Name
				}
				if had, ok := byName[name]; !ok || had.depth > depth {
					byName[name] = jsonField{StructField: f, name: name, omit: strings.Contains(options, "omit"), depth: depth, owner: typeName(t)}
				}
			}
		}
	}
	walk(t, 0)
	return slices.SortedFunc(maps.Values(byName), func(a, b jsonField) int { return strings.Compare(a.name, b.name) })
}

// queryParameters describes the fields of a type that come from the query.
func (s *typeSchemas) queryParameters(t reflect.Type, known node) []any {
	var list []any
	for f := range t.Fields() {
		if f.Anonymous {
			list = append(list, s.queryParameters(f.Type, known)...)
			continue
		}
		name := f.Tag.Get("query")
		if name == "" {
			s.faults = append(s.faults, t.String()+"."+f.Name+" has no tag query")
			continue
		}
		p := node{"name": name, "in": "query", "schema": s.of(f.Type, true)}
		if usual, ok := known[name].(node); ok {
			maps.Copy(p, usual)
		}
		if doc := s.source.docs[typeName(t)+"."+f.Name]; doc != "" && known[name] == nil {
			p["description"] = describe(doc, f.Name, name)
		}
		list = append(list, p)
	}
	return list
}

// require says what a request may not leave out.
func (s *typeSchemas) require(schema node, names []any) {
	ref, _ := schema["$ref"].(string)
	name := strings.TrimPrefix(ref, "#/components/schemas/")
	made := s.made[name]
	if had, ok := made["required"]; made == nil || ok && !reflect.DeepEqual(had, names) {
		s.faults = append(s.faults, "operations that take "+name+" differ in what they require of it")
		return
	}
	for _, n := range names {
		field, _ := n.(string)
		if sub(made, "properties")[field] == nil {
			s.faults = append(s.faults, name+" has no field "+field+" to require")
		}
	}
	made["required"] = names
}
