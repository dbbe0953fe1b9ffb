// Package password owns what becomes of passwords: which are refused, how they
// are hashed (argon2id, PHC string format) and how one is compared with a hash.
//
// It imports nothing of this module but the type of secrets. Start reading at
// Hasher, then Check.
package password
