package pages

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/oauthflow"
	"tributary/store"
)

// ConnectionHead is what stands above every page of a connection: what it is, how it is, what can be done, and its tabs.
type ConnectionHead struct {
	Connection store.Connection
	// Tab is the page's own tab: the last part of its address, "" for the overview.
	Tab    string
	MayAct bool
	// Engine is set where the pages of runs, quarantine, held deletions and schedules are served, Documents where those of
	// documents are.
	Engine, Documents bool
	// Choose is set where what is synced can be chosen.
	Choose bool
	// SettingUp is set where its set-up is not finished.
	SettingUp bool
	// WantsGrant is set where it has no grant and its source needs one.
	WantsGrant bool
	// Waits is what may wait for somebody.
	Waits store.Attention
	// Live is set while a run waits or works.
	Live bool
}

func (h ConnectionHead) path(act ...string) string {
	return at(append([]string{"connections", h.Connection.Name}, act...)...)
}

func (h ConnectionHead) is(states ...store.ConnectionState) bool {
	return slices.Contains(states, h.Connection.State)
}

// pushed reports whether others push its documents: nothing is scheduled then.
func (h ConnectionHead) pushed() bool { return h.Connection.Source == store.PushSource }

// grantAgain reports whether a consent would mend it.
func (h ConnectionHead) grantAgain() bool {
	return h.WantsGrant || h.Connection.GrantID != nil && h.is(store.StateNeedsReauth, store.StateDegraded)
}

// tab is one page of a connection.
type tab struct {
	id, name, path string
	// count is how much waits there, 0 for nothing.
	count int64
}

// tabs are the pages of the connection that are served and that who looks may open.
func (h ConnectionHead) tabs() []tab {
	list := []tab{{name: "Overview", path: h.path()}}
	add := func(shown bool, id, name string, count int64) {
		if shown {
			list = append(list, tab{id, name, h.path(id), count})
		}
	}
	add(true, "runs", "Runs", 0)
	if h.Documents {
		list = append(list, tab{id: "documents", name: "Documents", path: "/documents?connection=" + h.Connection.Name})
	}
	add(h.Engine, "quarantine", "Quarantine", h.Waits.Quarantined)
	add(h.Engine, "deletions", "Held deletions", h.Waits.Held)
	add(h.Engine && !h.pushed(), "schedule", "Schedule", 0)
	add(h.Choose && h.MayAct && !h.is(store.StateClosing), "choose", "Selection", 0)
	add(h.Connection.GrantID != nil || h.WantsGrant, "grant", "Grant", 0)
	add(true, "settings", "Settings", 0)
	return list
}

// here is the name of the page: that of its tab or of its step, and the connection's on the overview.
func (h ConnectionHead) here() string {
	if h.Tab == "" {
		return h.Connection.Name
	}
	if h.atStep() {
		return h.steps()[stepNumber(h.steps(), h.Tab)-1].name
	}
	for _, t := range h.tabs() {
		if t.id == h.Tab {
			return t.name
		}
	}
	return h.Connection.Name
}

// above are the pages above it.
func (h ConnectionHead) above() []Link {
	list := []Link{crumb("/connections", "Connections")}
	if h.here() != h.Connection.Name {
		list = append(list, crumb(at("connections", h.Connection.Name), h.Connection.Name))
	}
	return list
}

// mark is a part of what a run did, with the items behind it.
type mark struct{ text, op, means string }

// marksOf is what a run did in short: + added, ~ updated, - removed, ! not ingested. One of nothing has no items.
func marksOf(c store.Counts) []mark {
	removed := store.ItemHidden
	if c.Hidden == 0 {
		removed = store.ItemPurged
	}
	added := store.ItemAdded
	if c.Added == 0 {
		added = store.ItemRestored
	}
	list := []mark{
		{"+" + count(c.Added+c.Restored), added, "added"},
		{"~" + count(c.Updated), store.ItemUpdated, "updated"},
		{"-" + count(c.Hidden+c.Purged), removed, "removed"},
		{"!" + count(c.Quarantined), store.ItemQuarantined, "in quarantine"},
	}
	for i, n := range []int64{c.Added + c.Restored, c.Updated, c.Hidden + c.Purged, c.Quarantined} {
		if n == 0 {
			list[i].op = ""
		}
	}
	return list
}

