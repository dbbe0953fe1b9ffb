package refreshmodel

// steps emits what process i can do by itself in s: steps 2 to 6 of the algorithm.
func (m *model) steps(s state, i int) {
	p := &s.procs[i]
	if p.run != runUp {
		return
	}
	switch p.pc {
	case pcIdle:
		m.claim(s, i)
	case pcDoubt:
		m.reread(s, i)
	case pcClaimed:
		m.check(s, i)
	case pcChecked:
		m.write(s, i)
	case pcSent: // the server's turn
	case pcAnswered:
		m.settle(s, i)
	}
	if p.pc == pcIdle && p.connected() {
		switch {
		case p.spool:
			m.retry(s, i)
		case p.open && !m.is(HeartbeatOfLivingHolder):
			m.disown(s, i)
		}
	}
	if p.connected() {
		m.sweep(s)
		m.orphan(s, i)
		m.promote(s)
	}
}

// claim is T1, with its two other outcomes: committed or not, and the process never learns which.
func (m *model) claim(s state, i int) {
	p := &s.procs[i]
	if !p.connected() || s.status != statusActive {
		return
	}
	if p.spool && !m.is(ReplayBeforeSpoolImport) {
		return
	}
	mode := modeFirst
	switch s.phase {
	case phaseIdle:
		if int(s.gen) >= m.cfg.Gens && m.good(&s.as[s.tokEp], s.tok) {
			return
		}
		if m.cfg.Class.grace() {
			if m.othersOpen(&s, i) && !m.is(ClaimOverOpenAttempt) {
				return
			}
			if same, older := m.othersAway(&s, i); same || older {
				mode = modeAway
			}
		}
	case phaseUncertain:
		replay, due := m.replayDue(&s, i)
		if !due {
			return
		}
		mode = replay
	default:
		return
	}
	t := s
	m.claimed(&t, i, mode)
	if m.is(SendBeforeCommit) {
		t = s
		q := &t.procs[i]
		q.pc, q.ep, q.gen, q.tok, q.mode = pcClaimed, s.epoch, s.gen, s.tok, mode
	}
	m.emit("T1 commits", t, normal)
	if s.faults == 0 {
		return
	}
	t.faults--
	t.procs[i].pc = pcDoubt
	m.emit("T1 commits, outcome unknown", t, fault)
	t = s
	t.faults--
	q := &t.procs[i]
	q.pc, q.ep, q.gen, q.tok, q.mode = pcDoubt, s.epoch, s.gen, s.tok, mode
	m.emit("T1 is rolled back, outcome unknown", t, fault)
}

// claimed is the effect of a committed T1 on the row.
func (m *model) claimed(s *state, i int, mode uint8) {
	if s.phase == phaseIdle {
		s.maybeSent, s.windowShut = false, false
	}
	s.phase, s.clk = phaseInFlight, clkLease
	for j := range s.procs {
		s.procs[j].holds = false
	}
	p := &s.procs[i]
	p.pc, p.ep, p.gen, p.tok, p.mode = pcClaimed, s.epoch, s.gen, s.tok, mode
	p.holds, p.open, p.orphan, p.stale = true, true, false, false
	if m.cfg.Class.grace() {
		p.ord, p.older = 1, false
		for j := range s.procs {
			if j != i {
				p.ord = max(p.ord, s.procs[j].ord+1)
			}
		}
	}
}

// replayDue says whether process i may claim an uncertain row, and by which rule.
func (m *model) replayDue(s *state, i int) (mode uint8, due bool) {
	switch {
	case m.cfg.Class == N, m.is(StrictReplayAtOnce):
		return modeWindow, true
	case m.othersOpen(s, i) && !m.is(ReplayWithoutHeartbeat):
		return 0, false
	case m.cfg.Class.grace() && m.cfg.Class != H && !s.windowShut:
		if _, older := m.othersAway(s, i); older {
			return modeWindowAway, true
		}
		return modeWindow, true
	}
	p := &s.procs[i]
	if !s.expired || s.clk != clkQuiet || !p.calm && !m.is(ReplayWithoutQuietTime) {
		return 0, false
	}
	if p.open && m.is(HeartbeatOfLivingHolder) {
		return 0, false
	}
	if same, older := m.othersAway(s, i); same || older {
		return modeAway, true
	}
	return modeStrict, true
}

// othersAway says whether another process that has an attempt in hand was away for longer than Q, by the attempt's
// generation: the row's, or an older one.
func (m *model) othersAway(s *state, i int) (same, older bool) {
	for j := range m.cfg.Processes {
		q := &s.procs[j]
		if j == i || !q.away {
			continue
		}
		if q.pc != pcIdle {
			same, older = same || q.gen == s.gen, older || q.gen != s.gen
		}
		if q.spool {
			same, older = same || q.sGen == s.gen, older || q.sGen != s.gen
		}
	}
	return same, older
}

// othersOpen says whether another process has an attempt without an outcome and may be alive: its heartbeat is of the
// last 60 s, or Q has not passed since process i reconnected, so that it cannot know.
func (m *model) othersOpen(s *state, i int) bool {
	if s.gone == goneFresh || s.gone == goneSilent && !s.procs[i].calm && !m.is(ReplayWithoutQuietTime) {
		return true
	}
	for j := range m.cfg.Processes {
		q := &s.procs[j]
		unsure := !q.stale || !s.procs[i].calm && !m.is(ReplayWithoutQuietTime)
		if j != i && q.open && unsure && (q.holds || !m.is(HeartbeatOfLastHolderOnly)) {
			return true
		}
	}
	return false
}

