// Package gitea reads Gitea and Forgejo: the files of the default branch, the
// issues and pull requests with their comments and reviews, the wiki pages and
// the descriptions of repositories, each with who may read it.
//
// Rights at a Gitea belong to a repository and one of its units (code, issues,
// pull requests, wiki), so every document names the readers of its unit as a
// group, and memberships say who they are. What the server does not tell
// grants nothing.
//
// It imports the contract and internal/httpx, and nothing else of Tributary.
//
// Start reading at [New]; then listing.go for what is read, changes.go for
// what happened since, permissions.go and groups.go for readers, api.go for
// requests and the classes of their failures.
package gitea
