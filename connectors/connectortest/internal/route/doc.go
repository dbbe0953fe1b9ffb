// Package route finds the operation of an API that a request is for, by the
// path templates of the API's description.
//
// It is shared by the packages below connectors/connectortest that hold
// requests to such a description, and knows nothing of any API. Start reading
// at [Table].
package route
