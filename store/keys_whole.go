package store

import "slices"

// readsWhole says what Key.Whole says.
func readsWhole(mode KeyMode, rights []string) bool {
	return mode == KeyOwn && slices.Contains(rights, RightExport)
}

// ReadsWhole reports whether the key will read its connections whole; see Key.Whole.
func (p CreateKeyParams) ReadsWhole() bool { return readsWhole(p.EffectiveMode(), p.Rights) }

// checkWhole refuses what such a key may not be.
//
// SECURITY: who holds one reads all of its connections, present and future; it
// is kept to named ones.
func (p CreateKeyParams) checkWhole() error {
	if p.ReadsWhole() && p.AllConnections {
		return &InputError{Field: "connections", Problem: "must be named one by one for a key without reader and with right export, which reads them whole"}
	}
	return nil
}
