package extract

// Format is what a document's bytes are. The list is closed and append-only:
// it is stored with every revision.
type Format int

// The formats.
const (
	Unknown Format = iota
	HTML
	Markdown
	PlainText
	Source // source code and structured text: JSON, YAML, XML, CSV
	PDF
)

// String returns the name of the format as it is stored and shown.
func (f Format) String() string {
	switch f {
	case HTML:
		return "html"
	case Markdown:
		return "markdown"
	case PlainText:
		return "text"
	case Source:
		return "source"
	case PDF:
		return "pdf"
	case Unknown:
		return "unknown"
	default:
		return "invalid"
	}
}
