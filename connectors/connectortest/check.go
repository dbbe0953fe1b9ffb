package connectortest

import (
	"context"
	"fmt"
	"testing"

	"tributary/connectors"
)

// Violation is one broken rule. Rule is stable; Detail is for people.
type Violation struct {
	Rule   string
	Detail string
}

// String returns "rule: detail".
func (v Violation) String() string { return v.Rule + ": " + v.Detail }

// Rule is one thing that every connector keeps.
type Rule struct {
	// ID is stable: "resume-pages".
	ID string
	// Says is the rule in one sentence.
	Says string
	// Proves is the capability that the rule proves; "" is the mandatory part.
	// A rule of a capability that the Spec does not claim is skipped.
	Proves connectors.Capability

	// bare rules set their fixture up themselves.
	bare bool
	run  func(p *probe)
}

// Verdict is what one rule found.
type Verdict struct {
	Violations []Violation
	// Skipped says why the rule was not judged; "" where it was.
	Skipped string
}

// Rules returns every rule, in the order in which they are judged.
func Rules() []Rule {
	var all []Rule
	for _, group := range [][]Rule{
		specRules(), crawlRules(), cursorRules(), resumeRules(), bodyRules(), errorRules(), faultRules(),
		permissionRules(), groupRules(), changeRules(), deletionRules(), optionalRules(),
		cancelRules(), leakRules(), secretRules(), elsewhereRules(),
	} {
		all = append(all, group...)
	}
	return all
}

// Run judges every rule in a subtest of its own. It must not be called from a
// parallel test: rules look for goroutines that were left behind.
func Run(t *testing.T, h Harness) {
	t.Helper()
	for _, r := range Rules() {
		t.Run(r.ID, func(t *testing.T) {
			v := judge(t.Context(), h, r, t.Logf)
			for _, one := range v.Violations {
				t.Errorf("%s\nthe rule: %s", one, r.Says)
			}
			if v.Skipped != "" && len(v.Violations) == 0 {
				t.Skipf("%s: %s", r.ID, v.Skipped)
			}
		})
	}
}

// Check judges every rule and returns what is broken.
func Check(ctx context.Context, h Harness) []Violation {
	var all []Violation
	for _, r := range Rules() {
		all = append(all, judge(ctx, h, r, discard).Violations...)
	}
	return all
}

// CheckRule judges one rule by its id.
func CheckRule(ctx context.Context, h Harness, id string) (Verdict, error) {
	for _, r := range Rules() {
		if r.ID == id {
			return judge(ctx, h, r, discard), nil
		}
	}
	return Verdict{}, fmt.Errorf("checking rule %q: no such rule", id)
}

func discard(string, ...any) {}
