package web

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/store"
)

// access says who may use an address. The zero value is nobody: an address
// without an entry here is never served.
type access int

const (
	// accessPublic is for everybody, with or without a session: probes, styles.
	accessPublic access = iota + 1
	// accessKey needs an API key with the route's right; sessions count nothing.
	accessKey
	// accessVisitor is a page for somebody who need not be signed in. What it
	// changes has to come from a page of this server.
	accessVisitor
	// accessAuditor, accessAdmin and accessOwner are pages that need a session of
	// an account with that role or one above it.
	accessAuditor
	accessAdmin
	accessOwner
	// accessTokenAuditor, accessTokenAdmin and accessTokenOwner are addresses of the
	// admin API, which need an admin token with that role or one above it; sessions
	// and API keys count nothing.
	accessTokenAuditor
	accessTokenAdmin
	accessTokenOwner
)

// String returns the word for a, as the tests' table of roles and routes has it.
func (a access) String() string {
	names := [...]string{"nobody", "public", "key", "visitor", "auditor", "admin", "owner", "token of an auditor", "token of an admin", "token of an owner"}
	if a < 0 || int(a) >= len(names) {
		return "nobody"
	}
	return names[a]
}

// role is the least role of a page, or of an address of the admin API.
func (a access) role() store.AccountRole {
	switch a {
	case accessAuditor, accessTokenAuditor:
		return store.RoleAuditor
	case accessAdmin, accessTokenAdmin:
		return store.RoleAdmin
	case accessOwner, accessTokenOwner:
		return store.RoleOwner
	default:
		return ""
	}
}

// route is one address. A GET answers HEAD too.
type route struct {
	method, path string
	access       access
	handler      echo.HandlerFunc
	// right is what the API key must carry.
	right string
	// returnable pages are where signing in may lead back to.
	returnable bool
	// oneTime pages are open to a session whose password has to be changed first.
	oneTime bool
	// hashes says that the handler hashes a password: it waits in a line of its
	// own, so that those lines do not keep others from the database.
	hashes bool
	// files says that its form may bring files, as multipart/form-data.
	files bool
	// takes and gives are the types of the request and the answer of the admin API.
	takes, gives reflect.Type
	// calls says that the handler calls a provider, which takes its time: it waits
	// in a line of its own too.
	calls bool
	// pushes says that the handler stores documents, in a line of its own.
	pushes bool
	// waits says that the handler waits, and takes its turn at the database itself.
	waits bool
	// streams says that the page's answer goes on: it takes its turn at the database only to know who asks.
	streams bool
}

// routes registers every address. What has pages of its own lists them beside
// their handlers, in a method that is named here.
func (s *Server) routes() {
	s.echo.Pre(s.observe, s.guard)
	s.add(
		route{method: http.MethodGet, path: "/style.css", access: accessPublic, handler: style},
		route{method: http.MethodGet, path: "/app.js", access: accessPublic, handler: script},
		route{method: http.MethodGet, path: "/icon.svg", access: accessPublic, handler: asset("image/svg+xml", iconSVG)},
		route{method: http.MethodGet, path: "/icons.svg", access: accessPublic, handler: asset("image/svg+xml", iconsSVG)},
		route{method: http.MethodGet, path: "/favicon.ico", access: accessPublic, handler: asset("image/x-icon", faviconICO)},
		route{method: http.MethodGet, path: "/healthz", access: accessPublic, handler: healthz},
		route{method: http.MethodGet, path: "/readyz", access: accessPublic, handler: s.readyz},

		route{method: http.MethodPost, path: "/v1/search", access: accessKey, right: store.RightSearch, handler: s.search},
		route{method: http.MethodGet, path: "/v1/documents", access: accessKey, right: store.RightDocuments, handler: s.listDocuments},
		route{method: http.MethodGet, path: "/v1/count", access: accessKey, right: store.RightDocuments, handler: s.count},
		route{method: http.MethodGet, path: "/v1/export", access: accessKey, right: store.RightExport, handler: s.export},
		route{method: http.MethodGet, path: "/v1/documents/:id", access: accessKey, right: store.RightDocuments, handler: s.document},
		route{method: http.MethodGet, path: "/v1/documents/:id/text", access: accessKey, right: store.RightDocuments, handler: s.documentText},
		route{method: http.MethodGet, path: "/v1/documents/:id/chunks", access: accessKey, right: store.RightDocuments, handler: s.documentChunks},
		route{method: http.MethodGet, path: "/v1/chunks/:id", access: accessKey, right: store.RightDocuments, handler: s.chunk},
		route{method: http.MethodGet, path: "/v1/chunks/:id/neighbours", access: accessKey, right: store.RightDocuments, handler: s.chunkNeighbours},
		route{method: http.MethodGet, path: "/v1/chunks/:id/lineage", access: accessKey, right: store.RightDocuments, handler: s.lineage},
	)
	s.add(s.signInRoutes()...)
	s.add(s.accountRoutes()...)
	s.add(s.userRoutes()...)
	s.add(s.oauthRoutes()...)
	s.add(s.adminRoutes()...)
	s.add(s.adminPageRoutes()...)
	s.add(s.documentPageRoutes()...)
	s.add(s.readerPageRoutes()...)
	s.add(s.keyPageRoutes()...)
	s.add(s.systemRoutes()...)
	s.add(s.pushRoutes()...)
	s.add(s.feedRoutes()...)
	s.add(s.openAPIRoutes()...)
	s.add(s.liveRoutes()...)
}

