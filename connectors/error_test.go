package connectors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"tributary/connectors"
)

func TestClassOf(t *testing.T) {
	t.Parallel()
	lost := &connectors.Error{Op: "listing", Class: connectors.GrantLost, RetryAfter: time.Minute, Err: io.EOF}
	for name, c := range map[string]struct {
		err   error
		class connectors.Class
		after time.Duration
	}{
		"nil":                         {nil, connectors.Unknown, 0},
		"a bare error":                {io.EOF, connectors.Unknown, 0},
		"the error itself":            {lost, connectors.GrantLost, time.Minute},
		"wrapped":                     {fmt.Errorf("syncing: %w", lost), connectors.GrantLost, time.Minute},
		"joined":                      {errors.Join(io.EOF, lost), connectors.GrantLost, time.Minute},
		"a deadline is transient":     {fmt.Errorf("reading: %w", context.DeadlineExceeded), connectors.Transient, 0},
		"a cancellation is no class":  {fmt.Errorf("reading: %w", context.Canceled), connectors.Unknown, 0},
		"the outermost class decides": {&connectors.Error{Op: "syncing", Class: connectors.Bug, Err: lost}, connectors.Bug, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := connectors.ClassOf(c.err); got != c.class {
				t.Errorf("class %s, want %s", got, c.class)
			}
			if got := connectors.RetryAfterOf(c.err); got != c.after {
				t.Errorf("retry after %s, want %s", got, c.after)
			}
		})
	}
	if !errors.Is(fmt.Errorf("syncing: %w", lost), io.EOF) {
		t.Error("the cause is lost")
	}
}

// TestClassNames pins names and values: both are stored.
func TestClassNames(t *testing.T) {
	t.Parallel()
	want := []string{
		"unknown", "transient", "rate_limited", "grant_lost", "client_rejected",
		"scope_denied", "cursor_expired", "item_skipped", "invalid", "bug", "item_refused",
	}
	for i, name := range want {
		if got := connectors.Class(i).String(); got != name {
			t.Errorf("class %d is %q, want %q", i, got, name)
		}
	}
	for _, outside := range []connectors.Class{-1, connectors.Class(len(want))} {
		if got := outside.String(); got != "unknown" {
			t.Errorf("class %d is %q", int(outside), got)
		}
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  connectors.Error
		want string
	}{
		{connectors.Error{Op: "listing changes", Class: connectors.Transient, Err: io.ErrUnexpectedEOF}, "listing changes: unexpected EOF"},
		{connectors.Error{Op: "listing changes", Class: connectors.RateLimited}, "listing changes: rate_limited"},
		{connectors.Error{Class: connectors.Transient, Err: io.ErrUnexpectedEOF}, "unexpected EOF"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestOpNames pins the names that stand in counts.
func TestOpNames(t *testing.T) {
	t.Parallel()
	for op, want := range map[connectors.Op]string{
		connectors.Upsert: "upsert", connectors.Delete: "delete", connectors.SetACL: "set-acl", 7: "unknown",
	} {
		if got := op.String(); got != want {
			t.Errorf("op %d is %q, want %q", int(op), got, want)
		}
	}
}
