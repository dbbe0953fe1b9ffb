// Package acceptance shows on real documents, real processes and a real
// PostgreSQL what the product promises: nothing here is exported, and nothing
// imports it.
//
// Tests on the corpus need `scripts/corpus.sh`; without it they are skipped,
// or fail where TEST_REQUIRE is set. `make acceptance` runs them on the 8,000
// files instead of the 1,000.
//
// Start reading at harness_test.go.
package acceptance
