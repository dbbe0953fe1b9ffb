package github

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// unstatedPause is how long to stay away after a secondary limit that says no
// time.
// https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
const unstatedPause = time.Minute

// judge returns the error of an answer that is no success, where GitHub says
// more than its status. SECURITY: the answer's message selects one of our
// texts and is itself dropped.
func judge(r httpx.Refusal) *connectors.Error {
	message := strings.ToLower(messageOf(r.Body))
	if e := limited(r, message); e != nil {
		return e
	}
	if r.Status == http.StatusUnprocessableEntity && r.Call.Ref.ID != "" {
		return &connectors.Error{Op: r.Call.Op, Class: connectors.ItemSkipped, Ref: r.Call.Ref, Err: &httpx.StatusError{Code: r.Status}}
	}
	code := obstacle(r, message)
	if code == "" {
		return nil
	}
	e := spec().Problem(r.Call.Op, code)
	if r.Call.Ref.ID != "" {
		e.Class, e.Ref = connectors.ItemRefused, r.Call.Ref
	}
	return e
}

// limited returns the error of a primary or secondary rate limit.
func limited(r httpx.Refusal, message string) *connectors.Error {
	if r.Status != http.StatusForbidden && r.Status != http.StatusTooManyRequests {
		return nil
	}
	stated := httpx.HeadersOf(pace()).RetryAfter(r.Header, time.Now())
	said := strings.Contains(message, "rate limit") || strings.Contains(message, "abuse detection") || r.Header.Get("X-Ratelimit-Remaining") == "0"
	if r.Status == http.StatusForbidden && stated == 0 && !said {
		return nil
	}
	e := spec().Problem(r.Call.Op, problemPace)
	e.RetryAfter, e.Ref = stated, r.Call.Ref
	if stated == 0 && said {
		e.RetryAfter = unstatedPause
	}
	return e
}

// obstacle returns the code of the problem that an answer tells of, or "".
func obstacle(r httpx.Refusal, message string) string {
	if r.Status == http.StatusUnavailableForLegalReasons {
		return problemLegal
	}
	if r.Status != http.StatusForbidden {
		return ""
	}
	required, _, _ := strings.Cut(r.Header.Get("X-Github-Sso"), ";")
	switch {
	case strings.TrimSpace(required) == "required", strings.Contains(message, "saml enforcement"):
		return problemSSO
	case strings.Contains(message, "oauth app access restrictions"):
		return problemApproval
	case strings.Contains(message, "ip allow list"):
		return problemAddress
	case strings.Contains(message, "installation has been suspended"):
		return problemSuspended
	case strings.Contains(message, "repository access blocked"), strings.Contains(message, "dmca"):
		return problemLegal
	case strings.Contains(message, "view repository collaborators"), strings.Contains(message, "must have push access"):
		return problemReaders
	case strings.Contains(message, "resource not accessible by"):
		return problemPermission
	}
	return ""
}

func messageOf(body []byte) string {
	var m struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &m) != nil {
		return ""
	}
	return m.Message
}

// statusOf returns the status that err carries, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*httpx.StatusError](err); ok {
		return e.Code
	}
	return 0
}

// codeOf returns the code of the problem that err carries, or "".
func codeOf(err error) string {
	if e, ok := errors.AsType[*connectors.Error](err); ok {
		return e.Code
	}
	return ""
}

// closed reports whether err is a no to one repository, beside which others
// can be read. A permission that the app lacks concerns them all.
func closed(err error) bool {
	if errors.Is(err, errTreeSize) {
		return true
	}
	switch codeOf(err) {
	case problemSSO, problemApproval, problemAddress, problemSuspended, problemLegal, problemReaders:
		return true
	case "":
	default:
		return false
	}
	switch statusOf(err) {
	case http.StatusForbidden, http.StatusNotFound, http.StatusGone:
		return true
	}
	return false
}

// malformed is the error of an answer without what every such answer has.
func malformed(op string) error {
	return &connectors.Error{Op: op, Class: connectors.Transient, Err: errMalformed}
}

var errMalformed = errors.New("the answer lacks an id, a name or a time")

// repoPath is the path of a repository, and of what is below it.
func repoPath(r *repository, below ...string) string {
	owner, name, _ := strings.Cut(r.FullName, "/")
	return strings.Join(append([]string{"repos", url.PathEscape(owner), url.PathEscape(name)}, below...), "/")
}

// paged returns a query for lists.
func (s *session) paged(kv ...string) url.Values {
	q := url.Values{"per_page": {strconv.Itoa(s.cfg.PerPage)}}
	for i := 0; i+1 < len(kv); i += 2 {
		q.Set(kv[i], kv[i+1])
	}
	return q
}
