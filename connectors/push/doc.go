// Package push describes the source whose documents are not pulled but pushed
// to a connection over the API, for whatever has no connector. It is a Spec and
// nothing else: writing is the work of packages jobs and web.
//
// It must not import store, jobs or web.
//
// Start reading at [Connector.Spec].
package push
