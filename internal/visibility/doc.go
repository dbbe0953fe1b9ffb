// Package visibility compares everything that gives out content with an oracle,
// over HTTP and SQL, through random histories of permissions. Its tests are all
// there is but for the list of routes that they ask; nothing imports it but
// tests.
//
// TEST_ORACLE_SEED=n plays one history again, TEST_ORACLE_CHECKS=n plays
// histories until there were n checks.
//
// Start reading at differential_test.go.
package visibility

// Routes are the addresses of the API that give out content, each of which the
// comparison asks.
func Routes() []string {
	return []string{
		"POST /v1/search", "GET /v1/documents", "GET /v1/count", "GET /v1/export", "GET /v1/documents/:id", "GET /v1/documents/:id/text",
		"GET /v1/documents/:id/chunks", "GET /v1/chunks/:id", "GET /v1/chunks/:id/neighbours", "GET /v1/chunks/:id/lineage",
		"GET /v1/feed", "GET /v1/readers/:id/principals",
	}
}
