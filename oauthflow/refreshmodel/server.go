package refreshmodel

// good says whether the server would answer token n of a family with a pair.
func (m *model) good(f *family, n uint8) bool {
	if f.dead {
		return false
	}
	if m.cfg.Class == N || n == f.cur {
		return true
	}
	return m.cfg.Class.grace() && f.cur > 0 && n == f.prev && !f.graceOver
}

// present is the server processing the request of process p. It returns what the server answers.
func (m *model) present(s *state, p *proc) (ans, pair uint8) {
	f := &s.as[p.ep]
	switch {
	case f.dead:
		return ansInvalid, 0
	case m.cfg.Class == N:
		return ansPair, p.tok
	case m.good(f, p.tok):
		if p.tok == f.cur {
			f.prev, f.graceOver = f.cur, false
		}
		f.cur++
		f.late = f.late || p.lateWrite
		return ansPair, f.cur
	}
	if m.cfg.Class.reuseRevokes() {
		excused := !m.cfg.NoExcuse && (p.excused() || f.late) || f.spurious
		if !excused && p.ep == s.epoch && s.status < statusClosing && m.held(s) {
			m.fail(ruleRevoked)
		}
		f.dead = true
	}
	return ansInvalid, 0
}

// held says whether a good token of the row's epoch is in the row, in the spare, in a process or in a spool.
func (m *model) held(s *state) bool {
	f := &s.as[s.epoch]
	return s.tokEp == s.epoch && m.good(f, s.tok) || m.spared(s) || m.inHand(s)
}

// spared says whether a spare is a good token of the row's epoch.
func (m *model) spared(s *state) bool {
	for _, sp := range s.spares {
		if sp.has && sp.ep == s.epoch && m.good(&s.as[sp.ep], sp.tok) {
			return true
		}
	}
	return false
}

// inHand says whether a process or a spool has a good token of the row's epoch that is not stored yet.
func (m *model) inHand(s *state) bool {
	f := &s.as[s.epoch]
	for i := range m.cfg.Processes {
		p := &s.procs[i]
		if p.ans == ansPair && p.ep == s.epoch && m.good(f, p.pair) {
			return true
		}
		if p.spool && p.sEp == s.epoch && m.good(f, p.sTok) {
			return true
		}
	}
	return false
}

// bit is the place of a presented token in the record: the token, or the generation where tokens stay the same.
func (m *model) bit(gen, tok uint8) uint8 {
	if m.cfg.Class == N {
		return 1 << gen
	}
	return 1 << tok
}

// flag writes the uncertain record of the row's generation.
func (m *model) flag(s *state) {
	s.as[s.tokEp].flagged |= m.bit(s.gen, s.tok)
}
