package connectors_test

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"

	"tributary/connectors"
)

type checkpoint struct {
	Cursor connectors.Cursor `json:"cursor"`
}

func TestCursorRoundTrip(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cursor connectors.Cursor
		stored string
	}{
		"the start is null":      {nil, `{"cursor":null}`},
		"an object stays":        {connectors.Cursor(`{"v":1,"after":"a/b"}`), `{"cursor":{"v":1,"after":"a/b"}}`},
		"a string is a cursor":   {connectors.Cursor(`"token"`), `{"cursor":"token"}`},
		"zero is not the start":  {connectors.Cursor(`0`), `{"cursor":0}`},
		"false is not the start": {connectors.Cursor(`false`), `{"cursor":false}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := json.Marshal(checkpoint{c.cursor})
			if err != nil || string(data) != c.stored {
				t.Fatalf("stored %s, error %v, want %s", data, err, c.stored)
			}
			back := checkpoint{connectors.Cursor(`"what was there before, and longer than what comes"`)}
			if err := json.Unmarshal(data, &back); err != nil {
				t.Fatal(err)
			}
			if !back.Cursor.Equal(c.cursor) || back.Cursor.IsZero() != c.cursor.IsZero() {
				t.Errorf("back %q, want %q", back.Cursor, c.cursor)
			}
		})
	}
}

func TestCursorThatIsNotJSONIsAnError(t *testing.T) {
	t.Parallel()
	if data, err := json.Marshal(checkpoint{connectors.Cursor("page=2")}); err == nil {
		t.Errorf("stored as %s", data)
	}
}

// TestCursorKeepsItsOwnBytes: decoding copies, so that a reused buffer changes
// no cursor.
func TestCursorKeepsItsOwnBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		token := rapid.String().Draw(rt, "token")
		data, err := json.Marshal(map[string]string{"cursor": token})
		if err != nil {
			rt.Fatal(err)
		}
		var back checkpoint
		if err := json.Unmarshal(data, &back); err != nil {
			rt.Fatal(err)
		}
		want := string(back.Cursor)
		clear(data)
		if string(back.Cursor) != want {
			rt.Errorf("the cursor became %q", back.Cursor)
		}
		again, err := json.Marshal(back)
		if err != nil {
			rt.Fatal(err)
		}
		var value struct{ Cursor string }
		if err := json.Unmarshal(again, &value); err != nil {
			rt.Fatal(err)
		}
		var first string
		if err := json.Unmarshal([]byte(want), &first); err != nil || value.Cursor != first {
			rt.Errorf("%q came back as %q (%v)", first, value.Cursor, err)
		}
	})
}
