// Package vault owns the life of the master key: the first start that makes it, every later start that checks it, its
// rotation while everything runs, and its replacement after a loss.
//
// A database proves to which ring it belongs by one sealed value. Where that value exists, or anything is sealed, no key
// is ever made by itself: a missing or a wrong key file is an error (KeyError), nothing that is sealed is written over, and what
// needs no token goes on.
//
// The package must not import store, jobs, web or a command; store implements Store.
//
// Start reading at Open (vault.go), then Rotate (rotate.go).
package vault
