// Package oracle says who may see what, by brute force over a small world. It
// is written from the rules of permissions alone, for tests that compare the
// query path with it, and imports nothing of this module. Start reading at
// [World.Visible].
package oracle
