package push

import (
	"errors"
	"testing"

	"tributary/connectors"
)

func TestThereIsNothingToPull(t *testing.T) {
	t.Parallel()
	c := New()
	if err := c.Spec().Validate(); err != nil {
		t.Error(err)
	}
	session, err := c.Open(t.Context(), connectors.Env{})
	if session != nil || connectors.ClassOf(err) != connectors.Invalid || !errors.Is(err, errNothingToPull) {
		t.Errorf("opened %v, %v", session, err)
	}
}
