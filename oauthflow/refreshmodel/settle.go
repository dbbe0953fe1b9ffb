package refreshmodel

// settlePair is T2 for a pair in the process's memory. The first T2 that cannot be committed puts it into the spool.
func (m *model) settlePair(s state, i int) {
	p := &s.procs[i]
	ep, gen, pair := p.ep, p.gen, p.pair
	if !p.connected() {
		if m.is(NoSpool) {
			p.done()
			m.emit("T2 fails, drops the pair", s, normal)
			return
		}
		p.done()
		p.spool, p.settled, p.sEp, p.sGen, p.sTok = true, false, ep, gen, pair
		m.emit("T2 fails, the pair is spooled", s, normal)
		return
	}
	if m.is(IntentClearedBeforePersist) && p.holds && s.phase == phaseInFlight {
		t := s
		t.phase, t.procs[i].holds = phaseIdle, false
		m.emit("clears the intent", t, normal)
	}
	t := s
	own := p.holds && s.phase == phaseInFlight
	adopted := m.t2(&t, i, ep, gen, pair, own)
	t.procs[i].open, t.procs[i].orphan = false, false
	t.procs[i].done()
	m.emit("T2 commits", t, normal)
	if s.faults == 0 {
		return
	}
	u := s
	u.procs[i].done()
	q := &u.procs[i]
	q.spool, q.settled, q.sEp, q.sGen, q.sTok = true, false, ep, gen, pair
	u.faults--
	m.emit("T2 is rolled back, the pair is spooled", u, fault)
	if adopted {
		t.faults--
		q = &t.procs[i]
		q.spool, q.settled, q.sEp, q.sGen, q.sTok = true, true, ep, gen, pair
		m.emit("T2 commits, outcome unknown, the pair is spooled", t, fault)
	}
}

// retry is T2 for a pair in the spool: after a failure, and at start.
func (m *model) retry(s state, i int) {
	p := &s.procs[i]
	ep, gen, pair, settled := p.sEp, p.sGen, p.sTok, p.settled
	dropped := p.orphan && m.is(OrphanDropsPair)
	own := p.holds && s.phase == phaseInFlight
	p.clearSpool()
	p.open, p.orphan = false, false
	if !dropped && (!settled || m.is(SpareOfSettledAttempt)) {
		m.t2(&s, i, ep, gen, pair, own)
	}
	m.emit("T2 commits from the spool", s, normal)
}

// t2 stores a pair by generation, or in the place of the pair of an earlier attempt on the same generation, or as a
// spare, or discards it; it reports whether the row adopted it.
func (m *model) t2(s *state, i int, ep, gen, pair uint8, own bool) bool {
	ended := s.status >= statusClosing && !m.is(ClosingNotTestedInT2) || s.status == statusErased
	switch {
	case ended:
		s.as[ep].dead = true // the pair is revoked at the provider
		return false
	case ep != s.epoch && !m.is(EpochNotTestedInT2):
		return false
	case m.is(LeaseTestInT2) && s.clk != clkLease, m.is(AttemptTestInT2) && !own:
		return false
	case gen == s.gen, m.cfg.Class.grace() && gen < s.gen && gen == s.base && !s.procs[i].older && !m.is(LaterSiblingIsSpare):
		if gen != s.gen { // the earlier attempt's pair is kept
			s.keep(ep, s.tok)
		}
		m.adopt(s, ep, pair)
		if m.cfg.Class.grace() {
			s.base = gen
		}
		for j := range s.procs {
			s.procs[j].older = s.procs[j].ord != 0 && s.procs[j].ord < s.procs[i].ord
		}
		return true
	case !m.is(LostCASDropsPair):
		s.keep(ep, pair)
	}
	return false
}

// adopt moves the row to the next generation.
func (m *model) adopt(s *state, ep, tok uint8) {
	if s.status == statusClosing {
		m.fail(ruleClosing)
	}
	s.gen++
	s.tokEp, s.tok, s.phase, s.status = ep, tok, phaseIdle, statusActive
	if f := &s.as[ep]; m.good(f, tok) {
		f.lossOK = false
	}
	for j := range s.procs {
		p := &s.procs[j]
		p.holds = false
		p.open = p.open && (p.pc != pcIdle || p.spool) && m.cfg.Class.grace()
	}
}

// promoteSpare puts the newest spare of this epoch whose token no attempt has presented into the row, by CAS on the
// generation.
func (m *model) promoteSpare(s *state) bool {
	if s.status == statusErased || s.status == statusClosing && !m.is(SparePromotedOnClosing) {
		return false
	}
	for s.spares[0].has {
		sp := s.spares[0]
		s.spares = [2]spare{s.spares[1]}
		if sp.ep != s.epoch && !m.is(SpareOfOlderEpoch) {
			continue
		}
		if m.cfg.Class != N && s.as[sp.ep].presented&(1<<sp.tok) != 0 && !m.is(SpareOfPresentedToken) {
			continue
		}
		m.adopt(s, sp.ep, sp.tok)
		s.base = noBase
		return true
	}
	return false
}

// promote heals a row whose spare came after needs_reauth.
func (m *model) promote(s state) {
	if s.status != statusReauth || m.is(NoPromotionAfterReauth) {
		return
	}
	if m.promoteSpare(&s) {
		m.emit("promotes the spare", s, normal)
	}
}

// orphan closes the open attempts of processes that have been silent for longer than Q. A sweeper that has not been
// connected for as long cannot know.
func (m *model) orphan(s state, i int) {
	if !s.procs[i].calm && !m.is(OrphanByStranger) {
		return
	}
	t := s
	found := false
	if t.gone == goneSilent {
		t.gone, found = goneNone, true
	}
	for j := range m.cfg.Processes {
		q := &t.procs[j]
		if j != i && q.open && (q.stale || m.is(OrphanOfLivingProcess)) {
			q.open, q.orphan, found = false, true, true
		}
	}
	if found {
		m.emit("closes the attempts of silent processes", t, normal)
	}
}

// sweep makes an attempt uncertain whose lease is over.
func (m *model) sweep(s state) {
	if s.phase != phaseInFlight || s.clk == clkLease || m.is(NoSweeper) {
		return
	}
	s.phase, s.maybeSent = phaseUncertain, true
	if m.is(FirstTimeAtSweep) {
		s.windowShut = false
	}
	m.flag(&s)
	m.emit("sweeps", s, normal)
}
