package reference_test

import (
	"testing"

	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
)

func TestDifferential(t *testing.T) {
	connectortest.Differential(t, reference.Harness(), connectortest.DifferentialOptions{Seeds: 60})
}
