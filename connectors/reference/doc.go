// Package reference is a scripted source in memory: a [World] of items,
// containers, people, groups and ACLs with a change feed, and a connector that
// implements every capability of the contract on it.
//
// A world fails on request in every way that the conformance kit knows, and in
// the ways that only a broken connector would: a repeated cursor, an ACL that
// is too wide. Tests of the engine register its connector as a source; it is
// never part of the binary.
//
// It imports connectors and the kit, and nothing of the engine. Start reading
// at [World], then [FaultOn], then the session.
package reference