// sparkBar is one run of a sparkline.
type sparkBar struct {
	x, y, height int
	class, title string
}

// The measures of a sparkline: each bar with the gap behind it, its own width, and the height of all.
const (
	sparkStep   = 8
	sparkWidth  = 6
	sparkHeight = 32
	sparkLeast  = 3
)

// sparkBars draws runs that are listed newest first, the oldest left. A bar is the higher the more the run changed, by the
// logarithm, so that the first sync does not flatten every later one; one that failed has half the height at least.
func sparkBars(runs []store.Run) []sparkBar {
	most := int64(1)
	for i := range runs {
		most = max(most, changedBy(runs[i].Counts))
	}
	out := make([]sparkBar, 0, len(runs))
	for i := range runs {
		r := &runs[len(runs)-1-i]
		n := changedBy(r.Counts)
		height := sparkLeast + int(math.Round(float64(sparkHeight-sparkLeast)*math.Log1p(float64(n))/math.Log1p(float64(most))))
		class := "idle"
		switch tone, _ := runWords(r.State); {
		case tone == "bad":
			class, height = "bad", max(height, sparkHeight/2)
		case tone == "warn":
			class = "warn"
		case tone == "ok" && n > 0:
			class = "ok"
		}
		_, word := runWords(r.State)
		out = append(out, sparkBar{
			x: i * sparkStep, y: sparkHeight - height, height: height, class: class,
			title: moment(r.QueuedAt) + ", " + string(r.Kind) + ", " + word + ": " + marks(r.Counts),
		})
	}
	return out
}

// changedBy counts the documents that a run changed.
func changedBy(c store.Counts) int64 {
	return c.Added + c.Restored + c.Updated + c.Hidden + c.Purged
}

// sparkWords says the same as a sparkline.
func sparkWords(runs []store.Run) string {
	var done, part, failed int64
	for i := range runs {
		switch runs[i].State { //nolint:exhaustive // the others have no word here
		case store.RunSucceeded:
			done++
		case store.RunPartial:
			part++
		case store.RunFailed:
			failed++
		}
	}
	words := []string{count(done) + " done"}
	if part > 0 {
		words = append(words, count(part)+" done in part")
	}
	if failed > 0 {
		words = append(words, count(failed)+" failed")
	}
	return "The last " + plural(int64(len(runs)), "run", "runs") + ": " + strings.Join(words, ", ")
}

// grantHealth is the health of a connection's grant at a glance, of its state alone.
func grantHealth(state string) (tone, word string) {
	switch oauthflow.GrantState(state) {
	case oauthflow.GrantActive:
		return "ok", "active"
	case oauthflow.GrantNeedsReauth:
		return "bad", "needs consent"
	case oauthflow.GrantConfigError:
		return "bad", "client refused"
	case oauthflow.GrantClosing:
		return "warn", "being revoked"
	}
	return "", state
}

// settingRow is one setting as it holds.
type settingRow struct {
	label, value, help string
	// byDefault says that nobody set it.
	byDefault bool
}

// causeWords says who asked for a run.
func causeWords(cause string) string {
	switch cause {
	case "schedule", "tick":
		return "the schedule"
	case "admin":
		return "an admin"
	default:
		return cause
	}
}

// within says how long is left, or that it is over.
func within(t, now time.Time) string {
	if d := t.Sub(now); d > 0 {
		return "in " + spanWords(d)
	}
	return "due"
}

// share is a part of a whole in percent.
func share(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return strconv.FormatInt(min(100, part*100/whole), 10) + " %"
}
