package pages

import (
	"strings"
	"time"

	"tributary/store"
)

// TopicClock is the topic of a page of which no event tells: it looks again every five seconds while a part is live.
const TopicClock = "clock"

// Frame is what every page has around it.
type Frame struct {
	Title string
	// Path is the page's own, to mark where one is.
	Path string
	// Account is who is signed in; nil for nobody.
	Account *store.Account
	// Links are the pages that the account may open.
	Links []Link
	// Topic is what the page's live parts follow: all, run:ID, connection:ID or TopicClock; "" for nothing.
	Topic string
	// Done tells that the act before this page succeeded; "" for none.
	Done string
	// Problem tells what is wrong with what was sent; "" for nothing.
	Problem string
	Version string
}

// Link is an entry of the navigation.
type Link struct {
	Path, Name string
	// Icon is its picture of the sprite, Group the heading that it stands under; "" is above all headings.
	Icon, Group string
	// Key is the letter that leads there, behind g; "" for none.
	Key string
	// Count is how much there is to look at, 0 for nothing; Bad says that something stands still.
	Count int64
	Bad   bool
}

// crumb is the link of a page that stands above another; without a path it only names it.
func crumb(path, name string) Link { return Link{Path: path, Name: name} }

// countTone is the class of the count of a link.
func (l Link) countTone() string {
	if l.Bad {
		return "bad"
	}
	return "warn"
}

// here reports whether the link leads to the page or to one above it.
func (f Frame) here(l Link) bool {
	return l.Path == f.Path || (l.Path != "/" && strings.HasPrefix(f.Path, l.Path+"/"))
}

// group is the links under one heading of the navigation.
type group struct {
	name  string
	links []Link
}

// groups returns the links by their headings, which stand beside each other in Links.
func (f Frame) groups() []group {
	var list []group
	for _, l := range f.Links {
		if n := len(list); n == 0 || list[n-1].name != l.Group {
			list = append(list, group{name: l.Group})
		}
		list[len(list)-1].links = append(list[len(list)-1].links, l)
	}
	return list
}

// Field is one input of a form.
type Field struct {
	Name, Label, Value, Hint string
	// Kind is text or password.
	Kind string
	// Autocomplete is the token of HTML's autofill for it.
	Autocomplete string
	Autofocus    bool
	Optional     bool
}

// moment writes a time so that every reader understands it.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func momentOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return moment(*t)
}

// isoMoment is the form for programs.
func isoMoment(t time.Time) string { return t.UTC().Format(time.RFC3339) }
