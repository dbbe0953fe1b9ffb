package company

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"
)

// folder is a directory of documents/ with its access, as organisation.json
// has it. Path is the directory; the parent's folder stands before it.
type folder struct {
	ID          string    `json:"id"`
	Path        string    `json:"path"`
	Name        string    `json:"name"`
	Author      string    `json:"author"`
	Created     time.Time `json:"created"`
	Description string    `json:"description"`
	Restricted  bool      `json:"restricted"`
	Entries     []Entry   `json:"entries"`
}

// readItems returns the folders in the order given and then every document.
func readItems(folders []folder) ([]Item, error) {
	ids := map[string]string{".": ""}
	var items []Item
	for _, f := range folders {
		parent, ok := ids[path.Dir(f.Path)]
		if !ok {
			return nil, fmt.Errorf("reading folder %s: its parent is not listed before it", f.Path)
		}
		ids[f.Path] = f.ID
		items = append(items, Item{
			ID: f.ID, Kind: "folder", Name: f.Name, ParentID: parent, AuthorID: f.Author,
			Created: f.Created, Updated: f.Created, Description: f.Description,
			Inherit: !f.Restricted, Restricted: f.Restricted, Entries: f.Entries,
		})
	}
	err := fs.WalkDir(files, "documents", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		dir := strings.TrimPrefix(path.Dir(name), "documents/")
		parent, ok := ids[dir]
		if !ok {
			return fmt.Errorf("reading %s: folder %s is not listed", name, dir)
		}
		item, err := parseDocument(path.Base(name), string(data))
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		item.ParentID = parent
		items = append(items, item)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return items, nil
}

var (
	errNoFrontMatter = errors.New("front matter between two lines of --- is missing")
	errUnknownType   = errors.New("the ending is not md, html, txt, csv, pdf or docx")
)

// parseDocument splits a file into its front matter and its body. The file's
// base name without the ending is the item's id.
func parseDocument(base, data string) (Item, error) {
	ext := path.Ext(base)
	item := Item{ID: strings.TrimSuffix(base, ext), Kind: "file", MediaType: mediaType(ext), Inherit: true}
	if item.MediaType == "" {
		return Item{}, errUnknownType
	}
	data, ok := strings.CutPrefix(data, "---\n")
	head, body, found := strings.Cut(data, "\n---\n")
	if !ok || !found {
		return Item{}, errNoFrontMatter
	}
	item.Body = body
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, ": ")
		if err := item.set(key, value); err != nil {
			return Item{}, fmt.Errorf("front matter %q: %w", key, err)
		}
	}
	item.Name += ext
	return item, nil
}

// set takes over one line of front matter.
func (it *Item) set(key, value string) error {
	var err error
	switch key {
	case "title":
		it.Name = value
	case "author":
		it.AuthorID = value
	case "created":
		it.Created, err = time.Parse(time.RFC3339, value)
	case "updated":
		it.Updated, err = time.Parse(time.RFC3339, value)
	case "description":
		it.Description = value
	case "inherit":
		it.Inherit = value != "no"
	case "restricted":
		it.Restricted = value == "yes"
	case "share":
		for s := range strings.SplitSeq(value, ", ") {
			f := strings.Split(s, ":")
			if len(f) != 3 {
				return fmt.Errorf("%q is not kind:id:role", s)
			}
			it.Entries = append(it.Entries, Entry{Kind: f[0], ID: f[1], Role: f[2]})
		}
	default:
		return errors.New("is not known")
	}
	return err
}

func mediaType(ext string) string {
	switch ext {
	case ".md":
		return "text/markdown"
	case ".html":
		return "text/html"
	case ".txt":
		return "text/plain"
	case ".csv":
		return "text/csv"
	case ".pdf":
		return "application/pdf"
	case ".docx":
		return "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
	default:
		return ""
	}
}
