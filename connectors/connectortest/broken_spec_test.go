package connectortest_test

import (
	"errors"

	"tributary/connectors"
)

// withSpec is a connector whose Spec is another.
func withSpec(change func(s *connectors.Spec)) func(*bench) twist {
	return func(*bench) twist {
		return twist{spec: func(s connectors.Spec) connectors.Spec { change(&s); return s }}
	}
}

// problem is one that keeps every rule.
func problem() connectors.Problem {
	return connectors.Problem{Code: "closed_on_sundays", Class: connectors.Transient, Sign: "The world is closed.", Remedy: "Come back on Monday."}
}

func withProblem(change func(one *connectors.Problem)) func(*bench) twist {
	return withSpec(func(s *connectors.Spec) {
		one := problem()
		change(&one)
		s.Problems = []connectors.Problem{one}
	})
}

// naming makes the listing fail with a problem that the Spec has.
func naming(change func(e *connectors.Error)) func(*bench) twist {
	return func(*bench) twist {
		t := errorTwist(func(error) error {
			e := connectors.Spec{Problems: []connectors.Problem{problem()}}.Problem("listing", problem().Code)
			change(e)
			return e
		}, snapshot)
		t.spec = func(s connectors.Spec) connectors.Spec {
			s.Problems = []connectors.Problem{problem()}
			return s
		}
		return t
	}
}

func brokenParts() []breakage {
	return []breakage{
		{name: "blames itself", rule: "spec-problems", says: "says of no obstacle", twist: withProblem(func(one *connectors.Problem) { one.Class = connectors.Bug })},
		{name: "has a class that is not known", rule: "spec-problems", says: "says of no obstacle", twist: withProblem(func(one *connectors.Problem) { one.Class = connectors.Unknown })},
		{name: "has half a remedy", rule: "spec-problems", says: "the remedy", twist: withProblem(func(one *connectors.Problem) { one.Remedy = "Come back" })},
		{name: "has no sign", rule: "spec-problems", says: "the sign", twist: withProblem(func(one *connectors.Problem) { one.Sign = "" })},
		{name: "names a header with a colon", rule: "spec-pace", says: "no name of a header", twist: withSpec(func(s *connectors.Spec) { s.Pace.Milliseconds = []string{"Retry-After-Ms: "} })},
		{name: "waits after every answer", rule: "spec-pace", says: "need each other", twist: withSpec(func(s *connectors.Spec) { s.Pace.EpochSeconds = []string{"X-RateLimit-Reset"} })},
		{name: "takes every refusal for a limit", rule: "spec-pace", says: "empty reason", twist: withSpec(func(s *connectors.Spec) { s.Pace.Reasons = []string{""} })},
		{name: "needs a scope that is never asked for", rule: "spec-scopes", says: "is never", twist: withSpec(func(s *connectors.Spec) {
			s.Settings = append(s.Settings, connectors.Setting{Name: "wiki", Type: connectors.Bool, Description: "Whether."})
			s.Scopes = []connectors.Scope{{Name: "wiki", Reason: "to read it", When: []connectors.Condition{{Setting: "wiki", Value: "yes"}}}}
		})},
		{name: "asks twice", rule: "spec-scopes", says: "twice", twist: withSpec(func(s *connectors.Spec) {
			s.Scopes = []connectors.Scope{{Name: "read", Reason: "to read"}, {Name: "read", Reason: "to read"}}
		})},
		{name: "names a problem of its own", rule: "problem-known", says: "does not have", twist: naming(func(e *connectors.Error) { e.Code = "closed_on_mondays" })},
		{name: "names a problem of another class", rule: "problem-known", says: "has class invalid", twist: naming(func(e *connectors.Error) { e.Class = connectors.Invalid })},
		{name: "keeps the remedy to itself", rule: "problem-known", says: "does not say what to do", twist: naming(func(e *connectors.Error) { e.Err = errors.New("closed") })},
	}
}
