package sourcedocs

import (
	"fmt"
	"strings"
)

// The markers around the generated block of a page.
const (
	begin = "<!-- Generated from the connector's Spec by `make generate`: do not edit below. -->"
	end   = "<!-- End of the generated part. -->"
)

// Replace returns page with block between its markers. A page without both of
// them, in order and once, is an error that says what to write.
func Replace(page, block string) (string, error) {
	if strings.Count(page, begin) != 1 || strings.Count(page, end) != 1 {
		return "", fmt.Errorf("the page needs these two lines, once each, where the reference belongs:\n%s\n%s", begin, end)
	}
	before, rest, _ := strings.Cut(page, begin)
	_, after, ok := strings.Cut(rest, end)
	if !ok {
		return "", fmt.Errorf("the line %q has to come after %q", end, begin)
	}
	return before + begin + "\n\n" + strings.TrimSpace(block) + "\n\n" + end + after, nil
}

// NewPage returns the first page of a source: the generated part's place, and
// what has to be written by hand.
func NewPage(title string) string {
	return "# The " + title + " source\n\n" +
		"## Connect it\n\nHow to register a client there, step by step, with the redirect URI that the registration's page shows.\n\n" +
		"## Reference\n\n" + begin + "\n" + end + "\n\n" +
		"## What is synced\n\nWhat becomes a document, and what does not.\n\n" +
		"## Who sees what\n\nHow the source's permissions become those of documents, and where less is shown than the source shows.\n"
}
