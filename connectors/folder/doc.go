// Package folder is the connector for a directory tree of this machine, with
// its POSIX permissions or with a fixed list of readers. A folder has no grant.
//
// It owns the walk of a tree, the ids of files, and the translation of modes,
// owners, groups and extended ACLs into [connectors.ACL]. It imports the
// contract in package connectors and golang.org/x/sys/unix; it must not import
// the engine, the store or the extractors: what is a document is decided by
// [Config.Sniff].
//
// The walk never follows a symbolic link. Every directory and file is opened
// relative to its parent's descriptor with O_NOFOLLOW, so a tree that changes
// underneath cannot lead it elsewhere. Mount points below the root are
// followed; a directory that is its own ancestor through a bind mount is not.
//
// An item's id is its path relative to the root (see itemID). Its revision is
// size, mtime, ctime and inode, so an unchanged file is never opened.
//
// Permissions are read on Linux only (acl_linux.go). Elsewhere the setting
// permissions=posix is refused, because access control lists that the mode does
// not show cannot be evaluated there. What "posix" grants is exactly what the
// kernel grants to an account (acl(5), path_resolution(7)), with one exception:
// where a group has fewer rights than a later class, members of later classes
// are left out too. Security modules and capabilities other than those of uid 0
// are not evaluated.
//
// Start reading at connector.go, then walk.go and rights.go.
package folder
