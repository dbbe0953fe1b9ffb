package googledrive

import (
	"bytes"
)

// withoutImages drops the pictures that Google writes at the end of a Markdown
// export, as link reference definitions with the bytes in them: "[image1]:
// <data:image/png;base64,...>".
func withoutImages(_ string, data []byte) ([]byte, error) {
	if !bytes.Contains(data, []byte("]: <data:")) {
		return data, nil
	}
	var out []byte
	for line := range bytes.Lines(data) {
		if !isImage(line) {
			out = append(out, line...)
		}
	}
	return out, nil
}

func isImage(line []byte) bool {
	label, rest, ok := bytes.Cut(line, []byte("]: <data:image/"))
	return ok && len(label) < 64 && bytes.HasPrefix(label, []byte("[image")) && bytes.HasSuffix(bytes.TrimSpace(rest), []byte(">"))
}
