package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// keyPageRoutes are the pages of API keys.
//
// SECURITY: as in the admin API, owners make and end them.
func (s *Server) keyPageRoutes() []route {
	if s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return nil
	}
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: keysPath, access: accessAuditor, handler: s.keysPage, returnable: true},
		{method: get, path: "/keys/new", access: accessOwner, handler: s.newKeyPage, returnable: true},
		{method: post, path: keysPath, access: accessOwner, handler: s.createKey},
		{method: get, path: "/keys/:id", access: accessAuditor, handler: s.keyPage, returnable: true},
		{method: post, path: "/keys/:id/rotate", access: accessOwner, handler: s.rotateKey},
		{method: post, path: "/keys/:id/signers", access: accessOwner, handler: s.changeSigners},
		{method: get, path: "/keys/:id/revoke", access: accessOwner, handler: s.revokeKeyPage},
		{method: post, path: "/keys/:id/revoke", access: accessOwner, handler: s.revokeKey},
	}
}

const keysPath = "/keys"

// shownNames is how many names of connections the page of a key lists.
const shownNames = 40

// keysPage lists the keys.
func (s *Server) keysPage(c echo.Context) error {
	ctx, st := c.Request().Context(), s.cfg.Admin.Store
	find, after, err := found(c)
	if err != nil {
		return err
	}
	revoked, err := stateOf(c, "revoked", "usable")
	if err != nil {
		return err
	}
	v := pages.KeysView{Find: find, State: c.QueryParam("state"), First: after == "", MayAct: mayAct(c, store.RoleOwner)}
	if v.Keys, err = st.FindKeys(ctx, store.KeyFilter{Find: find, Revoked: revoked, After: after, Limit: perPage + 1}); err != nil {
		return err
	}
	if len(v.Keys) > perPage {
		v.Keys = v.Keys[:perPage]
		v.Next = nextPage(keysPath, v.Keys[perPage-1].Name, "find", find, "state", v.State)
	}
	var ids []uuid.UUID
	for _, k := range v.Keys {
		ids = append(ids, k.Connections[:min(len(k.Connections), pages.NamedOfKey)]...)
	}
	if v.Names, err = st.ConnectionNames(ctx, ids); err != nil {
		return err
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.Keys(s.frame(c, "API keys"), v))
}

// tickedConnections is how many connections the form of a key offers to tick; where there are more, they are written.
const tickedConnections = 40

