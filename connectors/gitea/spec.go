package gitea

import "tributary/connectors"

// Source is the name of the connector.
const Source = "gitea"

// The settings of a connection.
const (
	settingFiles  = "files"
	settingIssues = "issues"
	settingPulls  = "pulls"
	settingWiki   = "wiki"
	settingAbout  = "descriptions"
	settingPublic = "public"

	publicAccounts  = "accounts"
	publicEverybody = "everybody"
)

// The scopes of Gitea.
const (
	scopeUser         = "read:user"
	scopeRepository   = "read:repository"
	scopeIssue        = "read:issue"
	scopeOrganization = "read:organization"
)

// The codes of known obstacles.
const (
	problemScope       = "scope_missing"
	problemPublicOnly  = "token_public_only"
	problemToken       = "consent_replaced"
	problemSignIn      = "sign_in_required"
	problemBlocked     = "account_blocked"
	problemPassword    = "password_change_due"
	problemUnavailable = "server_unavailable"
	problemNotGitea    = "not_gitea"
	problemOld         = "version_too_old"
	problemReaders     = "readers_hidden"
	problemTeams       = "team_members_hidden"
	problemPeople      = "people_hidden"
)

// Spec describes the connector.
func (c *Connector) Spec() connectors.Spec {
	return connectors.Spec{
		Source:          Source,
		Name:            "Gitea",
		Description:     "Files, issues, pull requests with reviews, and wikis of a Gitea or Forgejo server, with the rights of organisations, teams and collaborators.",
		Category:        connectors.CategoryCode,
		Icon:            "gitea",
		Provider:        "gitea",
		Hosts:           []string{"{base}"},
		PrincipalPrefix: "gitea",
		CursorVersion:   cursorVersion,
		Scopes:          scopes(),
		Settings: []connectors.Setting{
			{Name: settingFiles, Label: "Files", Type: connectors.Bool, Default: "true", Description: "Read the files of each repository's default branch."},
			{Name: settingIssues, Label: "Issues", Type: connectors.Bool, Default: "true", Description: "Read issues with their comments."},
			{Name: settingPulls, Label: "Pull requests", Type: connectors.Bool, Default: "true", Description: "Read pull requests with their comments and reviews."},
			{Name: settingWiki, Label: "Wiki pages", Type: connectors.Bool, Default: "true", Description: "Read wiki pages."},
			{Name: settingAbout, Label: "About each repository", Type: connectors.Bool, Default: "true", Description: "Read each repository's name, description and topics as a document of its own."},
			{
				Name: settingPublic, Label: "Public repositories", Type: connectors.Enum, Default: publicAccounts, Options: []string{publicAccounts, publicEverybody},
				Description: "Who finds what stands in public repositories: the server's accounts, or everybody. Choose everybody only where the server shows them without signing in.",
			},
		},
		Provides: []connectors.Capability{
			connectors.CanChanges, connectors.CanListIDs, connectors.CanPermissions, connectors.CanGroups, connectors.CanFetch,
			connectors.CanChoose, connectors.CanVerify, connectors.CanRealm, connectors.CanName, connectors.CanSelf,
		},
		Limits:   limits(),
		Problems: problems(),
	}
}

func scopes() []connectors.Scope {
	return []connectors.Scope{
		{Name: scopeUser, Reason: "Tells which account the connection belongs to, and which accounts may see public repositories."},
		{Name: scopeRepository, Reason: "Reads repositories, their files, wikis and reviews, and who may read them."},
		{
			Name: scopeIssue, Reason: "Reads issues, pull requests and their comments.",
			When: []connectors.Condition{{Setting: settingIssues, Value: "true"}, {Setting: settingPulls, Value: "true"}},
		},
		{Name: scopeOrganization, Reason: "Reads the members of organisations and teams, who decide who may read a repository."},
	}
}

func limits() []string {
	return []string{
		"A connection reads what the account that consented can read; connect with an owner of the organisations, because others cannot read who is in which team.",
		"Site administrators can read everything at the server and are not listed by it: they find only what they are given as owners, collaborators or members.",
		"Rights that a repository gives to everyone or to anonymous visitors unit by unit are not told by the server and grant nobody.",
		"Restricted accounts find what they are owners, collaborators or team members of; public repositories only where the setting public is everybody.",
		"Accounts that are hidden from the account that consented do not count among those that see public repositories.",
		"A line comment that is edited is seen when its pull request or another of its comments changes.",
		"A wiki of more than 300 pages is compared as a whole: its deleted pages disappear at the next reconcile.",
		"Issues are found by the server's search index, which can lag by some seconds.",
		"Forgejo is read through the same API, and which rights its tokens have is not checked by its version.",
		"Where issues were deleted, a run looks for the 200 newest numbers that are missing; older ones disappear at the next reconcile.",
	}
}

func problems() []connectors.Problem {
	return []connectors.Problem{
		{
			Code: problemScope, Class: connectors.ScopeDenied,
			Sign:   "The server answers that the token lacks a required scope: it gives an account that consented to the application before the scopes of that consent, without asking.",
			Remedy: "Remove the access of the application at the server first, as the account that consented, under Settings, Applications, Authorized OAuth2 Applications; then grant again. Granting again without that changes nothing.",
		},
		{Code: problemPublicOnly, Class: connectors.ScopeDenied, Sign: "The token is limited to public repositories.", Remedy: "Connect again without the scope public-only."},
		{
			Code: problemToken, Class: connectors.GrantLost, Sign: "The server no longer accepts the token.",
			Remedy: "Connect again; where the server invalidates refresh tokens, a second connection by the same account and application ends the first, so register an application for each.",
		},
		{Code: problemSignIn, Class: connectors.GrantLost, Sign: "The server asks to sign in although a token was sent.", Remedy: "Connect again: the token has been revoked or has expired."},
		{Code: problemBlocked, Class: connectors.GrantLost, Sign: "The account that consented is not active or may not sign in.", Remedy: "Have an administrator of the server activate it, or connect with another account."},
		{Code: problemPassword, Class: connectors.GrantLost, Sign: "The account that consented has to change its password first.", Remedy: "Sign in at the server, change the password, and connect again."},
		{Code: problemUnavailable, Class: connectors.Transient, Sign: "The server is not available; it may be starting, migrating its database or be in maintenance.", Remedy: "Nothing needs to be done: the run is tried again."},
		{Code: problemNotGitea, Class: connectors.Invalid, Sign: "The address does not answer as the API of a Gitea or Forgejo server.", Remedy: "Enter the server's address with its sub-path, and let the proxy before it pass /api/v1."},
		{Code: problemOld, Class: connectors.Invalid, Sign: "The server is older than Gitea 1.23, where a consent gives every right of the account.", Remedy: "Update the server."},
		{Code: problemReaders, Class: connectors.ScopeDenied, Sign: "The server does not tell the collaborators or teams of a repository, whose documents nobody finds.", Remedy: "Give the account that consented the right to read the repository, or connect with its owner."},
		{Code: problemTeams, Class: connectors.ScopeDenied, Sign: "The server does not tell the members of a team, who then find nothing by it.", Remedy: "Make the account that consented an owner of the organisation, or connect with an owner."},
		{Code: problemPeople, Class: connectors.ScopeDenied, Sign: "The server does not list its accounts, so nobody finds public repositories by being signed in.", Remedy: "Let the server show its users page, or choose everybody for the setting public where that is true."},
	}
}
