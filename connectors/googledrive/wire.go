package googledrive

import (
	"strconv"
	"strings"
	"time"
)

// The media types of Google's own files,
// https://developers.google.com/workspace/drive/api/guides/mime-types.
const (
	native       = "application/vnd.google-apps."
	typeFolder   = native + "folder"
	typeShortcut = native + "shortcut"
	typeDoc      = native + "document"
	typeSheet    = native + "spreadsheet"
	typeSlides   = native + "presentation"
	typeDrawing  = native + "drawing"
)

// What is asked for: by default Google leaves out most of it.
const (
	permissionFields = "id,type,role,emailAddress,domain,displayName,allowFileDiscovery,deleted,expirationTime,view," +
		"inheritedPermissionsDisabled,permissionDetails(inherited,inheritedFrom,role)"
	placeFields = "id,name,mimeType,driveId,parents,trashed,ownedByMe"
	accessField = "hasAugmentedPermissions,inheritedPermissionsDisabled"
	aclFields   = placeFields + ",size," + accessField + ",permissions(" + permissionFields + ")"
	fileFields  = aclFields + ",description,md5Checksum,sha256Checksum,headRevisionId,createdTime,modifiedTime,webViewLink," +
		"resourceKey,owners(displayName),lastModifyingUser(displayName),capabilities(canDownload),shortcutDetails(targetMimeType)"
	folderFields = placeFields + "," + accessField
)

// file is a file, folder or shortcut. Permissions are nil where Google does not
// show them, which is not the same as none.
type file struct {
	ID            string       `json:"id"`
	Name          string       `json:"name"`
	MimeType      string       `json:"mimeType"`
	Description   string       `json:"description"`
	DriveID       string       `json:"driveId"`
	Parents       []string     `json:"parents"`
	Trashed       bool         `json:"trashed"`
	OwnedByMe     bool         `json:"ownedByMe"`
	Size          string       `json:"size"`
	MD5           string       `json:"md5Checksum"`
	SHA256        string       `json:"sha256Checksum"`
	HeadRevision  string       `json:"headRevisionId"`
	Created       string       `json:"createdTime"`
	Modified      string       `json:"modifiedTime"`
	Link          string       `json:"webViewLink"`
	ResourceKey   string       `json:"resourceKey"`
	Owners        []person     `json:"owners"`
	ModifiedBy    person       `json:"lastModifyingUser"`
	Augmented     bool         `json:"hasAugmentedPermissions"`
	Limited       bool         `json:"inheritedPermissionsDisabled"`
	Permissions   []permission `json:"permissions"`
	PermissionIDs []string     `json:"permissionIds"`
	Capabilities  struct {
		CanDownload *bool `json:"canDownload"`
	} `json:"capabilities"`
}

// person is a user as Drive names them.
type person struct {
	Name         string `json:"displayName"`
	Email        string `json:"emailAddress"`
	PermissionID string `json:"permissionId"`
}

// parent returns the folder that holds f, "" where the account cannot see it.
func (f *file) parent() string {
	if len(f.Parents) == 0 {
		return ""
	}
	return f.Parents[0]
}

// size returns the length in bytes, -1 where unknown.
func (f *file) size() int64 {
	if n, err := strconv.ParseInt(f.Size, 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}

func (f *file) native() bool { return strings.HasPrefix(f.MimeType, native) }

// moment reads a time of the API, zero where it is none.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// permission is one grant. Its id names the grantee and is the same on every
// file.
type permission struct {
	ID           string `json:"id"`
	Type         string `json:"type"`
	Role         string `json:"role"`
	Email        string `json:"emailAddress"`
	Domain       string `json:"domain"`
	Name         string `json:"displayName"`
	Discoverable bool   `json:"allowFileDiscovery"`
	Deleted      bool   `json:"deleted"`
	Expires      string `json:"expirationTime"`
	View         string `json:"view"`
	Limited      bool   `json:"inheritedPermissionsDisabled"`
	Details      []struct {
		Inherited bool   `json:"inherited"`
		From      string `json:"inheritedFrom"`
		Role      string `json:"role"`
	} `json:"permissionDetails"`
}

type filesPage struct {
	Files      []file `json:"files"`
	Next       string `json:"nextPageToken"`
	Incomplete bool   `json:"incompleteSearch"`
}

type changesPage struct {
	Changes []change `json:"changes"`
	Next    string   `json:"nextPageToken"`
	Start   string   `json:"newStartPageToken"`
}

// change is one entry of a log; File is the file as it stands now, nil where
// the account no longer sees it.
type change struct {
	Type   string `json:"changeType"`
	FileID string `json:"fileId"`
	File   *file  `json:"file"`
}

type drivesPage struct {
	Drives []drive `json:"drives"`
	Next   string  `json:"nextPageToken"`
}

type drive struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type permissionsPage struct {
	Permissions []permission `json:"permissions"`
	Next        string       `json:"nextPageToken"`
}

type usersPage struct {
	Users []directoryUser `json:"users"`
	Next  string          `json:"nextPageToken"`
}

// directoryUser is a person of the organisation. ID is the account's id, which
// is not the id of their permissions.
type directoryUser struct {
	ID        string   `json:"id"`
	Email     string   `json:"primaryEmail"`
	Aliases   []string `json:"aliases"`
	Customer  string   `json:"customerId"`
	Suspended bool     `json:"suspended"`
	Archived  bool     `json:"archived"`
	Name      struct {
		Full string `json:"fullName"`
	} `json:"name"`
}

type membersPage struct {
	Members []member `json:"members"`
	Next    string   `json:"nextPageToken"`
}

type member struct {
	ID     string `json:"id"`
	Email  string `json:"email"`
	Type   string `json:"type"`
	Status string `json:"status"`
}

// refusal is the body of an error,
// https://developers.google.com/workspace/drive/api/guides/handle-errors.
type refusal struct {
	Error struct {
		Errors []struct {
			Reason string `json:"reason"`
		} `json:"errors"`
		Details []struct {
			Reason string `json:"reason"`
		} `json:"details"`
	} `json:"error"`
}
