// Package extract turns the bytes of a document into canonical text: Markdown
// in UTF-8 and Normalization Form C with LF line ends, which is what is stored,
// cut into chunks and cited by offsets. It reads HTML, Markdown, plain text,
// source code and structured text, and PDF, and decides what is one of these
// (Sniff) as file(1) does.
//
// Canonical Markdown is made to be searched and read, not to be rendered:
// characters inside a line are never escaped except "|" in table cells, so that
// pg_class is found as pg_class; at the start of a line only what would become
// a heading, an underline or a code fence is. Table cells are not padded.
//
// HTML is converted by a scanner and a state machine of our own in one pass and
// linear time, whatever the nesting; golang.org/x/net/html supplies the
// character references. Over 1,248 pages (36 MB) of PostgreSQL, Python, Linux,
// Boost and SQLite documentation one core converts 180 MB/s, and does all that
// Extract does at 120 MB/s, where the tokenizer of golang.org/x/net/html alone
// reaches 119 MB/s and html-to-markdown/v2 converts 7 MB/s. BenchmarkHTML
// measures it over every eighth page in the directory TEST_CORPUS.
//
// The package imports nothing else of this module, opens no file but the PDF
// engine's cache directory, and does not touch the network. PDF is parsed in
// process by PDFium in a WebAssembly sandbox without file system access, under a
// deadline and a memory limit.
//
// Start reading at Extract in extract.go; HTML begins in html.go, with
// htmlscan.go (tags), htmlstack.go (nesting), htmldrop.go (what is not
// content), htmltable.go and htmlwriter.go (Markdown).
package extract
