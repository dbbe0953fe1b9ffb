package sandbox

import (
	"encoding/json"
	"net/http"
	"strconv"
)

type principal struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

type entry struct {
	Principal principal `json:"principal"`
	Role      string    `json:"role"`
}

type author struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// itemAnswer is an item as the API tells it.
type itemAnswer struct {
	ID          string  `json:"id"`
	Kind        string  `json:"kind"`
	Name        string  `json:"name"`
	ParentID    string  `json:"parent_id"`
	Path        string  `json:"path"`
	MediaType   string  `json:"media_type"`
	Size        int     `json:"size"`
	Revision    string  `json:"revision"`
	CreatedAt   string  `json:"created_at"`
	UpdatedAt   string  `json:"updated_at"`
	Author      author  `json:"author"`
	URL         string  `json:"url"`
	Description string  `json:"description"`
	Restricted  bool    `json:"restricted"`
	Inherit     bool    `json:"inherit"`
	Entries     []entry `json:"entries"`
}

func (s *Server) itemAnswer(d *drive, rd reader, it *record) itemAnswer {
	a := itemAnswer{
		ID: it.ID, Kind: it.Kind, Name: it.Name, ParentID: it.ParentID, Path: d.path(rd, it), MediaType: it.MediaType, Size: len(it.Content),
		Revision: strconv.Itoa(it.Revision), CreatedAt: timeText(it.Created), UpdatedAt: timeText(it.Updated),
		Author: author{it.AuthorID, d.name(kindUser, it.AuthorID)}, URL: s.URL("/drive/items/" + it.ID), Description: it.Description,
		Restricted: it.Restricted, Inherit: it.Inherit, Entries: []entry{},
	}
	for _, e := range it.Entries {
		a.Entries = append(a.Entries, entry{principal{e.Kind, e.ID, d.name(e.Kind, e.ID)}, e.Role})
	}
	return a
}

// name returns what people call a principal.
func (d *drive) name(kind, id string) string {
	switch kind {
	case kindUser:
		for i := range d.People {
			if d.People[i].ID == id {
				return d.People[i].Name
			}
		}
		return ""
	case kindGroup:
		for _, g := range d.Groups {
			if g.ID == id {
				return g.Name
			}
		}
		return ""
	case kindDomain:
		return "Everybody at " + id
	case kindAnyone:
		return "Everybody at " + d.Organisation.Name
	case kindPublic:
		return "Everybody"
	case kindLink:
		return "Who has the link"
	default:
		return ""
	}
}

// listItems lists what the account can read, by id, of the folder parent only where one is named; "root" names the
// items without a folder.
func (s *Server) listItems(w http.ResponseWriter, r *http.Request, t accessToken) {
	size, from, ok := s.paging(w, r, "items")
	if !ok {
		return
	}
	switch {
	case s.faults.hit(ItemsError):
		oauthError(w, http.StatusInternalServerError, "server_error", "a switch is on")
		return
	case s.faults.hit(ItemsExpired):
		pageExpired(w)
		return
	case s.faults.hit(ItemsEmpty):
		sendTagged(w, r, map[string]any{"items": []itemAnswer{}, "next_page_token": s.encode(from), "complete": false})
		return
	}
	rows, next, ok := s.items(t, r.URL.Query().Get("parent"), from, size)
	if !ok {
		oauthError(w, http.StatusNotFound, "not_found", "there is no such folder, or the account cannot read it")
		return
	}
	answer := map[string]any{"items": rows, "next_page_token": next, "complete": next == ""}
	switch {
	case s.faults.hit(ItemsRepeat):
		answer["next_page_token"], answer["complete"] = s.encode(from), false
	case s.faults.hit(ItemsTruncated):
		body, err := json.Marshal(answer)
		if err == nil {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body[:len(body)/2])
			return
		}
	}
	sendTagged(w, r, answer)
}

// items returns a page of what the account can read and the token of the next one.
func (s *Server) items(t accessToken, parent string, from position, size int) (rows []itemAnswer, next string, ok bool) {
	s.world.mu.RLock()
	defer s.world.mu.RUnlock()
	d := s.world.d
	rd := d.readerOf(t)
	if p := d.Items[parent]; parent != "" && parent != "root" && (p == nil || p.Kind != kindFolder || !d.canRead(rd, p)) {
		return nil, "", false
	}
	rows = []itemAnswer{}
	ids, _ := pageOf(d.ids(), func(id string) string { return id }, from.after, len(d.Items))
	for _, id := range ids {
		it := d.Items[id]
		inFolder := parent == "" || it.ParentID == parent || (parent == "root" && it.ParentID == "")
		if !inFolder || !d.canRead(rd, it) {
			continue
		}
		if len(rows) == size {
			from.after = rows[size-1].ID
			return rows, s.encode(from), true
		}
		rows = append(rows, s.itemAnswer(d, rd, it))
	}
	return rows, "", true
}

// readable returns the item of the request where the account can read it.
func (s *Server) readable(w http.ResponseWriter, r *http.Request, t accessToken) (itemAnswer, record, bool) {
	s.world.mu.RLock()
	defer s.world.mu.RUnlock()
	d := s.world.d
	rd := d.readerOf(t)
	it := d.Items[r.PathValue("id")]
	if it == nil || !d.canRead(rd, it) {
		oauthError(w, http.StatusNotFound, "not_found", "there is no such item, or the account cannot read it")
		return itemAnswer{}, record{}, false
	}
	return s.itemAnswer(d, rd, it), *it, true
}

