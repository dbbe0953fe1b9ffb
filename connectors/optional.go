package connectors

import (
	"context"
	"iter"
)

// ChangeFeed is implemented by sessions of sources that say what changed. A
// feed is a hint: a periodic reconcile proves it.
type ChangeFeed interface {
	// Start returns the feed's position of this moment. It is taken before the
	// snapshot and promoted when the snapshot ends.
	Start(ctx context.Context) (Cursor, error)
	// Changes yields what happened since from. A position that the source no
	// longer knows is an error of class CursorExpired.
	Changes(ctx context.Context, from Cursor) iter.Seq2[Page, error]
}

// IDLister is implemented by sessions that can list the selection's ids more
// cheaply than a snapshot. Its pages carry Upsert changes without Open.
type IDLister interface {
	ListIDs(ctx context.Context, from Cursor) iter.Seq2[Page, error]
}

// PermissionFeed is implemented by sessions that can read ACLs without text.
// Its pages carry SetACL changes; an item whose permissions cannot be read is
// yielded with the zero ACL.
type PermissionFeed interface {
	Permissions(ctx context.Context, from Cursor) iter.Seq2[Page, error]
}

// GroupLister is implemented by sessions that know memberships.
type GroupLister interface {
	// Groups yields every membership the connection's ACLs rely on. The set
	// replaces the stored one only if the sequence ends without an error.
	Groups(ctx context.Context) iter.Seq2[Membership, error]
}

// PeopleLister is implemented by sessions of sources that say which e-mail
// address somebody has.
type PeopleLister interface {
	// People yields the addresses of the realm's active users, each of them as
	// the source writes it; of several addresses of one user each is yielded. The
	// set replaces the stored one only if the sequence ends without an error.
	People(ctx context.Context) iter.Seq2[Person, error]
}

// Person is a user with an address.
type Person struct {
	Principal Principal `json:"principal"`
	Email     string    `json:"email"`
	// Verified is true only where the source itself says that the address is
	// this user's; what users merely claim is not verified.
	Verified bool `json:"verified"`
}

// Fetcher is implemented by sessions that can read one item again, by id. An
// item that is gone is an error of class ItemRefused.
type Fetcher interface {
	Fetch(ctx context.Context, id string) (Change, error)
}

// Chooser is implemented by sessions that can be browsed for a selection.
type Chooser interface {
	// Choices yields the containers below parent; "" is the root.
	Choices(ctx context.Context, parent string) iter.Seq2[Choice, error]
}

// Choice is one container that can be selected.
type Choice struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	HasChildren bool   `json:"has_children"`
	Detail      string `json:"detail,omitempty"`
}

// Verifier is implemented by sessions that can prove cheaply that the
// connection works: "Save and test".
type Verifier interface {
	// Verify returns what a person can recognise the connection by, such as
	// the account or the number of files.
	Verify(ctx context.Context) (summary string, err error)
}

// Realmer is implemented by sessions that learn their realm only from the
// source. Sessions without it use the realm of Spec.Realm.
type Realmer interface {
	// Realm returns the id of the organisation, workspace, domain or machine
	// in which the connection's principal ids are unique.
	Realm(ctx context.Context) (string, error)
}

// Counter is implemented by sessions that count what an admin should know of a
// run beside documents.
type Counter interface {
	// Counts returns what the session has counted so far, by names in snake
	// case.
	Counts() map[string]int64
}

// PrincipalNamer is implemented by sessions that can resolve how a person
// writes a principal, such as "unix:alice". Unknown names are class Invalid.
type PrincipalNamer interface {
	NamePrincipal(ctx context.Context, name string) (Principal, error)
}

// SelfIdentifier is implemented by sessions that know which of the source's
// users the connection's grant acts for. The provider's id of an account need
// not be the id by which the source names it in permissions: only the connector
// knows.
type SelfIdentifier interface {
	// Self returns the account that consented as the user that ACLs and
	// memberships name. A grant of nobody's, such as a client's own, is class
	// Invalid.
	Self(ctx context.Context) (Principal, error)
}
