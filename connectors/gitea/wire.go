package gitea

import (
	"strconv"
	"strings"
	"time"
)

// The answers of the API, as far as they are used. A pointer is nil where the server does not tell, which is not the same as no.

type account struct {
	ID         int64  `json:"id"`
	Login      string `json:"login"`
	FullName   string `json:"full_name"`
	Visibility string `json:"visibility"`
	Restricted bool   `json:"restricted"`
	IsAdmin    bool   `json:"is_admin"`
	// Active and ProhibitLogin are told to site administrators only.
	Active        bool `json:"active"`
	ProhibitLogin bool `json:"prohibit_login"`
}

func (a *account) name() string {
	if a == nil {
		return ""
	}
	if a.FullName != "" {
		return a.FullName
	}
	return a.Login
}

// The visibilities of owners.
const (
	visiblePublic  = "public"
	visibleLimited = "limited"
	visiblePrivate = "private"
)

type repository struct {
	ID              int64     `json:"id"`
	Owner           account   `json:"owner"`
	Name            string    `json:"name"`
	FullName        string    `json:"full_name"`
	Description     string    `json:"description"`
	Website         string    `json:"website"`
	Topics          []string  `json:"topics"`
	HTMLURL         string    `json:"html_url"`
	DefaultBranch   string    `json:"default_branch"`
	Private         *bool     `json:"private"`
	Empty           bool      `json:"empty"`
	Archived        bool      `json:"archived"`
	HasCode         *bool     `json:"has_code"`
	HasIssues       bool      `json:"has_issues"`
	HasPulls        bool      `json:"has_pull_requests"`
	HasWiki         bool      `json:"has_wiki"`
	ExternalTracker *struct{} `json:"external_tracker"`
	ExternalWiki    *struct{} `json:"external_wiki"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
}

func (r *repository) id() string { return "repo:" + strconv.FormatInt(r.ID, 10) }

// container is the unit of a repository, which is listed or refused as a whole; issues and pull requests are one.
func (r *repository) container(u unit) string { return r.id() + ":" + string(u) }

func (r *repository) ownerID() string           { return "owner:" + strconv.FormatInt(r.Owner.ID, 10) }
func (r *repository) fileID(path string) string { return r.id() + ":file:" + path }
func (r *repository) issueID(number int64) string {
	return r.id() + ":issue:" + strconv.FormatInt(number, 10)
}
func (r *repository) wikiID(sub string) string { return r.id() + ":wiki:" + sub }
func (r *repository) path(elems ...string) string {
	return "repos/" + join(r.Owner.Login, r.Name) + "/" + strings.Join(elems, "/")
}

// hasFiles reports whether there is a branch to read.
func (r *repository) hasFiles() bool {
	return !r.Empty && r.DefaultBranch != "" && (r.HasCode == nil || *r.HasCode)
}

// kinds returns the value of the parameter type for the list of issues; ok is false where there is nothing to list.
func (r *repository) kinds(o options) (kind string, ok bool) {
	issues := o.issues && r.HasIssues && r.ExternalTracker == nil
	pulls := o.pulls && r.HasPulls
	switch {
	case issues && pulls:
		return "", true
	case issues:
		return "issues", true
	case pulls:
		return "pulls", true
	}
	return "", false
}

func (r *repository) hasWiki() bool { return r.HasWiki && r.ExternalWiki == nil }

type branch struct {
	Commit struct {
		ID string `json:"id"`
	} `json:"commit"`
}

// The types and modes of entries of a tree.
const (
	entryBlob = "blob"
	entryTree = "tree"
	modeLink  = "120000"
)

type tree struct {
	Entries   []treeEntry `json:"tree"`
	Truncated bool        `json:"truncated"`
}

type treeEntry struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
	Type string `json:"type"`
	Size int64  `json:"size"`
	SHA  string `json:"sha"`
}

type issue struct {
	Number    int64      `json:"number"`
	User      *account   `json:"user"`
	Author    string     `json:"original_author"`
	Title     string     `json:"title"`
	Body      string     `json:"body"`
	State     string     `json:"state"`
	Labels    []label    `json:"labels"`
	Milestone *milestone `json:"milestone"`
	Assignees []account  `json:"assignees"`
	Comments  int64      `json:"comments"`
	HTMLURL   string     `json:"html_url"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
	Pull      *pullMark  `json:"pull_request"`
	// Repository is told by searches over all repositories.
	Repository *struct {
		ID int64 `json:"id"`
	} `json:"repository"`
}

type pullMark struct {
	Merged bool `json:"merged"`
}

type label struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

type milestone struct {
	Title       string `json:"title"`
	Description string `json:"description"`
}

type comment struct {
	ID        int64     `json:"id"`
	User      *account  `json:"user"`
	Author    string    `json:"original_author"`
	Body      string    `json:"body"`
	IssueURL  string    `json:"issue_url"`
	PullURL   string    `json:"pull_request_url"`
	HTMLURL   string    `json:"html_url"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// number returns the issue that c belongs to, or 0.
func (c *comment) number() int64 {
	for _, address := range []string{c.IssueURL, c.PullURL} {
		if i := strings.LastIndexByte(address, '/'); i >= 0 {
			if n, err := strconv.ParseInt(address[i+1:], 10, 64); err == nil && n > 0 {
				return n
			}
		}
	}
	return 0
}

type review struct {
	ID        int64     `json:"id"`
	User      *account  `json:"user"`
	Body      string    `json:"body"`
	State     string    `json:"state"`
	Comments  int64     `json:"comments_count"`
	Submitted time.Time `json:"submitted_at"`
}

type lineComment struct {
	User *account `json:"user"`
	Body string   `json:"body"`
	Path string   `json:"path"`
}

type wikiMeta struct {
	Title      string     `json:"title"`
	SubURL     string     `json:"sub_url"`
	HTMLURL    string     `json:"html_url"`
	LastCommit wikiCommit `json:"last_commit"`
}

type wikiCommit struct {
	SHA    string `json:"sha"`
	Author struct {
		Name string `json:"name"`
		Date string `json:"date"`
	} `json:"author"`
}

type wikiPage struct {
	wikiMeta

	Content string `json:"content_base64"`
}

type team struct {
	ID         int64             `json:"id"`
	Name       string            `json:"name"`
	Permission string            `json:"permission"`
	Units      []string          `json:"units"`
	UnitsMap   map[string]string `json:"units_map"`
}
