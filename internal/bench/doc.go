// Command bench measures the pipeline against limit programs in the same run
// and prints ratios: `make bench`.
//
// It owns a scratch PostgreSQL with durable settings, the limit programs
// (parsing alone, a bare COPY of the same rows) and the accounting of CPU time
// and memory. Every measurement runs in a process of its own, so that one
// cannot profit from, or pay for, what another left in memory; rounds are
// interleaved, because the machine may have other work.
//
// It measures the packages as the command wires them and must not reach around
// them. Start reading at main.go, then measure.go.
package main
