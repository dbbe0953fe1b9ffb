package contract

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// discoverySchema is a schema or a parameter of a discovery document: JSON
// Schema draft 3 with formats of Google's.
type discoverySchema struct {
	Ref        string                      `json:"$ref"`
	Type       string                      `json:"type"`
	Format     string                      `json:"format"`
	Enum       []string                    `json:"enum"`
	Pattern    string                      `json:"pattern"`
	Minimum    string                      `json:"minimum"`
	Maximum    string                      `json:"maximum"`
	Required   bool                        `json:"required"`
	Repeated   bool                        `json:"repeated"`
	Location   string                      `json:"location"`
	Properties map[string]*discoverySchema `json:"properties"`
	Additional *discoverySchema            `json:"additionalProperties"`
	Items      *discoverySchema            `json:"items"`
}

func (doc *discoveryDoc) resolve(s *discoverySchema) *discoverySchema {
	for s != nil && s.Ref != "" {
		s = doc.Schemas[s.Ref]
	}
	return s
}

// judge holds v to a schema, and to what was selected of it.
func (doc *discoveryDoc) judge(s *discoverySchema, v any, sel selector, at ...string) []finding {
	s = doc.resolve(s)
	if s == nil || s.Type == "any" {
		return nil
	}
	problem := func(format string, args ...any) []finding {
		return []finding{{where: pointer(at...), message: fmt.Sprintf(format, args...), null: v == nil}}
	}
	var all []finding
	switch s.Type {
	case "object":
		members, ok := v.(map[string]any)
		if !ok {
			return problem("want an object, not %s", kindOf(v))
		}
		for _, name := range slices.Sorted(maps.Keys(members)) {
			below := append(slices.Clone(at), name)
			schema := s.Properties[name]
			if schema == nil {
				schema = s.Additional
			}
			deeper, picked := sel.pick(name)
			switch {
			case schema == nil:
				all = append(all, finding{where: pointer(below...), message: "the description has no such property"})
			case !picked:
				all = append(all, finding{where: pointer(below...), message: "the request's fields do not select it"})
			default:
				all = append(all, doc.judge(schema, members[name], deeper, below...)...)
			}
		}
	case "array":
		elements, ok := v.([]any)
		if !ok {
			return problem("want an array, not %s", kindOf(v))
		}
		for _, e := range elements {
			all = append(all, doc.judge(s.Items, e, sel, append(slices.Clone(at), "*")...)...)
		}
	default:
		if message := s.scalar(v); message != "" {
			return problem("%s", message)
		}
	}
	return all
}

// scalar returns what is wrong with v, "" where nothing is.
func (s *discoverySchema) scalar(v any) string {
	switch v := v.(type) {
	case bool:
		if s.Type == "boolean" {
			return ""
		}
	case json.Number:
		if s.Type == "number" || s.Type == "integer" {
			return s.fits(v.String())
		}
	case string:
		if s.Type == "string" {
			return s.fits(v)
		}
	}
	if s.Format != "" {
		return fmt.Sprintf("want %s (%s), not %s", s.Type, s.Format, kindOf(v))
	}
	return fmt.Sprintf("want %s, not %s", s.Type, kindOf(v))
}

// fits returns what is wrong with a scalar's text, "" where nothing is.
func (s *discoverySchema) fits(v string) string {
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		return fmt.Sprintf("%q is not one of %s", v, strings.Join(s.Enum, ", "))
	}
	if s.Pattern != "" {
		if p, err := regexp.Compile("^(?:" + s.Pattern + ")$"); err == nil && !p.MatchString(v) {
			return fmt.Sprintf("%q does not match %s", v, s.Pattern)
		}
	}
	var err error
	switch {
	case s.Type == "boolean":
		_, err = strconv.ParseBool(v)
	case s.Type == "number":
		_, err = strconv.ParseFloat(v, 64)
	case s.Format == "int64":
		_, err = strconv.ParseInt(v, 10, 64)
	case s.Format == "uint64":
		_, err = strconv.ParseUint(v, 10, 64)
	case s.Format == "uint32":
		_, err = strconv.ParseUint(v, 10, 32)
	case s.Type == "integer":
		_, err = strconv.ParseInt(v, 10, 32)
	case s.Format == "date-time" || s.Format == "google-datetime":
		err = checkTime(v)
	case s.Format == "date":
		_, err = time.Parse(time.DateOnly, v)
	case s.Format == "byte":
		_, err = base64.URLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_").Replace(v))
	}
	if err != nil {
		return fmt.Sprintf("%q is no %s %s", v, s.Type, s.Format)
	}
	return s.bounds(v)
}

func (s *discoverySchema) bounds(v string) string {
	n, err := strconv.ParseFloat(v, 64)
	if err != nil {
		return ""
	}
	if low, err := strconv.ParseFloat(s.Minimum, 64); err == nil && n < low {
		return fmt.Sprintf("%s is below %s", v, s.Minimum)
	}
	if high, err := strconv.ParseFloat(s.Maximum, 64); err == nil && n > high {
		return fmt.Sprintf("%s is above %s", v, s.Maximum)
	}
	return ""
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	default:
		return "an object"
	}
}
