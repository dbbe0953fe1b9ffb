package refreshmodel

// maxProcs is the size of the process array; a Config uses a part of it.
const maxProcs = 3

// Values of state.phase: the phase of the credential row.
const (
	phaseIdle uint8 = iota
	phaseInFlight
	phaseUncertain
)

// Values of state.status: the state of the credential row. statusErased is the row that is gone.
const (
	statusActive uint8 = iota
	statusReauth
	statusClosing
	statusErased
)

// Values of state.clk: how far the database's clock is past the last claim.
const (
	clkLease  uint8      = iota // before lease_until
	clkOver                     // after lease_until
	clkQuiet                    // Q after lease_until
	clkNoRole = clkLease        // an idle row has no lease
)

// Values of proc.pc: where a process stands in its attempt.
const (
	pcIdle     uint8 = iota
	pcDoubt          // T1 was sent, the outcome of its COMMIT is unknown
	pcClaimed        // T1 is committed
	pcChecked        // the monotonic check before the request has passed
	pcSent           // the request is written
	pcAnswered       // the answer, or its absence, is known
)

// Values of proc.ans: what the process knows of its request.
const (
	ansNone    uint8 = iota
	ansPair          // 200 with a pair
	ansInvalid       // invalid_grant
	ansNo            // 429 or 503: a definitive no
	ansLost          // timeout, reset, truncated answer, 500, 502, 504
)

// Values of proc.run.
const (
	runUp uint8 = iota
	runPaused
	runDown
)

// Values of proc.mode: by which rule an attempt was claimed.
const (
	modeFirst      uint8 = iota // from an idle row
	modeWindow                  // replay of a class whose old token is still accepted
	modeStrict                  // replay by the rule for single-use tokens
	modeWindowAway              // a window replay, while a process with an attempt on an older generation was away for longer than Q
	modeAway                    // by either rule but the window, while a process with an attempt in hand was away for longer than Q
)

// Values of state.gone: the open attempts of processes that are gone.
const (
	goneNone   uint8 = iota
	goneFresh        // Q has not yet passed with the database up
	goneSilent       // it has
)

// noBase is state.base of a promoted spare.
const noBase uint8 = 7

// family is one consent as the authorization server sees it: a chain of refresh tokens numbered from 0.
// The last five fields are the model's own record and take part in no decision of the algorithm.
type family struct {
	cur, prev uint8 // the newest token, and the one it replaced
	dead      bool  // revoked
	graceOver bool  // prev is accepted no more
	late      bool  // a request that a pause made late was accepted
	lossOK    bool  // an answer was lost on the way, or with a process that died holding it
	spurious  bool  // the server refused a good token
	presented uint8 // bit per token: presented
	flagged   uint8 // bit per token: an uncertain record exists
}

// spare is a pair that T2 could not put into the row.
type spare struct {
	has     bool
	ep, tok uint8
}

// keep adds a spare. Three processes make at most two beside the row's pair.
func (s *state) keep(ep, tok uint8) {
	s.spares[0], s.spares[1] = spare{true, ep, tok}, s.spares[0]
}

// proc is one process. Everything but the spool dies with it.
type proc struct {
	pc, ep, gen, tok uint8
	ans, pair, mode  uint8
	run              uint8
	cut              bool // no connection to the database
	calm             bool // Q has passed since it reconnected and since the postmaster started
	stale            bool // its heartbeat is older than 60 s
	away             bool // paused, dead or cut off by itself for longer than Q
	late             bool // claimed: past L - D; checked: time passed in a pause before the write
	lateWrite        bool // the request was written late
	holds            bool // the row's attempt_id is this process's
	open             bool // its refresh_attempt record has no outcome
	orphan           bool // a sweeper closed the record of the attempt that is in its hand
	spool, settled   bool // a pair is in the spool; its T2 had committed after all
	sEp, sGen, sTok  uint8
	ord              uint8 // order of claims among the attempts in hand, where a class makes siblings
	older            bool  // the row's pair came from a later attempt than this one
}

