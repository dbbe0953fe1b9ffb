package pages

import (
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// ModeMeaning says how a key names the reader for whom it asks.
func ModeMeaning(m store.KeyMode) string {
	switch m {
	case store.KeyBound:
		return "asks for one reader, always: for a program that works for one person or application"
	case store.KeyAssertion:
		return "asks for the reader whom a signed assertion with each request names: for an application that signs its users in; a stolen key alone reads nothing"
	case store.KeyTrusted:
		return "asks for whom it says: who holds it reads as anybody, so its connections are named and it ends within 90 days"
	case store.KeyOwn:
		return "asks for nobody: it sees what is shared with the key itself, writes with the right push, or copies whole connections with the right export"
	default:
		return ""
	}
}

// RightMeaning says what a right lets a key do.
func RightMeaning(right string) string {
	switch right {
	case store.RightSearch:
		return "asks questions"
	case store.RightDocuments:
		return "lists and reads documents, their text, chunks and lineage"
	case store.RightExport:
		return "takes out everything that its reader sees; in mode own it reads whole connections, with their permissions, by the feed"
	case store.RightPush:
		return "writes documents and groups into connections of the source push"
	default:
		return ""
	}
}

// asksFor says for whom a key asks.
func asksFor(k store.Key) string {
	switch {
	case k.Mode == store.KeyAssertion:
		return "whom " + plural(int64(len(k.Signers)), "signer names", "signers name")
	case k.Mode == store.KeyTrusted:
		return "whom it says"
	case k.Mode == store.KeyBound && k.Reader != nil:
		return *k.Reader
	case k.Whole:
		return "nobody: it reads its connections whole"
	default:
		return "nobody: it sees what is shared with it"
	}
}

// NamedOfKey is how many connections of a key a list names.
const NamedOfKey = 3

// keyReach names the connections of a key.
func keyReach(k store.Key, names map[uuid.UUID]string) string {
	if k.AllConnections {
		return "all"
	}
	var list []string
	for _, id := range k.Connections[:min(len(k.Connections), NamedOfKey)] {
		if n := names[id]; n != "" {
			list = append(list, n)
		}
	}
	if more := len(k.Connections) - NamedOfKey; more > 0 {
		list = append(list, strconv.Itoa(more)+" more")
	}
	if len(list) == 0 {
		return "none that is left"
	}
	return strings.Join(list, ", ")
}

// keyWords are how a key is.
func keyWords(k store.Key, now time.Time) (tone, word string) { //nolint:nonamedreturns // two texts need names
	switch {
	case k.RevokedAt != nil:
		return "", "revoked"
	case k.ExpiresAt != nil && !k.ExpiresAt.After(now):
		return "bad", "expired"
	case k.ExpiresAt != nil && k.ExpiresAt.Sub(now) < keyEndsSoon:
		return "warn", "ends soon"
	default:
		return "ok", "valid"
	}
}

const keyEndsSoon = 7 * 24 * time.Hour

// confirmedBy says what confirmed a link.
func confirmedBy(how string) string {
	switch store.LinkHow(how) {
	case store.LinkManual:
		return "linked by hand"
	case store.LinkSetup:
		return "linked at the set-up"
	case store.LinkConsent:
		return "the account that consented"
	case store.LinkEmail:
		return "by verified e-mail"
	case store.LinkImport:
		return "imported"
	default:
		return how
	}
}

// calledPrincipal is what a principal is called.
func calledPrincipal(kind connectors.PrincipalKind, name, id string) string {
	switch {
	case name != "":
		return name
	case kind == connectors.Anyone:
		return "everybody of the organisation"
	case kind == connectors.Public:
		return "everybody"
	default:
		return id
	}
}

// countedTo writes a number that is counted to a bound only.
func countedTo(n int64) string {
	if n >= store.CountedTo {
		return strconv.Itoa(store.CountedTo) + " or more"
	}
	return strconv.FormatInt(n, 10)
}

// membersWords says how many members a group has, as far as they are counted.
func membersWords(n int64) string {
	if n == 1 {
		return "1 member"
	}
	return countedTo(n) + " members"
}

func principalPath(id int64) string { return at("principals", strconv.FormatInt(id, 10)) }

// AlikeNames are the names that a reader may have who is this person.
func AlikeNames(p store.Unmatched) []string {
	out := []string{}
	for _, n := range append([]string{p.Name, p.ID}, append(p.Verified, p.Claimed...)...) {
		local, _, _ := strings.Cut(n, "@")
		for _, name := range []string{n, strings.ToLower(n), local} {
			if name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}

// candidate is a reader who may be a person.
type candidate struct{ name, why string }

// candidates are the readers who may be the person: those who have one of the addresses, and those who are called so.
func (v UnmatchedView) candidates(p store.Unmatched) []candidate {
	var list []candidate
	seen := map[string]bool{}
	for _, name := range p.Readers {
		list, seen[name] = append(list, candidate{name, "has the address"}), true
	}
	for _, name := range AlikeNames(p) {
		if v.Called[name] && !seen[name] {
			why := "is called like one of its addresses"
			if strings.EqualFold(name, p.Name) || strings.EqualFold(name, p.ID) {
				why = "has the same name"
			}
			list, seen[name] = append(list, candidate{name, why}), true
		}
	}
	return list[:min(len(list), maxCandidates)]
}

const maxCandidates = 4

// newName is what a reader for the person would be called.
func newName(p store.Unmatched) string {
	if len(p.Verified) > 0 {
		return p.Verified[0]
	}
	if p.Name != "" {
		return p.Name
	}
	return p.ID
}

// readWords says how much a read gave.
func readWords(r store.Read) string {
	if len(r.Documents) == 0 {
		return "nothing was found"
	}
	return plural(int64(len(r.Documents)), "document", "documents")
}

// shellWord writes a name as one word of a command line.
func shellWord(name string) string {
	plain := strings.IndexFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("._@+-", r)
	}) < 0
	if plain && name != "" && name[0] != '-' {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
