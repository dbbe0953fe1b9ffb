package sandbox

import (
	"testing"

	"tributary/connectors/connectortest"
)

func TestDifferential(t *testing.T) {
	connectortest.Differential(t, harness(), connectortest.DifferentialOptions{Seeds: 60})
}
