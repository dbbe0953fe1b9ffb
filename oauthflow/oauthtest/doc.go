// Package oauthtest is a programmable authorization server for tests: it consents by itself, rotates refresh tokens as
// told, answers in the dialects of providers, fails on request, and keeps a log in which tokens are digests.
//
// It plays a stranger: of package oauthflow it uses profiles only, to be reachable through them. Tests alone import it.
//
// Start reading at New, then Behaviour.
package oauthtest
