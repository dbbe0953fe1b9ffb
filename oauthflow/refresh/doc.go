// Package refresh keeps the tokens of grants usable: it presents each refresh token once, across any number of
// processes on one PostgreSQL, and never loses a pair that a provider gave out. It is the code of the algorithm that
// oauthflow/refreshmodel explores; functions that do the same have the same name in both.
//
// It owns the rules. What it needs of the database is Store (store.go), which package store implements; it writes no
// SQL, and holds no transaction while a provider is asked. It must not import store, jobs or web.
//
// Times of rows are the database's; durations inside a process are taken from a monotonic clock that starts before the
// claim is sent. The two are never compared.
//
// Start reading at Keeper.Access (access.go); then claim.go (who may present a token), send.go (the one request),
// settle.go (what its answer does to the row), spool.go (pairs that the database could not take) and run.go (what goes
// on in the background).
package refresh
