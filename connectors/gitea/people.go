package gitea

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// The oldest Gitea whose tokens have no more rights than were consented to.
const (
	leastMajor = 1
	leastMinor = 23
)

const maxVersion = 64 << 10 // the largest answer that names a version

var (
	giteaVersion   = regexp.MustCompile(`^v?(\d+)\.(\d+)`)
	forgejoVersion = regexp.MustCompile(`\+gitea-\d`)
)

// Verify returns the server, its version, the account and how many repositories it sees.
func (s *session) Verify(ctx context.Context) (string, error) {
	const op = "verifying gitea"
	version, err := s.version(ctx, op)
	if err != nil {
		return "", err
	}
	a, err := s.signedIn(ctx, op)
	if err != nil {
		return "", err
	}
	_, m, err := s.searchRepositories(ctx, op, 1, 1)
	if err != nil {
		return "", err
	}
	summary := fmt.Sprintf("%s (%s), as %s", s.realm, version, a.Login)
	if n := totalOf(m.Header); n >= 0 {
		summary += fmt.Sprintf(", %d repositories", n)
	}
	return summary, nil
}

// version returns the kind and version of the server, and refuses one that is too old.
func (s *session) version(ctx context.Context, op string) (string, error) {
	raw, _, err := s.api.Open(ctx, httpx.Call{Op: op, Path: "version"})
	if statusOf(err) == http.StatusNotFound {
		return "", s.spec.Problem(op, problemNotGitea)
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = raw.Close() }()
	data, err := io.ReadAll(io.LimitReader(raw, maxVersion))
	if err != nil {
		return "", httpx.Failure(ctx, op, err)
	}
	var answer struct {
		Version string `json:"version"`
	}
	_ = json.Unmarshal(data, &answer) // what is no JSON has no version
	if forgejoVersion.MatchString(answer.Version) {
		return "Forgejo " + answer.Version, nil
	}
	if answer.Version == "" {
		return "", s.spec.Problem(op, problemNotGitea)
	}
	m := giteaVersion.FindStringSubmatch(answer.Version)
	if m == nil { // a build that is no release, such as "development"
		return "Gitea " + answer.Version, nil
	}
	major, _ := strconv.Atoi(m[1]) // digits
	minor, _ := strconv.Atoi(m[2])
	if major < leastMajor || major == leastMajor && minor < leastMinor {
		return "", s.spec.Problem(op, problemOld)
	}
	return "Gitea " + answer.Version, nil
}

// Self returns the account that consented.
func (s *session) Self(ctx context.Context) (connectors.Principal, error) {
	a, err := s.signedIn(ctx, "naming gitea's account")
	if err != nil {
		return connectors.Principal{}, err
	}
	return person(&a), nil
}

// Realm returns the server: its host and sub-path.
func (s *session) Realm(context.Context) (string, error) {
	if s.realm == "" {
		return "", &connectors.Error{Op: "naming the gitea realm", Class: connectors.Bug, Err: errors.New("the session has no address")}
	}
	return s.realm, nil
}
