package googledrive

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"tributary/connectors"
)

// Choices yields My Drive, what is shared with the account and the shared
// drives, and below each of them its folders. A chosen folder stands for all
// that lies below it, also later and wherever it is moved.
func (s *session) Choices(ctx context.Context, parent string) iter.Seq2[connectors.Choice, error] {
	const op = "listing Google Drive folders"
	return func(yield func(connectors.Choice, error) bool) {
		list, err := s.choices(ctx, op, parent)
		for _, c := range list {
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(connectors.Choice{}, err)
		}
	}
}

func (s *session) choices(ctx context.Context, op, parent string) ([]connectors.Choice, error) {
	if err := s.knowDrives(ctx, op); err != nil {
		return nil, err
	}
	switch drive, ok := strings.CutPrefix(parent, containerDrive); {
	case parent == "":
		return s.roots(), nil
	case ok:
		return s.folders(ctx, op, corpus(drive), quoted(drive)+" in parents", nil)
	case parent == containerMine:
		return s.folders(ctx, op, userCorpus, "'root' in parents", nil)
	case parent == containerShared:
		// What lies in such a folder is shared as well, and has a parent.
		return s.folders(ctx, op, userCorpus, "sharedWithMe", func(f *file) bool { return f.parent() == "" })
	default:
		f, _, err := s.file(ctx, op, parent, folderFields)
		if err != nil {
			return nil, err
		}
		c := userCorpus
		if s.member(&f) {
			c = corpus(f.DriveID)
		}
		return s.folders(ctx, op, c, quoted(parent)+" in parents", nil)
	}
}

func (s *session) roots() []connectors.Choice {
	all := []connectors.Choice{
		{ID: containerMine, Name: nameMine, HasChildren: true},
		{ID: containerShared, Name: nameShared, HasChildren: true},
	}
	for _, id := range slices.Sorted(maps.Keys(s.driveNames)) {
		all = append(all, connectors.Choice{ID: containerDrive + id, Name: s.driveNames[id], HasChildren: true, Detail: "shared drive"})
	}
	return all
}

// folders returns the folders that q describes and keep lets pass.
func (s *session) folders(ctx context.Context, op string, c corpus, q string, keep func(*file) bool) ([]connectors.Choice, error) {
	var all []connectors.Choice
	for token := ""; ; {
		page, _, err := s.files(ctx, op, c, queryFolders+" and "+q, folderFields, token)
		if err != nil {
			return all, err
		}
		for i := range page.Files {
			if f := &page.Files[i]; keep == nil || keep(f) {
				all = append(all, connectors.Choice{ID: f.ID, Name: f.Name, HasChildren: true})
			}
		}
		if token = page.Next; token == "" {
			return all, nil
		}
	}
}
