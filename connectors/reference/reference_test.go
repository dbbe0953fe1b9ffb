package reference_test

import (
	"testing"

	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
)

// TestConformance is not parallel: the kit looks for goroutines left behind.
func TestConformance(t *testing.T) {
	connectortest.Run(t, reference.Harness())
}
