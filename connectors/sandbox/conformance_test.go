package sandbox

import (
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/internal/httpx"
)

// TestConformance is not parallel: the kit looks for goroutines left behind.
func TestConformance(t *testing.T) { connectortest.Run(t, harness()) }

// harness is the connector at a site of small pages.
func harness() connectortest.Harness {
	return connectortest.Harness{Setup: func(tb connectortest.TB) connectortest.Fixture {
		s := newSite()
		client, release := s.client()
		tb.Cleanup(func() {
			release()
			s.close()
		})
		return connectortest.Fixture{
			Connector: New(Config{PageSize: pageSize, Retry: httpx.Retry{Attempts: 1}}), Site: s, Secret: canary,
			Env: connectors.Env{HTTP: client, Base: strings.TrimSuffix(s.server.URL, "/")},
		}
	}}
}
