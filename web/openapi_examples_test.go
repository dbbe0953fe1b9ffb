package web_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

const examplesPath = "openapi/examples.json"

// exchangeExample is an exchange that was recorded, with ids and times that are always the same.
type exchangeExample struct {
	At     string `json:"at"`
	Path   string `json:"path"`
	Body   any    `json:"body,omitempty"`
	Status string `json:"status"`
	Answer any    `json:"answer,omitempty"`
	// Lines are the answer where it is JSON line by line.
	Lines string `json:"lines,omitempty"`
}

func readExamples(t *testing.T) map[string][]exchangeExample {
	t.Helper()
	text, err := os.ReadFile(examplesPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var all []exchangeExample
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]exchangeExample{}
	for _, e := range all {
		out[e.At] = append(out[e.At], e)
	}
	return out
}

// illustrate puts the first example of each status into an operation.
func (d *description) illustrate(at string, op node) {
	if d.examples != nil && len(d.examples[at]) == 0 {
		d.t.Errorf("%s has no example: add an exchange to testdata/examples.http; %s", at, recordAnew)
	}
	for _, e := range d.examples[at] {
		content := sub(sub(op, "requestBody"), "content")
		if media := sub(content, "application/json"); media != nil && e.Body != nil && media["example"] == nil {
			media["example"] = e.Body
		}
		d.parameterExamples(at, e.Path, op)
		media := sub(sub(sub(op, "responses"), e.Status), "content")
		if m := sub(media, "application/json"); m != nil && e.Answer != nil && m["example"] == nil {
			m["example"] = e.Answer
		}
		if m := sub(media, "application/x-ndjson"); m != nil && e.Lines != "" && m["example"] == nil {
			var first any // the schema and its example are those of a line
			if err := json.NewDecoder(strings.NewReader(e.Lines)).Decode(&first); err != nil {
				d.t.Errorf("the example of %s: %v", at, err)
			}
			m["example"] = first
		}
	}
}

// parameterExamples gives each parameter of a path its part of an example's.
func (d *description) parameterExamples(at, path string, op node) {
	_, pattern, _ := strings.Cut(at, " ")
	parts := strings.Split(path, "/")
	for i, part := range strings.Split(pattern, "/") {
		for _, p := range list(op["parameters"]) {
			if p, ok := p.(node); ok && p["in"] == "path" && part == "{"+p["name"].(string)+"}" && i < len(parts) {
				p["example"] = parts[i]
			}
		}
	}
}
