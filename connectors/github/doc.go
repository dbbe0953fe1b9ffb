// Package github reads GitHub: the files of repositories on their default
// branch, issues and pull requests with everything that was said on them, and
// who may read each repository. GitHub Enterprise Server differs by its
// address alone.
//
// Everything inside a repository has the repository's readers, which are one
// group; a change of who may read touches no document. It must import nothing
// of Tributary but the contract and httpx.
//
// Start reading at [New]; then repos.go for what is in the selection, walk.go
// for one repository as a whole with tree.go and issues.go for its parts,
// changes.go for what is new with compare.go and talk.go for files and issues,
// permissions.go and groups.go for readers, document.go and render.go for
// texts, and api.go for requests and the classes of their failures.
package github
