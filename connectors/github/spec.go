package github

import "tributary/connectors"

// Source is the name of the connector.
const Source = "github"

// The provider profiles, of GitHub.com and of servers.
const (
	providerApp         = "github-app"
	providerOAuth       = "github-oauth"
	providerServerApp   = "github-server-app"
	providerServerOAuth = "github-server-oauth"
)

// The settings of a connection.
const (
	settingAbout    = "about"
	settingFiles    = "files"
	settingIssues   = "issues"
	settingPulls    = "pulls"
	settingArchived = "archived"
	settingForks    = "forks"
	settingMaxFile  = "max_file_kb"
)

// The codes of known problems.
const (
	problemApproval   = "oauth_app_not_approved"
	problemSSO        = "single_sign_on_required"
	problemInstall    = "app_not_installed"
	problemSuspended  = "installation_suspended"
	problemPermission = "permission_missing"
	problemReaders    = "collaborators_unreadable"
	problemAddress    = "address_not_allowed"
	problemLegal      = "repository_blocked"
	problemPace       = "rate_limited"
)

// Spec describes the connector.
func (*Connector) Spec() connectors.Spec { return spec() }

func spec() connectors.Spec {
	oauth := []string{providerOAuth, providerServerOAuth}
	return connectors.Spec{
		Source:          Source,
		Name:            "GitHub",
		Description:     "Files, issues and pull requests of the repositories you choose, on GitHub.com or GitHub Enterprise Server.",
		Category:        connectors.CategoryCode,
		Icon:            "github",
		Provider:        providerApp,
		OtherProviders:  []string{providerOAuth, providerServerApp, providerServerOAuth},
		Hosts:           []string{"api.github.com", "{base}"},
		PrincipalPrefix: "github",
		CursorVersion:   cursorVersion,
		Scopes: []connectors.Scope{
			{Name: "repo", Reason: "Reads private repositories. GitHub has no narrower scope for OAuth apps; a GitHub App can be limited to reading.", Providers: oauth},
			{Name: "read:org", Reason: "Reads who is a member of your organisations, who decide who may read a repository.", Providers: oauth},
		},
		Settings: settings(),
		Provides: []connectors.Capability{
			connectors.CanChanges, connectors.CanListIDs, connectors.CanGroups, connectors.CanFetch,
			connectors.CanChoose, connectors.CanVerify, connectors.CanRealm, connectors.CanName, connectors.CanSelf,
		},
		Limits:   limits(),
		Pace:     pace(),
		Problems: problems(),
	}
}

// pace: GitHub sends its reset time with every answer, so that it counts only
// when nothing remains.
// https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
func pace() connectors.Pace {
	return connectors.Pace{EpochSeconds: []string{"X-RateLimit-Reset"}, Remaining: []string{"X-RateLimit-Remaining"}}
}

func settings() []connectors.Setting {
	return []connectors.Setting{
		{Name: settingAbout, Label: "About each repository", Type: connectors.Bool, Default: "true", Description: "Sync a short document for each repository: its description, topics and homepage."},
		{Name: settingFiles, Label: "Files", Type: connectors.Bool, Default: "true", Description: "Sync the files of each repository's default branch."},
		{Name: settingIssues, Label: "Issues", Type: connectors.Bool, Default: "true", Description: "Sync issues with their comments."},
		{Name: settingPulls, Label: "Pull requests", Type: connectors.Bool, Default: "true", Description: "Sync pull requests with their comments and reviews."},
		{Name: settingArchived, Label: "Archived repositories", Type: connectors.Bool, Default: "true", Description: "Include archived repositories. One that is chosen by name is always included."},
		{Name: settingForks, Label: "Forks", Type: connectors.Bool, Default: "false", Description: "Include forks. One that is chosen by name is always included."},
		{Name: settingMaxFile, Label: "Largest file in KB", Type: connectors.Int, Default: "10240", Example: "2048", Description: "Skip files larger than this many kilobytes, 65536 at most."},
	}
}

func limits() []string {
	return []string{
		"Only the default branch is read; other branches, tags, releases, discussions, projects, packages and the contents of Git LFS, submodules and symbolic links are not.",
		"Wikis are not read: GitHub has no API for them.",
		"The readers of a private repository are its collaborators as GitHub lists them, with teams, base permission and owners; whoever connects must have push access, or use a GitHub App. Without, nobody reads the repository here.",
		"An internal repository is readable to its collaborators and to the members of its organisation, as far as the account sees them; members of the enterprise's other organisations are not known.",
		"On GitHub Enterprise Server a public repository is readable like an internal one, because the server may require everybody to sign in.",
		"An issue or comment that is deleted, and an issue that is transferred, is noticed by the next whole listing; an edit of a review's text is noticed with the next change of its pull request.",
		"GitHub allows 5,000 requests an hour for each account or installation; 304 answers are free.",
		"A repository with more than 500,000 files is not listed.",
	}
}

// problems are the walls that admins of GitHub meet.
func problems() []connectors.Problem {
	return []connectors.Problem{
		{
			Code: problemApproval, Class: connectors.ScopeDenied,
			Sign:   "The organisation restricts OAuth apps and has not approved this one.",
			Remedy: "An owner approves it under Settings, Third-party Access, OAuth app policy; or use a GitHub App.",
		},
		{
			Code: problemSSO, Class: connectors.ScopeDenied,
			Sign:   "The organisation requires SAML single sign-on, and the consent was given without it.",
			Remedy: "Sign in to the organisation in your browser first, then grant again.",
		},
		{
			Code: problemInstall, Class: connectors.ScopeDenied,
			Sign:   "The GitHub App is not installed where the account can see it, or on none of its repositories.",
			Remedy: "Install the app on the organisation and give it the repositories, under the app's page, Install App.",
		},
		{
			Code: problemSuspended, Class: connectors.ScopeDenied,
			Sign:   "The installation of the GitHub App is suspended.",
			Remedy: "An owner of the organisation unsuspends it under Settings, GitHub Apps, Configure.",
		},
		{
			Code: problemPermission, Class: connectors.ScopeDenied,
			Sign:   "The GitHub App lacks a permission that this connection needs.",
			Remedy: "Give the app Contents, Issues, Pull requests and Metadata (read-only) and Members (read-only) for the organisation; an owner then accepts the new permissions.",
		},
		{
			Code: problemReaders, Class: connectors.ScopeDenied,
			Sign:   "The account may not list the collaborators of a repository, so nobody reads it here.",
			Remedy: "Connect with an account that has push access to the repository, or with a GitHub App that has Metadata (read-only).",
		},
		{
			Code: problemAddress, Class: connectors.ScopeDenied,
			Sign:   "The organisation allows only certain IP addresses, and this server's is not among them.",
			Remedy: "An owner adds the address under Settings, Authentication security, IP allow list.",
		},
		{
			Code: problemLegal, Class: connectors.ItemRefused,
			Sign:   "GitHub has blocked the repository, for legal reasons or a breach of its terms.",
			Remedy: "Read the notice on the repository's page; take the repository out of the selection if it stays blocked.",
		},
		{
			Code: problemPace, Class: connectors.RateLimited,
			Sign:   "GitHub's rate limit is used up.",
			Remedy: "Nothing is to be done, the sync goes on when GitHub says; select fewer repositories or use a GitHub App if it happens often.",
		},
	}
}
