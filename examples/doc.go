// Package examples has programs that ask Tributary, each in a directory of its
// own with a README, meant to be copied. It holds their test alone, which runs
// every one of them against a server.
package examples
