package github

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// siteRepo is a repository. Its commits are whole sets of files.
type siteRepo struct {
	id          int64
	owner, name string
	// full is the name that it was given later.
	full           string
	former         []string
	private        bool
	visibility     string
	archived, fork bool
	noIssues       bool
	description    string
	topics         []string
	branch, head   string
	commits        map[string]*siteCommit
	trees          map[string]siteFolder
	issues         []*siteIssue
	lastNumber     int
	direct         map[string]bool
	teams          map[string]bool
	// lapsed are listed as collaborators without any right.
	lapsed             map[string]bool
	hideReaders, empty bool
}

type siteCommit struct {
	parent string
	files  map[string]siteFile
	byName map[string][]string
}

// paths returns the files of the branch with that content.
func (repo *siteRepo) paths(sha string) []string {
	c := repo.commits[repo.head]
	if c == nil {
		return nil
	}
	if c.byName == nil {
		c.byName = map[string][]string{}
		for p, f := range c.files {
			c.byName[f.sha()] = append(c.byName[f.sha()], p)
		}
	}
	return c.byName[sha]
}

type siteFile struct{ mode, text string }

type siteFolder struct {
	files  map[string]siteFile
	prefix string
}

func (f siteFile) sha() string { return name("blob", f.mode, f.text) }

func (repo *siteRepo) fullName() string { return repo.owner + "/" + cmp.Or(repo.full, repo.name) }

// files are those of the branch.
func (repo *siteRepo) files() map[string]siteFile {
	if c := repo.commits[repo.head]; c != nil {
		return c.files
	}
	return nil
}

// newRepo creates a repository: a and b are harbour's, the others lantern's.
func (s *site) newRepo(short string) *siteRepo {
	owner := "lantern"
	if short == "a" || short == "b" {
		owner = "harbour"
	}
	repo := &siteRepo{
		id: s.nextID(), owner: owner, name: short, private: true, visibility: visibilityPrivate, description: "All about " + short + ".",
		topics: []string{"kit"}, branch: "main", commits: map[string]*siteCommit{}, trees: map[string]siteFolder{},
		direct: set("bob", "dave"), teams: map[string]bool{}, empty: true,
	}
	s.repos = append(s.repos, repo)
	return repo
}

// repo returns the repository of that name, which it creates.
func (s *site) repo(short string) *siteRepo {
	for _, repo := range s.repos {
		if repo.name == short {
			return repo
		}
	}
	return s.newRepo(short)
}

// find returns a repository by its name, and whether it has another now.
func (s *site) find(fullName string) (*siteRepo, bool) {
	for _, repo := range s.repos {
		if repo.fullName() == fullName {
			return repo, false
		}
	}
	for _, repo := range s.repos {
		if slices.Contains(repo.former, fullName) {
			return repo, true
		}
	}
	return nil, false
}

// commit changes files and moves the branch; force leaves the old tip behind.
func (s *site) commit(repo *siteRepo, force bool, change func(files map[string]siteFile)) {
	files := map[string]siteFile{}
	maps.Copy(files, repo.files())
	change(files)
	c := &siteCommit{parent: repo.head, files: files}
	if force {
		c.parent = ""
		if old := repo.commits[repo.head]; old != nil {
			c.parent = old.parent
		}
	}
	repo.head, repo.empty = name("commit", repo.id, s.nextID()), false
	repo.commits[repo.head] = c
	s.tick()
}

// forget rewrites the branch of every repository and drops what it had.
func (s *site) forget() {
	for _, repo := range s.repos {
		files := repo.files()
		if files == nil {
			continue
		}
		repo.commits, repo.trees, repo.head = map[string]*siteCommit{}, map[string]siteFolder{}, ""
		s.commit(repo, true, func(fs map[string]siteFile) { maps.Copy(fs, files) })
	}
}

