package sandbox

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tributary/internal/sandbox/company"
)

func (s *Server) driveRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /drive", s.folderPage)
	mux.HandleFunc("GET /drive/items/{id}", s.itemPage)
	mux.HandleFunc("GET /drive/trash", s.trashPage)
	mux.HandleFunc("POST /drive/new", s.driveNew)
	mux.HandleFunc("POST /drive/items/{id}/{action}", s.driveAct)
}

// itemRow is an item in a list.
type itemRow struct {
	ID, Kind, Name, Path, Author, MediaType string
	Size                                    int
	Updated                                 time.Time
	Restricted                              bool
}

func (d *drive) row(rd reader, it *record) itemRow {
	return itemRow{
		ID: it.ID, Kind: it.Kind, Name: it.Name, Path: d.path(rd, it), Author: d.name(kindUser, it.AuthorID), MediaType: it.MediaType,
		Size: len(it.Content), Updated: it.Updated, Restricted: it.Restricted,
	}
}

// folderView is a folder, or the root, as the signed-in person sees it.
type folderView struct {
	ID       string
	Crumbs   []itemRow
	Items    []itemRow
	Shared   bool // Items lie in folders that the person cannot read
	CanWrite bool
}

// children returns what the person sees in a folder; at the root also what lies in folders that the person cannot read.
func (d *drive) children(rd reader, parent string) []itemRow {
	var rows []itemRow
	for _, id := range d.ids() {
		it := d.Items[id]
		if !d.canRead(rd, it) {
			continue
		}
		p := d.Items[it.ParentID]
		orphan := parent == "" && p != nil && !d.canRead(rd, p)
		if it.ParentID == parent || orphan {
			rows = append(rows, d.row(rd, it))
		}
	}
	sortItems(rows)
	return rows
}

func (d *drive) crumbs(rd reader, it *record) []itemRow {
	var rows []itemRow
	for p := d.Items[it.ParentID]; p != nil && d.canRead(rd, p); p = d.Items[p.ParentID] {
		rows = append(rows, d.row(rd, p))
	}
	slices.Reverse(rows)
	return rows
}

func sortItems(rows []itemRow) {
	slices.SortFunc(rows, func(a, b itemRow) int {
		if a.Kind != b.Kind {
			return -strings.Compare(a.Kind, b.Kind)
		}
		return strings.Compare(strings.ToLower(a.Name)+a.ID, strings.ToLower(b.Name)+b.ID)
	})
}