// reread follows an unknown COMMIT: never send. A claim that is found is released; one that is not seen is left to
// the sweeper.
func (m *model) reread(s state, i int) {
	p := &s.procs[i]
	if m.is(SendOnUnknownCommit) {
		t := s
		t.procs[i].pc = pcClaimed
		m.emit("sends all the same", t, normal)
	}
	t := s
	t.procs[i].done()
	m.emit("re-reads, sees no claim", t, normal)
	if p.connected() && p.holds {
		m.release(s, i, "re-reads, releases")
	}
}

// disown closes the record of an attempt that the process finds under its own name and works on no more.
func (m *model) disown(s state, i int) {
	s.procs[i].open = false
	m.emit("closes its forgotten attempt", s, normal)
}

// check is the monotonic check before the request: past L - D, or past the window by whose rule it was claimed, the
// attempt is released.
func (m *model) check(s state, i int) {
	p := &s.procs[i]
	shut := p.window() && s.windowShut && m.cfg.Class.grace() && !m.is(WindowOnlyAtClaim) && !m.is(StrictReplayAtOnce)
	if (p.late || shut) && !m.is(NoCheckBeforeSend) {
		m.release(s, i, "too late to send, releases")
		return
	}
	p.pc, p.late = pcChecked, false
	m.emit("check passes", s, normal)
}

// write presents the refresh token.
func (m *model) write(s state, i int) {
	p := &s.procs[i]
	f, b := &s.as[p.ep], m.bit(p.gen, p.tok)
	if f.presented&b != 0 && f.flagged&b == 0 {
		m.fail(ruleTwice)
	}
	f.presented |= b
	p.pc, p.lateWrite, p.late = pcSent, p.late, false
	m.emit("writes the request", s, normal)
}

// release ends an attempt that was definitely not sent or definitely refused.
func (m *model) release(s state, i int, label string) {
	p := &s.procs[i]
	if p.connected() {
		if p.holds && s.phase == phaseInFlight {
			s.phase = phaseIdle
			if s.maybeSent && !m.is(ReleaseForgetsUncertain) {
				s.phase = phaseUncertain
			}
			p.holds = false
		}
		p.open = false
	}
	p.done()
	m.emit(label, s, normal)
}

// settle writes the outcome of an answered request: T2, or step 5 or 6.
func (m *model) settle(s state, i int) {
	p := &s.procs[i]
	switch p.ans {
	case ansPair:
		m.settlePair(s, i)
	case ansNo:
		m.release(s, i, "settles a definitive no")
	case ansLost:
		m.settleLost(s, i)
	case ansInvalid:
		m.settleInvalid(s, i)
	}
}

// settleLost makes the row uncertain. In class H the holder records that and sends again inside its own lease.
func (m *model) settleLost(s state, i int) {
	p := &s.procs[i]
	if m.is(LostAnswerIsNo) {
		m.release(s, i, "settles a lost answer as a no")
		return
	}
	t := s
	q := &t.procs[i]
	if p.connected() && p.holds && s.phase == phaseInFlight {
		t.phase, t.maybeSent = phaseUncertain, true
		m.flag(&t)
		if m.cfg.Class == H && s.clk == clkLease && !s.windowShut {
			u := s
			u.maybeSent = true
			m.flag(&u)
			r := &u.procs[i]
			r.mode = modeWindow
			if p.mode == modeAway || p.mode == modeWindowAway {
				r.mode = modeWindowAway
			}
			r.pc, r.ans, r.lateWrite = pcClaimed, ansNone, false
			m.emit("records the lost answer, claims again inside its lease", u, normal)
		}
		q.holds = false
	}
	if p.connected() && !m.is(HeartbeatOfLivingHolder) {
		q.open = false
	}
	q.done()
	m.emit("settles a lost answer", t, normal)
}

// settleInvalid follows invalid_grant: read again, then the newest spare, then needs_reauth without a new generation.
func (m *model) settleInvalid(s state, i int) {
	p := &s.procs[i]
	t := s
	q := &t.procs[i]
	if p.connected() {
		mine := p.holds && s.phase == phaseInFlight && p.ep == s.epoch && p.gen == s.gen
		if m.is(ReauthWithoutAttemptTest) {
			mine = s.status == statusActive
		}
		if mine {
			if !m.promoteSpare(&t) {
				m.reauth(&t, p)
			}
		}
		t.procs[i].open, t.procs[i].holds = false, false
	}
	q.done()
	m.emit("settles invalid_grant", t, normal)
}

// reauth sets needs_reauth, which must not happen while the good pair is in our hands and nothing excuses it.
func (m *model) reauth(s *state, p *proc) {
	f := &s.as[s.epoch]
	excused := !m.cfg.NoExcuse && (p.excused() || f.late) || f.spurious
	if s.status == statusActive && !f.dead && !excused && m.held(s) {
		m.fail(ruleFalseReauth)
	}
	if s.status == statusActive {
		s.status, s.phase = statusReauth, phaseIdle
	} else {
		s.phase = phaseIdle
	}
}
