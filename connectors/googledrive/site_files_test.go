package googledrive

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/connectors/connectortest"
)

func (s *site) serveAbout(x *exchange) {
	s.send(x, map[string]any{"kind": "drive#about", "user": map[string]any{
		"kind": "drive#user", "displayName": "ALICE", "me": true, "permissionId": permissionID(share{kind: typeUser, who: account}),
		"emailAddress": s.people[account].email,
	}})
}

func (s *site) serveDrives(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := []any{}
	for _, id := range slices.Sorted(slices.Values([]string{driveA, driveB})) {
		if s.joined(id) {
			rows = append(rows, map[string]any{"kind": "drive#drive", "id": id, "name": s.drives[id].name})
		}
	}
	from, to, next, ok := s.page(x, "drives", len(rows), nil)
	if !ok {
		return
	}
	answer := map[string]any{"kind": "drive#driveList", "drives": rows[from:to]}
	if next != "" {
		answer["nextPageToken"] = next
	}
	s.send(x, answer)
}

func (s *site) serveFiles(x *exchange) {
	q, drive := x.get("q"), x.get("driveId")
	if strings.Contains(q, "mimeType!=") && s.struck(x, connectortest.OnListing, "") {
		return
	}
	if drive != "" {
		s.mu.Lock()
		joined := s.joined(drive)
		s.mu.Unlock()
		if !joined {
			fail(x, http.StatusNotFound, "notFound")
			return
		}
		if s.struck(x, connectortest.OnContainer, s.drives[drive].name) {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*node
	keys := []string{}
	for _, id := range s.ids() {
		n := s.nodes[id]
		here := n.drive == drive || drive == "" && s.directly(n)
		if here && (drive != "") == (x.get("corpora") == "drive") && s.query(q, n) {
			found, keys = append(found, n), append(keys, id)
		}
	}
	from, to, next, ok := s.page(x, "files", len(found), keys)
	if !ok {
		return
	}
	rows := []any{}
	for _, n := range found[from:to] {
		if f := s.strike(connectortest.OnACL, s.name(n)); f != nil && n.drive == "" && f.Kind == connectortest.ServerError {
			fail(x, http.StatusInternalServerError, "internalError")
			return
		}
		rows = append(rows, s.row(n))
	}
	answer := map[string]any{"kind": "drive#fileList", "incompleteSearch": false, "files": rows}
	if next != "" {
		answer["nextPageToken"] = next
	}
	s.send(x, answer)
}

// query evaluates a search: clauses joined by and, alternatives by or.
func (s *site) query(q string, n *node) bool {
	for clause := range strings.SplitSeq(q, " and ") {
		clause = strings.Trim(clause, "()")
		if !slices.ContainsFunc(strings.Split(clause, " or "), func(term string) bool { return s.term(term, n) }) {
			return false
		}
	}
	return true
}

func (s *site) term(term string, n *node) bool {
	field := strings.Fields(term)
	value := func(text string) string { return strings.ReplaceAll(strings.Trim(text, "'"), `\'`, "'") }
	switch {
	case term == "trashed=false":
		return !s.inTrash(n)
	case strings.HasPrefix(term, "mimeType="):
		return n.mime == value(strings.TrimPrefix(term, "mimeType="))
	case strings.HasPrefix(term, "mimeType!="):
		return n.mime != value(strings.TrimPrefix(term, "mimeType!="))
	case term == "sharedWithMe":
		return n.owner != account && n.drive == "" && s.directly(n)
	case len(field) == 3 && field[2] == "parents":
		return n.parent == value(field[0]) || n.parent == rootID && field[0] == "'root'"
	case len(field) == 3 && field[1] == "in":
		return slices.ContainsFunc(s.effective(n), func(sh share) bool {
			return strings.EqualFold(s.email(sh), value(field[0])) && (field[2] == "readers" || sh.role == strings.TrimSuffix(field[2], "s"))
		})
	}
	panic("a search that the site does not know: " + term)
}

// row is a file as the API tells it.
func (s *site) row(n *node) map[string]any {
	native := strings.HasPrefix(n.mime, native)
	row := map[string]any{
		"kind": "drive#file", "id": n.id, "name": n.name, "mimeType": n.mime, "trashed": s.inTrash(n), "description": "about " + n.name,
		"createdTime": "2026-03-01T10:00:00.000Z", "modifiedTime": n.modified.Format("2006-01-02T15:04:05.000Z"),
		"webViewLink": "https://drive.google.com/file/d/" + n.id + "/view", "version": strconv.Itoa(s.next),
		"capabilities": map[string]any{"canDownload": !n.locked, "canShare": !n.hidden}, "inheritedPermissionsDisabled": n.limited,
		"lastModifyingUser": map[string]any{"kind": "drive#user", "displayName": "ALICE", "me": true},
	}
	if up := s.nodes[n.parent]; up != nil {
		row["parents"] = []string{n.parent}
	}
	if n.key != "" {
		row["resourceKey"] = n.key
	}
	if !native {
		row["size"], row["md5Checksum"], row["headRevisionId"] = strconv.Itoa(len(n.text)), sum(n.text), "0B"+sum(n.text)[:8]
	}
	if n.drive == "" {
		row["ownedByMe"] = n.owner == account
		row["owners"] = []any{map[string]any{"kind": "drive#user", "displayName": strings.ToUpper(n.owner), "me": n.owner == account}}
		if !n.hidden && s.strike(connectortest.OnACL, s.name(n)) == nil {
			row["permissions"] = s.permissionRows(n)
		}
		return row
	}
	row["driveId"] = n.drive
	row["hasAugmentedPermissions"] = len(n.shares) > 0 || n.hidden || slices.ContainsFunc(s.faults, func(f *siteFault) bool {
		return f.On == connectortest.OnACL && f.Name == s.name(n)
	})
	ids := []string{}
	for _, sh := range s.effective(n) {
		if sh.view == "" {
			ids = append(ids, permissionID(sh))
		}
	}
	row["permissionIds"] = ids
	return row
}

func (s *site) serveFile(x *exchange) {
	s.mu.Lock()
	n := s.nodes[x.id]
	if x.id == "root" {
		n = s.nodes[rootID]
	}
	if n != nil && n.id != rootID && !s.visible(n) {
		n = nil
	}
	name := ""
	if n != nil {
		name = s.name(n)
	}
	s.mu.Unlock()
	if n == nil {
		if x.op == "files.export" || x.get("alt") == "media" {
			s.count()
		}
		fail(x, http.StatusNotFound, "notFound")
		return
	}
	if x.op == "files.export" || x.get("alt") == "media" {
		s.count()
		s.serveContent(x, n, name)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send(x, s.row(n))
}

func (s *site) count() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies++
}

func (s *site) serveContent(x *exchange, n *node, name string) {
	if strings.HasPrefix(n.mime, native) != (x.op == "files.export") {
		fail(x, http.StatusForbidden, "fileNotDownloadable")
		return
	}
	if n.key != "" && x.r.Header.Get("X-Goog-Drive-Resource-Keys") != n.id+"/"+n.key {
		fail(x, http.StatusNotFound, "notFound")
		return
	}
	s.mu.Lock()
	text := n.text
	cut := slices.ContainsFunc(s.faults, func(f *siteFault) bool { return f.Kind == connectortest.Truncated && f.Name == name })
	s.mu.Unlock()
	x.Header().Set("Content-Type", n.mime)
	if want := x.get("mimeType"); want != "" {
		x.Header().Set("Content-Type", want)
	}
	switch {
	case cut:
		x.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = x.Write([]byte(text[:len(text)/2]))
		panic(http.ErrAbortHandler)
	case !s.struck(x, connectortest.OnBody, name):
		_, _ = x.Write([]byte(text))
	}
}

func (s *site) servePermissions(x *exchange) {
	s.mu.Lock()
	n := s.nodes[x.id]
	if n == nil || !s.visible(n) && !s.joined(n.drive) {
		s.mu.Unlock()
		fail(x, http.StatusNotFound, "notFound")
		return
	}
	name, hidden := s.name(n), n.hidden
	s.mu.Unlock()
	if hidden {
		fail(x, http.StatusForbidden, "insufficientFilePermissions")
		return
	}
	if s.struck(x, connectortest.OnACL, name) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.permissionRows(n)
	from, to, next, ok := s.page(x, "permissions", len(rows), nil)
	if !ok {
		return
	}
	answer := map[string]any{"kind": "drive#permissionList", "permissions": rows[from:to]}
	if next != "" {
		answer["nextPageToken"] = next
	}
	s.send(x, answer)
}

func (s *site) serveStart(x *exchange) {
	s.mu.Lock()
	defer s.mu.Unlock()
	drive := x.get("driveId")
	if drive != "" && !s.joined(drive) {
		fail(x, http.StatusNotFound, "notFound")
		return
	}
	s.send(x, map[string]any{"kind": "drive#startPageToken", "startPageToken": s.token("changes", len(s.log[drive]))})
}

func (s *site) serveChanges(x *exchange) {
	drive := x.get("driveId")
	if s.struck(x, connectortest.OnFeed, "") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if drive != "" && !s.joined(drive) {
		fail(x, http.StatusNotFound, "notFound")
		return
	}
	log := s.log[drive]
	from, to, next, ok := s.page(x, "changes", len(log), nil)
	if !ok {
		return
	}
	rows := []any{}
	for _, id := range log[from:to] {
		row := map[string]any{"kind": "drive#change", "changeType": "file", "fileId": id, "removed": false, "time": s.clock.Format(time.RFC3339)}
		n := s.nodes[id]
		seen := n != nil && s.visible(n)
		if !seen || n.drive != drive && !s.directly(n) {
			row["removed"] = true
		}
		if seen && (row["removed"] == false || x.get("includeCorpusRemovals") == "true") {
			row["file"] = s.row(n)
		}
		rows = append(rows, row)
	}
	answer := map[string]any{"kind": "drive#changeList", "changes": rows}
	if next != "" {
		answer["nextPageToken"] = next
	} else {
		answer["newStartPageToken"] = s.token("changes", to)
	}
	s.send(x, answer)
}
