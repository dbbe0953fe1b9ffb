package refreshmodel

// What an invariant says when it is broken.
const (
	ruleTwice       = "a token is presented twice without an uncertain record"
	ruleRevoked     = "a family was revoked by reuse although its newest pair was ours"
	ruleFalseReauth = "needs_reauth although a good token is ours"
	ruleGoodRow     = "needs_reauth although the row's own token is good"
	ruleLost        = "a rotation is lost"
	ruleOlder       = "a token of an older consent is in use"
	ruleClosing     = "a closing connection became active"
	ruleStuck       = "a row is stuck: without faults it ends neither active nor needs_reauth"
)

// invariant returns the invariant of single states that s breaks, or "".
func (m *model) invariant(s *state) string {
	if s.status >= statusClosing {
		return ""
	}
	if s.tokEp != s.epoch {
		return ruleOlder
	}
	f := &s.as[s.epoch]
	if f.dead || f.spurious {
		return ""
	}
	if s.status == statusReauth && m.good(f, s.tok) {
		return ruleGoodRow
	}
	if !f.lossOK && !m.held(s) {
		return ruleLost
	}
	return ""
}

// settled says whether a row is where it may stay: active with a good token, in need of a consent that nothing in our
// hands could replace, or erased with its tokens revoked.
func (m *model) settled(s *state) bool {
	f := &s.as[s.epoch]
	switch s.status {
	case statusActive:
		return s.phase == phaseIdle && m.good(f, s.tok)
	case statusReauth:
		return f.dead || f.spurious || !m.held(s)
	case statusErased:
		return f.dead || f.lossOK && !m.inHand(s)
	default:
		return false
	}
}
