package contract

import (
	"errors"
	"strings"
)

// selector is what the parameter "fields" selects of an answer: the names at
// this level, each with what is selected below. An empty selector is all.
// https://developers.google.com/workspace/drive/api/guides/fields-parameter
type selector map[string]selector

func everything() selector { return nil }

// pick returns what is selected below name, and whether anything is.
func (s selector) pick(name string) (selector, bool) {
	if len(s) == 0 {
		return everything(), true
	}
	if below, ok := s[name]; ok {
		return below, true
	}
	below, ok := s["*"]
	return below, ok
}

var errFields = errors.New("no selection of fields: want names, a/b, a(b,c) and *")

// parseFields reads "files(id,name),nextPageToken" or "files/id".
func parseFields(text string) (selector, error) {
	p := &fieldsParser{rest: text}
	s, err := p.list()
	if err == nil && p.rest != "" {
		err = errFields
	}
	return s, err
}

type fieldsParser struct {
	rest  string
	depth int
}

func (p *fieldsParser) list() (selector, error) {
	const deepest = 50
	if p.depth++; p.depth > deepest {
		return nil, errFields
	}
	s := selector{}
	for {
		if err := p.path(s); err != nil {
			return nil, err
		}
		if !p.take(",") {
			p.depth--
			return s, nil
		}
	}
}

// path reads one name with what is below it into s.
func (p *fieldsParser) path(s selector) error {
	p.rest = strings.TrimLeft(p.rest, " ")
	end := strings.IndexAny(p.rest, "/(), ")
	if end < 0 {
		end = len(p.rest)
	}
	name := p.rest[:end]
	if name == "" {
		return errFields
	}
	p.rest = p.rest[end:]
	below := selector{}
	switch {
	case p.take("/"):
		if err := p.path(below); err != nil {
			return err
		}
	case p.take("("):
		list, err := p.list()
		if err != nil {
			return err
		}
		if !p.take(")") {
			return errFields
		}
		below = list
	}
	s.merge(name, below)
	return nil
}

// merge adds a name; a name that stands alone selects all of it.
func (s selector) merge(name string, below selector) {
	old, had := s[name]
	if !had {
		s[name] = below
		return
	}
	if len(old) == 0 || len(below) == 0 {
		s[name] = selector{}
		return
	}
	for k, v := range below {
		old.merge(k, v)
	}
}

func (p *fieldsParser) take(token string) bool {
	rest := strings.TrimLeft(p.rest, " ")
	if !strings.HasPrefix(rest, token) {
		return false
	}
	p.rest = rest[len(token):]
	return true
}
