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

// byName returns the media type that a name stands for, where it is certain,
// and what follows from it. Names decide so that a tree of unchanged files is
// walked without opening them.
func byName(name string) (mediaType string, v verdict) {
	ext := strings.ToLower(path.Ext(name))
	if t := documentType(ext); t != "" {
		return t, isDocument
	}
	if t := otherType(ext); t != "" {
		return t, isNone
	}
	return "", isUncertain
}

func documentType(ext string) string {
	switch ext {
	case ".html", ".htm":
		return "text/html"
	case ".xhtml":
		return "application/xhtml+xml"
	case ".md", ".markdown":
		return "text/markdown"
	case ".txt", ".text":
		return "text/plain"
	case ".pdf":
		return "application/pdf"
	case ".go", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".rs", ".py", ".java", ".kt", ".scala", ".swift", ".rb", ".php", ".sql", ".sh":
		return "text/plain"
	default:
		return ""
	}
}

func otherType(ext string) string {
	switch ext {
	case ".png", ".gif", ".webp", ".bmp", ".tiff", ".ico", ".avif", ".heic", ".psd":
		return "image"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".mp3", ".m4a", ".ogg", ".oga", ".wav", ".flac", ".opus":
		return "audio"
	case ".mp4", ".mkv", ".mov", ".avi", ".webm", ".mpg", ".mpeg":
		return "video"
	case ".woff", ".woff2", ".ttf", ".otf", ".eot":
		return "font"
	case ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".jar", ".deb", ".rpm", ".iso":
		return "archive"
	case ".so", ".o", ".a", ".exe", ".dll", ".dylib", ".class", ".pyc", ".wasm":
		return "binary"
	default:
		return ""
	}
}
