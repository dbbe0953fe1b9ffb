package refreshmodel

// environment emits what happens to process i from outside: the server, faults, recovery.
func (m *model) environment(s state, i int) {
	p := &s.procs[i]
	if p.pc == pcSent {
		m.serve(s, i)
	}
	busy := p.pc != pcIdle || p.spool
	if s.faults > 0 && p.run != runDown && busy {
		m.crash(s, i)
		if p.run == runUp {
			t := s
			t.faults--
			t.procs[i].run = runPaused
			m.emit("is paused", t, fault)
		}
		if !p.cut {
			t := s
			t.faults--
			t.procs[i].cut, t.procs[i].calm = true, false
			m.emit("is cut off from the database", t, fault)
		}
	}
	switch {
	case p.run == runPaused:
		t := s
		t.procs[i].run = runUp
		m.emit("is resumed", t, normal)
	case p.run == runDown:
		t := s
		q := &t.procs[i]
		q.run, q.cut, q.calm = runUp, s.dbDown, false
		switch {
		case q.open && !q.away:
			t.gone = goneFresh
		case q.open && t.gone == goneNone:
			t.gone = goneSilent
		}
		q.open, q.orphan, q.holds, q.stale = false, false, false, false
		m.emit("is started again", t, normal)
	case p.cut && !s.dbDown:
		t := s
		t.procs[i].cut, t.procs[i].calm = false, false
		m.emit("reconnects", t, normal)
	case p.connected() && p.stale:
		t := s
		q := &t.procs[i]
		q.stale, q.away = false, false
		q.open, q.orphan = q.open || q.orphan && !m.is(OrphanStaysClosed), false
		m.emit("heartbeats", t, normal)
	}
}

// serve is the server's side of a request, with what can happen to it and to its answer.
func (m *model) serve(s state, i int) {
	answer := func(label string, t state, ans, pair uint8, kind kind) {
		q := &t.procs[i]
		q.pc, q.ans, q.pair = pcAnswered, ans, pair
		m.emit(label, t, kind)
	}
	t := s
	ans, pair := m.present(&t, &t.procs[i])
	answer("server answers", t, ans, pair, normal)
	if s.faults == 0 {
		return
	}
	t.faults--
	if ans == ansPair {
		t.as[s.procs[i].ep].lossOK = true
	}
	answer("server processes, answer is lost", t, ansLost, 0, fault)
	t = s
	t.faults--
	answer("request is lost", t, ansLost, 0, fault)
	f := &t.as[s.procs[i].ep]
	f.presented &^= m.bit(s.procs[i].gen, s.procs[i].tok)
	answer("server answers 503", t, ansNo, 0, fault)
	t = s
	t.faults--
	t.as[s.procs[i].ep].spurious = true
	answer("server refuses for no reason", t, ansInvalid, 0, fault)
}

// crash ends process i. A request on its way is processed or not, the spool survives or not.
func (m *model) crash(s state, i int) {
	s.faults--
	die := func(label string, t state) {
		q := &t.procs[i]
		q.done()
		q.run, q.cut, q.calm = runDown, false, false
		m.emit(label, t, fault)
	}
	p := &s.procs[i]
	t := s
	if p.ans == ansPair {
		t.as[p.ep].lossOK = true
	}
	die("crashes", t)
	if p.pc == pcSent {
		t = s
		if ans, _ := m.present(&t, &t.procs[i]); ans == ansPair {
			t.as[p.ep].lossOK = true
		}
		die("crashes, the server processes its request", t)
	}
	if p.spool {
		t = s
		if !p.settled {
			t.as[p.sEp].lossOK = true
		}
		t.procs[i].clearSpool()
		die("crashes with its disk", t)
	}
}

// world emits what concerns no single process: the database, time, the admin.
func (m *model) world(s state) {
	if s.dbDown {
		t := s
		t.dbDown = false
		for j := range m.cfg.Processes {
			t.procs[j].calm = false
		}
		m.emit("the database is back", t, normal)
	} else if s.faults > 0 && s.phase != phaseIdle {
		t := s
		t.dbDown = true
		t.faults--
		for j := range m.cfg.Processes {
			t.procs[j].cut = t.procs[j].run != runDown
			t.procs[j].calm = false
		}
		m.emit("the database goes down", t, fault)
	}
	m.time(s)
	m.admin(s)
}

