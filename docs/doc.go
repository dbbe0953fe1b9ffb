// Package docs owns the documentation: the pages beside this file, and README.md,
// SECURITY.md and CHANGELOG.md above it. It holds no code but the tests that keep
// the pages true. settings.md and commands.md are generated. Start reading at
// ../README.md.
package docs
