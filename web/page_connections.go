package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// connectionsPerPage is how many connections a page shows.
const connectionsPerPage = 50

// showNeeds selects the connections that need somebody.
const showNeeds = "needs"

// connectionsPage lists connections at a glance, those first that need somebody.
func (s *Server) connectionsPage(c echo.Context) error {
	ctx := c.Request().Context()
	o := s.cfg.OAuth
	v := pages.ConnectionsView{
		Text: plainQuery(c, "q"), Show: c.QueryParam("show"), Sources: o.Sources, Engine: s.cfg.Admin != nil,
		Totals: map[string]store.Totals{}, MayAct: mayAct(c, store.RoleAdmin),
	}
	f := store.ConnectionFilter{Text: v.Text, Needs: v.Show == showNeeds, After: c.QueryParam("after"), Limit: connectionsPerPage}
	if !f.Needs {
		f.State = store.ConnectionState(v.Show)
	}
	if f.State != "" && !slices.Contains(store.ConnectionStates(), f.State) {
		return invalid("show", "show: there is no such state")
	}
	var err error
	if v.List, err = o.Store.ConnectionHealths(ctx, f); err != nil {
		return err
	}
	ids := make([]uuid.UUID, len(v.List.Items))
	for i := range v.List.Items {
		ids[i] = v.List.Items[i].ID
	}
	totals, err := o.Store.DocumentTotals(ctx, ids)
	if err != nil {
		return err
	}
	for id, t := range totals {
		v.Totals[id.String()] = t
	}
	if v.Now, err = o.Store.Now(ctx); err != nil {
		return err
	}
	frame := s.frame(c, "Connections")
	frame.Topic = topicAll
	return render(c, http.StatusOK, pages.Connections(frame, v))
}

// plainQuery is a text of the query, cut to what a page takes, without what no text in the database can hold.
func plainQuery(c echo.Context, name string) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(c.QueryParam(name), ""), "\x00", "")
	return strings.TrimSpace(cut(text))
}
