// Package sandbox reads Sandbox Drive, the provider that is part of Tributary
// for trying it out, over its document API: files with the permissions of
// their folders, nested groups, and a feed of changes.
//
// It treats the sandbox as any other server: it shares no code with it and
// reaches it only through the authorised client of its environment. It must
// not import internal/sandbox.
//
// Start reading at [New]; then listing.go and changes.go for what is read,
// permissions.go for how folders and entries become an ACL, api.go for
// what its answers mean.
package sandbox
