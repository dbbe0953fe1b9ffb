package store

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Why the feed gives nothing; test for them with errors.Is.
var (
	// ErrFeedDenied: the key may not read the feed.
	ErrFeedDenied = errors.New("only a key of its own with right export and listed connections reads the feed")
	// ErrFeedExpired: what follows the cursor is not kept any more.
	ErrFeedExpired = errors.New("the cursor has expired: begin again without one")
)

// How much a page of the feed holds.
const (
	FeedLimit    = 500
	MaxFeedLimit = 5000
	// feedChunks bounds the chunks of a page, feedVectors those with embeddings;
	// one document is never divided.
	feedChunks  = 2000
	feedVectors = 400
	// feedSpan bounds the positions that one page looks through.
	feedSpan = 100_000
	// feedPairs bounds the memberships of one event.
	feedPairs = 1000
)

// The events of the feed.
const (
	FeedBegin          = "snapshot.begin"
	FeedEnd            = "snapshot.end"
	FeedDocumentUpsert = "document.upsert"
	FeedDocumentACL    = "document.acl"
	FeedDocumentDelete = "document.delete"
	FeedChunkUpsert    = "chunk.upsert"
	FeedChunkDelete    = "chunk.delete"
	FeedACLUpsert      = "acl.upsert"
	FeedMembership     = "membership"
	FeedStale          = "stale"
	FeedFresh          = "fresh"
)

// FeedRequest asks for a page. Without a cursor a snapshot begins.
type FeedRequest struct {
	Cursor string
	// Limit bounds the changes, or the documents of a snapshot; 0 is FeedLimit.
	Limit int
	// Embedding adds the vectors of the active profile.
	Embedding bool
}

// FeedPage is a page of the feed, of one moment. It is applied as a whole,
// together with its cursor.
type FeedPage struct {
	Events []FeedEvent `json:"events"`
	Cursor string      `json:"cursor"`
	// More is true where the next page has something already.
	More bool `json:"more"`
	// Connections are those that the key reads: what a consumer has of others is
	// to be dropped.
	Connections []FeedConnection `json:"connections"`
}

// FeedConnection is a connection that is read whole. Stale is true where its
// permissions are too old: nobody may see its documents. They become so at
// HideAfter, unless they are read again before.
type FeedConnection struct {
	ID              uuid.UUID  `json:"id"`
	Name            string     `json:"name"`
	Source          string     `json:"source"`
	PermissionsAsOf *time.Time `json:"permissions_as_of"`
	HideAfter       *time.Time `json:"hide_after"`
	Stale           bool       `json:"stale"`
}

// FeedEvent is one event. Which fields it has depends on its kind.
type FeedEvent struct {
	Event        string     `json:"event"`
	Position     int64      `json:"position"`
	ConnectionID *uuid.UUID `json:"connection_id,omitempty"`
	DocumentID   *uuid.UUID `json:"document_id,omitempty"`
	ChunkID      *ChunkID   `json:"chunk_id,omitempty"`

	// Of documents.
	ExternalID      string       `json:"external_id,omitempty"`
	Revision        int          `json:"revision,omitempty"`
	Path            string       `json:"path,omitempty"`
	Kind            string       `json:"kind,omitempty"`
	MediaType       string       `json:"media_type,omitempty"`
	SourceUpdatedAt *time.Time   `json:"source_updated_at,omitempty"`
	Chunks          []FeedLayout `json:"chunks,omitempty"`
	// Of documents and chunks.
	Title *string `json:"title,omitempty"`
	URL   *string `json:"url,omitempty"`
	Lang  string  `json:"lang,omitempty"`

	// Of chunks.
	Text        *string   `json:"text,omitempty"`
	Context     *string   `json:"context,omitempty"`
	HeadingPath []string  `json:"heading_path,omitempty"`
	Hash        string    `json:"hash,omitempty"`
	Tokens      int       `json:"tokens,omitempty"`
	Start       *int32    `json:"start,omitempty"`
	End         *int32    `json:"end,omitempty"`
	StartCP     *int32    `json:"start_cp,omitempty"`
	EndCP       *int32    `json:"end_cp,omitempty"`
	Embedding   []float32 `json:"embedding,omitempty"`

	// ACL is the set of a document, of a chunk's document, or the one described.
	ACL   *int64            `json:"acl,omitempty"`
	AllOf [][]FeedPrincipal `json:"all_of,omitempty"`
	Deny  []FeedPrincipal   `json:"deny,omitempty"`

	// Added and Removed are memberships: pairs of member and group.
	Added   [][2]int64 `json:"added,omitempty"`
	Removed [][2]int64 `json:"removed,omitempty"`
}

// FeedLayout is where a chunk lies in the text of the current revision.
type FeedLayout struct {
	ChunkID ChunkID `json:"chunk_id"`
	Start   int32   `json:"start"`
	End     int32   `json:"end"`
	StartCP int32   `json:"start_cp"`
	EndCP   int32   `json:"end_cp"`
}

