package company

import (
	"embed"
	"encoding/json"
	"fmt"
	"time"
)

//go:embed organisation.json questions.json all:documents
var files embed.FS

// Organisation is the whole content of the sandbox.
type Organisation struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	Domain string   `json:"domain"`
	People []Person `json:"people"`
	Groups []Group  `json:"groups"`
	// Items holds every folder before what lies in it.
	Items []Item `json:"-"`
}

// Person is somebody with an account. Guests have an address outside the
// organisation's domain; who has left is not Active.
type Person struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Title    string `json:"title"`
	Active   bool   `json:"active"`
	Verified bool   `json:"verified"`
}

// Ref names a person or a group: Kind is "user" or "group".
type Ref struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
}

// Group is a set of people and groups. Groups nest, and two of them contain
// each other.
type Group struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Members []Ref  `json:"members"`
}

// Entry gives Role ("owner", "writer", "reader" or "blocked") to a principal;
// Kind is "user", "group", "domain", "anyone", "public" or "link".
type Entry struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Role string `json:"role"`
}

// Item is a folder or a file. Kind is "folder" or "file"; ParentID is empty at
// the top. Body holds the bytes of a file.
//
// Who may read it: its Entries, with the readers of its parent where Inherit is
// set; where Restricted is set, only those of its Entries who may also read
// the parent. Who is blocked anywhere on the path reads nothing below.
type Item struct {
	ID          string
	Kind        string
	Name        string
	ParentID    string
	MediaType   string
	Body        string
	AuthorID    string
	Created     time.Time
	Updated     time.Time
	Description string
	Inherit     bool
	Restricted  bool
	Entries     []Entry
}

// Question is one step of the guided tour: Person asks and finds the item
// Expects, which HiddenFrom does not find.
type Question struct {
	Question   string `json:"question"`
	Person     string `json:"person"`
	Expects    string `json:"expects"`
	HiddenFrom string `json:"hidden_from"`
}

// Load returns the organisation with all its documents.
func Load() (Organisation, error) {
	var org struct {
		Organisation
		Folders []folder `json:"folders"`
	}
	if err := readJSON("organisation.json", &org); err != nil {
		return Organisation{}, err
	}
	items, err := readItems(org.Folders)
	if err != nil {
		return Organisation{}, err
	}
	org.Items = items
	return org.Organisation, nil
}

// Questions returns the questions of the guided tour.
func Questions() ([]Question, error) {
	var qs []Question
	if err := readJSON("questions.json", &qs); err != nil {
		return nil, err
	}
	return qs, nil
}

func readJSON(name string, v any) error {
	data, err := files.ReadFile(name)
	if err != nil {
		return fmt.Errorf("reading %s: %w", name, err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("decoding %s: %w", name, err)
	}
	return nil
}