// repoRoute answers what lies below a repository.
func (s *site) repoRoute(r *http.Request, repo *siteRepo, rest string) answer {
	elems := strings.Split(rest, "/")
	switch {
	case rest == "":
		return ok(s.fullRepoJSON(repo))
	case elems[0] == "branches":
		branch, _ := url.PathUnescape(elems[1])
		return s.branchJSON(repo, branch)
	case strings.HasPrefix(rest, "git/trees/"):
		return s.treeJSON(repo, elems[2], r.URL.Query().Get("recursive") != "")
	case strings.HasPrefix(rest, "git/blobs/"):
		return s.blobJSON(r, repo, elems[2])
	case elems[0] == "compare":
		base, head, _ := strings.Cut(elems[1], "...")
		return s.compareJSON(repo, base, head)
	case rest == "collaborators":
		if repo.hideReaders {
			return no(http.StatusForbidden, "Must have push access to view repository collaborators.")
		}
		return s.page(r, "", s.collaboratorsJSON(repo))
	case elems[0] == "issues" || elems[0] == "pulls":
		return s.issueRoute(r, repo, rest)
	}
	return missing()
}

func (s *site) branchJSON(repo *siteRepo, branch string) answer {
	if repo.head == "" || branch != repo.branch {
		return no(http.StatusNotFound, "Branch not found")
	}
	at := s.api(repo) + "/branches/" + url.PathEscape(branch)
	return ok(map[string]any{
		"name": branch, "commit": s.commitJSON(repo, repo.head), "protected": false, "protection": map[string]any{"enabled": false},
		"protection_url": at + "/protection", "_links": map[string]any{"self": at, "html": s.html(repo) + "/tree/" + branch},
	})
}

// treeJSON answers a commit's or a folder's entries.
func (s *site) treeJSON(repo *siteRepo, sha string, recursive bool) answer {
	folder, known := repo.trees[sha]
	if c := repo.commits[sha]; c != nil {
		folder, known = siteFolder{files: c.files}, true
	}
	switch {
	case repo.empty:
		return no(http.StatusConflict, "Git Repository is empty.")
	case !known:
		return missing()
	}
	rows, folders := []any{}, map[string]bool{}
	for _, p := range slices.Sorted(maps.Keys(folder.files)) {
		below, inside := strings.CutPrefix(p, folder.prefix)
		if !inside {
			continue
		}
		elems := strings.Split(below, "/")
		for i := range elems[1:] {
			dir := strings.Join(elems[:i+1], "/")
			if folders[dir] || !recursive && i > 0 {
				continue
			}
			folders[dir] = true
			rows = append(rows, s.treeRow(repo, dir, s.treeName(repo, folder.files, folder.prefix+dir+"/"), siteFile{mode: "040000"}))
		}
		if recursive || len(elems) == 1 {
			f := folder.files[p]
			rows = append(rows, s.treeRow(repo, below, f.sha(), f))
		}
	}
	truncated := recursive && len(rows) > s.treeLimit
	if truncated {
		rows = rows[:s.treeLimit]
	}
	return ok(map[string]any{"sha": sha, "url": s.api(repo) + "/git/trees/" + sha, "tree": rows, "truncated": truncated})
}

// treeName is the name of a folder's tree.
func (s *site) treeName(repo *siteRepo, files map[string]siteFile, prefix string) string {
	var parts []any
	for _, p := range slices.Sorted(maps.Keys(files)) {
		if strings.HasPrefix(p, prefix) {
			parts = append(parts, p, files[p].sha())
		}
	}
	sha := name(parts...)
	repo.trees[sha] = siteFolder{files: files, prefix: prefix}
	return sha
}

func (s *site) treeRow(repo *siteRepo, path, sha string, f siteFile) map[string]any {
	row := map[string]any{"path": path, "mode": f.mode, "sha": sha, "type": typeBlob, "url": s.api(repo) + "/git/blobs/" + sha}
	switch f.mode {
	case "040000":
		row["type"], row["url"] = typeTree, s.api(repo)+"/git/trees/"+sha
	case "160000":
		row["type"] = typeCommit
		delete(row, "url")
	default:
		row["size"] = f.size()
	}
	return row
}

// size is that of the text, unless the text names another.
func (f siteFile) size() int {
	if n, ok := strings.CutPrefix(f.text, "size:"); ok {
		size, _ := strconv.Atoi(n)
		return size
	}
	return len(f.text)
}

