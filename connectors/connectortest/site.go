package connectortest

import (
	"errors"
	"time"

	"tributary/connectors"
)

// Site is a source under the kit's control: a fake server, a directory, a
// world in memory. Every method that a site cannot offer returns
// [errors.ErrUnsupported] (embed [Limited] for that): the rules that need it
// are skipped by name, unless the Spec claims the capability that they prove.
//
// Put, Delete, Truth, People and CanRead are required.
type Site interface {
	// Put creates the item called name, or edits its text, and returns its id.
	// Names are slash paths such as "a/deep/doc-03.md"; the directories are
	// containers. The text is Markdown.
	Put(name, text string) (id string, err error)
	// Delete removes an item.
	Delete(id string) error
	// Move gives an item another name in another container and returns the id
	// that it has then.
	Move(id, name string) (newID string, err error)
	// Truth returns what a whole listing of the selection finds.
	Truth() ([]Item, error)

	// People returns the accounts of the realm, as user principals: those that
	// CanRead tells apart. At least two, where the site has permissions.
	People() []connectors.Principal
	// CanRead is the site's own answer to whether person may read the item. A
	// person who is not among People is a stranger.
	CanRead(person connectors.Principal, id string) bool
	// Share replaces the item's permissions. The site chooses the principals.
	Share(id string, with Audience) error
	// Memberships returns the memberships that GroupLister must yield.
	Memberships() ([]connectors.Membership, error)
	// ChangeMembership adds one membership and removes another.
	ChangeMembership() error

	// Emails returns the addresses that PeopleLister must yield.
	Emails() ([]connectors.Person, error)

	// Fail sets a fault, beside those already set.
	Fail(f Fault) error
	// Mend takes away every fault and releases every answer held by Slow.
	Mend()
	// BodyOpens returns how many bodies were requested so far.
	BodyOpens() (int, error)
	// Names returns how people write some principals of this source, for
	// connectors.PrincipalNamer.
	Names() (map[string]connectors.Principal, error)
}

// Item is one document as the site knows it.
type Item struct {
	ID string
	// Name is the name it was put or moved under.
	Name string
	Text string
}

// Audience is whom an item is shared with, in words that fit every source.
type Audience string

// The audiences. A site offers those that its source can express.
const (
	// ForOne is one person, besides accounts that read everything.
	ForOne Audience = "one"
	// ForGroup is the members of a group, nested groups included.
	ForGroup Audience = "group"
	// ForAll is every account of the realm, and no stranger.
	ForAll Audience = "all"
	// ForBoth is people who meet two conditions at once, such as being in a
	// space and on a page's own list.
	ForBoth Audience = "both"
	// ForAllButOne is every account except a denied one.
	ForAllButOne Audience = "all-but-one"
	// ForUnknown is permissions that the connector cannot read or express:
	// nobody may read the document, whatever CanRead says.
	ForUnknown Audience = "unknown"
)

// Audiences returns every audience, in a fixed order.
func Audiences() []Audience {
	return []Audience{ForOne, ForGroup, ForAll, ForBoth, ForAllButOne, ForUnknown}
}

// Place is the kind of request that a fault hits.
type Place string

// The places of a fault.
const (
	// OnListing is a page of Snapshot, ListIDs or Permissions.
	OnListing Place = "listing"
	// OnFeed is a page of Changes.
	OnFeed Place = "feed"
	// OnBody is the body of the item called Name.
	OnBody Place = "body"
	// OnContainer is the listing of the container called Name, and of nothing
	// beside it.
	OnContainer Place = "container"
	// OnACL is the permissions of the item called Name.
	OnACL Place = "acl"
	// OnGroups is the listing of memberships; it fails part way where it can.
	OnGroups Place = "groups"
	// OnPeople is the listing of people and their addresses; it fails part way
	// where it can.
	OnPeople Place = "people"
)

// FaultKind is what goes wrong.
type FaultKind string

// The kinds of faults. Sources without HTTP raise what means the same, or say
// that they cannot.
const (
	Unauthorized FaultKind = "401"
	Forbidden    FaultKind = "403"
	NotFound     FaultKind = "404"
	Gone         FaultKind = "410"
	RateLimited  FaultKind = "429"
	ServerError  FaultKind = "500"
	Unavailable  FaultKind = "503"
	// Truncated ends a body early, short of its announced length.
	Truncated FaultKind = "truncated"
	// Slow holds the answer until Mend, or until the request is cancelled.
	Slow FaultKind = "slow"
	// ExpiredCursor makes the site forget every cursor given out so far. It
	// takes no Page and no Times.
	ExpiredCursor FaultKind = "expired-cursor"
)

// Fault is one thing that goes wrong at the site.
type Fault struct {
	On   Place
	Kind FaultKind
	// Name is the item or the container, for OnBody, OnACL and OnContainer.
	Name string
	// Page is the first page request that fails, for OnListing and OnFeed:
	// counted from 1 since the fault was set. Zero is the first.
	Page int
	// RetryAfter is announced with RateLimited and Unavailable, where not zero.
	RetryAfter time.Duration
	// Times is how often the fault strikes; zero is until Mend.
	Times int
}

// Limited is the optional part of a Site, all of it unsupported. Sites embed it
// and override what they can do.
type Limited struct{}

// Move is unsupported.
func (Limited) Move(string, string) (string, error) { return "", errors.ErrUnsupported }

// Share is unsupported.
func (Limited) Share(string, Audience) error { return errors.ErrUnsupported }

// Memberships is unsupported.
func (Limited) Memberships() ([]connectors.Membership, error) { return nil, errors.ErrUnsupported }

// ChangeMembership is unsupported.
func (Limited) ChangeMembership() error { return errors.ErrUnsupported }

// Emails is unsupported.
func (Limited) Emails() ([]connectors.Person, error) { return nil, errors.ErrUnsupported }

// Fail is unsupported.
func (Limited) Fail(Fault) error { return errors.ErrUnsupported }

// Mend does nothing.
func (Limited) Mend() {}

// BodyOpens is unsupported.
func (Limited) BodyOpens() (int, error) { return 0, errors.ErrUnsupported }

// Names is unsupported.
func (Limited) Names() (map[string]connectors.Principal, error) { return nil, errors.ErrUnsupported }
