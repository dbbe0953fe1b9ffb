package connectortest

import (
	"maps"
	"reflect"
	"strings"

	"tributary/connectors"
)

func specRules() []Rule {
	return []Rule{
		{ID: "spec-valid", Says: "Spec passes its own validation.", run: specValid},
		{ID: "spec-pure", Says: "Spec is equal at every call.", run: specPure},
		{ID: "spec-claims", Says: "Provides lists exactly the optional interfaces that sessions implement.", run: specClaims},
		{ID: "settings-invalid", Says: "A required setting that is missing is an error of class Invalid that names it.", run: settingsInvalid},
		{ID: "sessions-apart", Says: "Two sessions of one connector do not disturb each other.", run: sessionsApart},
	}
}

func specValid(p *probe) {
	if err := p.spec.Validate(); err != nil {
		p.fail("%v", err)
	}
}

func specPure(p *probe) {
	for range 3 {
		if again := p.fix.Connector.Spec(); !reflect.DeepEqual(p.spec, again) {
			p.fatal("another call returned another Spec")
		}
	}
	p.open()
	if again := p.fix.Connector.Spec(); !reflect.DeepEqual(p.spec, again) {
		p.fail("Spec differs once a session is open")
	}
}

func specClaims(p *probe) {
	s := p.open()
	for _, c := range connectors.Capabilities() {
		claimed, built := p.spec.Has(c), connectors.Claims(s, c)
		if claimed && !built {
			p.fail("the Spec claims %q and the session does not implement it", c)
		}
		if built && !claimed {
			p.fail("the session implements %q and the Spec does not claim it", c)
		}
	}
}

func settingsInvalid(p *probe) {
	required := 0
	for _, f := range p.spec.Settings {
		if !f.Required {
			continue
		}
		required++
		env := p.env()
		env.Settings = maps.Clone(env.Settings)
		delete(env.Settings, f.Name)
		s, err := p.fix.Connector.Open(p.ctx, env)
		if p.seen(err) == nil {
			p.fail("Open succeeds without the required setting %q", f.Name)
			if err := s.Close(p.ctx); err != nil {
				p.fail("closing the session: %v", err)
			}
			continue
		}
		if got := connectors.ClassOf(err); got != connectors.Invalid {
			p.fail("without %q: class %s, want %s (%v)", f.Name, got, connectors.Invalid, err)
		}
		if !strings.Contains(err.Error(), f.Name) {
			p.fail("without %q: the message does not name it: %v", f.Name, err)
		}
	}
	if required == 0 {
		p.skip("the Spec has no required setting")
	}
}

// sessionsApart reads one snapshot in the middle of another, and then two at
// once.
func sessionsApart(p *probe) {
	p.corpus()
	one, two := p.open(), p.open()
	var inner walk
	outer := p.read(one.Snapshot(p.ctx, nil), nil, func(n int, _ connectors.Page) error {
		if n == 1 {
			inner = p.read(two.Snapshot(p.ctx, nil), nil, nil)
		}
		return nil
	})
	p.whole("the outer session", outer)
	p.whole("the inner session", inner)
	p.sameAsTruth("the outer session", p.modelOf(outer))
	p.sameAsTruth("the inner session", p.modelOf(inner))

	walks := make(chan walk, 2)
	for _, s := range []connectors.Session{one, two} {
		go func() {
			var w walk
			defer func() { walks <- w }()
			defer p.recovered()
			w = p.read(s.Snapshot(p.ctx, nil), nil, nil)
		}()
	}
	for range 2 {
		w := <-walks
		p.whole("two sessions at once", w)
		p.sameAsTruth("two sessions at once", p.modelOf(w))
	}
}
