package jobs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"mime"
	"slices"
	"strconv"
	"strings"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/store"
)

// Limits of what is pushed.
const (
	// MaxPushContent bounds the content of a document in bytes.
	MaxPushContent = connectors.MaxBody
	// MaxPushItems and MaxPushBatch bound a batch: its items, and its bytes.
	MaxPushItems = 1000
	MaxPushBatch = 32 << 20
	// MaxPushMembers bounds the members of a group.
	MaxPushMembers = 50_000

	maxPushPrincipals = 5000
	maxPushRevision   = 500
)

// PushItem is a document as somebody pushes it, or the word that it is gone.
type PushItem struct {
	ID     string
	Delete bool

	Title       string
	Content     []byte
	ContentType string
	URL         string
	// Revision names the content; "" stands for its hash.
	Revision string
	Metadata map[string]string
	// ACL is nil where the stored one is to stay.
	ACL *connectors.ACL

	// Err is why the item cannot be stored.
	Err error

	sum [sha256.Size]byte
}

func (i *PushItem) hash() []byte {
	if i.sum == ([sha256.Size]byte{}) {
		i.sum = sha256.Sum256(i.Content)
	}
	return i.sum[:]
}

func (i *PushItem) revision() string {
	if i.Revision != "" {
		return i.Revision
	}
	return "sha256:" + hex.EncodeToString(i.hash()[:16])
}

func (i *PushItem) acl() connectors.ACL {
	if i.ACL == nil {
		return connectors.ACL{}
	}
	return *i.ACL
}

// The codes of a PushError.
const (
	PushInvalid    = "invalid_item"
	PushField      = "unknown_field"
	PushTooLarge   = "too_large"
	PushMediaType  = "unsupported_content_type"
	PushUnreadable = "unreadable_content"
	PushExcluded   = "excluded"
)

// PushError says why an item cannot be stored.
type PushError struct {
	Code string
	// Pointer names the part of the item that is wrong (RFC 6901); "" is all of it.
	Pointer string
	// Detail says what would be right.
	Detail string
}

// Error returns the detail behind the pointer.
func (e *PushError) Error() string { return strings.TrimPrefix(e.Pointer+": "+e.Detail, ": ") }

func wrong(pointer, format string, args ...any) error {
	return &PushError{Code: PushInvalid, Pointer: pointer, Detail: fmt.Sprintf(format, args...)}
}

// contentTypes are those that documents are pushed in.
func contentTypes() []string {
	return []string{"text/markdown", "text/html", "text/plain", "application/pdf"}
}

// DecodePushItem reads one item of a batch: {"op": "put" or "delete", "id": …}
// and the fields of a document. What is wrong with it is its Err.
func DecodePushItem(raw []byte) PushItem {
	fields, err := object(raw, "", "op", "id", "title", "content", "content_base64", "content_type", "url", "revision", "metadata", "acl")
	if err != nil {
		return PushItem{Err: err}
	}
	var item PushItem
	op := "put"
	for name, to := range map[string]*string{"op": &op, "id": &item.ID} {
		if err == nil {
			*to, err = text(fields[name], "/"+name, *to)
		}
	}
	switch {
	case err != nil:
	case op != "put" && op != "delete":
		err = wrong("/op", "must be put or delete, and is put where it is left out")
	case item.ID == "":
		err = wrong("/id", "is missing: every document needs an id of its own")
	default:
		delete(fields, "op")
		delete(fields, "id")
		return decodeDocument(item.ID, op == "delete", fields)
	}
	item.Err = err
	return item
}

// DeletedItem says that the document with that id is gone.
func DeletedItem(id string) PushItem { return decodeDocument(id, true, nil) }

// DecodePushDocument reads the fields of the document with that id.
func DecodePushDocument(id string, raw []byte) PushItem {
	fields, err := object(raw, "", "title", "content", "content_base64", "content_type", "url", "revision", "metadata", "acl")
	if err != nil {
		return PushItem{ID: id, Err: err}
	}
	return decodeDocument(id, false, fields)
}

