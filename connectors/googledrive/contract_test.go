package googledrive

import (
	"testing"

	"tributary/connectors/connectortest/contract"
)

// official returns the checker of Google's own descriptions of both APIs. They
// describe every call that the connector makes.
func official(t *testing.T) *contract.Checker {
	t.Helper()
	return contract.Load(t, contract.File{Name: "google-drive.discovery.json"}, contract.File{Name: "google-directory.discovery.json"})
}
