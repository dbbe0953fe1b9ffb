package httpx

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// BaseURL reads the address of a server that people host themselves, which may
// have a path. Its host is in lower case and no slash stands at its end. An
// error names what is wrong, with example as the form to write.
func BaseURL(text, example string) (*url.URL, error) {
	if text == "" {
		return nil, fmt.Errorf("is missing: enter an address such as %s", example)
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("is not an address such as %s", example)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("has more than scheme, host, port and path: leave out users, queries and fragments")
	}
	u.Host, u.Path, u.RawPath = strings.ToLower(u.Host), strings.TrimRight(u.Path, "/"), ""
	return u, nil
}
