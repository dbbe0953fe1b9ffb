package store

import "slices"

// ReadsWhole reports whether a key reads its connections whole, with their
// permissions, by the feed: it asks for nobody and carries the right export.
func (k Key) ReadsWhole() bool { return k.Mode == KeyOwn && slices.Contains(k.Rights, RightExport) }

// checkWhole refuses what such a key may not be.
//
// SECURITY: who holds one reads all of its connections, present and future; it
// is kept to named ones.
func (p CreateKeyParams) checkWhole() error {
	if p.EffectiveMode() == KeyOwn && slices.Contains(p.Rights, RightExport) && p.AllConnections {
		return &InputError{Field: "connections", Problem: "must be named one by one for a key without reader and with right export, which reads them whole"}
	}
	return nil
}
