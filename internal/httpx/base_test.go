package httpx_test

import (
	"testing"

	"tributary/internal/httpx"
)

// TestBaseURL: an address is kept in one form, and what is none is refused.
func TestBaseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"https://Git.Example.com":        "https://git.example.com",
		"http://localhost:3000/":         "http://localhost:3000",
		"https://example.com/code//":     "https://example.com/code",
		"https://example.com/a%2Fb/":     "https://example.com/a/b",
		"":                               "",
		"git.example.com":                "",
		"ftp://example.com":              "",
		"https://":                       "",
		"https://ada@example.com":        "",
		"https://example.com?":           "",
		"https://example.com?a=b":        "",
		"https://example.com#here":       "",
		"https://exa mple.com":           "",
		"javascript:alert(1)//x.invalid": "",
	} {
		u, err := httpx.BaseURL(text, "https://git.example.com")
		switch {
		case want == "" && err == nil:
			t.Errorf("%q is taken for %s", text, u)
		case want != "" && (err != nil || u.String() != want):
			t.Errorf("%q reads as %v, error %v, want %s", text, u, err, want)
		}
	}
}
