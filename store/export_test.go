package store

import "github.com/google/uuid"

// IdentityOf makes any identity, also those that no caller can get.
func IdentityOf(reader, key uuid.UUID, bare bool, principals []int64) Identity {
	return Identity{reader: reader, key: key, bare: bare, principals: principals}
}

// SettingsOf returns what an identity sets in its transaction.
func SettingsOf(i Identity) (reader, key, principals string) { return i.settings() }
