package folder

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// rootContainer is the id of the root as a container.
const rootContainer = "."

// itemID returns the id of the file at the slash path below the root: the path
// itself. File names are bytes and ids are text, so a byte that is not valid
// UTF-8 becomes %XX, and a percent sign that would read as such, or as %25,
// becomes %25. decodeID reverses it.
func itemID(path string) string {
	if utf8.ValidString(path) && !strings.ContainsRune(path, '%') {
		return path
	}
	var b strings.Builder
	for i := 0; i < len(path); {
		r, n := utf8.DecodeRuneInString(path[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b.WriteByte('%')
			b.WriteString(strings.ToUpper(strconv.FormatUint(uint64(path[i]), 16)))
		case r == '%' && isEscape(path[i:]):
			b.WriteString("%25")
		default:
			b.WriteString(path[i : i+n])
		}
		i += n
	}
	return b.String()
}

// decodeID returns the path that an id stands for.
func decodeID(id string) string {
	if !strings.ContainsRune(id, '%') {
		return id
	}
	var b strings.Builder
	for i := 0; i < len(id); i++ {
		if !isEscape(id[i:]) {
			b.WriteByte(id[i])
			continue
		}
		v, _ := strconv.ParseUint(id[i+1:i+3], 16, 8)
		b.WriteByte(byte(v))
		i += 2
	}
	return b.String()
}

// isEscape reports whether s starts with %25 or with %80 to %FF in capitals.
func isEscape(s string) bool {
	if len(s) < 3 || s[0] != '%' {
		return false
	}
	high := s[1] >= '8' && s[1] <= '9' || s[1] >= 'A' && s[1] <= 'F'
	low := s[2] >= '0' && s[2] <= '9' || s[2] >= 'A' && s[2] <= 'F'
	return high && low || s[1:3] == "25"
}

// containerOf returns the id of the directory that holds the file.
func containerOf(id string) string {
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		return id[:i]
	}
	return rootContainer
}

// revision changes whenever the file's bytes may have: ctime cannot be set, so
// an edit that restores size and mtime shows too (inode(7)).
func revision(n inode) string {
	b := make([]byte, 0, 48)
	b = strconv.AppendInt(b, n.size, 36)
	b = append(b, '.')
	b = strconv.AppendInt(b, n.mtime, 36)
	b = append(b, '.')
	b = strconv.AppendInt(b, n.ctime, 36)
	b = append(b, '.')
	b = strconv.AppendUint(b, n.ino, 36)
	return string(b)
}
