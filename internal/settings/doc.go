// Package settings reads the process's settings: flags, TRIBUTARY_*
// environment variables and, for secrets, the files that *_FILE variables name.
// It owns their names, defaults, forms and checks, and generates their
// reference page. It imports nothing of the project and opens no connection.
//
// Start reading at [Table] and [Load].
package settings

//go:generate go run tributary/internal/settings/gendocs ../../docs/settings.md
