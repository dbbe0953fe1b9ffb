package pages

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/a-h/templ"

	"tributary/store"
)

// RoleMeaning says what a role may do.
func RoleMeaning(r store.AccountRole) string {
	switch r {
	case store.RoleOwner:
		return "changes everything: accounts, and which servers may be reached"
	case store.RoleAdmin:
		return "connects sources and looks after them"
	case store.RoleAuditor:
		return "sees connections and the audit log, and changes nothing"
	default:
		return ""
	}
}

func userAction(a store.Account, act string) templ.SafeURL {
	return templ.SafeURL("/users/" + a.ID.String() + "/" + act)
}

// browser names the browser of a User-Agent header roughly.
func browser(userAgent string) string {
	for _, b := range []struct{ mark, name string }{
		{"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Firefox/", "Firefox"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	} {
		if strings.Contains(userAgent, b.mark) {
			for _, system := range []string{"Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"} {
				if strings.Contains(userAgent, system) {
					return b.name + " on " + system
				}
			}
			return b.name
		}
	}
	if userAgent == "" {
		return "unknown"
	}
	first, _, _ := strings.Cut(userAgent, " ")
	return first
}

func connectionWord(s store.ConnectionState) string {
	return strings.ReplaceAll(string(s), "_", " ")
}

// connectionTone is the class of a state: whether somebody has to act.
func connectionTone(s store.ConnectionState) string {
	switch s {
	case store.StateActive:
		return "ok"
	case store.StateNeedsReauth, store.StateConfigError, store.StateFailed:
		return "bad"
	default:
		return "warn"
	}
}

// count is thousands for numbers of either type.
func count[N int | int64](n N) string { return thousands(int64(n)) }

// staleAfter is twice the default interval of the permissions lane.
const staleAfter = 2 * store.DefaultPermissionsEvery

func stale(c store.Connection, now time.Time) bool {
	return c.PermissionsAsOf != nil && now.Sub(*c.PermissionsAsOf) > staleAfter
}

// since writes how long ago t was.
func since(t *time.Time, now time.Time) string {
	if t == nil {
		return "never"
	}
	d := max(now.Sub(*t), 0)
	switch {
	case d < time.Minute:
		return "just now"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// thousands writes a number so that its size is seen: 1,234,567.
func thousands(n int64) string {
	digits, sign := strconv.FormatInt(n, 10), ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
