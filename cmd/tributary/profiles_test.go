package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/internal/embed/embedtest"
	"tributary/store"
)

// TestProfileOfAnEndpoint makes a profile beside the built-in one, fills it,
// switches over, and does without it when the endpoint is down.
func TestProfileOfAnEndpoint(t *testing.T) {
	t.Parallel()
	const apiKey = "sk-hunter2"
	endpoint := embedtest.New(embedtest.Options{Model: "test-model", Dimensions: 8, Key: apiKey})
	open := true
	t.Cleanup(func() {
		if open {
			endpoint.Close()
		}
	})
	s := newSettledSite(t)
	keyFile := filepath.Join(s.dir, "key.txt")
	if err := os.WriteFile(keyFile, []byte(apiKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	docs := s.write("docs", map[string]string{"a.md": "# Heron\n\nThe heron stands in the river.\n", "b.md": "# Otter\n\nThe otter swims in the river.\n"})
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path="+docs)
	s.must(exitOK, "sync", "docs", "--wait")

	create := func(code int, keyFile, dimensions string) result {
		return s.must(code, "profiles", "create", "mine", "--url", endpoint.URL, "--model", "test-model", "--api-key-file", keyFile, "--dimensions", dimensions)
	}
	create(exitUsage, filepath.Join(s.dir, "no.txt"), "8")
	wrong := create(exitUsage, keyFile, "9")
	if !strings.Contains(wrong.stderr, "8") {
		t.Errorf("wrong dimensions: %s", wrong.stderr)
	}
	create(exitOK, "key.txt", "8")
	create(exitConflict, keyFile, "8")
	s.must(exitOK, "profiles", "test", "mine")
	s.must(exitFailure, "profiles", "activate", "mine")
	s.must(exitOK, "sync", "docs", "--wait")
	s.must(exitOK, "profiles", "activate", "mine")
	if twice := endpoint.DeliveredTwice(); len(twice) > 0 && !onlyProbes(twice) {
		t.Errorf("paid twice for %q", twice)
	}

	as := "unix:" + reader(t)
	answer := mustJSON[store.SearchResponse](s, exitOK, "search", "heron", "--as", as, "--mode", "vector")
	if len(answer.Results) != 2 || !answer.Complete || answer.Pending != 0 {
		t.Errorf("the new profile answers %+v", answer)
	}
	endpoint.Close()
	open = false
	answer = mustJSON[store.SearchResponse](s, exitOK, "search", "heron", "--as", as)
	if len(answer.Results) == 0 || answer.Complete {
		t.Errorf("without the endpoint hybrid answers %+v", answer)
	}
	down := s.must(exitFailure, "search", "heron", "--as", as, "--mode", "vector")
	if strings.Contains(down.stderr, apiKey) || !strings.Contains(down.stderr, "embedding the query") {
		t.Errorf("vector search without the endpoint: %s", down.stderr)
	}
}

// onlyProbes reports whether texts holds nothing of the documents.
func onlyProbes(texts []string) bool {
	for _, text := range texts {
		if strings.Contains(text, "river") {
			return false
		}
	}
	return true
}
