// Package refreshmodel is an explicit-state model of how a refresh token is used up exactly once by any number of
// processes on one PostgreSQL, with the explorer that visits every state of it. Its tests are its only callers: the
// algorithm must keep every invariant in every state, and every Mutant must break one. It imports the standard library
// only, and nothing imports it.
//
// Start reading at Explore (explore.go); the invariants are in invariants.go, beside the two that concern a single
// step: model.present (server.go) and model.reauth (process.go).
//
// # The algorithm, by function
//
//   - model.claim, model.claimed: T1. The row is claimed by (epoch, gen) and committed before anything is sent. After a
//     COMMIT of unknown outcome nothing is sent (model.reread).
//   - model.check: the monotonic check before the request. It holds for L - D, and for a replay inside a grace period
//     also for the window, counted from t_first, which is the time of the first claim and never that of a sweep.
//   - model.write, model.serve: one presentation, and what the server and the network make of it.
//   - model.settlePair, model.retry, model.t2: T2 by generation, without a lease or attempt test. What cannot be
//     committed is spooled and retried. A retry asks whether its attempt has settled, or it would leave its own pair as
//     a spare. Another epoch: discarded. Closing or erased: revoked.
//   - model.release: never sent, 429 or 503. The row returns to uncertain if it was that before the claim.
//   - model.settleLost: uncertain. model.settleInvalid, model.promoteSpare, model.promote, model.reauth: invalid_grant,
//     which only the attempt that the row names may act on, and never on a closing row. A spare whose token an attempt
//     has presented is not promoted. A spare that comes after needs_reauth is promoted at once.
//   - model.sweep: a lease that is over makes the row uncertain.
//   - model.replayDue, model.othersOpen: who may present again. The heartbeat test covers the process of every attempt
//     of the grant that has no outcome, not of the last one only, and a replay inside a grace period makes it too. An
//     attempt that a process finds under its own name and works on no more is closed by it (model.disown), or two
//     living processes would wait for each other.
//   - model.orphan: who has been connected for Q closes the open attempts of processes that have been silent for as
//     long; a process that has just started would wait for them until Q has passed for it too. Such an attempt settles
//     like any other, and a process that comes back opens what it still has in hand again, with its heartbeat.
//   - Where the server accepts a replaced token for a while, two attempts can each get a pair. A claim therefore waits
//     for open attempts whose process may be alive, and T2 of the later attempt takes the place of an earlier one's
//     pair, which is kept as a spare.
//   - model.admin: a new consent raises the epoch and starts at generation 0; a disconnect revokes the row's token and
//     the spares, then erases.
//
// # Invariants
//
// A token is presented a second time only after an uncertain record was committed for it, or after a definitive no. The
// good token of the present consent is always in the row, a spare, a living process or a spool, unless an answer was
// lost or a process died with it. The server never revokes a family by reuse, and needs_reauth is never set, while that
// token is ours. A token of an older consent is never in the row. A closing connection never becomes active. From every
// state a history without further faults leads to a settled row (model.settled), found by reverse reachability.
//
// Three excuses are part of the invariants, because no client can do better: the server refused a good token for no
// reason; a process was paused between its check and its write and wrote late; a process with an attempt in hand was
// paused, dead or cut off by itself for longer than Q.
//
// # Bounds
//
// Time is a few ordered events: L - D passes, the lease ends, our grace window closes, the server's grace period ends,
// the access token expires, Q passes. They respect what a running process must have finished before (proc.urgent,
// model.leaseEnds, model.graceEnds). Faults are limited per history: a lost request or answer, a 503, a refusal for no
// reason, a pause, a crash with or without its disk, a process cut off, the database down, a COMMIT of unknown outcome
// or rolled back. Recovery is free. States that differ only in the order of processes are one. With
// TEST_REFRESHMODEL=full the tests use more faults and generations.
//
// # Left out
//
// Back-off, limiter, breaker and the herd; invalid_client and unknown 4xx; the setting that asks for consent instead of
// replaying; a server that works on a request after the client's deadline and Q; clocks that jump; a database that loses
// commits; a lie behind 503; a provider that revokes by itself. A 500, 502 or 504 is a lost answer.
package refreshmodel
