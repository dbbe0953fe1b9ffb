package pages

import (
	"tributary/connectors"
	"tributary/internal/timetable"
	"tributary/jobs"
	"tributary/store"
)

// The steps from a source to its first sync, each the last part of its page's address but the first.
const (
	stepConnect  = "connect"
	stepChoose   = "choose"
	StepPlan     = "plan"
	stepSchedule = "schedule"
	StepStart    = "start"
)

// setupStep is one of the steps; path is "" while there is no connection.
type setupStep struct{ id, name, path string }

// newSteps are those of a connection to be made.
func newSteps(spec connectors.Spec) []setupStep {
	return allSteps(spec.Has(connectors.CanChoose), func(string) string { return "" })
}

// stepsOf are those of a connection.
func stepsOf(k store.Connection, choose bool) []setupStep {
	return allSteps(choose, func(id string) string {
		if id == stepConnect {
			return at("connections", k.Name)
		}
		return at("connections", k.Name, id)
	})
}

func allSteps(choose bool, path func(id string) string) []setupStep {
	list := []setupStep{{id: stepConnect, name: "Connect"}}
	if choose {
		list = append(list, setupStep{id: stepChoose, name: "Choose"})
	}
	list = append(list, setupStep{id: StepPlan, name: "Plan"}, setupStep{id: stepSchedule, name: "Schedule"}, setupStep{id: StepStart, name: "First sync"})
	for i := range list {
		list[i].path = path(list[i].id)
	}
	return list
}

// stepNumber is where the step of that id stands, from 1 on.
func stepNumber(steps []setupStep, id string) int {
	for i, s := range steps {
		if s.id == id {
			return i + 1
		}
	}
	return 0
}

// stepTone is the class of a step: what lies behind the current one is done.
func stepTone(i, current int) string {
	if i+1 < current {
		return "done"
	}
	return ""
}

// NextStep is the page on which a set-up goes on: the choice while nothing was chosen, then the plan.
func NextStep(k store.Connection, choose bool) string {
	if choose && k.SelectionVersion <= 1 {
		return at("connections", k.Name, stepChoose)
	}
	return at("connections", k.Name, StepPlan)
}

func (h ConnectionHead) steps() []setupStep { return stepsOf(h.Connection, h.Choose) }

// atStep reports whether the page is a step of a set-up that is not finished.
func (h ConnectionHead) atStep() bool {
	return h.SettingUp && h.MayAct && stepNumber(h.steps(), h.Tab) > 1
}

// PlanView is what a sync would do.
type PlanView struct {
	Head ConnectionHead
	Spec connectors.Spec
	// Plan is nil where there is none, for Failure.
	Plan    *jobs.Plan
	Failure *PlanFailure
	// Long says that the source was read for as long as a page may.
	Long bool
}

// PlanFailure is why there is no plan.
type PlanFailure struct {
	Sent, Came, Remedy string
	// Grant says that the connection has a grant, Again that another consent may mend it.
	Grant, Again bool
}

// StartView is the last step of a set-up.
type StartView struct {
	Head      ConnectionHead
	Spec      connectors.Spec
	Timetable store.Timetable
}

// rhythm writes how often something runs.
func (v StartView) rhythm(lane store.Lane) string {
	t := v.Timetable
	every, cron := t.ContentEvery, t.ContentCron
	if lane == store.Permissions {
		every, cron = t.PermissionsEvery, t.PermissionsCron
	}
	if cron != "" {
		return "by " + cron + " in " + t.TimeZone
	}
	return "every " + timetable.RhythmText(every, cron)
}

// planFigure is a number of a plan.
type planFigure struct{ name, value, note string }

