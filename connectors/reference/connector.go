package reference

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tributary/connectors"
)

// Source is the source's name in the Spec.
const Source = "reference"

// Connector reads one world.
type Connector struct{ world *World }

var _ connectors.Connector = Connector{}

// Connector returns the connector of w.
func (w *World) Connector() Connector { return Connector{world: w} }

// Settings returns the settings that open a session on w.
func (w *World) Settings() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := map[string]string{"world": w.name}
	if w.token != "" {
		s["token"] = w.token
	}
	return s
}

// Spec describes the connector.
func (c Connector) Spec() connectors.Spec {
	return connectors.Spec{
		Source:      Source,
		Name:        "Reference",
		Description: "A scripted source in memory, for tests.",
		Category:    connectors.CategoryFiles,
		Icon:        "reference",
		Settings: []connectors.Setting{
			{Name: "world", Label: "World", Type: connectors.String, Description: "The name of the world to read.", Example: Name, Required: true},
			{Name: "token", Label: "Token", Type: connectors.String, Description: "The credential that the world asks for."},
		},
		Provides:        connectors.Capabilities(),
		PrincipalPrefix: "ref",
		CursorVersion:   cursorVersion,
	}
}

// Open checks the settings and the selection.
func (c Connector) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	const op = "opening a world"
	if err := ctx.Err(); err != nil {
		return nil, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	invalid := func(err error) error { return &connectors.Error{Op: op, Class: connectors.Invalid, Err: err} }
	name := env.Settings["world"]
	if name == "" {
		return nil, invalid(errors.New("setting world is missing: name the world to read"))
	}
	c.world.mu.Lock()
	known, token := c.world.name, c.world.token
	c.world.mu.Unlock()
	if name != known {
		return nil, invalid(fmt.Errorf("setting world: there is no world %q", name))
	}
	if token != "" && env.Settings["token"] != token {
		return nil, &connectors.Error{Op: op, Class: connectors.GrantLost, Err: errors.New("setting token: the world does not accept it")}
	}
	env.Log.DebugContext(ctx, "opened a world", "world", name)
	return &Session{world: c.world, env: env}, nil
}

// Session reads a world. It keeps nothing between calls.
type Session struct {
	world *World
	env   connectors.Env
}

// Close has nothing to release.
func (s *Session) Close(context.Context) error { return nil }

const cursorVersion = 1

// cursor is where a listing or the feed continues.
type cursor struct {
	Version int `json:"v"`
	// Epoch is the world's when the cursor was given out.
	Epoch int `json:"epoch"`
	// After is the last id that was listed, for listings.
	After string `json:"after,omitempty"`
	// Ends counts how often the end was reached.
	Ends int `json:"ends,omitempty"`
	// Seen is how many events were read, for the feed.
	Seen int `json:"seen,omitempty"`
}

func (c cursor) encode() connectors.Cursor {
	c.Version = cursorVersion
	// A struct of ints and a string always marshals.
	data, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return data
}

func decode(op string, from connectors.Cursor) (cursor, error) {
	var c cursor
	if err := json.Unmarshal(from, &c); err != nil || c.Version != cursorVersion {
		return c, &connectors.Error{Op: op, Class: connectors.CursorExpired, Err: fmt.Errorf("the cursor has version %d, and %d is read", c.Version, cursorVersion)}
	}
	return c, nil
}

func expired(op string) error {
	return &connectors.Error{Op: op, Class: connectors.CursorExpired, Err: errors.New("the world answers 410")}
}
