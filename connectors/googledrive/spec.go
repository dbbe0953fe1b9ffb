package googledrive

import "tributary/connectors"

// Source is the name of the connector.
const Source = "googledrive"

// provider is the profile whose grants the connector accepts, by consent or by
// a service account with domain-wide delegation.
const provider = "google"

// The settings of a connection.
const (
	settingLink = "link_sharing"
	linkNobody  = "nobody"
	linkDomain  = "domain"
	linkAnyone  = "anyone"

	settingGroups   = "groups"
	groupsOff       = "off"
	groupsDirectory = "directory"
)

// The scopes, https://developers.google.com/identity/protocols/oauth2/scopes.
const (
	scopeDrive   = "https://www.googleapis.com/auth/drive.readonly"
	scopeUsers   = "https://www.googleapis.com/auth/admin.directory.user.readonly"
	scopeMembers = "https://www.googleapis.com/auth/admin.directory.group.member.readonly"
)

// The codes of Spec.Problems.
const (
	problemAPI     = "api_not_enabled"
	problemScope   = "scope_missing"
	problemAdmin   = "workspace_admin_needed"
	problemBlocked = "blocked_by_admin"
	problemEnded   = "grant_ended"
	problemRate    = "rate_limited"
	problemDaily   = "daily_quota"
)

// Spec describes the connector.
func (c *Connector) Spec() connectors.Spec {
	directory := []connectors.Condition{{Setting: settingGroups, Value: groupsDirectory}}
	return connectors.Spec{
		Source:          Source,
		Name:            "Google Drive",
		Description:     "Documents of My Drive and of shared drives, with the people, groups and domains that each is shared with.",
		Category:        connectors.CategoryFiles,
		Icon:            Source,
		Provider:        provider,
		Hosts:           []string{"www.googleapis.com", "admin.googleapis.com"},
		PrincipalPrefix: provider,
		CursorVersion:   cursorVersion,
		Scopes: []connectors.Scope{
			{Name: scopeDrive, Reason: "Reads files, who may read each of them, and what changed."},
			{Name: scopeUsers, When: directory, Reason: "Reads the people of the organisation, so that members of groups and domains are recognised. An administrator has to consent."},
			{Name: scopeMembers, When: directory, Reason: "Reads who is in the groups that files are shared with. An administrator has to consent."},
		},
		Settings: []connectors.Setting{
			{
				Name: settingGroups, Label: "Groups and domains", Type: connectors.Enum, Default: groupsOff, Options: []string{groupsOff, groupsDirectory},
				Description: "Who is in groups and domains: off lets nobody find what is shared with them only; directory asks the Admin SDK, for which an administrator of the Workspace has to consent.",
			},
			{
				Name: settingLink, Label: "Shared by link", Type: connectors.Enum, Default: linkNobody, Options: []string{linkNobody, linkDomain, linkAnyone},
				Description: "Who finds what is shared by link: nobody; domain, so that links for an organisation count for all of it; or anyone, so that open links count for every account besides.",
			},
		},
		Provides: []connectors.Capability{
			connectors.CanChanges, connectors.CanListIDs, connectors.CanPermissions, connectors.CanGroups, connectors.CanPeople, connectors.CanFetch,
			connectors.CanChoose, connectors.CanVerify, connectors.CanRealm, connectors.CanName, connectors.CanSelf,
		},
		Limits: []string{
			"A connection reads what its account can read; a service account with domain-wide delegation reads what the person does for whom it acts.",
			"Google shows permissions only to those who may share a file: what the account can merely view, in shared drives too, is visible to nobody.",
			"Groups and domains grant nobody anything until the setting groups is directory; groups of other organisations always stay closed.",
			"Docs and Slides are read as text and Sheets with every sheet, up to Google's limit of 10 MB for an export; comments, forms, sites, images and Office files are not read.",
			"What lies in the trash, shortcuts, and files whose download is turned off are not read.",
			"The name of a shared drive in paths is that of the last full listing.",
		},
		Pace:     connectors.Pace{Reasons: []string{"rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded"}},
		Problems: problems(),
	}
}

// problems are the walls that admins of a Workspace meet.
func problems() []connectors.Problem {
	return []connectors.Problem{
		{
			Code: problemEnded, Class: connectors.GrantLost,
			Sign:   "Google no longer accepts the grant.",
			Remedy: "Connect again. If this happens after seven days, the app's audience is in Testing: publish it, or make it Internal, under Google Auth Platform, Audience.",
		},
		{
			Code: problemAPI, Class: connectors.ClientRejected,
			Sign:   "An API is not enabled in the Google Cloud project of the client.",
			Remedy: "Enable the Google Drive API, and for groups the Admin SDK API, under APIs & Services, Library; it takes a few minutes to count.",
		},
		{
			Code: problemScope, Class: connectors.ScopeDenied,
			Sign:   "The grant lacks a scope: its box was not ticked, or it was not asked for.",
			Remedy: "Grant again and leave every box ticked.",
		},
		{
			Code: problemAdmin, Class: connectors.ScopeDenied,
			Sign:   "The account may not read the organisation's directory.",
			Remedy: "Let an administrator of the Workspace with the right to read users and groups connect, or set groups to off.",
		},
		{
			Code: problemBlocked, Class: connectors.ClientRejected,
			Sign:   "An administrator of the Workspace blocks this app.",
			Remedy: "In the Admin console, under Security, API controls, App access control, mark the client ID as trusted, and let Drive apps be installed.",
		},
		{
			Code: problemRate, Class: connectors.RateLimited,
			Sign:   "Google's requests per minute are used up.",
			Remedy: "Nothing needs to be done: the run goes on by itself. Raise the quota of the Drive API in the Google Cloud console if it happens often.",
		},
		{
			Code: problemDaily, Class: connectors.RateLimited,
			Sign:   "The project's daily quota of the Drive API is used up.",
			Remedy: "Wait for the next day, or raise the quota under APIs & Services, Quotas.",
		},
	}
}
