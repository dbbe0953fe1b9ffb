package web

import (
	"bytes"
	_ "embed"
	"net/http"
	"strings"

	"github.com/a-h/templ"
	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

//go:embed style.css
var styleCSS string

// The mark of the program, for browsers that draw SVG and for those that ask for /favicon.ico.
//
//go:embed icon.svg
var iconSVG string

// The pictures of the pages, one symbol each.
//
//go:embed icons.svg
var iconsSVG string

//go:embed favicon.ico
var faviconICO string

// What pages do where scripts run.
//
//go:embed app.js
var appJS []byte

func script(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "max-age=3600")
	return c.Blob(http.StatusOK, "text/javascript; charset=utf-8", appJS)
}

func style(c echo.Context) error {
	c.Response().Header().Set("Cache-Control", "max-age=3600")
	return c.Blob(http.StatusOK, "text/css; charset=utf-8", []byte(styleCSS))
}

// asset serves a file of this program's own, which changes with its version only.
func asset(mediaType, content string) echo.HandlerFunc {
	return func(c echo.Context) error {
		c.Response().Header().Set("Cache-Control", "public, max-age=86400")
		return c.Blob(http.StatusOK, mediaType, []byte(content))
	}
}

// Headings of the navigation.
const (
	groupContent   = "Content"
	groupAccess    = "Access"
	groupProviders = "Providers"
	groupSystem    = "System"
)

// navigation lists the pages with the least role that may open them.
func (s *Server) navigation() []navigationLink {
	list := []navigationLink{{pages.Link{Path: "/", Key: "h", Name: "Overview", Icon: "overview"}, store.RoleAuditor}}
	add := func(served bool, role store.AccountRole, l pages.Link) {
		if served {
			list = append(list, navigationLink{l, role})
		}
	}
	oauth := s.cfg.OAuth != nil
	add(oauth && s.cfg.Admin != nil, store.RoleAuditor, pages.Link{Path: noticesPath, Key: "n", Name: "Notices", Icon: "notices"})
	add(oauth, store.RoleAuditor, pages.Link{Path: "/connections", Key: "c", Name: "Connections", Icon: "connections", Group: groupContent})
	add(oauth && s.cfg.Admin != nil, store.RoleAuditor, pages.Link{Path: "/documents", Key: "d", Name: "Documents", Icon: "documents", Group: groupContent})
	add(oauth && s.cfg.Admin != nil, store.RoleAdmin, pages.Link{Path: "/search", Key: "s", Name: "Search", Icon: "search", Group: groupContent})
	add(oauth && s.cfg.Admin != nil, store.RoleAuditor, pages.Link{Path: readersPath, Key: "p", Name: "Readers", Icon: "readers", Group: groupAccess})
	add(oauth && s.cfg.Admin != nil, store.RoleAuditor, pages.Link{Path: keysPath, Key: "k", Name: "API keys", Icon: "keys", Group: groupAccess})
	add(oauth, store.RoleAuditor, pages.Link{Path: "/registrations", Key: "r", Name: "Registrations", Icon: "registrations", Group: groupProviders})
	add(oauth, store.RoleAuditor, pages.Link{Path: "/grants", Key: "t", Name: "Grants", Icon: "grants", Group: groupProviders})
	system := oauth && s.cfg.Admin != nil && s.cfg.System != nil
	add(system, store.RoleAuditor, pages.Link{Path: systemPath, Key: "y", Name: "System", Icon: "system", Group: groupSystem})
	add(system, store.RoleAuditor, pages.Link{Path: profilesPath, Key: "m", Name: "Embeddings", Icon: "profiles", Group: groupSystem})
	add(oauth, store.RoleAuditor, pages.Link{Path: "/audit", Key: "a", Name: "Audit", Icon: "audit", Group: groupSystem})
	add(true, store.RoleOwner, pages.Link{Path: "/users", Key: "u", Name: "Users", Icon: "users", Group: groupSystem})
	return list
}

const noticesPath = "/notices"

type navigationLink struct {
	pages.Link
	role store.AccountRole
}

