package httpx

import "net/http"

// Validators name a version of an answer (RFC 9110 §8.8). They are kept with what was read and sent the next time.
type Validators struct {
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// maxValidator is the longest validator worth keeping.
const maxValidator = 1 << 10

// ValidatorsOf returns the validators of an answer with content; others have none.
func ValidatorsOf(resp *http.Response) Validators {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusNotModified {
		return Validators{}
	}
	v := Validators{ETag: resp.Header.Get("Etag"), LastModified: resp.Header.Get("Last-Modified")}
	if len(v.ETag) > maxValidator {
		v.ETag = ""
	}
	if _, err := http.ParseTime(v.LastModified); err != nil {
		v.LastModified = ""
	}
	return v
}

// Apply asks for content only if it is another version. Other methods than GET and HEAD stay as they are, for which the headers
// mean something else.
func (v Validators) Apply(req *http.Request) {
	if req.Method != http.MethodGet && req.Method != http.MethodHead && req.Method != "" {
		return
	}
	if v.ETag != "" {
		req.Header.Set("If-None-Match", v.ETag)
	}
	if v.LastModified != "" {
		req.Header.Set("If-Modified-Since", v.LastModified)
	}
}

// NotModified reports whether resp says that the version that Apply named is the current one.
func NotModified(resp *http.Response) bool { return resp.StatusCode == http.StatusNotModified }
