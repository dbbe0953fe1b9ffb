// Package seal encrypts what the database keeps secret: tokens, client secrets and private keys. It owns the master
// key file, the form of a ciphertext, and the rules of rotation.
//
// A Ring is the content of one key file: several AES-256-GCM keys (tink AEAD keyset, random nonces), of which the
// primary encrypts and all decrypt. A ciphertext carries the id of its key, and is bound by its Context to the row,
// the generation and the field it was made for: moved elsewhere it does not decrypt.
//
// Rotation is online. Rotate adds a key to the file and makes it primary; other processes see it when they seal next,
// or when they meet a ciphertext of a key they do not know. The caller then re-seals its rows and, when nothing names
// the old key (KeyOf), retires it. The file is replaced by rename after fsync, and nothing replaces a file that holds another ring.
//
// The package must not import anything of this module, and nothing but this package touches the key file.
//
// Start reading at Ring.Seal (ring.go), then rotate.go and file.go.
package seal