// time emits the passing of time: of budgets, the lease, the grace period, the access token and Q.
func (m *model) time(s state) {
	for j := range m.cfg.Processes {
		if p := &s.procs[j]; p.pc == pcClaimed && !p.late {
			t := s
			t.procs[j].late = true
			m.emit("L - D passes", t, normal)
		}
	}
	if s.phase != phaseIdle {
		m.leaseEnds(s)
		if m.cfg.Class.grace() && !s.windowShut {
			t := s
			t.windowShut = true
			m.emit("the grace window closes", t, normal)
		}
		if s.phase == phaseUncertain && m.cfg.Class != N && !s.expired {
			t := s
			t.expired = true
			m.emit("the access token expires", t, normal)
		}
	}
	m.graceEnds(s)
	m.quiet(s)
}

// leaseEnds passes lease_until. A running holder whose check has passed is answered, or gives up, before that.
func (m *model) leaseEnds(s state) {
	if s.clk != clkLease {
		return
	}
	for j := range m.cfg.Processes {
		p := &s.procs[j]
		if !p.holds {
			continue
		}
		if p.pc == pcSent || p.pc == pcChecked && p.run == runUp {
			return
		}
		if p.pc == pcClaimed || p.pc == pcChecked {
			p.late = true
		}
	}
	s.clk = clkOver
	m.emit("the lease ends", s, normal)
}

// graceEnds ends the server's grace period. It began after t_first, so that our window is shut before, and a running
// process that passed its check inside the window has been answered.
func (m *model) graceEnds(s state) {
	f := &s.as[s.epoch]
	if !m.cfg.Class.grace() || f.cur == 0 || f.graceOver || s.status >= statusClosing {
		return
	}
	stored := s.phase != phaseIdle && s.tokEp == s.epoch && s.tok == f.prev
	if stored && !s.windowShut && s.clk == clkLease {
		return
	}
	if stored && !s.windowShut && !m.is(FirstTimeAtSweep) {
		return
	}
	for j := range m.cfg.Processes {
		p := &s.procs[j]
		if p.ep != s.epoch || p.tok != f.prev {
			continue
		}
		switch {
		case p.pc == pcSent, p.pc == pcChecked && p.run == runUp:
			return
		case p.pc == pcChecked, p.pc == pcClaimed && p.window() && !m.is(WindowOnlyAtClaim):
			p.late = true
		}
	}
	f.graceOver = true
	m.emit("the server's grace period ends", s, normal)
}

// quiet passes a time as long as Q: whoever runs and reaches the database has finished what it had in hand.
func (m *model) quiet(s state) {
	if s.phase != phaseIdle && s.clk == clkLease {
		return
	}
	for j := range m.cfg.Processes {
		if s.procs[j].urgent() {
			return
		}
	}
	if s.phase != phaseIdle {
		s.clk = clkQuiet
	}
	if s.gone == goneFresh && !s.dbDown {
		s.gone = goneSilent
	}
	for j := range m.cfg.Processes {
		p := &s.procs[j]
		if p.connected() {
			p.calm, p.stale, p.away = true, false, false
			continue
		}
		p.stale, p.calm = true, false
		if !s.dbDown {
			p.away = true
		}
		if p.pc == pcClaimed || p.pc == pcChecked {
			p.late = true
		}
	}
	m.emit("Q passes", s, normal)
}

// admin emits a new consent, a disconnect, and the end of a closing connection.
func (m *model) admin(s state) {
	if s.dbDown {
		return
	}
	if s.consents > 0 && s.status <= statusReauth {
		t := s
		t.consents--
		t.epoch++
		t.gen, t.base, t.tokEp, t.tok, t.phase, t.status = 0, 0, t.epoch, 0, phaseIdle, statusActive
		for j := range m.cfg.Processes {
			t.procs[j].holds, t.procs[j].open, t.procs[j].orphan = false, false, false
		}
		m.emit("a new consent", t, event)
	}
	if s.disconnects > 0 && s.status <= statusReauth {
		t := s
		t.disconnects--
		t.status = statusClosing
		m.emit("a disconnect", t, event)
	}
	if s.status == statusClosing {
		t := s
		f := &t.as[t.epoch]
		f.dead = f.dead || m.good(f, t.tok) || m.spared(&t) && !m.is(SparesForgottenByErase)
		t.status, t.phase, t.gen, t.base, t.tokEp, t.tok = statusErased, phaseIdle, 0, 0, t.epoch, 0
		t.spares = [2]spare{}
		for j := range m.cfg.Processes {
			t.procs[j].holds, t.procs[j].open, t.procs[j].orphan = false, false, false
		}
		m.emit("revokes and erases", t, normal)
	}
}
