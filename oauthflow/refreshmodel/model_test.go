package refreshmodel

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

const maxStates = 12_000_000

// bounds lists what the algorithm is explored with: the quick list, or more with TEST_REFRESHMODEL=full.
func bounds() []Config {
	full := os.Getenv("TEST_REFRESHMODEL") == "full"
	var list []Config
	for _, c := range []Class{N, G, K, H, S, F} {
		list = append(list,
			Config{Class: c, Processes: 2, Faults: 2, Gens: 1},
			Config{Class: c, Processes: 2, Faults: 1, Gens: 2},
			Config{Class: c, Processes: 2, Faults: 1, Gens: 1, Consent: true},
			Config{Class: c, Processes: 2, Faults: 1, Gens: 1, Disconnect: true},
			Config{Class: c, Processes: 3, Faults: 1, Gens: 1},
		)
		if full {
			list = append(list,
				Config{Class: c, Processes: 2, Faults: 2, Gens: 2},
				Config{Class: c, Processes: 2, Faults: 3, Gens: 1},
				Config{Class: c, Processes: 2, Faults: 1, Gens: 1, Consent: true, Disconnect: true},
				Config{Class: c, Processes: 3, Faults: 2, Gens: 1},
			)
		}
	}
	return list
}

func TestAlgorithm(t *testing.T) {
	var states, steps int
	taken := map[string]int{}
	for _, cfg := range bounds() {
		cfg.MaxStates = maxStates
		t.Run(cfg.String(), func(t *testing.T) {
			start := time.Now()
			res, err := Explore(cfg)
			if err != nil {
				t.Fatal(err)
			}
			states, steps = states+res.States, steps+res.Steps
			for step, n := range res.Taken {
				taken[step] += n
			}
			t.Logf("%d states, %d steps, depth %d, %v", res.States, res.Steps, res.Depth, time.Since(start).Round(time.Millisecond))
			if res.Broken != nil {
				t.Errorf("%s:\n%s", res.Broken.Rule, strings.Join(res.Broken.History, "\n"))
			}
		})
	}
	t.Logf("explored %d states in %d steps", states, steps)
	for _, step := range everyStep() {
		if taken[step] == 0 {
			t.Errorf("step %q was never taken", step)
		}
		delete(taken, step)
	}
	for step, n := range taken {
		t.Errorf("step %q, taken %d times, is not in the list of steps", step, n)
	}
}

// everyStep lists the steps of the algorithm and its surroundings, each of which the explorations must take.
func everyStep() []string {
	return []string{
		"L - D passes",
		"Q passes",
		"T1 commits",
		"T1 commits, outcome unknown",
		"T1 is rolled back, outcome unknown",
		"T2 commits",
		"T2 commits from the spool",
		"T2 commits, outcome unknown, the pair is spooled",
		"T2 fails, the pair is spooled",
		"T2 is rolled back, the pair is spooled",
		"a disconnect",
		"a new consent",
		"check passes",
		"closes its forgotten attempt",
		"closes the attempts of silent processes",
		"crashes",
		"crashes with its disk",
		"crashes, the server processes its request",
		"heartbeats",
		"is cut off from the database",
		"is paused",
		"is resumed",
		"is started again",
		"promotes the spare",
		"re-reads, releases",
		"re-reads, sees no claim",
		"reconnects",
		"records the lost answer, claims again inside its lease",
		"request is lost",
		"revokes and erases",
		"server answers",
		"server answers 503",
		"server processes, answer is lost",
		"server refuses for no reason",
		"settles a definitive no",
		"settles a lost answer",
		"settles invalid_grant",
		"sweeps",
		"the access token expires",
		"the database goes down",
		"the database is back",
		"the grace window closes",
		"the lease ends",
		"the server's grace period ends",
		"too late to send, releases",
		"writes the request",
	}
}

