// Package sandbox is Sandbox Drive: a provider to try Tributary with. It is an OAuth 2.0 authorization server and a
// document API with a company's documents, people and groups, its own pages and switches that make it fail in the ways
// that real providers fail.
//
// It plays a stranger: it imports nothing of Tributary but internal/sandbox/company, which holds the documents, and
// shares no memory, key, cookie or file with the rest. What it keeps are two JSON files of its own; of tokens, client
// secrets and browser sessions they hold digests only. It is for loopback addresses and for invented data.
//
// Start reading at [Server]; then authorize.go and token.go for the authorization server, api.go for the documents,
// world.go and access.go for what they are and who may read them, faults.go for the switches.
package sandbox