// doneTexts are what a page may say of the act before it, by the value of
// ?done=. SECURITY: a link can show these texts and no others.
func doneTexts() map[string]string {
	return map[string]string{ //nolint:gosec // words about secrets are none
		"password":     "Your password is changed. Your other sessions have ended.",
		"signed-out":   "You are signed out.",
		"sessions":     "The other sessions have ended.",
		"all-sessions": "All sessions of the account have ended.",
		"role":         "The role is changed.",
		"disabled":     "The account is disabled, and its sessions and tokens have ended.",
		"enabled":      "The account is enabled.",
		"deleted":      "The account is deleted.",

		"registration-deleted": "The registration is deleted.",
		"changed":              "The registration is changed.",
		"connected":            "The source is connected, and its first sync has been asked for.",
		"set-up":               "The source is connected. Nothing is synced before the last step.",
		"step":                 "That is saved.",
		"first-sync":           "The set-up is finished, and the first sync has been asked for. This page shows how far it is.",
		"chosen":               "What is synced is saved. The next run works with it.",
		"sync":                 "A sync is asked for; it starts in a moment.",
		"paused":               "The connection is paused.",
		"resumed":              "The connection goes on.",
		"expiry":               "The end is set.",
		"linked":               "You are linked to the account: the reader of your name finds what it may read.",
		"refreshed":            "The provider gave new tokens.",
		"token-revoked":        "The token is revoked.",
		"scheduled":            "The schedule is saved.",
		"limits":               "The limits are saved. They hold from the next slice of a run on.",
		"permission-age":       "It is saved for how long permissions count.",
		"cancelled":            "The run is cancelled; what it had committed stays.",
		"retry":                "It is tried again with the next sync.",
		"included":             "It is no longer excluded. The next run lists everything and finds it.",
		"excluded":             "It is excluded, and what was stored of it is deleted.",
		"approved":             "The deletions are approved. What is still missing is deleted now.",
		"rejected":             "The deletions are rejected. The documents stay.",
		"revoked":              "The grant is revoked and its tokens are forgotten.",
		"reader-made":          "The reader is made. Say below who it is at the sources: until then it finds nothing.",
		"reader-linked":        "The reader is linked, and finds what it may read with the next question.",
		"reader-unlinked":      "The link is removed; that counts with the next question.",
		"reader-disabled":      "The reader is disabled: it finds nothing, and its keys are refused.",
		"reader-enabled":       "The reader is enabled.",
		"reader-deleted":       "The reader is deleted, and its keys are revoked.",
		"identity-added":       "The identity is the reader's.",
		"identity-removed":     "The identity is no longer the reader's.",
		"email-added":          "The address is the reader's.",
		"email-removed":        "The address is no longer the reader's, and the links that it made have ended.",
		"map-email-on":         "Mapping by e-mail is on: readers with a verified address are linked.",
		"map-email-off":        "Mapping by e-mail is off, and the links that it made have ended.",
		"key-revoked":          "The key is revoked.",
		"signer-added":         "The public key may sign assertions of this key.",
		"signer-removed":       "That public key may sign no more.",
		"job-retry":            "The job begins again in a moment.",
		"queue-paused":         "The queue is paused.",
		"queue-resumed":        "The queue goes on.",
		"activated":            "The profile answers questions from now on.",
		"revoking":             "The grant is over here. The provider did not confirm the revocation yet; it is tried again.",
	}
}

// doneKey is where a handler puts what a page that it shows itself says of the act.
const doneKey = "done"

// frame is what stands around a page for the one who looks at it.
func (s *Server) frame(c echo.Context, title string) pages.Frame {
	f := pages.Frame{Title: title, Path: c.Request().URL.Path, Version: s.cfg.Version, Done: doneTexts()[c.QueryParam("done")]}
	if text, ok := c.Get(doneKey).(string); ok {
		f.Done = text
	}
	if who, ok := identityOf(c); ok {
		f.Account = &who.Account
		for _, n := range s.navigation() {
			if who.MayAct(n.role) && who.Account.PasswordExpiresAt == nil {
				if n.Path == noticesPath {
					n.Count, n.Bad = s.openNotices(c.Request().Context())
				}
				f.Links = append(f.Links, n.Link)
			}
		}
	}
	return f
}

// render writes a page. It is rendered whole before any of it is sent.
func render(c echo.Context, status int, page templ.Component) error {
	var b bytes.Buffer
	if err := page.Render(c.Request().Context(), &b); err != nil {
		return err
	}
	return c.HTMLBlob(status, b.Bytes())
}

// seeOther leads to a page that says done.
func seeOther(c echo.Context, path, done string) error {
	if done != "" {
		path += "?done=" + done
	}
	return c.Redirect(http.StatusSeeOther, path)
}

// wantsPage reports whether the one who asks is a browser that shows pages.
func wantsPage(r *http.Request) bool {
	return !strings.HasPrefix(r.URL.Path, "/v1/") && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// writeErrorPage shows a problem as a page.
func (s *Server) writeErrorPage(c echo.Context, p *Problem) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	p.headers(c.Response().Header())
	f := s.frame(c, p.Title)
	f.Done = ""
	return render(c, p.Status, pages.Error(f, pages.ErrorView{
		Status: p.Status, Title: errorTitle(p.Status), Detail: sentence(p.Detail), RequestID: p.RequestID,
		SignIn: p.Status == http.StatusUnauthorized,
	}))
}

// errorTitle says a status in words for people.
func errorTitle(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "Sign in first"
	case http.StatusForbidden:
		return "Not allowed"
	case http.StatusNotFound:
		return "There is no such page"
	case http.StatusMethodNotAllowed:
		return "This address does not do that"
	case http.StatusConflict:
		return "Somebody was faster"
	case http.StatusRequestEntityTooLarge:
		return "Too large"
	case http.StatusUnsupportedMediaType, http.StatusBadRequest:
		return "That could not be read"
	case http.StatusMisdirectedRequest:
		return "Wrong address"
	case http.StatusTooManyRequests:
		return "Too many attempts"
	case http.StatusServiceUnavailable:
		return "Not available at the moment"
	default:
		return "Something went wrong"
	}
}

// sentence makes a problem's detail one.
func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