// newKeyPage asks what a key may do. ?reader= fills in one that stands.
func (s *Server) newKeyPage(c echo.Context) error {
	var r store.Reader
	if name := c.QueryParam("reader"); name != "" {
		var err error
		if r, err = s.cfg.OAuth.Store.Reader(c.Request().Context(), name); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	v := pages.NewKeyView{Mode: store.KeyBound, Reader: r.Name, Rights: []string{store.RightSearch, store.RightDocuments}, Days: "90"}
	return s.showNewKey(c, http.StatusOK, "", v)
}

func (s *Server) showNewKey(c echo.Context, status int, text string, v pages.NewKeyView) error {
	names, err := s.cfg.Admin.Store.AllConnectionNames(c.Request().Context(), tickedConnections+1)
	if err != nil {
		return err
	}
	if len(names) <= tickedConnections {
		v.Offered = names
	}
	v.Some = len(names) > 0
	return render(c, status, pages.NewKey(s.showProblem(c, "New API key", text), v))
}

// createKey makes a key, and shows its secret once.
func (s *Server) createKey(c echo.Context) error {
	names, err := s.cfg.Admin.Store.AllConnectionNames(c.Request().Context(), tickedConnections)
	if err != nil {
		return err
	}
	fields := []string{"name", "mode", "reader", "reach", "connections", "days", "per_minute", "public_key", "kid", "algorithm"}
	for _, r := range store.KeyRights() {
		fields = append(fields, "right."+r)
	}
	for _, n := range names {
		fields = append(fields, "in."+n)
	}
	f, err := formValues(c, fields...)
	if err != nil {
		return err
	}
	in, v, err := keyRequest(f)
	var made NewKeyAnswer
	if err == nil {
		made, err = s.adminCreateKey(c, in)
	}
	if errors.Is(err, store.ErrConflict) {
		err = &store.InputError{Field: "name", Problem: "is another key's: choose another, also where that one is revoked"}
	}
	if text, ok := actProblem(err); ok {
		return s.showNewKey(c, http.StatusUnprocessableEntity, text, v)
	}
	if err != nil {
		return err
	}
	return s.showSecret(c, made, strings.Join(in.Connections, ","), "")
}

// keyRequest reads the form of a key; the view is what the form shows again.
func keyRequest(f map[string]string) (CreateKeyRequest, pages.NewKeyView, error) {
	in := CreateKeyRequest{
		Name: strings.TrimSpace(f["name"]), Mode: store.KeyMode(f["mode"]), AllConnections: f["reach"] == "all",
		SignerRequest: SignerRequest{PublicKey: strings.TrimSpace(f["public_key"]), KeyID: strings.TrimSpace(f["kid"]), Algorithm: strings.TrimSpace(f["algorithm"])},
	}
	// A reader and a public key are of the modes that have them: what stands in the fields of another mode counts nothing.
	if in.Mode == store.KeyBound {
		in.Reader = strings.TrimSpace(f["reader"])
	}
	if in.Mode != store.KeyAssertion {
		in.SignerRequest = SignerRequest{}
	}
	v := pages.NewKeyView{
		Name: cut(f["name"]), Mode: in.Mode, Reader: cutLong(f["reader"]), All: in.AllConnections, Written: cutLong(f["connections"]),
		Days: cut(f["days"]), PerMinute: cut(f["per_minute"]), PublicKey: cutLong(f["public_key"]), KeyID: cut(f["kid"]), Algorithm: cut(f["algorithm"]),
	}
	for _, r := range store.KeyRights() {
		if f["right."+r] != "" {
			in.Rights = append(in.Rights, r)
		}
	}
	if !in.AllConnections {
		in.Connections = lines(f["connections"])
		for name := range f {
			if n, ok := strings.CutPrefix(name, "in."); ok {
				in.Connections = append(in.Connections, n)
			}
		}
		slices.Sort(in.Connections)
		in.Connections = slices.Compact(in.Connections)
	}
	v.Rights, v.Ticked = in.Rights, in.Connections
	return in, v, keyNumbers(f, &in)
}

// keyNumbers reads what of the form of a key are numbers.
func keyNumbers(f map[string]string, in *CreateKeyRequest) error {
	if len(in.Rights) == 0 {
		return &store.InputError{Field: "rights", Problem: "tick at least one"}
	}
	if text := strings.TrimSpace(f["days"]); text != "" {
		days, err := strconv.ParseInt(text, 10, 32)
		if err != nil || days < 1 || days > 366 {
			return &store.InputError{Field: "expires", Problem: "must be 1 to 366, or empty for a key that lives until it is revoked"}
		}
		in.ExpiresIn = days * 24 * 60 * 60
	}
	if text := strings.TrimSpace(f["per_minute"]); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return &store.InputError{Field: "per_minute", Problem: "must be a number, or empty for the usual"}
		}
		in.PerMinute = &n
	}
	return nil
}

// showSecret shows the secret of a key, this once.
func (s *Server) showSecret(c echo.Context, made NewKeyAnswer, connections, before string) error {
	v := pages.KeySecretView{Key: made.Key, Secret: made.Secret, Before: before}
	v.Curl = keyCurl(made, s.cfg.PublicURL.String(), connections)
	return render(c, http.StatusOK, pages.KeySecret(s.frame(c, "Key "+made.Name), v))
}

// keyCurl is a request that the key may make. The secret is read into a variable, so that it comes into no history of a shell.
func keyCurl(k NewKeyAnswer, publicURL, connections string) string {
	names := ""
	switch k.Mode {
	case store.KeyAssertion:
		names = " \\\n  -H \"Tributary-Reader: $ASSERTION\""
	case store.KeyTrusted:
		names = " \\\n  -H 'Tributary-Reader: READER-ID'"
	case store.KeyBound, store.KeyOwn:
	}
	head := func(path string) string {
		return fmt.Sprintf("read -rs KEY   # paste the secret and press Enter\ncurl -s '%s%s' \\\n  -H \"Authorization: Bearer $KEY\"", publicURL, path)
	}
	post := " \\\n  -H 'Content-Type: application/json' \\\n  -d "
	switch {
	case slices.Contains(k.Rights, store.RightSearch):
		return head("/v1/search") + names + post + `'{"query": "how does this work", "k": 5}'`
	case slices.Contains(k.Rights, store.RightPush):
		name, _, _ := strings.Cut(connections, ",")
		if name == "" {
			name = "CONNECTION"
		}
		return head("/v1/push/"+name+"/batch") + post + `'{"items": [{"id": "hello", "content": "Hello.", "acl": {"all_of": [[{"kind": "anyone"}]]}}]}'`
	case k.Whole:
		return head("/v1/feed")
	default:
		return head("/v1/documents") + names
	}
}
