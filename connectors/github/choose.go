package github

import (
	"context"
	"iter"
	"slices"
	"strings"

	"tributary/connectors"
)

// Choices yields the owners whose repositories the account can see, and below
// an owner its repositories. Who selects an owner selects what it creates
// later, too.
func (s *session) Choices(ctx context.Context, parent string) iter.Seq2[connectors.Choice, error] {
	return func(yield func(connectors.Choice, error) bool) {
		c, err := s.catalogue(ctx, "listing github repositories")
		if err != nil {
			yield(connectors.Choice{}, err)
			return
		}
		for _, choice := range choicesBelow(c, parent) {
			if !yield(choice, nil) {
				return
			}
		}
	}
}

func choicesBelow(c *catalogue, parent string) []connectors.Choice {
	var all []connectors.Choice
	owners := map[string]bool{}
	for i := range c.repos {
		r := &c.repos[i]
		switch owner := r.ownerID(); {
		case owner == "":
		case parent == "" && !owners[owner]:
			owners[owner] = true
			all = append(all, connectors.Choice{ID: owner, Name: r.Owner.name(), HasChildren: true, Detail: strings.ToLower(r.Owner.Type)})
		case parent == owner:
			all = append(all, connectors.Choice{ID: r.id(), Name: r.Name, Detail: repoDetail(r)})
		}
	}
	slices.SortStableFunc(all, func(a, b connectors.Choice) int {
		return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return all
}

// repoDetail says what decides about syncing it: "private, archived, fork".
func repoDetail(r *repository) string {
	var words []string
	switch {
	case r.Visibility != "":
		words = append(words, r.Visibility)
	case r.Private != nil && *r.Private:
		words = append(words, visibilityPrivate)
	case r.Private != nil:
		words = append(words, visibilityPublic)
	}
	if r.Archived {
		words = append(words, "archived")
	}
	if r.Fork {
		words = append(words, "fork")
	}
	if r.Description != "" {
		words = append(words, r.Description)
	}
	return strings.Join(words, ", ")
}
