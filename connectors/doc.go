// Package connectors is the contract between Tributary and the code that
// reads a source. It depends on the standard library only.
//
// A connector is pure data ([Spec]) and a way to open a [Session]. A session
// yields pages of changes; the engine commits them in order and hands the last
// committed [Cursor] back after a restart. What only some sources offer is an
// optional interface of one method (see optional.go); the conformance kit in
// connectors/connectortest proves every claim.
//
// A connector never sees tokens, the store or the job queue. It is handed an
// authorised HTTP client in [Env] and must not keep state outside its session.
//
// Start reading at [Connector], then [Page] and [Change], then [Error].
package connectors
