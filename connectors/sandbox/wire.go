package sandbox

import (
	"path"
	"strings"
	"time"
)

// The kinds of items, entries and changes, and the roles, as the API writes
// them.
const (
	kindFile, kindFolder = "file", "folder"

	entryUser, entryGroup, entryDomain   = "user", "group", "domain"
	entryAnyone, entryPublic, entryLink  = "anyone", "public", "link"
	roleOwner, roleWriter, roleReader    = "owner", "writer", "reader"
	roleBlocked                          = "blocked"
	changeUpsert, changeDelete, changeAC = "upsert", "delete", "access"
)

// item is a file or folder. Restricted, Inherit and Entries are nil where the
// sandbox does not tell them, which is not the same as no and none.
type item struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Name        string    `json:"name"`
	ParentID    string    `json:"parent_id"`
	Path        string    `json:"path"`
	MediaType   string    `json:"media_type"`
	Size        int64     `json:"size"`
	Revision    string    `json:"revision"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
	Author      named     `json:"author"`
	URL         string    `json:"url"`
	Description string    `json:"description"`
	Restricted  *bool     `json:"restricted"`
	Inherit     *bool     `json:"inherit"`
	Entries     []entry   `json:"entries"`
}

type named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type entry struct {
	Principal principal `json:"principal"`
	Role      string    `json:"role"`
}

type principal struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

type itemsPage struct {
	Items    []item `json:"items"`
	Next     string `json:"next_page_token"`
	Complete bool   `json:"complete"`
}

type changesPage struct {
	Changes []change `json:"changes"`
	Next    string   `json:"next_page_token"`
	More    bool     `json:"more"`
}

// change is one entry of the feed; Item is the item as it stands now.
type change struct {
	ItemID string `json:"item_id"`
	Kind   string `json:"kind"`
	Item   *item  `json:"item"`
}

type about struct {
	Organisation struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Domain string `json:"domain"`
	} `json:"organisation"`
	Account struct {
		ID    string `json:"id"`
		Name  string `json:"name"`
		Email string `json:"email"`
	} `json:"account"`
}

type groupsPage struct {
	Groups []group `json:"groups"`
	Next   string  `json:"next_page_token"`
}

type group struct {
	ID      string      `json:"id"`
	Name    string      `json:"name"`
	Members []principal `json:"members"`
}

type peoplePage struct {
	People []person `json:"people"`
	Next   string   `json:"next_page_token"`
}

type person struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Verified bool   `json:"email_verified"`
	Active   bool   `json:"active"`
}

// domain returns the domain of the person's address in lower case.
func (p person) domain() string {
	_, domain, _ := strings.Cut(p.Email, "@")
	return strings.ToLower(domain)
}

// title returns the name without the ending of a document's format.
func (it *item) title() string {
	switch ext := path.Ext(it.Name); strings.ToLower(ext) {
	case ".md", ".html", ".txt", ".csv", ".pdf", ".docx":
		if t := strings.TrimSuffix(it.Name, ext); t != "" {
			return t
		}
	}
	return it.Name
}
