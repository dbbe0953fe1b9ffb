// Package giteatest runs the gitea connector against a real Gitea: consent in
// its own pages, organisations, teams, private repositories, issues, wikis,
// edits, deletions and changes of rights.
//
// It has tests only, which need the directory that scripts/gitea.sh prints, in
// TEST_GITEA; `make test-gitea` does both.
//
// Start reading at TestReaders, then the server in server_test.go and the
// browser in browser_test.go.
package giteatest