func (s *Server) getItem(w http.ResponseWriter, r *http.Request, t accessToken) {
	if a, _, ok := s.readable(w, r, t); ok {
		sendTagged(w, r, a)
	}
}

// getContent sends a file's bytes.
func (s *Server) getContent(w http.ResponseWriter, r *http.Request, t accessToken) {
	_, it, ok := s.readable(w, r, t)
	if !ok {
		return
	}
	if it.Kind != kindFile {
		oauthError(w, http.StatusBadRequest, "no_content", "a folder has no content")
		return
	}
	if s.contentFails(w, r, it.ID) || notModified(w, r, contentTag(&it)) {
		return
	}
	h := w.Header()
	h.Set("Content-Type", it.MediaType)
	h.Set("Content-Disposition", "attachment")
	h.Set("Content-Length", strconv.Itoa(len(it.Content)))
	h.Set("Last-Modified", it.Updated.UTC().Format(http.TimeFormat))
	if s.faults.hitItem(ContentTruncated, it.ID) {
		s.half(w, it.Content)
	}
	body := it.Content
	if s.faults.hitItem(ContentSlow, it.ID) {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		s.wait(r)
		body = body[len(body)/2:]
	}
	_, _ = w.Write(body)
}

// contentFails answers a download as a switch says.
func (s *Server) contentFails(w http.ResponseWriter, r *http.Request, id string) bool {
	switch {
	case s.faults.hitItem(ContentForbidden, id):
		oauthError(w, http.StatusForbidden, "forbidden", "downloads of this item are off")
	case s.faults.hitItem(ContentGone, id):
		oauthError(w, http.StatusNotFound, "not_found", "there is no such item, or the account cannot read it")
	case s.faults.hitItem(ContentError, id):
		oauthError(w, http.StatusInternalServerError, "server_error", "a switch is on")
	case s.faults.hitItem(ContentRedirect, id):
		http.Redirect(w, r, s.faults.Options().RedirectTo, http.StatusFound)
	default:
		return false
	}
	return true
}

// changeAnswer is an entry of the feed as the API tells it. The item is as it stands now.
type changeAnswer struct {
	Seq    int64       `json:"seq"`
	ItemID string      `json:"item_id"`
	Kind   string      `json:"kind"`
	Item   *itemAnswer `json:"item,omitempty"`
}

func (s *Server) startChanges(w http.ResponseWriter, r *http.Request, _ accessToken) {
	s.world.mu.RLock()
	seq := s.world.d.Seq
	s.world.mu.RUnlock()
	_, feed := s.faults.epochs()
	sendTagged(w, r, map[string]string{"page_token": s.encode(position{"changes", feed, strconv.FormatInt(seq, 10)})})
}

// listChanges tells what happened after a position. There is always a next position; more says whether to ask at once.
func (s *Server) listChanges(w http.ResponseWriter, r *http.Request, t accessToken) {
	size, from, ok := s.paging(w, r, "changes")
	if !ok {
		return
	}
	if from.after == "" {
		oauthError(w, http.StatusBadRequest, "invalid_page_token", "page_token is missing; /api/v1/changes/start gives the first")
		return
	}
	after, err := strconv.ParseInt(from.after, 10, 64)
	if err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_page_token", "page_token is not one of this listing")
		return
	}
	rows, last, more, ok := s.changes(t, after, size)
	if !ok {
		pageExpired(w)
		return
	}
	from.after = strconv.FormatInt(last, 10)
	sendTagged(w, r, map[string]any{"changes": rows, "next_page_token": s.encode(from), "more": more})
}

func (s *Server) changes(t accessToken, after int64, size int) (rows []changeAnswer, last int64, more, ok bool) {
	s.world.mu.RLock()
	defer s.world.mu.RUnlock()
	d := s.world.d
	if after < d.Floor || after > d.Seq || after < d.Seq-int64(s.faults.Options().FeedLength) {
		return nil, 0, false, false
	}
	rd := d.readerOf(t)
	rows = []changeAnswer{}
	for _, c := range d.Changes {
		if c.Seq <= after {
			continue
		}
		if len(rows) == size {
			return rows, after, true, true
		}
		after = c.Seq
		if row, tell := s.tell(d, rd, c); tell {
			rows = append(rows, row)
		}
	}
	return rows, d.Seq, false, true
}

// tell returns what the reader hears of a change: of an item that the reader cannot read and could not before, nothing.
func (s *Server) tell(d *drive, rd reader, c change) (changeAnswer, bool) {
	row := changeAnswer{Seq: c.Seq, ItemID: c.ItemID, Kind: c.Kind}
	it := d.Items[c.ItemID]
	if c.Only != nil && !contains(c.Only, rd) {
		return row, false
	}
	if it != nil && d.canRead(rd, it) {
		if row.Kind == changeDelete {
			// It is back, and a later change says so too.
			row.Kind = changeUpsert
		}
		a := s.itemAnswer(d, rd, it)
		row.Item = &a
		return row, true
	}
	if !rd.all && !contains(c.Lost, rd) {
		return row, false
	}
	row.Kind = changeDelete
	return row, !s.faults.hit(TombstoneDropped)
}

func contains(people []string, rd reader) bool {
	for _, p := range people {
		if p == rd.person.ID && p != "" {
			return true
		}
	}
	return false
}