// FeedPrincipal is a principal in an ACL; ID is what memberships and the
// principals of readers name.
type FeedPrincipal struct {
	ID         int64  `json:"id"`
	Kind       string `json:"kind"`
	ExternalID string `json:"external_id"`
}

// The stages of a snapshot, in a cursor; what follows it has none.
const (
	stageMembers   = "m"
	stageDocuments = "d"
)

// feedCursor is where a consumer is: at Position, or, in a snapshot which began
// there, after a membership or a document.
type feedCursor struct {
	Key      uuid.UUID  `json:"k"`
	Position int64      `json:"p"`
	Profile  int16      `json:"e,omitempty"`
	Stage    string     `json:"s,omitempty"`
	After    *uuid.UUID `json:"a,omitempty"`
	Member   int64      `json:"m,omitempty"`
	Group    int64      `json:"g,omitempty"`
}

func (c feedCursor) String() string { return base64.RawURLEncoding.EncodeToString(jsonOf(c)) }

func parseFeedCursor(s string) (feedCursor, error) {
	var c feedCursor
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Position < 0 || c.Stage != "" && c.Stage != stageMembers && c.Stage != stageDocuments {
		return c, &InputError{Field: "cursor", Problem: "is not one that this feed has given: leave it out to begin again"}
	}
	return c, nil
}

// Feed returns a page of the feed for the key of who. Everything that has
// changed after the cursor's position is told with the state of one moment: at
// least once, and right when it is applied in order. The error is ErrFeedDenied,
// ErrFeedExpired or an *InputError where the caller can act on it.
func (s *Store) Feed(ctx context.Context, who Identity, req FeedRequest) (FeedPage, error) {
	if req.Limit == 0 {
		req.Limit = FeedLimit
	}
	if req.Limit < 1 || req.Limit > MaxFeedLimit {
		return FeedPage{}, &InputError{Field: "limit", Problem: fmt.Sprintf("must be 1 to %d", MaxFeedLimit)}
	}
	var cursor feedCursor
	if req.Cursor != "" {
		var err error
		if cursor, err = parseFeedCursor(req.Cursor); err != nil {
			return FeedPage{}, err
		}
	}
	var page FeedPage
	r := reading{tool: "feed", asOf: map[string]*time.Time{}}
	err := s.asIdentity(ctx, "reading the feed", who, &r, func(tx pgx.Tx) error {
		f := &feedReader{tx: tx, req: req, at: cursor, page: FeedPage{Events: []FeedEvent{}}, sent: map[sentKey]bool{}}
		if err := f.open(ctx); err != nil {
			return err
		}
		var err error
		switch f.at.Stage {
		case stageMembers:
			err = f.members(ctx)
		case stageDocuments:
			err = f.documents(ctx)
		default:
			err = f.changes(ctx)
		}
		page = f.page
		page.Cursor = f.at.String()
		page.reading(&r)
		return err
	})
	if err != nil {
		return FeedPage{}, err
	}
	return page, nil
}

// reading says of what documents p tells, and by which permissions.
func (p FeedPage) reading(r *reading) {
	for _, e := range p.Events {
		if e.DocumentID != nil {
			r.documents = append(r.documents, *e.DocumentID)
		}
	}
	for _, c := range p.Connections {
		r.asOf[c.Name] = c.PermissionsAsOf
	}
}

// open finds out what the key reads and where its cursor is; without one it
// begins a snapshot.
func (f *feedReader) open(ctx context.Context) error {
	var key uuid.UUID
	var dropped int64
	var profile *int16
	var covers bool
	err := f.tx.QueryRow(ctx, `SELECT key_id, head, dropped, profile, covers, connections FROM tributary.feed_status($1)`, f.at.Key).
		Scan(&key, &f.head, &dropped, &profile, &covers, &f.page.Connections)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrFeedDenied
	case err != nil:
		return err
	}
	if f.req.Embedding && profile != nil {
		f.profile = *profile
	}
	if f.req.Cursor == "" {
		f.at = feedCursor{Key: key, Position: f.head, Profile: f.profile, Stage: stageMembers, After: &uuid.Nil}
		f.add(FeedEvent{Event: FeedBegin})
		for _, c := range f.page.Connections {
			f.add(staleness(c))
		}
		return nil
	}
	// A position of the future is one of before the database was restored.
	if f.at.Position < dropped || f.at.Position > f.head || f.at.Profile != f.profile {
		return ErrFeedExpired
	}
	if !covers {
		return &InputError{Field: "cursor", Problem: "was given to a key with fewer connections: leave it out to begin again"}
	}
	f.at.Key = key
	return nil
}

func staleness(c FeedConnection) FeedEvent {
	kind := FeedFresh
	if c.Stale {
		kind = FeedStale
	}
	return FeedEvent{Event: kind, ConnectionID: &c.ID}
}
