package example

import "tributary/connectors"

// Source is the name of the connector.
const Source = "example"

// The scopes of Example.
const scopeRead = "items.read"

// The problems that admins of Example really meet.
const problemScope = "scope_missing"

// spec is the connector as data: pages, command line and docs are made from it.
func spec() connectors.Spec {
	return connectors.Spec{
		Source:          Source,
		Name:            "Example",
		Description:     "Items of Example, with the people who may read them.",
		Category:        connectors.CategoryFiles,
		Icon:            "document",
		Provider:        "example",
		Hosts:           []string{"{base}"},
		PrincipalPrefix: "example",
		CursorVersion:   cursorVersion,
		Scopes: []connectors.Scope{
			{Name: scopeRead, Reason: "Reads items and who may read each of them."},
		},
		Provides: []connectors.Capability{
			connectors.CanPermissions, connectors.CanFetch, connectors.CanVerify, connectors.CanRealm,
		},
		Limits: []string{"A connection reads what the account that consented can read."},
		Problems: []connectors.Problem{
			{
				Code: problemScope, Class: connectors.ScopeDenied,
				Sign:   "The grant lacks the scope " + scopeRead + ".",
				Remedy: "Grant again, with it ticked.",
			},
		},
	}
}
