package sourcedocs

import (
	"strings"
	"testing"

	"tributary/connectors"
)

func wide() connectors.Spec {
	return connectors.Spec{
		Source: "example", Name: "Example", Description: "An example.", Category: connectors.CategoryFiles, CursorVersion: 1, PrincipalPrefix: "ex",
		Provider: "ex-app", OtherProviders: []string{"ex-oauth"}, Hosts: []string{"{base}", "api.example.com"},
		Scopes: []connectors.Scope{
			{Name: "files", Reason: "Reads files."},
			{Name: "repo", Reason: "Reads a | b.", Providers: []string{"ex-oauth"}, When: []connectors.Condition{{Setting: "wiki", Value: "true"}}},
		},
		Settings: []connectors.Setting{
			{Name: "wiki", Type: connectors.Bool, Description: "Reads the wiki.", Default: "true"},
			{Name: "mode", Type: connectors.Enum, Description: "How.", Options: []string{"a", "b"}, Required: true},
		},
		Provides: []connectors.Capability{connectors.CanGroups},
		Limits:   []string{"One fact."},
		Problems: []connectors.Problem{{Code: "api_off", Sign: "The API is off.", Remedy: "Switch it on."}},
	}
}

var titles = []Provider{{"ex-app", "Example App"}, {"ex-oauth", "Example OAuth"}, {"other", "Other"}}

func TestBlockSaysWhatTheSpecSays(t *testing.T) {
	t.Parallel()
	got := Block(wide(), titles)
	for _, want := range []string{
		"at Example App, `ex-app`; or Example OAuth, `ex-oauth`. The connection's token is sent only to the server that the registration names and `api.example.com`.",
		"| `files` | Reads files. | always |",
		"| `repo` | Reads a \\| b. | with `wiki=true`, at Example OAuth |",
		"| `wiki` | `true` | Reads the wiki. |",
		"| `mode` | required | How. One of `a`, `b`. |",
		"- **groups**: memberships are read from the source.",
		"Principals are written `ex:NAME`.",
		"- One fact.",
		"| `api_off` | The API is off. | Switch it on. |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the block lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "Other") || strings.Contains(got, "**changes**") {
		t.Errorf("the block says more than the Spec:\n%s", got)
	}
}

func TestBlockOfASourceWithoutConsent(t *testing.T) {
	t.Parallel()
	got := Block(connectors.Spec{Source: "folder", Description: "Files."}, titles)
	if !strings.Contains(got, "tributary connect folder --help") || strings.Contains(got, "### Scopes") || strings.Contains(got, "### Troubleshooting") {
		t.Errorf("the block:\n%s", got)
	}
}

func TestTableMarksWhatIsProvided(t *testing.T) {
	t.Parallel()
	if got := Table([]connectors.Spec{wide()}); !strings.Contains(got, "| [Example](example.md) | files |  |  |  | yes |  |  |  |  |") {
		t.Errorf("the table:\n%s", got)
	}
}

func TestEveryCapabilityHasWords(t *testing.T) {
	t.Parallel()
	for _, c := range connectors.Capabilities() {
		if words(c) == string(c) {
			t.Errorf("%s has no words", c)
		}
	}
}

func TestReplaceKeepsWhatIsWrittenByHand(t *testing.T) {
	t.Parallel()
	page := "# Title\n\n" + begin + "\nold\n" + end + "\n\nGuide.\n"
	got, err := Replace(page, "new\n")
	if want := "# Title\n\n" + begin + "\n\nnew\n\n" + end + "\n\nGuide.\n"; err != nil || got != want {
		t.Fatalf("%q, error %v, want %q", got, err, want)
	}
	if again, err := Replace(got, "new\n"); err != nil || again != got {
		t.Errorf("the second time differs: %q (%v)", again, err)
	}
	for name, bad := range map[string]string{
		"no markers": "# Title\n", "no end": begin, "twice": page + page, "in the wrong order": end + begin,
	} {
		if _, err := Replace(bad, "new"); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