// add registers routes with what stands in front of their handlers.
func (s *Server) add(list ...route) {
	for _, r := range list {
		var front []echo.MiddlewareFunc
		limit := s.limit(s.slots)
		if r.hashes {
			limit = s.limit(s.hashing)
		}
		if r.calls {
			limit = chain(s.limit(s.calling), s.patient)
		}
		switch r.access {
		case accessPublic:
		case accessKey:
			front = []echo.MiddlewareFunc{s.authenticated(r.right)}
			if r.pushes {
				front = []echo.MiddlewareFunc{s.mayPush(r.right)}
			}
			if r.waits {
				front = []echo.MiddlewareFunc{s.mayWait(r.right)}
			}
		case accessVisitor:
			front = []echo.MiddlewareFunc{s.page(r), limit}
		case accessAuditor, accessAdmin, accessOwner:
			front = []echo.MiddlewareFunc{s.page(r), limit, s.signedIn(r)}
			if r.streams {
				front = []echo.MiddlewareFunc{s.page(r), before(chain(limit, s.signedIn(r)))}
			}
		case accessTokenAuditor, accessTokenAdmin, accessTokenOwner:
			front = []echo.MiddlewareFunc{limit, s.byToken(r)}
		default:
			// SECURITY: deny by default.
			continue
		}
		methods := []string{r.method}
		if r.method == http.MethodGet {
			methods = append(methods, http.MethodHead)
		}
		s.echo.Match(methods, r.path, r.handler, front...)
		s.table = append(s.table, r)
	}
}

// chain makes one of two that stand one behind the other.
func chain(first, second echo.MiddlewareFunc) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc { return first(second(next)) }
}

// returnPath returns next where it is the path of a page that signing in may
// lead back to, and "" for everything else.
//
// SECURITY: no address of another server, and no act, can stand in a link to the
// sign-in page (RFC 9700 §4.11).
func (s *Server) returnPath(next string) string {
	for _, r := range s.table {
		if r.returnable && matches(r.path, next) {
			return next
		}
	}
	return ""
}

// Returns reports whether path is that of a page which something that ends elsewhere may lead back to.
func (s *Server) Returns(path string) bool { return s.returnPath(path) != "" }

// matches reports whether path is one of pattern's: the same segments, with
// plain text where the pattern has a parameter.
func matches(pattern, path string) bool {
	want, got := strings.Split(pattern, "/"), strings.Split(path, "/")
	return len(path) <= maxReturnPath && slices.EqualFunc(want, got, func(w, g string) bool {
		if strings.HasPrefix(w, ":") {
			return g != "" && g != "." && g != ".." && !strings.ContainsFunc(g, notPlain)
		}
		return w == g
	})
}

// before lets a request pass on that front lets pass, and has ended front by then.
func before(front echo.MiddlewareFunc) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			passed := false
			err := front(func(echo.Context) error {
				passed = true
				return nil
			})(c)
			if err != nil || !passed {
				return err
			}
			return next(c)
		}
	}
}

const maxReturnPath = 200

func notPlain(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}