// state is everything: the row, the spare, the clock, the server, the processes, and what may still happen.
type state struct {
	epoch, gen, tokEp, tok uint8
	phase, status, clk     uint8
	maybeSent              bool
	expired                bool  // the access token has expired
	windowShut             bool  // G: the clock is past t_first + grace - D - 5 s
	gone                   uint8 // open attempts of processes that are gone
	dbDown                 bool
	base                   uint8    // the generation on which the attempt was that the row's pair came from, where a class makes siblings
	spares                 [2]spare // newest first
	faults                 uint8    // faults left
	consents, disconnects  uint8    // events left
	as                     [2]family
	procs                  [maxProcs]proc
}

// connected says whether the process runs and reaches the database.
func (p *proc) connected() bool { return p.run == runUp && !p.cut }

// urgent says whether the process finishes something before a time as long as Q passes.
func (p *proc) urgent() bool {
	return p.pc == pcSent || p.run == runUp && (p.pc != pcIdle || p.spool && !p.cut)
}

// window says whether the attempt is a replay by the rule for grace periods.
func (p *proc) window() bool { return p.mode == modeWindow || p.mode == modeWindowAway }

// excused says whether the attempt's presentation is one of the residual risks: written late after a pause, or over an
// attempt in the hands of a process that was away for longer than Q.
func (p *proc) excused() bool { return p.lateWrite || p.mode == modeAway || p.mode == modeWindowAway }

// done ends the process's attempt in its memory.
func (p *proc) done() {
	p.pc, p.ep, p.gen, p.tok, p.ans, p.pair, p.mode = pcIdle, 0, 0, 0, ansNone, 0, modeFirst
	p.late, p.lateWrite = false, false
}

// clearSpool removes the pair from the spool.
func (p *proc) clearSpool() {
	p.spool, p.settled, p.sEp, p.sGen, p.sTok, p.away = false, false, 0, 0, 0, false
}

// rank packs the process into a number, so that states that differ in the order of processes only are one.
func (p *proc) rank() uint64 {
	var r uint64
	for _, v := range [...]uint8{p.pc, p.ep, p.gen, p.tok, p.ans, p.pair, p.mode, p.run, p.sEp, p.sGen, p.sTok, p.ord} {
		r = r<<3 | uint64(v)
	}
	for _, b := range [...]bool{p.cut, p.calm, p.stale, p.away, p.late, p.lateWrite, p.holds, p.open, p.orphan, p.spool, p.settled, p.older} {
		r <<= 1
		if b {
			r |= 1
		}
	}
	return r
}

// compress numbers the claims of attempts in hand from 1 without gaps.
func (s *state) compress(n int) {
	var rank [maxProcs]uint8
	for i := range n {
		p := &s.procs[i]
		if p.pc == pcIdle && !p.spool {
			p.ord, p.older = 0, false
		}
	}
	for i := range n {
		if s.procs[i].ord == 0 {
			continue
		}
		rank[i] = 1
		for j := range n {
			if s.procs[j].ord != 0 && s.procs[j].ord < s.procs[i].ord {
				rank[i]++
			}
		}
	}
	for i := range n {
		s.procs[i].ord = rank[i]
	}
}

// canonical sets fields that play no role in the state to zero and orders the first n processes.
func (s *state) canonical(n int) {
	if s.phase == phaseIdle {
		s.clk, s.maybeSent, s.expired, s.windowShut = clkNoRole, false, false, false
	}
	for i := range n {
		p := &s.procs[i]
		if s.phase == phaseIdle {
			p.holds = false
		}
		if p.pc == pcIdle && !p.spool {
			p.orphan = false
		}
		if !p.open && !p.orphan {
			p.stale = false
		}
		if p.pc == pcIdle && !p.spool && !p.open {
			p.away = false
		}
	}
	s.compress(n)
	for i := 1; i < n; i++ {
		for j := i; j > 0 && s.procs[j].rank() < s.procs[j-1].rank(); j-- {
			s.procs[j], s.procs[j-1] = s.procs[j-1], s.procs[j]
		}
	}
}
