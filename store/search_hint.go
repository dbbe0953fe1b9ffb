package store

// Hint says why an answer is empty, as far as it is the reader's own side. It
// tells nothing of what the reader may not see.
type Hint string

// The hints.
const (
	// HintUnlinked: the reader is nobody at any source, and nothing is public.
	HintUnlinked Hint = "reader_unlinked"
	// HintNothing: the reader may read no document of the connections asked.
	HintNothing Hint = "nothing_visible"
	// HintPending: chunks that the reader may read wait for their vectors.
	HintPending Hint = "chunks_pending"
	// HintNoMatch: of what the reader may read, nothing matches.
	HintNoMatch Hint = "no_match"
)

// emptyHint is the hint of an answer that has no results.
func emptyHint(req SearchRequest, state *searchState) Hint {
	switch {
	case state.Unlinked:
		return HintUnlinked
	case len(state.PermissionsAsOf) == 0:
		return HintNothing
	case state.Pending > 0 && req.Mode != Keyword:
		return HintPending
	default:
		return HintNoMatch
	}
}
