// Package consenttest shows with all the real parts at once what a grant is for: syncs that outlive their tokens, a
// worker that is killed, consents that end or lack a scope, and that no secret is found anywhere. It holds tests only;
// the sandbox answers over HTTP, and everything else is composed as the commands compose it.
//
// Nothing here is exported, and nothing imports it. Start reading at instance_test.go and drive_test.go.
package consenttest
