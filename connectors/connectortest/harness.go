package connectortest

import (
	"context"
	"time"

	"tributary/connectors"
)

// TB is the part of testing.TB that a harness may use. Cleanups run in reverse
// order after each rule, before the rule looks for leaks.
type TB interface {
	Context() context.Context
	Helper()
	TempDir() string
	Cleanup(fn func())
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Harness is what a connector brings to the kit.
type Harness struct {
	// Setup makes a connector and an empty site of its own. It is called once
	// for each rule, so that no rule sees what another did.
	Setup func(tb TB) Fixture
	// Items is how many documents the kit puts on the site; the default is 12.
	// A listing of them must span at least four pages: give the connector a
	// small page size in tests.
	Items int
	// Rendered says that a body holds more than the text that was put, such as
	// a title: the kit then looks for the text within the body. Otherwise the
	// body must equal the text.
	Rendered bool
	// Timeout bounds one rule; the default is 20 seconds.
	Timeout time.Duration
}

// Fixture is one connector with its site.
type Fixture struct {
	Connector connectors.Connector
	Site      Site
	// Env joins the connector to the site. The kit sets Log and Clock.
	Env connectors.Env
	// Secret is the credential that Env.HTTP or Env.Settings carries. The kit
	// looks for it in logs and errors. A connector whose Spec names a provider
	// must plant one; "" says that there is none.
	Secret string
}

const (
	defaultItems   = 12
	defaultTimeout = 20 * time.Second
	minPages       = 4
)

func (h Harness) items() int {
	if h.Items > 0 {
		return h.Items
	}
	return defaultItems
}

func (h Harness) timeout() time.Duration {
	if h.Timeout > 0 {
		return h.Timeout
	}
	return defaultTimeout
}