func sortRows(rows []accessRow) {
	slices.SortFunc(rows, func(a, b accessRow) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
}

func (s *Server) folderPage(w http.ResponseWriter, r *http.Request) {
	p, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	s.world.mu.RLock()
	v := folderView{Items: s.world.d.children(s.world.d.reader(p.ID), ""), CanWrite: true}
	s.world.mu.RUnlock()
	s.render(w, r, http.StatusOK, "folder", v)
}

// itemView is a document as the signed-in person sees it.
type itemView struct {
	itemRow
	Folder   *folderView
	Crumbs   []itemRow
	Text     string
	IsText   bool
	CanWrite bool
	Revision int
	Inherit  bool
	Entries  []entry
	Folders  []itemRow // where it can be moved to
	ParentID string
	People   []company.Person
	Groups   []company.Group
}

func (s *Server) itemPage(w http.ResponseWriter, r *http.Request) {
	p, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	v, ok := s.itemView(p.ID, r.PathValue("id"))
	if !ok {
		s.notHere(w, r)
		return
	}
	s.render(w, r, http.StatusOK, "item", v)
}

// notHere answers alike for what does not exist and for what the person may not see.
func (s *Server) notHere(w http.ResponseWriter, r *http.Request) {
	s.problem(w, r, http.StatusNotFound, "There is no such document", "It does not exist, or it is not shared with you.")
}

func (s *Server) itemView(personID, id string) (itemView, bool) {
	people, groups := s.world.active(), s.world.Groups()
	s.world.mu.RLock()
	defer s.world.mu.RUnlock()
	d := s.world.d
	rd, it := d.reader(personID), d.Items[id]
	if it == nil || !d.canRead(rd, it) {
		return itemView{}, false
	}
	v := itemView{
		itemRow: d.row(rd, it), Crumbs: d.crumbs(rd, it), CanWrite: d.canWrite(rd, it), Revision: it.Revision, Inherit: it.Inherit,
		Entries: s.itemAnswer(d, rd, it).Entries, ParentID: it.ParentID, People: people, Groups: groups,
	}
	v.IsText = it.Kind == kindFile && utf8.Valid(it.Content) && len(it.Content) < 1<<20
	if v.IsText {
		v.Text = string(it.Content)
	}
	if it.Kind == kindFolder {
		v.Folder = &folderView{ID: id, Items: d.children(rd, id), CanWrite: v.CanWrite}
	}
	for _, fid := range d.ids() {
		if f := d.Items[fid]; f.Kind == kindFolder && fid != id && d.canWrite(rd, f) {
			v.Folders = append(v.Folders, d.row(rd, f))
		}
	}
	slices.SortFunc(v.Folders, func(a, b itemRow) int { return strings.Compare(a.Path, b.Path) })
	return v, true
}

func (s *Server) trashPage(w http.ResponseWriter, r *http.Request) {
	p, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	var rows []itemRow
	s.world.mu.RLock()
	d := s.world.d
	for _, id := range d.ids() {
		if it := d.Items[id]; d.canRestore(d.reader(p.ID), it) {
			rows = append(rows, d.row(d.reader(p.ID), it))
		}
	}
	s.world.mu.RUnlock()
	s.render(w, r, http.StatusOK, "trash", rows)
}

// canRestore reports whether the reader could change the item before it was deleted.
func (d *drive) canRestore(rd reader, it *record) bool {
	return it.Deleted && it.DeletedWith == it.ID && rd.person.ID != "" && !d.blocked(rd, it) && d.has(rd, it, roleOwner, roleWriter)
}

// mayPutInto reports whether the person may add to a folder; everybody may at the root.
func (s *Server) mayPutInto(personID, folderID string) bool {
	return folderID == "" || s.world.CanWrite(personID, folderID)
}

// driveNew adds a document or folder, which its maker owns; in a folder its readers are the folder's.
func (s *Server) driveNew(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	p, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	parent := r.PostFormValue("parent")
	if !s.mayPutInto(p.ID, parent) {
		s.notHere(w, r)
		return
	}
	id, err := s.world.Create(company.Item{
		Kind: r.PostFormValue("kind"), Name: strings.TrimSpace(r.PostFormValue("name")), ParentID: parent, Body: r.PostFormValue("text"),
		AuthorID: p.ID, Inherit: true, Entries: []company.Entry{{Kind: kindUser, ID: p.ID, Role: roleOwner}},
	})
	s.done(w, r, err, "/drive/items/"+id)
}

// driveAct changes an item for a person who may.
func (s *Server) driveAct(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	p, ok := s.signedIn(w, r)
	if !ok {
		return
	}
	id, action := r.PathValue("id"), r.PathValue("action")
	back := "/drive/items/" + id
	s.world.mu.RLock()
	it := s.world.d.Items[id]
	may := it != nil && (s.world.d.canWrite(s.world.d.reader(p.ID), it) || (action == "restore" && s.world.d.canRestore(s.world.d.reader(p.ID), it)))
	s.world.mu.RUnlock()
	if !may || (action == "move" && !s.mayPutInto(p.ID, r.PostFormValue("parent"))) {
		s.notHere(w, r)
		return
	}
	var err error
	switch action {
	case "edit":
		err = s.world.Edit(id, strings.ReplaceAll(r.PostFormValue("text"), "\r\n", "\n"))
	case "rename":
		err = s.world.Rename(id, r.PostFormValue("name"))
	case "move":
		err = s.world.Move(id, r.PostFormValue("parent"))
	case "share":
		kind, who, _ := strings.Cut(r.PostFormValue("who"), ":")
		err = s.world.Share(id, company.Entry{Kind: kind, ID: who, Role: r.PostFormValue("role")})
	case "unshare":
		kind, who, _ := strings.Cut(r.PostFormValue("who"), ":")
		err = s.world.Unshare(id, kind, who)
	case "access":
		err = s.world.SetAccess(id, r.PostFormValue("inherit") != "", r.PostFormValue("restricted") != "")
	case "delete":
		back = "/drive/trash"
		err = s.world.Delete(id)
	case "restore":
		err = s.world.Restore(id)
	default:
		s.notHere(w, r)
		return
	}
	s.done(w, r, err, back)
}

// done leads on after a change, or says why there was none.
func (s *Server) done(w http.ResponseWriter, r *http.Request, err error, next string) {
	switch {
	case err == nil:
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // next starts with /drive/
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrNotFound):
		s.problem(w, r, http.StatusBadRequest, "The drive does not take this", err.Error())
	default:
		s.serverError(w, r, err)
	}
}
