package github

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
)

// account is a person, a bot or an organisation. One that was deleted is null,
// whom GitHub shows as "ghost".
type account struct {
	ID    int64  `json:"id"`
	Login string `json:"login"`
	Type  string `json:"type"`
	Name  string `json:"name"`
}

func (a *account) name() string {
	if a == nil || a.Login == "" {
		return "ghost"
	}
	return a.Login
}

// repository is what lists say of one. Private and HasIssues are nil where they
// are not told, which is not the same as no.
type repository struct {
	ID            int64        `json:"id"`
	Name          string       `json:"name"`
	FullName      string       `json:"full_name"`
	Owner         *account     `json:"owner"`
	Private       *bool        `json:"private"`
	Visibility    string       `json:"visibility"`
	HTMLURL       string       `json:"html_url"`
	Description   string       `json:"description"`
	Homepage      string       `json:"homepage"`
	Language      string       `json:"language"`
	License       *license     `json:"license"`
	Topics        []string     `json:"topics"`
	DefaultBranch string       `json:"default_branch"`
	Archived      bool         `json:"archived"`
	Fork          bool         `json:"fork"`
	HasIssues     *bool        `json:"has_issues"`
	Permissions   *permissions `json:"permissions"`
	CreatedAt     time.Time    `json:"created_at"`
	UpdatedAt     time.Time    `json:"updated_at"`
}

type license struct {
	Name string `json:"name"`
}

type permissions struct {
	Pull *bool `json:"pull"`
	Push *bool `json:"push"`
}

// id is the repository's document, its container and its readers' group.
func (r *repository) id() string { return "repo:" + strconv.FormatInt(r.ID, 10) }

func (r *repository) ownerID() string {
	if r.Owner == nil {
		return ""
	}
	return "owner:" + strconv.FormatInt(r.Owner.ID, 10)
}

type repositoriesPage struct {
	Repositories []repository `json:"repositories"`
}

type installation struct {
	ID          int64      `json:"id"`
	Account     *account   `json:"account"`
	SuspendedAt *time.Time `json:"suspended_at"`
}

type installationsPage struct {
	Installations []installation `json:"installations"`
}

type branch struct {
	Name   string `json:"name"`
	Commit *struct {
		SHA string `json:"sha"`
	} `json:"commit"`
}

// The modes and types of tree entries.
// https://docs.github.com/rest/git/trees
const (
	modeSymlink = "120000"

	typeBlob   = "blob"
	typeTree   = "tree"
	typeCommit = "commit"
)

type tree struct {
	SHA       string      `json:"sha"`
	Tree      []treeEntry `json:"tree"`
	Truncated bool        `json:"truncated"`
}

type treeEntry struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
	Type string `json:"type"`
	SHA  string `json:"sha"`
	Size int64  `json:"size"`
}

// The values of comparison.Status and changedFile.Status that mean something
// here.
const (
	compareAhead     = "ahead"
	compareIdentical = "identical"

	fileRemoved   = "removed"
	fileRenamed   = "renamed"
	fileUnchanged = "unchanged"
)

type comparison struct {
	Status string        `json:"status"`
	Files  []changedFile `json:"files"`
}

type changedFile struct {
	Filename string `json:"filename"`
	Previous string `json:"previous_filename"`
	Status   string `json:"status"`
}

// issue is an issue, or a pull request as the list of issues or of pull
// requests has it.
type issue struct {
	ID            int64      `json:"id"`
	Number        int        `json:"number"`
	Title         string     `json:"title"`
	Body          string     `json:"body"`
	State         string     `json:"state"`
	User          *account   `json:"user"`
	Labels        []label    `json:"labels"`
	Milestone     *milestone `json:"milestone"`
	Comments      int        `json:"comments"`
	HTMLURL       string     `json:"html_url"`
	RepositoryURL string     `json:"repository_url"`
	CreatedAt     time.Time  `json:"created_at"`
	UpdatedAt     time.Time  `json:"updated_at"`
	PullRequest   *struct {
		MergedAt *time.Time `json:"merged_at"`
	} `json:"pull_request"`
	// MergedAt is what the list of pull requests says.
	MergedAt *time.Time `json:"merged_at"`
}

func (i *issue) merged() bool {
	return i.MergedAt != nil || i.PullRequest != nil && i.PullRequest.MergedAt != nil
}

type milestone struct {
	Title string `json:"title"`
}

// label is an object, or in old answers its name alone.
type label struct{ Name, Description string }

// comment is a comment on an issue or on lines of a pull request, or a review.
type comment struct {
	ID             int64     `json:"id"`
	User           *account  `json:"user"`
	Body           string    `json:"body"`
	State          string    `json:"state"`
	Path           string    `json:"path"`
	IssueURL       string    `json:"issue_url"`
	PullRequestURL string    `json:"pull_request_url"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	SubmittedAt    time.Time `json:"submitted_at"`
}

// number returns the number of the issue that the comment stands on, or 0.
func (c *comment) number() int {
	at := c.IssueURL
	if at == "" {
		at = c.PullRequestURL
	}
	n, err := strconv.Atoi(at[strings.LastIndexByte(at, '/')+1:])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// when returns the time that a person would give.
func (c *comment) when() time.Time {
	if c.CreatedAt.IsZero() {
		return c.SubmittedAt
	}
	return c.CreatedAt
}

type collaborator struct {
	account
	Permissions *permissions `json:"permissions"`
}

func userPrincipal(a account) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: strconv.FormatInt(a.ID, 10), Name: a.Login}
}

// UnmarshalJSON reads both forms.
func (l *label) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &l.Name) == nil {
		return nil
	}
	var o struct{ Name, Description string }
	err := json.Unmarshal(data, &o)
	*l = label(o)
	return err
}
