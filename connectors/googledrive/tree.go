package googledrive

import (
	"context"
	"slices"
	"strings"
	"time"

	"tributary/connectors"
)

const (
	// maxDepth is how deep folders may lie in each other; Google allows 100.
	maxDepth = 110
	// maxMisses is how many folders are asked for one by one before all those of
	// their corpus are listed.
	maxMisses = 20

	queryFolders = "trashed=false and mimeType='" + typeFolder + "'"
)

// The containers beside shared drives, as selections and documents name them.
const (
	containerMine   = "my-drive"
	containerShared = "shared-with-me"
	containerDrive  = "drive:"

	nameMine   = "My Drive"
	nameShared = "Shared with me"
)

// tree is the folders of one listing, each asked for once. Nil stands for a
// folder that the account cannot see.
type tree struct {
	s       *session
	op      string
	folders map[string]*file
	listed  map[corpus]bool
	misses  int
	// closed are folders that answer 403: what lies below them cannot be told.
	// Blocked are those that no page names yet.
	closed  map[string]bool
	blocked []connectors.Container
	// grants are the permissions of folders and of files in shared drives.
	grants map[string]granted
}

func (s *session) newTree(op string) *tree {
	return &tree{s: s, op: op, folders: map[string]*file{}, listed: map[corpus]bool{}, closed: map[string]bool{}, grants: map[string]granted{}}
}

// note takes over a folder that a listing shows.
func (t *tree) note(f *file) {
	if f.MimeType == typeFolder {
		t.folders[f.ID] = f
	}
}

// list asks for all folders of a corpus.
func (t *tree) list(ctx context.Context, c corpus) error {
	if t.listed[c] {
		return nil
	}
	for token := ""; ; {
		page, _, err := t.s.files(ctx, t.op, c, queryFolders, folderFields, token)
		if err != nil {
			return err
		}
		for i := range page.Files {
			t.note(&page.Files[i])
		}
		if token = page.Next; token == "" {
			t.listed[c] = true
			return nil
		}
	}
}

// get returns a folder, or nil for one that the account cannot see.
func (t *tree) get(ctx context.Context, id string, c corpus) (*file, error) {
	if f, ok := t.folders[id]; ok {
		return f, nil
	}
	if t.misses++; t.misses > maxMisses && !t.listed[c] {
		if err := t.list(ctx, c); err != nil && !refused(err) {
			return nil, err
		}
		t.listed[c] = true
		if f, ok := t.folders[id]; ok {
			return f, nil
		}
	}
	f, _, err := t.s.file(ctx, t.op, id, folderFields)
	if refused(err) || (err == nil && (f.ID != id || f.MimeType != typeFolder)) {
		t.folders[id] = nil
		if forbidden(err) {
			t.closed[id] = true
			t.blocked = append(t.blocked, connectors.Container{ID: id, Reason: "The folder is not given out to this account."})
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t.folders[id] = &f
	return &f, nil
}

// place is where a file lies.
type place struct {
	// container is the unit in which files are listed: containerMine,
	// containerShared, or a shared drive.
	container string
	path      string
	// above are the folders from the file upwards, without the root. Whole says
	// that they reach it.
	above []*file
	whole bool
	// closed says that they end below a folder that answers 403.
	closed bool
}

// place looks up the folders above f.
func (t *tree) place(ctx context.Context, f *file) (place, error) {
	root, err := t.s.top(ctx, t.op, f)
	if err != nil {
		return place{}, err
	}
	var p place
	for id := f.parent(); ; {
		if p.whole = id != "" && id == root; p.whole || id == "" || len(p.above) > maxDepth {
			break
		}
		folder, err := t.get(ctx, id, corpus(f.DriveID))
		if err != nil {
			return p, err
		}
		if folder == nil {
			p.closed = t.closed[id]
			break
		}
		p.above = append(p.above, folder)
		id = folder.parent()
	}
	p.container = t.s.container(f, p)
	p.path = t.s.path(f, p)
	return p, nil
}

// tell puts on a page which folders were found to be closed.
func (t *tree) tell(page *connectors.Page) {
	page.Blocked, t.blocked = append(page.Blocked, t.blocked...), nil
}

// top returns the id of the folder above which there is nothing: the shared
// drive's own, or the root of My Drive.
func (s *session) top(ctx context.Context, op string, f *file) (string, error) {
	if f.DriveID != "" {
		return f.DriveID, s.knowDrives(ctx, op)
	}
	if s.rootID == "" {
		root, _, err := s.file(ctx, op, "root", "id")
		if err != nil && !refused(err) {
			return "", err
		}
		if s.rootID = root.ID; err != nil {
			s.rootID = "root" // an account without a My Drive
		}
	}
	return s.rootID, nil
}

// knowDrives asks once for the names of the shared drives.
func (s *session) knowDrives(ctx context.Context, op string) error {
	if s.driveNames != nil {
		return nil
	}
	names := map[string]string{}
	for d, err := range s.drives(ctx, op) {
		if err != nil {
			return err
		}
		names[d.ID] = d.Name
	}
	s.driveNames = names
	return nil
}

// member reports whether the account is a member of the drive that holds f.
func (s *session) member(f *file) bool {
	_, ok := s.driveNames[f.DriveID]
	return ok && f.DriveID != ""
}

func (s *session) container(f *file, p place) string {
	topmost := f
	if n := len(p.above); n > 0 {
		topmost = p.above[n-1]
	}
	switch {
	case s.member(f):
		return containerDrive + f.DriveID
	case f.DriveID == "" && (p.whole || topmost.OwnedByMe):
		return containerMine
	default:
		return containerShared
	}
}

// path returns the names from the top down. A slash within a name is written as
// another character, so that it does not look like a folder.
func (s *session) path(f *file, p place) string {
	plain := strings.NewReplacer("/", "\u2215")
	elems := []string{plain.Replace(f.Name)}
	for _, folder := range p.above {
		elems = append(elems, plain.Replace(folder.Name))
	}
	switch p.container {
	case containerMine:
		elems = append(elems, nameMine)
	case containerShared:
		elems = append(elems, nameShared)
	default:
		elems = append(elems, plain.Replace(s.driveNames[f.DriveID]))
	}
	slices.Reverse(elems)
	return strings.Join(elems, "/")
}

// granted are permissions with the source's time of the answer; known is false
// where the account may not see them.
type granted struct {
	list  []permission
	at    time.Time
	known bool
}

// permissions asks once for those of a file or folder of a shared drive.
func (t *tree) permissions(ctx context.Context, id string) (granted, error) {
	if g, ok := t.grants[id]; ok {
		return g, nil
	}
	g, err := t.s.permissions(ctx, t.op, id)
	if err != nil && !refused(err) {
		return granted{}, err
	}
	t.grants[id] = g
	return g, nil
}

// driveGroup is everybody who is a member of a shared drive.
func (s *session) driveGroup(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: containerDrive + id, Name: s.driveNames[id]}
}
