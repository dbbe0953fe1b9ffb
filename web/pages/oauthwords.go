package pages

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"tributary/oauthflow"
	"tributary/store"
)

// action is the address of a form or a page of ours. Its parts are escaped by path.
func action(path string) templ.SafeURL { return templ.SafeURL(path) }

// at joins segments to a path of ours, so that no text of others can leave its segment.
func at(segments ...string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteString("/" + url.PathEscape(s))
	}
	return b.String()
}

// external is a link that leads away from here: an https address of a provider's profile, or a loopback one. What is
// neither is no link. SECURITY: nothing that a provider answers becomes one.
func external(address string) (templ.SafeURL, bool) {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return "", false
	}
	return templ.SafeURL(u.String()), true
}

// sentenceList joins words for people.
func sentenceList(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	default:
		return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
	}
}

// registrationWord says how a registration is doing: a tone and a word.
func registrationWord(r oauthflow.Registration, now time.Time) (tone, word string) {
	switch {
	case r.State == oauthflow.RegistrationDraft:
		return "warn", "not complete"
	case r.State == oauthflow.RegistrationRejected:
		return "bad", "refused by the provider"
	case r.CredentialExpiresAt != nil && r.CredentialExpiresAt.Before(now):
		return "bad", "credentials expired"
	case r.CredentialExpiresAt != nil && r.CredentialExpiresAt.Sub(now) < 30*24*time.Hour:
		return "warn", "credentials expire soon"
	default:
		return "ok", "ready"
	}
}

func dayOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.UTC().Format(time.DateOnly)
}

