// Package connectortest is the conformance kit: one suite of rules that every
// connector passes against a scriptable site of its own.
//
// It owns the rules and the [Site] they are played on. It knows the contract in
// package connectors and nothing of the engine, the store or any one source.
// It is imported by tests only.
//
// A connector's whole conformance test is
//
//	connectortest.Run(t, connectortest.Harness{Setup: setup})
//
// where setup returns the connector, an empty site and the Env that joins the
// two. [Check] gives the same verdicts as values, which is how the kit itself
// is proven against broken connectors.
//
// [Differential] plays random histories and compares what incremental runs left
// with a fresh sync, the site's truth and its readers. Two packages below hold
// fake sites to reality: contract to the API's official description, recorded to
// answers of the real service.
//
// Start reading at [Harness], then [Site], then the rules in rules_*.go.
package connectortest
