// Package migrations embeds the numbered SQL of the schema and the routines
// that are applied after it. It holds no code of its own: package store runs
// them. Numbered files never change once released; routines are idempotent and
// are applied again whenever their text changes.
package migrations

import "embed"

// FS holds the numbered migrations at its root and the routines in routines/.
//
//go:embed *.sql routines/*.sql
var FS embed.FS
