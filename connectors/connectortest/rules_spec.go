package connectortest

import (
	"errors"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"tributary/connectors"
)

func specRules() []Rule {
	return []Rule{
		{ID: "spec-valid", Says: "Spec passes its own validation.", run: specValid},
		{ID: "spec-pure", Says: "Spec is equal at every call.", run: specPure},
		{ID: "spec-claims", Says: "Provides lists exactly the optional interfaces that sessions implement.", run: specClaims},
		{ID: "spec-problems", Says: "Every known problem has a class that the engine acts on, and a sign and a remedy in whole sentences.", run: specProblems},
		{ID: "spec-pace", Says: "How the source says that it was asked too much can be read: header names, and a counter for times that come with every answer.", run: specPace},
		{ID: "spec-scopes", Says: "What a scope depends on can happen: its settings have the values, and no two entries give one scope twice for the same provider.", run: specScopes},
		{ID: "problem-known", Says: "An error that names a problem names one of the Spec's, with its class and its remedy.", run: problemKnown},
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

func specProblems(p *probe) {
	for _, one := range p.spec.Problems {
		switch one.Class {
		case connectors.Unknown, connectors.Bug, connectors.CursorExpired:
			p.fail("problem %q: class %s says of no obstacle what to do about it", one.Code, one.Class)
		case connectors.Transient, connectors.RateLimited, connectors.GrantLost, connectors.ClientRejected, connectors.ScopeDenied,
			connectors.ItemSkipped, connectors.Invalid, connectors.ItemRefused:
		}
		for what, text := range map[string]string{"sign": one.Sign, "remedy": one.Remedy} {
			if !strings.HasSuffix(text, ".") || strings.TrimSpace(text) != text {
				p.fail("problem %q: the %s %q is no sentence", one.Code, what, text)
			}
		}
		err := p.spec.Problem("asking", one.Code)
		if err.Class != one.Class || err.Code != one.Code || !strings.Contains(err.Error(), one.Remedy) {
			p.fail("problem %q: its error is %v, class %s", one.Code, err, err.Class)
		}
	}
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9-]+$`)

func specPace(p *probe) {
	pace := p.spec.Pace
	for _, name := range slices.Concat(pace.Milliseconds, pace.EpochSeconds, pace.Remaining) {
		if !headerName.MatchString(name) {
			p.fail("pace: %q is no name of a header", name)
		}
	}
	if (len(pace.EpochSeconds) == 0) != (len(pace.Remaining) == 0) {
		p.fail("pace: times %v and counters %v need each other", pace.EpochSeconds, pace.Remaining)
	}
	if slices.Contains(pace.Reasons, "") {
		p.fail("pace: an empty reason would make every refusal a limit")
	}
}

func specScopes(p *probe) {
	for i, sc := range p.spec.Scopes {
		for _, c := range sc.When {
			at := slices.IndexFunc(p.spec.Settings, func(f connectors.Setting) bool { return f.Name == c.Setting })
			if at < 0 {
				continue // Spec.Validate says so
			}
			f := p.spec.Settings[at]
			impossible := f.Type == connectors.Enum && !slices.Contains(f.Options, c.Value) ||
				f.Type == connectors.Bool && c.Value != "true" && c.Value != "false"
			if impossible {
				p.fail("scope %q: the setting %q is never %q", sc.Name, c.Setting, c.Value)
			}
		}
		for _, other := range p.spec.Scopes[:i] {
			both := other.Name == sc.Name && len(sc.When) == 0 && len(other.When) == 0
			if both && (len(sc.Providers) == 0 || len(other.Providers) == 0 || slices.ContainsFunc(sc.Providers, func(v string) bool { return slices.Contains(other.Providers, v) })) {
				p.fail("scope %q: it is there twice for one provider", sc.Name)
			}
		}
	}
}

func problemKnown(p *probe) {
	p.provoke()
	p.mu.Lock()
	errs := slices.Clone(p.errs)
	p.mu.Unlock()
	for _, err := range errs {
		var e *connectors.Error
		if !errors.As(err, &e) || e.Code == "" {
			continue
		}
		at := slices.IndexFunc(p.spec.Problems, func(one connectors.Problem) bool { return one.Code == e.Code })
		switch {
		case at < 0:
			p.fail("an error names the problem %q, which the Spec does not have: %v", e.Code, err)
		case p.spec.Problems[at].Class != e.Class:
			p.fail("an error of the problem %q has class %s, the problem %s", e.Code, e.Class, p.spec.Problems[at].Class)
		case !strings.Contains(err.Error(), p.spec.Problems[at].Remedy):
			p.fail("an error of the problem %q does not say what to do: %v", e.Code, err)
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
