// Package soak plays seeds: random sources under random faults, synced by the
// real engine into a real PostgreSQL, until what is stored is what the source
// has, and who may read it may read it.
//
// It owns the seeds, the two kinds of sources that they are played on (worlds
// in memory, and Sandbox Drive over HTTP behind a gate that fails), and the
// verdict. It holds tests only and is imported by nobody. `make soak-sync`
// plays 1,000 seeds; TEST_SEED plays one of them again.
//
// Start reading at soak_test.go, then story_test.go.
package soak
