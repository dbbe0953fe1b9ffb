// Package interop holds tests of oauthflow against two authorization servers that others wrote: oidc-provider for
// Node, in a process of its own (node/server.js), and the op package of zitadel/oidc, in the test's process. What a
// server by its issuer alone does with them, nobody of this project decided.
//
// It has tests only, which may import any package; nothing imports it. The tests with oidc-provider need Node and the
// modules that scripts/setup-node.sh installs; they are skipped where Node is absent, and fail instead where CI or
// TEST_REQUIRE is set.
//
// Start reading at server_test.go, then behaviour_test.go for what the servers do by themselves.
package interop
