package sandbox

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Kind is a way to fail.
type Kind int

// The ways to fail. Of the token endpoint, those that say "done" have issued and stored the tokens before they fail.
const (
	TokenLost         Kind = iota // done, and the connection closes without an answer
	TokenTruncated                // done, and half of the answer arrives
	TokenSlow                     // done, and the answer waits for Delay
	TokenError500                 // nothing done
	TokenError503                 // nothing done
	TokenInvalidGrant             // nothing done, answered as if the grant were gone
	RateLimited                   // any API request: 429 with Retry-After
	ItemsError                    // an items page: 500
	ItemsTruncated                // an items page: half of its JSON
	ItemsRepeat                   // an items page names itself as the next
	ItemsExpired                  // an items page: 410 page_token_expired
	ItemsEmpty                    // an items page without items that names a next one
	ContentForbidden              // content: 403
	ContentGone                   // content: 404
	ContentError                  // content: 500
	ContentTruncated              // content: half of the bytes
	ContentSlow                   // content: the second half waits for Delay
	ContentRedirect               // content: 302 to RedirectTo
	TombstoneDropped              // a deletion is missing in the change feed
	RevokeUnavailable             // revocation: 503
	ConsentWithoutIss             // the consent's answer has no iss
	ConsentWrongIss               // the consent's answer names another issuer
	ConsentTwoIss                 // the consent's answer has iss twice
	kindCount
)

var kindNames = [...]string{
	"token-lost", "token-truncated", "token-slow", "token-500", "token-503", "token-invalid-grant", "rate-limited",
	"items-500", "items-truncated", "items-repeat", "items-expired", "items-empty", "content-403", "content-404",
	"content-500", "content-truncated", "content-slow", "content-redirect", "tombstone-dropped", "revoke-503",
	"consent-without-iss", "consent-wrong-iss", "consent-two-iss",
}

// String returns the name that the switches page shows.
func (k Kind) String() string {
	if k < 0 || k >= kindCount {
		return "Kind(" + strconv.Itoa(int(k)) + ")"
	}
	return kindNames[k]
}

// Kinds returns every kind.
func Kinds() []Kind {
	list := make([]Kind, kindCount)
	for i := range list {
		list[i] = Kind(i)
	}
	return list
}

// rule says when a kind of fault happens.
type rule struct{ next, every, count, hits int }

// Options are the switches that are values.
type Options struct {
	// TokenLife is how long access tokens live; 0 is the client's own, or an hour.
	TokenLife time.Duration
	// Delay is how long slow answers wait.
	Delay time.Duration
	// RetryAfter is what a 429 asks for.
	RetryAfter time.Duration
	// RedirectTo is where ContentRedirect leads.
	RedirectTo string
	// RateBurst requests of a client are answered at once, RatePerSecond after that; RatePerSecond 0 is no limit.
	RateBurst, RatePerSecond int
	// FeedLength is how many changes the feed remembers; older positions are expired.
	FeedLength int
	// Jump is added to the clock.
	Jump time.Duration
}

func defaultOptions() Options {
	return Options{
		Delay: 5 * time.Second, RetryAfter: 2 * time.Second, RedirectTo: "http://127.0.0.1:9/elsewhere",
		RateBurst: 2000, RatePerSecond: 100, FeedLength: maxFeed,
	}
}

// Faults are the switches of a Server. They are not saved: a restart clears them.
type Faults struct {
	mu      sync.Mutex
	rules   [kindCount]rule
	items   map[string]map[Kind]bool
	options Options
	// pageEpoch and feedEpoch are part of page tokens: raising one expires those given out before.
	pageEpoch, feedEpoch int
}

// Next makes the next n occasions fail.
func (f *Faults) Next(k Kind, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules[k].next = n
}

// Every makes every nth occasion fail; 0 none.
func (f *Faults) Every(k Kind, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules[k].every, f.rules[k].count = n, 0
}

// OnItem makes the content of one item fail each time, until Clear.
func (f *Faults) OnItem(k Kind, itemID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.items[itemID] == nil {
		f.items[itemID] = map[Kind]bool{}
	}
	f.items[itemID][k] = true
}

// Hits returns how often k has happened since Clear.
func (f *Faults) Hits(k Kind) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rules[k].hits
}

// Options returns the values.
func (f *Faults) Options() Options {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.options
}

// Set changes the values.
func (f *Faults) Set(change func(*Options)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.options)
}

// Advance moves the clock on by d.
func (f *Faults) Advance(d time.Duration) { f.Set(func(o *Options) { o.Jump += d }) }

// ExpirePages makes every page token of listings that was given out so far answer 410.
func (f *Faults) ExpirePages() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pageEpoch++
}

// ExpireFeed makes every position of the change feed that was given out so far answer 410.
func (f *Faults) ExpireFeed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.feedEpoch++
}

// Clear switches every fault off and puts the values back; what has expired stays expired.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rules, f.items, f.options = [kindCount]rule{}, map[string]map[Kind]bool{}, defaultOptions()
}

// hit reports whether this occasion fails.
func (f *Faults) hit(k Kind) bool { return f.hitItem(k, "") }

func (f *Faults) hitItem(k Kind, itemID string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &f.rules[k]
	fails := f.items[itemID][k]
	if !fails && r.next > 0 {
		r.next--
		fails = true
	}
	if !fails && r.every > 0 {
		r.count++
		fails = r.count%r.every == 0
	}
	if fails {
		r.hits++
	}
	return fails
}

func (f *Faults) jump() time.Duration { return f.Options().Jump }

func (f *Faults) epochs() (page, feed int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pageEpoch, f.feedEpoch
}

// switchRow is a kind of fault as the page shows it.
type switchRow struct {
	Kind              Kind
	Next, Every, Hits int
}

func (f *Faults) rows() []switchRow {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows := make([]switchRow, 0, kindCount)
	for k, r := range f.rules {
		rows = append(rows, switchRow{Kind: Kind(k), Next: r.next, Every: r.every, Hits: r.hits})
	}
	return rows
}

// failingItems returns the items with a fault of their own.
func (f *Faults) failingItems() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.items))
}
