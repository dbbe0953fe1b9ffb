// Package contract holds a connector and its fake site to the official
// description of the source's API: every request and every answer that passes
// a [Checker] must be one that the description allows.
//
// It reads OpenAPI 3 and Google discovery documents from the directory that
// TEST_CONTRACTS names, and passes everything where that is not set. It knows
// no source. It is imported by tests only.
//
// Start reading at [Load].
package contract
