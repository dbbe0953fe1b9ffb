package sourcedocs

import (
	"fmt"
	"slices"
	"strings"

	"tributary/connectors"
)

// Provider is what a page says of a provider profile.
type Provider struct{ Name, Title string }

// Block returns the reference of a source: how it is connected, its scopes,
// settings, limits and problems. Providers gives the titles of profiles.
func Block(s connectors.Spec, providers []Provider) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", s.Description)
	access(&b, s, providers)
	scopes(&b, s, providers)
	settings(&b, s)
	provides(&b, s)
	limits(&b, s)
	problems(&b, s)
	return b.String()
}

func access(b *strings.Builder, s connectors.Spec, providers []Provider) {
	if s.Provider == "" {
		fmt.Fprintf(b, "\nIt needs no consent: `tributary connect %s --help`.\n", s.Source)
		return
	}
	var names []string
	for _, p := range providers {
		if s.Accepts(p.Name) {
			names = append(names, fmt.Sprintf("%s, `%s`", p.Title, p.Name))
		}
	}
	fmt.Fprintf(b, "\nIt is connected through a client registration at %s. The connection's token is sent only to %s.\n",
		strings.Join(names, "; or "), hosts(s.Hosts))
}

func hosts(list []string) string {
	var out []string
	for _, h := range list {
		if h == "{base}" {
			out = append(out, "the server that the registration names")
		} else {
			out = append(out, "`"+strings.ReplaceAll(h, "{base}", "INSTANCE")+"`")
		}
	}
	return strings.Join(out, " and ")
}

func scopes(b *strings.Builder, s connectors.Spec, providers []Provider) {
	if len(s.Scopes) == 0 {
		return
	}
	b.WriteString("\n### Scopes\n\n| Scope | Why | Asked for |\n|---|---|---|\n")
	for _, sc := range s.Scopes {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", sc.Name, cell(sc.Reason), asked(s, sc, providers))
	}
}

// asked says when a scope is asked for.
func asked(s connectors.Spec, sc connectors.Scope, providers []Provider) string {
	text := "always"
	if len(sc.When) > 0 {
		var when []string
		for _, c := range sc.When {
			when = append(when, fmt.Sprintf("`%s=%s`", c.Setting, c.Value))
		}
		text = "with " + strings.Join(when, " or ")
	}
	if len(sc.Providers) == 0 || len(s.OtherProviders) == 0 {
		return text
	}
	var at []string
	for _, p := range providers {
		if slices.Contains(sc.Providers, p.Name) {
			at = append(at, p.Title)
		}
	}
	return text + ", at " + strings.Join(at, ", ")
}

func settings(b *strings.Builder, s connectors.Spec) {
	if len(s.Settings) == 0 {
		return
	}
	b.WriteString("\n### Settings\n\nGiven as `--set NAME=VALUE`, or in the form.\n\n| Setting | Default | Meaning |\n|---|---|---|\n")
	for _, f := range s.Settings {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.Name, defaultOf(f), cell(meaning(f)))
	}
}

func defaultOf(f connectors.Setting) string {
	switch {
	case f.Required:
		return "required"
	case f.Default == "":
		return "none"
	default:
		return "`" + f.Default + "`"
	}
}

func meaning(f connectors.Setting) string {
	text := f.Description
	if len(f.Options) > 0 {
		text += " One of `" + strings.Join(f.Options, "`, `") + "`."
	}
	if f.Example != "" {
		text += " Example: `" + f.Example + "`."
	}
	return text
}

func provides(b *strings.Builder, s connectors.Spec) {
	b.WriteString("\n### What it provides\n\n")
	for _, c := range connectors.Capabilities() {
		if s.Has(c) {
			fmt.Fprintf(b, "- **%s**: %s\n", c, words(c))
		}
	}
	if s.PrincipalPrefix != "" {
		fmt.Fprintf(b, "\nPrincipals are written `%s:NAME`.\n", s.PrincipalPrefix)
	}
}

func limits(b *strings.Builder, s connectors.Spec) {
	if len(s.Limits) == 0 {
		return
	}
	b.WriteString("\n### Limits\n\n")
	for _, l := range s.Limits {
		fmt.Fprintf(b, "- %s\n", l)
	}
}

func problems(b *strings.Builder, s connectors.Spec) {
	if len(s.Problems) == 0 {
		return
	}
	b.WriteString("\n### Troubleshooting\n\n| Code | What is observed | What to do |\n|---|---|---|\n")
	for _, p := range s.Problems {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", p.Code, cell(p.Sign), cell(p.Remedy))
	}
}

// words says what a capability means for an admin.
func words(c connectors.Capability) string {
	switch c {
	case connectors.CanChanges:
		return "a run reads what changed instead of everything."
	case connectors.CanListIDs:
		return "reconciling lists ids without reading documents."
	case connectors.CanPermissions:
		return "permissions are read again on their own schedule, without text."
	case connectors.CanGroups:
		return "memberships are read from the source."
	case connectors.CanPeople:
		return "verified e-mail addresses can map readers to its people, where an admin allows it."
	case connectors.CanFetch:
		return "one document can be read again."
	case connectors.CanChoose:
		return "what is synced can be chosen by browsing."
	case connectors.CanVerify:
		return "a connection is tested before it is saved."
	case connectors.CanRealm:
		return "it knows the organisation that its ids belong to."
	case connectors.CanName:
		return "people and groups can be named as people write them."
	case connectors.CanSelf:
		return "who consented can be linked to a reader by one click."
	default:
		return string(c)
	}
}

// cell makes text fit for a table.
func cell(text string) string {
	return strings.NewReplacer("\n", " ", "|", "\\|").Replace(text)
}

// Table returns the page of all sources: what each of them provides.
func Table(specs []connectors.Spec) string {
	var b strings.Builder
	b.WriteString("# Sources\n\n<!-- Generated from the connectors' Specs by `make generate`: do not edit. -->\n\n")
	b.WriteString("What each connector provides. The conformance kit fails a connector that claims what its sessions do not do, or does what it does not claim.\n\n| Source | Category |")
	for _, c := range connectors.Capabilities() {
		fmt.Fprintf(&b, " %s |", c)
	}
	b.WriteString("\n|---|---|" + strings.Repeat(":-:|", len(connectors.Capabilities())) + "\n")
	for _, s := range specs {
		fmt.Fprintf(&b, "| [%s](%s.md) | %s |", s.Name, s.Source, strings.ToLower(s.Category.Title()))
		for _, c := range connectors.Capabilities() {
			mark := ""
			if s.Has(c) {
				mark = "yes"
			}
			fmt.Fprintf(&b, " %s |", mark)
		}
		b.WriteString("\n")
	}
	b.WriteString("\n")
	for _, c := range connectors.Capabilities() {
		fmt.Fprintf(&b, "- **%s**: %s\n", c, words(c))
	}
	return b.String()
}
