package pages

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// twinless are the pages without a twin, by the reason.
func twinless() map[string]string {
	out := map[string]string{}
	for why, list := range map[string]string{
		"it is what came of an act, whose page has one": "Disconnected KeySecret NewToken OneTime Connected NotConnected",
		"it is for a person, with a browser":            "Password SignIn Setup Welcome Ticket Continue",
		"it says what went wrong":                       "Error",
	} {
		for name := range strings.FieldsSeq(list) {
			out[name] = why
		}
	}
	return out
}

// TestEveryPageShowsItsTwin: what a page does, the command line and the API do, and the page says how.
func TestEveryPageShowsItsTwin(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.templ")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d templates, %v", len(files), err)
	}
	without, found := twinless(), 0
	template := regexp.MustCompile(`(?ms)^templ (\w+)\(.*?^}`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range template.FindAllSubmatch(text, -1) {
			name, body := string(m[1]), string(m[0])
			if !strings.Contains(body, "@Layout(") {
				continue
			}
			found++
			switch has := strings.Contains(body, "@Twin("); {
			case has && without[name] != "":
				t.Errorf("%s: %s shows a twin: take it from the list", file, name)
			case !has && without[name] == "":
				t.Errorf("%s: %s shows no command and no address that do the same: add @Twin, or the reason here", file, name)
			}
			delete(without, name)
		}
	}
	for name := range without {
		t.Errorf("%s is listed and is no page", name)
	}
	if found < 40 {
		t.Errorf("only %d pages were found", found)
	}
}
