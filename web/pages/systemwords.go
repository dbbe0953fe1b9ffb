package pages

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/jobs"
	"tributary/oauthflow/vault"
	"tributary/store"
)

// about writes a number that is exact up to a bound, and an estimate above it.
func about(n int64) string {
	if n > store.ExactUpTo() {
		return "about " + thousands(n)
	}
	return thousands(n)
}

// moreThan writes a number that was not counted beyond a bound.
func moreThan(n int64) string {
	if n > store.ExactUpTo() {
		return "more than " + thousands(store.ExactUpTo())
	}
	return thousands(n)
}

// byteWords writes a size.
func byteWords(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 40, "TB"}, {1 << 30, "GB"}, {1 << 20, "MB"}, {1 << 10, "kB"}} {
		if n >= u.size {
			return strconv.FormatFloat(float64(n)/float64(u.size), 'f', 1, 64) + " " + u.name
		}
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// firstWord leaves out what stands behind a version, such as how it was packaged.
func firstWord(s string) string {
	first, _, _ := strings.Cut(s, " ")
	return first
}

// queueSilent is how long after its last sign nobody works on a queue: River renews it every ten minutes.
const queueSilent = 30 * time.Minute

// queueWords says how a queue is doing: a tone and a word.
func queueWords(q jobs.QueueState, now time.Time) (tone, word string) {
	switch {
	case q.PausedAt != nil:
		return "warn", "paused"
	case q.SeenAt == nil || now.Sub(*q.SeenAt) > queueSilent:
		return "warn", "nobody works on it"
	default:
		return "ok", "works"
	}
}

// pauseMeans says what pausing a queue leads to.
func pauseMeans(queue string) string {
	switch queue {
	case "permissions":
		return "Permissions grow old meanwhile: past the maximum age of a connection (24 hours where nobody changed it), its documents are hidden."
	case "default":
		return "Content grows old meanwhile: what changes at the sources is not found."
	case "embed":
		return "New text is found by words only meanwhile."
	case "erase":
		return "What somebody asked to erase stays stored meanwhile."
	case "refresh":
		return "Tokens run out meanwhile: syncs then refresh them by themselves, and a grant that nothing uses for long may end at its provider."
	case "tick":
		return "Due runs begin late meanwhile: each process looks for them once a minute by itself."
	default:
		return ""
	}
}

func jobWord(state string) string {
	switch state {
	case "available":
		return "waits"
	case "scheduled", "pending":
		return "later"
	case "running":
		return "runs"
	case "retryable":
		return "is tried again"
	case "discarded":
		return "given up"
	case "completed":
		return "done"
	default:
		return state
	}
}

func jobTone(state string) string {
	switch state {
	case "discarded":
		return "bad"
	case "retryable", "cancelled":
		return "warn"
	case "completed":
		return "ok"
	default:
		return ""
	}
}

// jobWhen says when a job ended, or when it begins.
func jobWhen(j jobs.JobInfo, now time.Time) string {
	switch {
	case j.EndedAt != nil:
		return "ended " + since(j.EndedAt, now)
	case j.NextAt.After(now):
		return "begins in " + spanWords(j.NextAt.Sub(now))
	default:
		return "made " + since(&j.CreatedAt, now)
	}
}

// masterKeyWords says what a master key does: a tone and a word.
func masterKeyWords(k vault.KeyStatus) (tone, word string) {
	switch {
	case k.Primary:
		return "ok", "seals and opens"
	case k.InFile && k.Rows == 0 && !k.Spooled:
		return "", "not used"
	case k.InFile:
		return "ok", "opens"
	default:
		return "bad", "missing"
	}
}

// Room is what tables of one purpose take.
type Room struct {
	Name                 string
	Rows, Bytes, Indexes int64
	Tables               []string
}

// GroupTables adds tables up by what they hold, the largest first.
func GroupTables(list []store.TableSize) []Room {
	byName := map[string]*Room{}
	for _, t := range list {
		name := roomOf(t)
		r := byName[name]
		if r == nil {
			r = &Room{Name: name}
			byName[name] = r
		}
		r.Rows, r.Bytes, r.Indexes, r.Tables = r.Rows+t.Rows, r.Bytes+t.Bytes, r.Indexes+t.Indexes, append(r.Tables, t.Name)
	}
	out := make([]Room, 0, len(byName))
	for _, r := range byName {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b Room) int {
		if a.Bytes != b.Bytes {
			return int(max(-1, min(1, b.Bytes-a.Bytes)))
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out
}

// roomOf says what a table holds.
func roomOf(t store.TableSize) string {
	if t.Schema != "tributary" {
		return "Jobs"
	}
	switch t.Name {
	case "document", "revision", "container", "skip", "quarantine", "exclusion", "seen", "deletion_hold", "held_document":
		return "Documents and revisions"
	case "chunk":
		return "Chunks"
	case "embed_todo":
		return "Waiting to be embedded"
	case "acl_set", "acl_entry", "membership", "principal", "principal_email", "realm":
		return "Permissions"
	case "sync_run", "run_event", "run_item", "schedule", "worker", "outbound_limit":
		return "Runs"
	case "audit_event", "read_event", "sql_read", "sql_read_count":
		return "Audit log and record of reads"
	case "outbox", "feed_head":
		return "Outbox feed"
	default:
		if strings.HasPrefix(t.Name, "vec_") {
			return "Vectors"
		}
		return "Settings, accounts, readers and grants"
	}
}
