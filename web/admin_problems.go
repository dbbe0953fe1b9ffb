package web

import (
	"context"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
)

// AdminProblemStore keeps what somebody should look at.
type AdminProblemStore interface {
	Notices(ctx context.Context, f store.NoticeFilter) ([]store.Notice, error)
	NoticeCounts(ctx context.Context) ([]store.NoticeCount, error)
	Quarantined(ctx context.Context, connection uuid.UUID) ([]store.QuarantinedItem, error)
	QuarantinePage(ctx context.Context, connection uuid.UUID, after string, limit int) ([]store.QuarantinedItem, error)
	ExclusionsPage(ctx context.Context, connection uuid.UUID, after store.ExcludedItem, limit int) ([]store.ExcludedItem, error)
	RetryAllQuarantined(ctx context.Context, connection uuid.UUID, event audit.Event) (int, error)
	RetryQuarantined(ctx context.Context, connection uuid.UUID, ids []string, events ...audit.Event) (int, error)
	ExcludeItems(ctx context.Context, connection uuid.UUID, ids []string, reason, by string, events ...audit.Event) (int, error)
	Exclusions(ctx context.Context, connection uuid.UUID) ([]store.ExcludedItem, error)
	IncludeItems(ctx context.Context, connection uuid.UUID, ids []string, events ...audit.Event) (int, error)
}

func (s *Server) adminProblemRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		operation(get, "/notices", accessTokenAuditor, s.adminNotices),
		operation(get, "/connections/:name/quarantine", accessTokenAuditor, s.adminQuarantine),
		operation(get, "/connections/:name/exclusions", accessTokenAuditor, s.adminExclusions),
		operation(post, "/connections/:name/quarantine/retry", accessTokenAdmin, s.adminItems(s.retryItems)),
		operation(post, "/connections/:name/quarantine/exclude", accessTokenAdmin, s.adminItems(s.excludeItems)),
		operation(post, "/connections/:name/quarantine/include", accessTokenAdmin, s.adminItems(s.includeItems)),
	}
}

type noticesQuery struct {
	pageQuery

	Connection string `query:"connection"`
	Code       string `query:"code"`
	// All lists those that were cleared too.
	All bool `query:"all"`
}

// adminNotices lists notices, the newest first.
func (s *Server) adminNotices(c echo.Context, in noticesQuery) (Page[store.Notice], error) {
	f := store.NoticeFilter{Code: in.Code, All: in.All}
	if in.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), in.Connection)
		if err != nil {
			return Page[store.Notice]{}, noConnection(err)
		}
		f.Connection = k.ID
	}
	return numbered(in.pageQuery, func(before int64, limit int) ([]store.Notice, error) {
		f.Before, f.Limit = before, limit
		return s.cfg.Admin.Store.Notices(c.Request().Context(), f)
	}, func(n store.Notice) int64 { return n.ID })
}

// adminQuarantine lists what of a connection could not be ingested.
func (s *Server) adminQuarantine(c echo.Context, in pageQuery) (Page[store.QuarantinedItem], error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return Page[store.QuarantinedItem]{}, err
	}
	list, err := s.cfg.Admin.Store.Quarantined(c.Request().Context(), k.ID)
	if err != nil {
		return Page[store.QuarantinedItem]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(i store.QuarantinedItem) string { return i.ExternalID })
}

// adminExclusions lists what admins keep out of a connection.
func (s *Server) adminExclusions(c echo.Context, in pageQuery) (Page[store.ExcludedItem], error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return Page[store.ExcludedItem]{}, err
	}
	list, err := s.cfg.Admin.Store.Exclusions(c.Request().Context(), k.ID)
	if err != nil {
		return Page[store.ExcludedItem]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(i store.ExcludedItem) string { return i.ExternalID })
}

// Bounds of what one request names.
const (
	maxItems  = 1000
	maxReason = 500
)

// adminItems makes an operation of an act on items of a connection.
func (s *Server) adminItems(act func(c echo.Context, k store.Connection, in ItemsRequest) (int, error)) func(c echo.Context, in ItemsRequest) (ItemsAnswer, error) {
	return func(c echo.Context, in ItemsRequest) (ItemsAnswer, error) {
		k, err := s.connectionOf(c)
		if err != nil {
			return ItemsAnswer{}, err
		}
		if k.State == store.StateClosing {
			return ItemsAnswer{}, problem(http.StatusConflict, codeConflict, "it is being deleted")
		}
		if len(in.IDs) == 0 || len(in.IDs) > maxItems {
			return ItemsAnswer{}, invalid("ids", "ids: must name 1 to "+strconv.Itoa(maxItems)+" items")
		}
		for _, id := range in.IDs {
			if !store.UsableID(id) {
				return ItemsAnswer{}, invalid("ids", "ids: holds one that no item has")
			}
		}
		if len(in.Reason) > maxReason {
			return ItemsAnswer{}, invalid("reason", "reason: must have "+strconv.Itoa(maxReason)+" bytes at most")
		}
		n, err := act(c, k, in)
		return ItemsAnswer{Changed: n}, err
	}
}

// itemsEvent is about items of a connection.
//
// SECURITY: the audit log is never erased, so no id of the source goes there.
func itemsEvent(c echo.Context, action string, k store.Connection, in ItemsRequest) audit.Event {
	e := connectionEvent(c, action, k)
	e.Detail["items"] = strconv.Itoa(len(in.IDs))
	return e
}

func (s *Server) retryItems(c echo.Context, k store.Connection, in ItemsRequest) (int, error) {
	return s.cfg.Admin.Store.RetryQuarantined(c.Request().Context(), k.ID, in.IDs, itemsEvent(c, "quarantine.retry", k, in))
}

func (s *Server) excludeItems(c echo.Context, k store.Connection, in ItemsRequest) (int, error) {
	return s.cfg.Admin.Store.ExcludeItems(c.Request().Context(), k.ID, in.IDs, in.Reason, actor(c).Name, itemsEvent(c, "quarantine.exclude", k, in))
}

func (s *Server) includeItems(c echo.Context, k store.Connection, in ItemsRequest) (int, error) {
	return s.cfg.Admin.Store.IncludeItems(c.Request().Context(), k.ID, in.IDs, itemsEvent(c, "quarantine.include", k, in))
}