func decodeDocument(id string, gone bool, fields map[string]json.RawMessage) PushItem {
	item := PushItem{ID: id, Delete: gone}
	if item.Err = checkPushID("/id", id); item.Err != nil {
		return item
	}
	if gone {
		if len(fields) > 0 {
			item.Err = wrong("", "an item that deletes has an op and an id only")
		}
		return item
	}
	for name, to := range map[string]*string{"title": &item.Title, "url": &item.URL, "revision": &item.Revision, "content_type": &item.ContentType} {
		if item.Err == nil {
			*to, item.Err = text(fields[name], "/"+name, "")
		}
	}
	for _, step := range []func(*PushItem, map[string]json.RawMessage) error{decodeType, decodeContent, decodeMetadata, decodeACL} {
		if item.Err == nil {
			item.Err = step(&item, fields)
		}
	}
	return item
}

// decodeType checks the fields that are short texts.
func decodeType(item *PushItem, _ map[string]json.RawMessage) error {
	switch {
	case len(item.Revision) > maxPushRevision || strings.ContainsAny(item.Revision, "\x00\uFFFD"):
		return wrong("/revision", "must have at most %d bytes of text", maxPushRevision)
	case item.URL != "" && (safeURL(item.URL) == "" || len(item.URL) > maxField):
		return wrong("/url", "must begin with https://, http:// or file:/// and have at most %d bytes", maxField)
	case item.ContentType == "":
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(item.ContentType)
	if err != nil || !slices.Contains(contentTypes(), mediaType) {
		return &PushError{Code: PushMediaType, Pointer: "/content_type", Detail: "must be one of " + strings.Join(contentTypes(), ", ") + "; left out, it is recognised from the content"}
	}
	item.ContentType = mediaType
	return nil
}

func decodeContent(item *PushItem, fields map[string]json.RawMessage) error {
	plain, err := text(fields["content"], "/content", "")
	if err != nil {
		return err
	}
	at := "/content"
	// Text has no bytes that are none: they are taken out before anybody asks
	// whether it is text.
	item.Content = []byte(extract.Clean(plain))
	if encoded := fields["content_base64"]; len(encoded) > 0 {
		at = "/content_base64"
		s, err := text(encoded, at, "")
		if err != nil {
			return err
		}
		if plain != "" && s != "" {
			return wrong(at, "content is given too: send one of the two")
		}
		if s != "" {
			if item.Content, err = base64.StdEncoding.DecodeString(s); err != nil {
				return wrong(at, "is not base64 with the standard alphabet and padding (RFC 4648 §4)")
			}
		}
	}
	switch {
	case len(item.Content) == 0:
		return wrong(at, "is missing: to take a document away, delete it")
	case len(item.Content) > MaxPushContent:
		return &PushError{Code: PushTooLarge, Pointer: at, Detail: fmt.Sprintf("may have %d MiB at most", MaxPushContent>>20)}
	}
	return nil
}

func decodeMetadata(item *PushItem, fields map[string]json.RawMessage) error {
	raw := fields["metadata"]
	if isNull(raw) {
		return nil
	}
	values, err := object(raw, "/metadata")
	if err != nil {
		return err
	}
	if len(values) > maxMetadata {
		return wrong("/metadata", "may have %d entries at most", maxMetadata)
	}
	item.Metadata = make(map[string]string, len(values))
	for name, value := range values {
		at := "/metadata/" + pointerToken(name)
		key := extract.CleanField(name, maxMetadata)
		if _, twice := item.Metadata[key]; key == "" || twice || len(name) > maxMetadata {
			return wrong(at, "must have a name of 1 to %d bytes that no other entry has", maxMetadata)
		}
		s, err := scalar(value, at)
		if err != nil {
			return err
		}
		if len(s) > maxField {
			return wrong(at, "may have %d bytes at most", maxField)
		}
		item.Metadata[key] = extract.CleanField(s, maxField)
	}
	return nil
}

// scalar reads a text, a number or true and false as text.
func scalar(raw json.RawMessage, at string) (string, error) {
	switch raw[0] {
	case '"':
		return text(raw, at, "")
	case '{', '[', 'n':
		return "", wrong(at, "must be text, a number, true or false")
	default:
		return string(raw), nil
	}
}

func decodeACL(item *PushItem, fields map[string]json.RawMessage) error {
	raw := fields["acl"]
	if isNull(raw) {
		return nil
	}
	parts, err := object(raw, "/acl", "all_of", "deny")
	if err != nil {
		return err
	}
	clauses, err := array(parts["all_of"], "/acl/all_of")
	if err != nil {
		return err
	}
	if len(clauses) > connectors.MaxClauses {
		return wrong("/acl/all_of", "may have %d clauses at most", connectors.MaxClauses)
	}
	acl, n := connectors.ACL{}, 0
	for i, clause := range clauses {
		at := "/acl/all_of/" + strconv.Itoa(i)
		ps, err := principals(clause, at, maxPushPrincipals)
		if err != nil {
			return err
		}
		if len(ps) == 0 {
			return wrong(at, "is empty, and nobody would match it: name somebody, or send \"all_of\": [] for nobody")
		}
		acl.AllOf, n = append(acl.AllOf, ps), n+len(ps)
	}
	if acl.Deny, err = principals(parts["deny"], "/acl/deny", maxPushPrincipals); err != nil {
		return err
	}
	if n+len(acl.Deny) > maxPushPrincipals {
		return wrong("/acl", "may name %d principals at most: put them into a group", maxPushPrincipals)
	}
	item.ACL = &acl
	return nil
}

// DecodePushGroup reads the members of a group: {"members": [{"kind", "id"}]}.
func DecodePushGroup(raw []byte) ([]connectors.Principal, error) {
	fields, err := object(raw, "", "members")
	if err != nil {
		return nil, err
	}
	if isNull(fields["members"]) {
		return nil, wrong("/members", "is missing: an empty list empties the group")
	}
	return principals(fields["members"], "/members", MaxPushMembers)
}

// PushPrincipal returns the principal of a kind that can be pushed.
func PushPrincipal(kind, id, at string) (connectors.Principal, error) {
	p := connectors.Principal{Kind: connectors.PrincipalKind(kind), ID: id}
	switch p.Kind {
	case connectors.User, connectors.Group, connectors.Domain:
	case connectors.Anyone:
		if p.ID == "" {
			p.ID = string(connectors.Anyone)
		}
	default:
		return p, wrong(at+"/kind", "must be user, group, domain or anyone")
	}
	return p, checkPushID(at+"/id", p.ID)
}

func checkPushID(at, id string) error {
	if !store.UsableID(id) || strings.Contains(id, "\uFFFD") {
		return wrong(at, "must have 1 to %d bytes of text without U+0000 and U+FFFD", store.MaxID)
	}
	return nil
}

func principals(raw json.RawMessage, at string, most int) ([]connectors.Principal, error) {
	entries, err := array(raw, at)
	if err != nil {
		return nil, err
	}
	if len(entries) > most {
		return nil, wrong(at, "may have %d entries at most", most)
	}
	ps := make([]connectors.Principal, len(entries))
	for i, entry := range entries {
		at := at + "/" + strconv.Itoa(i)
		fields, err := object(entry, at, "kind", "id")
		if err != nil {
			return nil, err
		}
		kind, err := text(fields["kind"], at+"/kind", "")
		if err != nil {
			return nil, err
		}
		id, err := text(fields["id"], at+"/id", "")
		if err != nil {
			return nil, err
		}
		if ps[i], err = PushPrincipal(kind, id, at); err != nil {
			return nil, err
		}
	}
	return ps, nil
}

// DecodePushBatch reads {"items": […]}. An item that is wrong has its Err; an
// error is a *PushError of the batch as a whole.
func DecodePushBatch(raw []byte) ([]PushItem, error) {
	fields, err := object(raw, "", "items")
	if err != nil {
		return nil, err
	}
	if isNull(fields["items"]) {
		return nil, wrong("/items", "is missing: an empty list says that everything is as it was")
	}
	entries, err := array(fields["items"], "/items")
	if err != nil {
		return nil, err
	}
	if len(entries) > MaxPushItems {
		return nil, &PushError{Code: PushTooLarge, Pointer: "/items", Detail: fmt.Sprintf("may have %d items at most: send several batches", MaxPushItems)}
	}
	items := make([]PushItem, len(entries))
	for i, entry := range entries {
		items[i] = DecodePushItem(entry)
	}
	return items, nil
}
