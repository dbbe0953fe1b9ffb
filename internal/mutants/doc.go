// Command mutants shows that the comparison with the oracle can fail: it puts
// one known mistake of permissions at a time into the product's own Go and SQL
// and lets the tests of internal/visibility, and nothing else, find it.
//
// A mistake is a patch under testdata, whose first line says what it is. It is
// applied to copies of the files that it touches, which the compiler reads in
// their place (go build -overlay), so that the tree stays as it is. A database
// is migrated with the mistake in it: what guards against a database that was
// changed behind the service's back has no say here.
//
// Start reading at mutants.go.
package main
