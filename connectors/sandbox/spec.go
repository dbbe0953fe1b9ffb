package sandbox

import "tributary/connectors"

// Source is the name of the connector.
const Source = "sandbox"

// The setting of a connection.
const (
	settingLink = "link_sharing"

	linkNobody = "nobody"
	linkAnyone = "anyone"
)

// The scopes of the sandbox.
const (
	scopeAccount = "account.read"
	scopeFiles   = "files.read"
	scopeGroups  = "groups.read"
)

// Spec describes the connector.
func (c *Connector) Spec() connectors.Spec {
	return connectors.Spec{
		Source:          Source,
		Name:            "Sandbox Drive",
		Description:     "Documents of an invented company, with shared, private and restricted folders and nested groups, to try Tributary with.",
		Category:        connectors.CategoryFiles,
		Icon:            "sandbox",
		Provider:        "sandbox",
		Hosts:           []string{"{base}"},
		PrincipalPrefix: "sandbox",
		CursorVersion:   cursorVersion,
		Scopes: []connectors.Scope{
			{Name: scopeAccount, Reason: "Tells which account and organisation the connection belongs to."},
			{Name: scopeFiles, Reason: "Reads documents, who may read each of them, and what changed."},
			{Name: scopeGroups, Reason: "Reads who is in the groups that documents are shared with; without it only what is shared with a person by name is found."},
		},
		Settings: []connectors.Setting{
			{
				Name: settingLink, Label: "Shared by link", Type: connectors.Enum, Default: linkNobody, Options: []string{linkNobody, linkAnyone},
				Description: "Who finds what is shared with anyone who has the link: nobody, or anyone of the organisation.",
			},
		},
		Provides: []connectors.Capability{
			connectors.CanChanges, connectors.CanListIDs, connectors.CanPermissions, connectors.CanGroups, connectors.CanPeople, connectors.CanFetch,
			connectors.CanChoose, connectors.CanVerify, connectors.CanRealm, connectors.CanName, connectors.CanSelf,
		},
		Limits: []string{
			"A connection reads what the account that consented can read; a client of its own (client credentials) reads the whole organisation.",
			"A document in a folder that this account cannot see is visible to nobody: somebody may be blocked there.",
			"Addresses of guests count for a domain only where the sandbox has verified them.",
			"People who have left are in no group and find nothing that is shared with them by name; without the scope groups.read this is not known.",
		},
	}
}
