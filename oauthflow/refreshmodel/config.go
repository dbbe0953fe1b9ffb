package refreshmodel

import "fmt"

// Class is the rotation class of a provider: what becomes of a refresh token that is presented.
type Class uint8

// The rotation classes.
const (
	N Class = iota // not rotated, or the old token stays valid
	G              // rotated; the old token is accepted for a grace period, refused afterwards
	K              // as G, but reuse after the grace period revokes the family
	H              // as K, with a grace period too short for another process: only the live holder replays, inside its lease
	S              // single use; reuse is refused
	F              // single use; reuse revokes the family
)

// String names the class.
func (c Class) String() string {
	switch c {
	case N:
		return "N"
	case G:
		return "G"
	case K:
		return "G, reuse revokes"
	case H:
		return "G, short"
	case S:
		return "S"
	case F:
		return "F"
	default:
		return fmt.Sprintf("Class(%d)", uint8(c))
	}
}

// grace says whether the server accepts the replaced token for a while.
func (c Class) grace() bool { return c == G || c == K || c == H }

// reuseRevokes says whether the server revokes the family when a replaced token is presented.
func (c Class) reuseRevokes() bool { return c == K || c == H || c == F }

// Config bounds one exploration.
type Config struct {
	Class      Class
	Processes  int  // 1 to 3
	Faults     int  // how many faults one history may contain
	Gens       int  // from how many token generations a refresh starts, at most 3
	Consent    bool // one new consent may come at any moment
	Disconnect bool // one disconnect may come at any moment
	NoExcuse   bool // what only a pause, a death or a cut longer than Q can cause breaks an invariant too
	Mutant     Mutant
	MaxStates  int // an exploration that needs more ends with an error
}

// String names the configuration as the tests print it.
func (c Config) String() string {
	s := fmt.Sprintf("class %s, %d processes, %d faults, %d generations", c.Class, c.Processes, c.Faults, c.Gens)
	if c.Consent {
		s += ", new consent"
	}
	if c.Disconnect {
		s += ", disconnect"
	}
	return s
}

// Mutant is one deliberate mistake in the algorithm, which an invariant must notice.
type Mutant uint8

// The mutants. None is the algorithm itself.
const (
	None Mutant = iota
	SendBeforeCommit
	SendOnUnknownCommit
	NoCheckBeforeSend
	WindowOnlyAtClaim
	FirstTimeAtSweep
	LeaseTestInT2
	AttemptTestInT2
	EpochNotTestedInT2
	ClosingNotTestedInT2
	IntentClearedBeforePersist
	LostCASDropsPair
	NoSpool
	SpareOfSettledAttempt
	SpareOfOlderEpoch
	NoPromotionAfterReauth
	ReauthWithoutAttemptTest
	LostAnswerIsNo
	ReleaseForgetsUncertain
	StrictReplayAtOnce
	ReplayWithoutHeartbeat
	HeartbeatOfLastHolderOnly
	HeartbeatOfLivingHolder
	ReplayWithoutQuietTime
	ReplayBeforeSpoolImport
	NoSweeper
	ClaimOverOpenAttempt
	LaterSiblingIsSpare
	SpareOfPresentedToken
	SparePromotedOnClosing
	SparesForgottenByErase
	OrphanOfLivingProcess
	OrphanByStranger
	OrphanStaysClosed
	OrphanDropsPair
	mutants
)

// String says what the mutant does wrong.
func (m Mutant) String() string {
	mutantNames := [...]string{
		None:                       "none",
		SendBeforeCommit:           "the request is sent before T1 is committed",
		SendOnUnknownCommit:        "the request is sent although T1's outcome is unknown",
		NoCheckBeforeSend:          "no monotonic check before the request",
		WindowOnlyAtClaim:          "the grace window is tested at the claim only",
		FirstTimeAtSweep:           "t_first is the time of the sweep, not of the claim",
		LeaseTestInT2:              "T2 tests the lease",
		AttemptTestInT2:            "T2 tests the attempt",
		EpochNotTestedInT2:         "T2 does not test the epoch",
		ClosingNotTestedInT2:       "T2 does not test closing",
		IntentClearedBeforePersist: "the intent is cleared before the pair is persisted",
		LostCASDropsPair:           "a lost CAS drops the pair",
		NoSpool:                    "a pair that T2 cannot store is dropped",
		SpareOfSettledAttempt:      "a retried T2 that had committed leaves a spare",
		SpareOfOlderEpoch:          "a spare of an older epoch is promoted",
		NoPromotionAfterReauth:     "a spare that comes after needs_reauth is not promoted",
		ReauthWithoutAttemptTest:   "invalid_grant sets needs_reauth without reading the row again",
		LostAnswerIsNo:             "a lost answer counts as never sent",
		ReleaseForgetsUncertain:    "a refused replay returns to idle",
		StrictReplayAtOnce:         "a single-use token is replayed at once",
		ReplayWithoutHeartbeat:     "a replay does not test the heartbeat",
		HeartbeatOfLastHolderOnly:  "a replay tests the heartbeat of the last holder only",
		HeartbeatOfLivingHolder:    "a holder that settled still blocks a replay by its heartbeat",
		ReplayWithoutQuietTime:     "a replay does not wait for Q after it reconnected",
		ReplayBeforeSpoolImport:    "a replay does not import its own spool first",
		ClaimOverOpenAttempt:       "a claim does not wait for an open attempt, where old tokens have a grace period",
		LaterSiblingIsSpare:        "a later attempt's pair becomes a spare, where old tokens have a grace period",
		SpareOfPresentedToken:      "a spare whose token was presented is promoted",
		SparePromotedOnClosing:     "a spare is promoted on a closing row",
		SparesForgottenByErase:     "spares are not revoked when a connection is erased",
		OrphanOfLivingProcess:      "the sweeper closes attempts of processes that live",
		OrphanByStranger:           "a sweeper that has just connected closes attempts of silent processes",
		OrphanStaysClosed:          "a silent process comes back, and its attempt stays closed",
		OrphanDropsPair:            "T2 drops the pair of an attempt that a sweeper closed",
		NoSweeper:                  "nobody sweeps a lease that is over",
	}
	if int(m) >= len(mutantNames) {
		return fmt.Sprintf("Mutant(%d)", uint8(m))
	}
	return mutantNames[m]
}

// Mutants lists every mutant but None.
func Mutants() []Mutant {
	list := make([]Mutant, 0, mutants-1)
	for m := None + 1; m < mutants; m++ {
		list = append(list, m)
	}
	return list
}
