// Package googledrive reads Google Drive (API v3): My Drive, what is shared
// with the account, and shared drives, with the permissions of each file, a
// feed of changes, and groups by the Admin SDK's Directory API.
//
// It owns what is special about Drive: which log says what changed, how a
// permission becomes a principal, how Docs, Sheets and Slides become text. It
// knows the contract in package connectors and sends requests by
// internal/httpx; it must not import anything else of the house.
//
// Start reading at [New]; then listing.go and changes.go for what is read,
// tree.go for folders, permissions.go and groups.go for who may read,
// document.go for texts, api.go for requests and the classes of their
// failures.
package googledrive