// planFigures are the numbers that one looks at first.
func planFigures(p *jobs.Plan) []planFigure {
	documents := planFigure{"Documents to add", count(p.Add), ""}
	if p.Partial != "" {
		documents.value = "at least " + documents.value
	} else if !p.Exact && p.Add > 0 {
		documents.note = "at most: what has no text is told when it is opened"
	}
	list := []planFigure{documents}
	if p.Update+p.Unchanged > 0 {
		list = append(list, planFigure{"To update", count(p.Update), count(p.Unchanged) + " stay as they are"})
	}
	if gone := p.Hide + p.Delete + p.Held; gone > 0 {
		list = append(list, planFigure{"To hide or delete", count(gone), ""})
	}
	t := p.Text
	size := planFigure{"Size to read", "not known", "no document was opened"}
	if t.ToRead == 0 {
		size = planFigure{"Size to read", "nothing", ""}
	}
	if t.Bytes != nil {
		size.value, size.note = estimateOf(*t.Bytes, byteWords), "estimated from "+plural(t.Opened, "document that was opened", "documents that were opened")
		if p.Exact || t.Bytes.Low == t.Bytes.High {
			size.note = ""
		}
	}
	list = append(list, size)
	for _, e := range t.Embed {
		f := planFigure{"Tokens to embed", "not known", "with " + e.Profile + ", by " + e.Model}
		if e.Local {
			f.note = "with " + e.Profile + ", computed here, free of charge"
		}
		if e.Tokens != nil {
			f.value = estimateOf(*e.Tokens, thousands)
		}
		list = append(list, f)
	}
	return list
}

// estimateOf writes a number with how sure it is.
func estimateOf(e jobs.Estimate, words func(n int64) string) string {
	if e.Low == e.High {
		return words(e.Likely)
	}
	return "about " + words(e.Likely) + " (" + words(e.Low) + " to " + words(e.High) + ")"
}

// leftOut says what of the source would not come, and why.
func leftOut(p *jobs.Plan) []string {
	var out []string
	for _, part := range []struct {
		n    int64
		what string
	}{
		{p.Skipped, "skipped: the list below says why"},
		{p.Excluded, "left out, because an admin excluded them"},
		{p.Quarantined, "cannot be ingested"},
		{p.Text.Empty, "of those that were opened have no text"},
		{p.Text.Failed, "of those that were opened could not be read"},
	} {
		if part.n > 0 {
			out = append(out, count(part.n)+" "+part.what)
		}
	}
	for _, b := range p.Blocked {
		out = append(out, "could not be listed: "+b.ID+" ("+b.Reason+")")
	}
	return out
}

// audienceWords says who could read what is new, in sentences.
func audienceWords(a store.Audience) []string {
	if a.Documents == 0 {
		return []string{"There is no new document that anybody could read."}
	}
	var out []string
	say := func(n int64, one, many string) {
		if n > 0 {
			out = append(out, plural(n, "document", "documents")+" "+map[bool]string{true: one, false: many}[n == 1])
		}
	}
	say(a.Public, "is public: every reader finds it.", "are public: every reader finds them.")
	say(a.Organisation-a.Public, "is for everybody in the organisation.", "are for everybody in the organisation.")
	say(a.Unknown, "has permissions that could not be read: nobody finds it.", "have permissions that could not be read: nobody finds them.")
	say(a.Unmatched, "is for nobody that is known here: nobody finds it.", "are for nobody that is known here: nobody finds them.")
	if a.People > 0 {
		out = append(out, plural(int64(a.People), "person", "people")+" of the source may read some of them.")
	}
	if a.Memberships == store.MembershipsNone && a.Unknown < a.Documents {
		out = append(out, "Who is in the groups is not known yet, or too much to read now: people are counted only where documents name them.")
	}
	if a.Readers == 0 {
		return append(out, "No reader is linked to them yet: until one is, after the sync, only what is public is found.")
	}
	return append(out, plural(int64(a.Readers), "reader is", "readers are")+" linked to them, and would find something.")
}

// audienceRow is who could read how much.
type audienceRow struct{ name, kind, documents string }

func audienceRows(a store.Audience) []audienceRow {
	var out []audienceRow
	for _, list := range []struct {
		kind    string
		entries []store.AudienceEntry
	}{{"reader", a.TopReaders}, {"person", a.TopPeople}, {"group", a.TopGroups}} {
		for _, e := range list.entries[:min(len(list.entries), mostAudience)] {
			kind := list.kind
			if e.Members > 0 {
				kind += " of " + count(e.Members)
			}
			name := e.Name
			if name == e.ID {
				name = "" // it has none
			}
			out = append(out, audienceRow{calledPrincipal(e.Kind, name, e.ID), kind, count(e.Documents)})
		}
	}
	return out
}

// mostAudience is how many of a kind are listed.
const mostAudience = 5
