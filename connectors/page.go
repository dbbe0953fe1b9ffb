package connectors

import (
	"context"
	"io"
	"time"
)

// Page is what a session yields at a time. The engine commits pages in order:
// when yield returns true the page is accepted, and Next becomes the place to
// continue from once everything before it is durable.
type Page struct {
	// Changes are applied in order.
	Changes []Change
	// Skipped are items that are listed and deliberately not ingested. They
	// count as seen.
	Skipped []Skip
	// Blocked are containers that could not be listed. Nothing below them is
	// inferred to be deleted.
	Blocked []Container
	// Containers are containers that the listing met, each with what it lies in.
	// Sources name them whose documents' containers nest and have ids that are no
	// paths: what lies in a blocked one at any depth is known by them alone.
	Containers []Place
	// Next is the cursor after this page. It must differ from the cursor that
	// the page was read at, and from every earlier one of the run; the engine
	// stops a run whose cursor does not move as a bug.
	Next Cursor
	// Complete is said by the last page of a listing that reached the source's
	// own end. It speaks for the whole sequence since the zero cursor.
	Complete bool
}

// ItemRef names one revision of one item.
type ItemRef struct {
	// ID is the item's id at the source: immutable where the source has such
	// an id, unique within the connection's realm.
	ID string `json:"id"`
	// Revision changes whenever the text may have changed. The engine opens a
	// body only if Revision differs from what is stored.
	Revision string `json:"revision"`
}

// Op is what a change does.
type Op int

// The operations of a change.
const (
	// Upsert creates the document or replaces its text, fields and ACL.
	Upsert Op = iota
	// Delete is the source's own tombstone.
	Delete
	// SetACL replaces the ACL alone. In a listing the item counts as seen: it is
	// there, while it cannot be told whether it is selected.
	SetACL
)

// String returns the operation's name as it stands in logs and counts.
func (o Op) String() string {
	switch o {
	case Upsert:
		return "upsert"
	case Delete:
		return "delete"
	case SetACL:
		return "set-acl"
	default:
		return "unknown"
	}
}

// Change is one change of one item. Document is nil for Delete and SetACL; ACL
// is ignored for Delete.
type Change struct {
	Op       Op
	Ref      ItemRef
	Document *Document
	ACL      ACL
}

// MaxBody is the largest body, in bytes, that the engine reads. A larger one is
// quarantined; a connector that knows better skips it.
const MaxBody = 64 << 20

// Document describes an item and opens its body.
type Document struct {
	// Title is shown to people; the engine falls back to the last element of
	// Path.
	Title string
	// URL is where a person opens the item at the source: https, http, or
	// file; anything else is dropped.
	URL string
	// Path is the item's place as a person would say it, separated by slashes.
	Path string
	// Container is the id of the container that holds the item; the unit of
	// Page.Blocked.
	Container string
	// Kind is the source's own type, such as "file" or "issue".
	Kind string
	// MediaType is a hint for text extraction; "" means sniff.
	MediaType string
	// Size is the body's length in bytes, -1 where unknown.
	Size int64
	// Author is a display name; CreatedAt and UpdatedAt are the source's times
	// and zero where unknown.
	Author    string
	CreatedAt time.Time
	UpdatedAt time.Time
	// Metadata holds further fields for filters.
	Metadata map[string]string
	// Open returns the body. It is called at most once per change, possibly
	// from another goroutine, and only when the revision is not stored. An
	// error of class ItemSkipped quarantines this item alone; one of class
	// ItemRefused hides what is stored of it.
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Skip names an item that is listed and not ingested, with the reason that an
// admin reads.
type Skip struct {
	Ref    ItemRef `json:"ref"`
	Path   string  `json:"path"`
	Reason string  `json:"reason"`
}

// Container names a container whose listing failed. Prefix is the item-path
// prefix of its subtree where ids are paths, else "".
type Container struct {
	ID     string `json:"id"`
	Prefix string `json:"prefix,omitempty"`
	Reason string `json:"reason"`
}

// Place says that a container lies in another one.
type Place struct {
	ID     string `json:"id"`
	Parent string `json:"parent"`
}
