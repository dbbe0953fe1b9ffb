package connectors

import "slices"

// Category is the kind of thing that a source holds: people look for a source by it.
type Category string

// The categories of sources. Pages show those in which a connector stands; one that fits none of them adds its own here.
const (
	CategoryFiles         Category = "files"
	CategoryCode          Category = "code"
	CategoryKnowledgeBase Category = "knowledge-base"
	CategoryChat          Category = "chat"
	// CategoryOwn is for what programs of the admin's own bring.
	CategoryOwn Category = "own"
)

// Categories returns every category, in the order in which people read them.
func Categories() []Category {
	return []Category{CategoryFiles, CategoryCode, CategoryKnowledgeBase, CategoryChat, CategoryOwn}
}

// Title is the category's name for people, "" for one that is unknown.
func (c Category) Title() string {
	return map[Category]string{
		CategoryFiles: "Files", CategoryCode: "Code", CategoryKnowledgeBase: "Knowledge bases", CategoryChat: "Chat", CategoryOwn: "Programs of yours",
	}[c]
}

// Known reports whether c is one of [Categories].
func (c Category) Known() bool { return slices.Contains(Categories(), c) }

// CategoriesOf returns the categories in which any of the sources stands, in the order of [Categories].
func CategoriesOf(specs []Spec) []Category {
	return slices.DeleteFunc(Categories(), func(c Category) bool {
		return !slices.ContainsFunc(specs, func(s Spec) bool { return s.Category == c })
	})
}
