package folder

import (
	"path"
	"strings"
)

// verdict is what a file's name says about its content.
type verdict int

const (
	// isUncertain: the first bytes decide.
	isUncertain verdict = iota
	// isDocument: listed without being opened; its first bytes are checked when
	// it is read.
	isDocument
	// isNone: never opened.
	isNone
)

// byName returns the media type, "" where that depends on the content, and what
// a name says for certain. Names decide so that a tree of unchanged files
// is walked without opening them.
func byName(name string) (string, verdict) {
	ext := strings.ToLower(path.Ext(name))
	if t := otherType(ext); t != "" {
		return t, isNone
	}
	switch ext {
	case ".html", ".htm", ".xhtml":
		return "text/html", isDocument
	case ".md", ".markdown":
		return "text/markdown", isDocument
	case ".pdf":
		return "application/pdf", isDocument
	case ".txt", ".text", ".rst", ".adoc", ".log", ".csv", ".tsv",
		".json", ".xml", ".yaml", ".yml", ".toml", ".css", ".js", ".mjs",
		".go", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".rs", ".py", ".java", ".kt", ".scala",
		".swift", ".rb", ".php", ".pl", ".lua", ".sql", ".sh":
		return "", isDocument
	default:
		return "", isUncertain
	}
}

// otherType returns the media type of formats that hold no text to extract, for
// extensions that nothing else goes by.
func otherType(ext string) string {
	switch ext {
	case ".png", ".gif", ".webp", ".avif", ".heic":
		return "image/" + ext[1:]
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".mp3", ".flac", ".opus", ".wav":
		return "audio/" + ext[1:]
	case ".mp4", ".mkv", ".mov", ".avi", ".webm":
		return "video/" + ext[1:]
	case ".woff", ".woff2", ".ttf", ".otf":
		return "font/" + ext[1:]
	case ".gz", ".tgz":
		return "application/gzip"
	case ".zip", ".jar":
		return "application/zip"
	case ".bz2", ".xz", ".zst", ".7z":
		return "application/x-" + ext[1:]
	default:
		return ""
	}
}
