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