func TestMutants(t *testing.T) {
	tests := []struct {
		mutant Mutant
		cfg    Config
		rule   string
	}{
		{SendBeforeCommit, Config{Class: F, Faults: 1}, ruleTwice},
		{SendOnUnknownCommit, Config{Class: F, Faults: 1}, ruleTwice},
		{NoCheckBeforeSend, Config{Class: F, Faults: 1}, ruleRevoked},
		{WindowOnlyAtClaim, Config{Class: G, Faults: 1}, ruleFalseReauth},
		{FirstTimeAtSweep, Config{Class: G, Faults: 1}, ruleFalseReauth},
		{LeaseTestInT2, Config{Class: F, Faults: 1}, ruleLost},
		{AttemptTestInT2, Config{Class: F, Faults: 1}, ruleLost},
		{EpochNotTestedInT2, Config{Class: G, Faults: 1, Consent: true}, ruleOlder},
		{ClosingNotTestedInT2, Config{Class: G, Faults: 1, Disconnect: true}, ruleClosing},
		{IntentClearedBeforePersist, Config{Class: F, Faults: 1}, ruleTwice},
		{LostCASDropsPair, Config{Class: G, Faults: 1}, ruleLost},
		{NoSpool, Config{Class: F, Faults: 1}, ruleLost},
		{SpareOfSettledAttempt, Config{Class: H, Faults: 2}, ruleTwice},
		{SpareOfOlderEpoch, Config{Class: H, Faults: 2, Consent: true}, ruleOlder},
		{NoPromotionAfterReauth, Config{Class: G, Faults: 1}, ruleStuck},
		{ReauthWithoutAttemptTest, Config{Class: S, Faults: 1}, ruleGoodRow},
		{LostAnswerIsNo, Config{Class: F, Faults: 1}, ruleTwice},
		{ReleaseForgetsUncertain, Config{Class: F, Faults: 1}, ruleRevoked},
		{StrictReplayAtOnce, Config{Class: F, Faults: 1}, ruleRevoked},
		{ReplayWithoutHeartbeat, Config{Class: F, Faults: 1}, ruleRevoked},
		{HeartbeatOfLastHolderOnly, Config{Class: F, Faults: 1}, ruleRevoked},
		{HeartbeatOfLivingHolder, Config{Class: F, Faults: 1}, ruleStuck},
		{ReplayWithoutQuietTime, Config{Class: F, Faults: 1}, ruleRevoked},
		{ReplayBeforeSpoolImport, Config{Class: K, Faults: 1}, ruleRevoked},
		{NoSweeper, Config{Class: F, Faults: 1}, ruleStuck},
		{ClaimOverOpenAttempt, Config{Class: G, Faults: 1}, ruleFalseReauth},
		{LaterSiblingIsSpare, Config{Class: K, Faults: 1}, ruleRevoked},
		{SpareOfPresentedToken, Config{Class: H, Faults: 2}, ruleTwice},
		{SparePromotedOnClosing, Config{Class: G, Faults: 2, Disconnect: true}, ruleClosing},
		{SparesForgottenByErase, Config{Class: G, Faults: 1, Disconnect: true}, ruleStuck},
		{OrphanOfLivingProcess, Config{Class: F, Faults: 1}, ruleRevoked},
		{OrphanOfLivingProcess, Config{Class: G, Faults: 1}, ruleFalseReauth},
		{OrphanByStranger, Config{Class: K, Faults: 2}, ruleRevoked},
		{OrphanStaysClosed, Config{Class: F, Faults: 1}, ruleRevoked},
		{OrphanDropsPair, Config{Class: F, Faults: 1}, ruleLost},
		{StrictReplayAtOnce, Config{Class: S, Faults: 1}, ruleFalseReauth},
	}
	caught := map[Mutant]bool{}
	for _, tt := range tests {
		t.Run(tt.mutant.String()+" in class "+tt.cfg.Class.String(), func(t *testing.T) {
			cfg := tt.cfg
			cfg.Processes, cfg.Gens, cfg.MaxStates, cfg.Mutant = 2, 1, maxStates, tt.mutant
			res, err := Explore(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if res.Broken == nil {
				t.Fatalf("no invariant noticed it in %d states", res.States)
			}
			if res.Broken.Rule != tt.rule {
				t.Errorf("%q broken, want %q", res.Broken.Rule, tt.rule)
			}
			for _, step := range res.Broken.History {
				if step == "" {
					t.Error("the history has a step without a name")
				}
			}
			t.Logf("after %d states: %s\n%s", res.States, res.Broken.Rule, strings.Join(res.Broken.History, "\n"))
			caught[tt.mutant] = true
		})
	}
	for _, m := range Mutants() {
		if !caught[m] {
			t.Errorf("mutant %q is in no row that notices it", m)
		}
	}
}

// Without faults nothing is lost, and a lost answer of a single-use token does cost a consent: the model can tell.
func TestConsentIsLostByFaultsOnly(t *testing.T) {
	for _, tt := range []struct {
		class  Class
		faults int
		reauth bool
	}{
		{N, 0, false},
		{G, 0, false},
		{K, 0, false},
		{H, 0, false},
		{S, 0, false},
		{F, 0, false},
		{S, 1, true},
		{F, 1, true},
	} {
		res, err := Explore(Config{Class: tt.class, Processes: 2, Faults: tt.faults, Gens: 2, MaxStates: maxStates})
		if err != nil {
			t.Fatal(err)
		}
		if got := res.Reauth > 0; got != tt.reauth || res.Broken != nil {
			t.Errorf("class %s, %d faults: %d of %d states need a consent (broken: %v)", tt.class, tt.faults, res.Reauth, res.States, res.Broken)
		}
	}
}

// The residual risk is real, and a pause, a death or a cut is in every shortest history that shows it.
func TestResidualRisk(t *testing.T) {
	for _, c := range []Class{F, K, H, S} {
		res, err := Explore(Config{Class: c, Processes: 2, Faults: 1, Gens: 1, NoExcuse: true, MaxStates: maxStates})
		if err != nil {
			t.Fatal(err)
		}
		if res.Broken == nil {
			t.Fatalf("class %s: no residual risk in %d states: the excuses are not needed", c, res.States)
		}
		history := strings.Join(res.Broken.History, "\n")
		if !strings.Contains(history, "is paused") && !strings.Contains(history, "crashes") && !strings.Contains(history, "is cut off") {
			t.Errorf("class %s: %s without a pause, a death or a cut:\n%s", c, res.Broken.Rule, history)
		}
		t.Logf("class %s: %s\n%s", c, res.Broken.Rule, history)
	}
	for _, c := range []Class{F, K, H, S, G, N} {
		res, err := Explore(Config{Class: c, Processes: 2, Faults: 0, Gens: 2, NoExcuse: true, MaxStates: maxStates})
		if err != nil {
			t.Fatal(err)
		}
		if res.Broken != nil {
			t.Errorf("class %s without faults: %s:\n%s", c, res.Broken.Rule, strings.Join(res.Broken.History, "\n"))
		}
	}
}

func TestExploreRefusesBounds(t *testing.T) {
	for _, cfg := range []Config{
		{Processes: 0, Gens: 1},
		{Processes: 4, Gens: 1},
		{Processes: 2, Gens: 0},
		{Processes: 2, Gens: 4},
		{Processes: 2, Gens: 1, Faults: 4},
	} {
		if _, err := Explore(cfg); err == nil {
			t.Errorf("%s: explored", cfg)
		}
	}
	if _, err := Explore(Config{Class: S, Processes: 2, Gens: 1, Faults: 1, MaxStates: 100}); !errors.Is(err, ErrBound) {
		t.Errorf("100 states at most: %v, want ErrBound", err)
	}
}

func TestNames(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range Mutants() {
		if name := m.String(); name == "" || seen[name] || strings.HasPrefix(name, "Mutant(") {
			t.Errorf("mutant %d has the name %q", m, name)
		} else {
			seen[name] = true
		}
	}
}