// grantWords says how a grant is doing: a tone, a word, and a sentence.
func grantWords(g oauthflow.Grant, now time.Time) (tone, word, sentence string) {
	h := g.Health
	switch {
	case g.ClosedAt != nil:
		return "", "closed", strings.TrimSpace("Closed on " + moment(*g.ClosedAt) + ". " + g.CloseNote)
	case h.State == oauthflow.GrantClosing:
		return "warn", "being revoked", "Its tokens are being revoked at the provider."
	case h.State == oauthflow.GrantNeedsReauth:
		return "bad", "needs consent", "It needs consent since " + moment(h.StateSince) + ", because " + failWords(h) + "."
	case h.State == oauthflow.GrantConfigError:
		return "bad", "client refused", "The provider refuses the client registration since " + moment(h.StateSince) + noteOf(h) + "."
	case h.Phase == oauthflow.PhaseUncertain:
		return "warn", "uncertain", "The answer to a refresh was lost, so it is not known whether the refresh token was used up" + noteOf(h) + ". It is tried again when that is safe, from " + moment(h.NextTry) + "."
	case h.Failures > 0:
		return "warn", "active", fmt.Sprintf("Refreshing has failed %s since it last worked%s. The next try is at %s.", times(h.Failures), noteOf(h), moment(h.NextTry))
	default:
		return "ok", "active", activeWords(g, now)
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func activeWords(g oauthflow.Grant, now time.Time) string {
	h := g.Health
	until := "It lasts until it is revoked."
	switch {
	case h.AccessExpires != nil && h.Refreshable:
		until = "The access token is good until " + moment(*h.AccessExpires) + " and is renewed before that."
		if h.AccessExpires.Before(now) {
			until = "The access token has run out and is renewed when it is needed."
		}
	case h.AccessExpires != nil:
		until = "It lasts until " + moment(*h.AccessExpires) + ". There is no refresh token: consent is needed again then."
	}
	if h.IdleExpires != nil && h.Refreshable {
		until += " Unused, it lasts until " + moment(*h.IdleExpires) + "."
	}
	if h.AbsoluteExpires != nil {
		until += " It ends on " + moment(*h.AbsoluteExpires) + " in any case."
	}
	if g.ExpiresAt != nil {
		until += " It is set to end here on " + moment(*g.ExpiresAt) + "."
	}
	return until
}

func noteOf(h oauthflow.Health) string {
	if h.FailNote == "" {
		return ""
	}
	return ": " + strings.TrimSuffix(h.FailNote, ".")
}

func failWords(h oauthflow.Health) string {
	var why string
	switch h.FailClass {
	case oauthflow.FailRevoked:
		why = "the access was withdrawn"
	case oauthflow.FailLostResponse:
		why = "the answer to a refresh was lost, and the refresh token was used up by it"
	case oauthflow.FailExpired:
		why = "it was not used for too long, or has reached its end at the provider"
	case oauthflow.FailClient:
		why = "the provider refuses the client registration"
	case oauthflow.FailUnavailable:
		why = "the provider does not answer"
	case oauthflow.FailKey:
		why = "its tokens cannot be decrypted with the master key of this instance"
	case oauthflow.FailUnknown, oauthflow.FailNone:
		why = "the provider refuses to refresh it"
	default:
		why = "the provider refuses to refresh it"
	}
	return why + noteOf(h)
}

func attemptWords(a oauthflow.Attempt) (tone, word string) {
	switch a.Outcome {
	case "":
		return "warn", "under way"
	case "rotated":
		return "ok", "new tokens"
	case "spare":
		return "ok", "new tokens, kept aside"
	case "discarded":
		return "warn", "came too late"
	case "not_sent":
		return "warn", "not sent"
	case "refused":
		return "bad", "refused"
	case "lost":
		return "bad", "answer lost"
	case "orphaned":
		return "warn", "its process ended"
	default:
		return "", a.Outcome
	}
}

// GrantKind says in words how a grant obtains tokens.
func GrantKind(k oauthflow.GrantType) string {
	switch k {
	case oauthflow.GrantCode:
		return "a person's consent"
	case oauthflow.GrantClientCredentials:
		return "the client itself"
	case oauthflow.GrantJWTBearer:
		return "a service account"
	case oauthflow.GrantInstallation:
		return "an installed app"
	default:
		return string(k)
	}
}

func grantKinds(list []oauthflow.GrantType) string {
	var out []string
	for _, k := range list {
		out = append(out, GrantKind(k))
	}
	return sentenceList(out)
}

// runWords says how a run ended.
func runWords(state store.RunState) (tone, word string) {
	switch state {
	case store.RunSucceeded:
		return "ok", "done"
	case store.RunPartial:
		return "warn", "done in part"
	case store.RunFailed:
		return "bad", "failed"
	case store.RunQueued:
		return "", "waiting"
	case store.RunRunning:
		return "", "running"
	case store.RunCancelled:
		return "warn", "cancelled"
	case store.RunSuperseded:
		return "", "superseded"
	default:
		return "", string(state)
	}
}

// runCounts says what a run did.
func runCounts(c store.Counts) string {
	var out []string
	for _, n := range []struct {
		count int64
		word  string
	}{
		{c.Added, "added"},
		{c.Updated, "updated"},
		{c.Unchanged, "unchanged"},
		{c.Hidden, "hidden"},
		{c.Purged, "purged"},
		{c.Restored, "restored"},
		{c.Held, "deletions held"},
		{c.ACLChanged, "with other permissions"},
		{c.Memberships, "memberships"},
		{c.Skipped, "skipped"},
		{c.Quarantined, "in quarantine"},
		{c.Refused, "refused"},
		{c.Blocked, "blocked"},
	} {
		if n.count > 0 {
			out = append(out, count(n.count)+" "+n.word)
		}
	}
	return strings.Join(out, ", ")
}

// scopeRow is one permission as it was asked for, needed and granted.
type scopeRow struct {
	name, reason             string
	needed, granted, broader bool
}

// scopeRows compares what connections need with what a grant has.
func scopeRows(p *oauthflow.Profile, g oauthflow.Grant, needed []string) []scopeRow {
	reasons := map[string]string{}
	for _, k := range p.Scopes.Known {
		reasons[k.Name] = k.Reason
	}
	var out []scopeRow
	seen := map[string]bool{}
	add := func(name string, row scopeRow) {
		if !seen[name] {
			seen[name] = true
			row.name, row.reason = name, reasons[name]
			out = append(out, row)
		}
	}
	for _, n := range needed {
		add(n, scopeRow{needed: true, granted: len(p.Missing([]string{n}, g.Scopes)) == 0})
	}
	for _, n := range g.Asked {
		add(n, scopeRow{granted: len(p.Missing([]string{n}, g.Scopes)) == 0})
	}
	for _, n := range g.Scopes {
		covered := slices.ContainsFunc(slices.Concat(needed, g.Asked), func(a string) bool { return slices.Contains(p.Scopes.Satisfied[a], n) })
		add(n, scopeRow{granted: true, broader: !covered})
	}
	return out
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