// blobJSON answers what a file on the branch holds, as after garbage was
// collected.
func (s *site) blobJSON(r *http.Request, repo *siteRepo, sha string) answer {
	s.bodies++
	at := repo.paths(sha)
	if len(at) == 0 {
		return missing()
	}
	f := repo.files()[at[0]]
	if r.Header.Get("Accept") == "application/vnd.github.raw+json" {
		return answer{status: http.StatusOK, kind: "application/vnd.github.raw+json; charset=utf-8", body: []byte(f.text)}
	}
	return ok(map[string]any{
		"sha": sha, "node_id": "B_" + sha, "size": len(f.text), "url": s.api(repo) + "/git/blobs/" + sha,
		"content": base64.StdEncoding.EncodeToString([]byte(f.text)), "encoding": "base64",
	})
}

// compareJSON lists at most 300 files that differ since the last commit that
// both have.
func (s *site) compareJSON(repo *siteRepo, base, head string) answer {
	from, to := repo.commits[base], repo.commits[head]
	if from == nil || to == nil {
		return missing()
	}
	s.compared++
	status, ancestor := "ahead", head
	for ancestor != base && ancestor != "" {
		ancestor = repo.commits[ancestor].parent
	}
	merge := base
	switch {
	case base == head:
		status = compareIdentical
	case ancestor == "":
		status = "diverged"
		for merge != "" && !s.isAncestor(repo, merge, head) {
			merge = repo.commits[merge].parent
		}
		if merge == "" {
			return missing()
		}
		from = repo.commits[merge]
	}
	files := s.filesJSON(repo, from.files, to.files, head)
	at := fmt.Sprintf("%s/compare/%s...%s", s.html(repo), base, head)
	return ok(map[string]any{
		"url": fmt.Sprintf("%s/compare/%s...%s", s.api(repo), base, head), "html_url": at, "permalink_url": at, "diff_url": at + ".diff", "patch_url": at + ".patch",
		"base_commit": s.commitJSON(repo, base), "merge_base_commit": s.commitJSON(repo, merge), "status": status,
		"ahead_by": 1, "behind_by": 0, "total_commits": 1, "commits": []any{s.commitJSON(repo, head)}, "files": files,
	})
}

func (s *site) isAncestor(repo *siteRepo, sha, of string) bool {
	for of != "" && of != sha {
		of = repo.commits[of].parent
	}
	return of == sha
}

// filesJSON tells of what was moved unchanged as renamed.
func (s *site) filesJSON(repo *siteRepo, from, to map[string]siteFile, head string) []any {
	rows := []any{}
	gone := map[string]string{}
	for p, f := range from {
		if _, still := to[p]; !still {
			gone[f.sha()] = p
		}
	}
	add := func(p, status, sha string) map[string]any {
		row := map[string]any{
			"sha": sha, "filename": p, "status": status, "additions": 1, "deletions": 0, "changes": 1,
			"blob_url": s.html(repo) + "/blob/" + head + "/" + escapePath(p), "raw_url": s.html(repo) + "/raw/" + head + "/" + escapePath(p),
			"contents_url": s.api(repo) + "/contents/" + escapePath(p) + "?ref=" + head,
		}
		rows = append(rows, row)
		return row
	}
	renamed := map[string]bool{}
	for _, p := range slices.Sorted(maps.Keys(to)) {
		f := to[p]
		was, had := from[p]
		old := gone[f.sha()]
		switch {
		case had && was == f:
		case had:
			add(p, "modified", f.sha())
		case old != "" && !renamed[old]:
			renamed[old] = true
			add(p, fileRenamed, f.sha())["previous_filename"] = old
		default:
			add(p, "added", f.sha())
		}
	}
	for _, p := range slices.Sorted(maps.Keys(from)) {
		if _, still := to[p]; !still && !renamed[p] {
			add(p, fileRemoved, from[p].sha())
		}
	}
	return rows[:min(len(rows), maxCompared)]
}
