package connectors_test

import (
	"net/http"
	"strings"
	"testing"

	"tributary/connectors"
)

func settingsSpec() connectors.Spec {
	return connectors.Spec{Settings: []connectors.Setting{
		{Name: "files", Type: connectors.Bool, Default: "true"},
		{Name: "size", Type: connectors.Int, Default: "8"},
		{Name: "link", Type: connectors.Enum, Options: []string{"nobody", "anyone"}, Default: "nobody"},
		{Name: "note", Type: connectors.String},
	}}
}

// TestValues: what is absent has its default, and what is set its own value.
func TestValues(t *testing.T) {
	t.Parallel()
	v := settingsSpec().Values("opening", connectors.Env{})
	if !v.Bool("files") || v.Int("size", 1, 9, "files") != 8 || v.Text("link") != "nobody" || v.Text("note") != "" || v.Err() != nil {
		t.Errorf("the defaults are not read: %v", v.Err())
	}
	v = settingsSpec().Values("opening", connectors.Env{Settings: map[string]string{"files": "false", "size": " 9 ", "link": "anyone", "note": "x"}})
	if v.Bool("files") || v.Int("size", 1, 9, "files") != 9 || v.Text("link") != "anyone" || v.Text("note") != "x" || v.Err() != nil {
		t.Errorf("the values are not read: %v", v.Err())
	}
}

// TestValuesRefuse: a value that does not fit is named, and nothing is read behind it.
func TestValuesRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value string }{
		{"files", "yes"}, {"files", "1"}, {"size", "0"}, {"size", "10"}, {"size", "1.5"}, {"link", "all"},
	} {
		v := settingsSpec().Values("opening", connectors.Env{Settings: map[string]string{c.name: c.value}})
		v.Bool("files")
		v.Int("size", 1, 9, "files")
		v.Text("link")
		err := v.Err()
		if connectors.ClassOf(err) != connectors.Invalid || !strings.Contains(err.Error(), "setting "+c.name) || !strings.Contains(err.Error(), c.value) {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
		if v.Text("note") != "" || v.Bool("files") || v.Int("size", 1, 9, "files") != 0 {
			t.Errorf("%s=%s: values are read behind it", c.name, c.value)
		}
	}
	v := settingsSpec().Values("opening", connectors.Env{})
	v.Text("unknown")
	if connectors.ClassOf(v.Err()) != connectors.Bug {
		t.Errorf("a setting that the spec lacks: %v", v.Err())
	}
}

// TestClient: a connection without a grant is told to connect.
func TestClient(t *testing.T) {
	t.Parallel()
	if _, err := (connectors.Env{}).Client("opening"); connectors.ClassOf(err) != connectors.Invalid {
		t.Errorf("without a grant: %v", err)
	}
	if c, err := (connectors.Env{HTTP: http.DefaultClient}).Client("opening"); err != nil || c != http.DefaultClient {
		t.Errorf("with a grant: %v", err)
	}
}
