package web

import (
	"errors"
	"net/http"
	"strings"
	"unicode"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
	"tributary/web/pages"
)

// localForm shows the form of a source of this machine, which nobody has to consent to.
func (s *Server) localForm(c echo.Context, status int, text string, spec connectors.Spec, v pages.LocalView) error {
	v.Spec, v.Roots, v.SetsUp = spec, s.cfg.OAuth.FolderRoots, s.setsUp()
	return render(c, status, pages.ConnectLocal(s.showProblem(c, "Connect "+spec.Name, text), v))
}

// connectLocal connects a source of this machine: it is opened before anything is stored. Then its set-up goes on, or its
// first sync is asked for where no pages of that are served.
//
// SECURITY: what is read is bounded by FolderRoots, which the operator names and the connector holds to, links
// resolved, now and with every sync.
func (s *Server) connectLocal(c echo.Context, spec connectors.Spec, f map[string]string) error {
	o := s.cfg.OAuth
	v := pages.LocalView{Name: cut(strings.TrimSpace(f["name"])), Include: f["include"], Exclude: f["exclude"], Settings: map[string]string{}}
	if len(o.FolderRoots) == 0 {
		return s.localForm(c, http.StatusForbidden, "nothing was connected: no directories are set that may be connected here", spec, v)
	}
	k, err := s.makeLocal(c, spec, f, &v)
	if text, ok := localProblem(err); ok && err != nil {
		return s.localForm(c, http.StatusUnprocessableEntity, "nothing was connected: "+text, spec, v)
	}
	if err != nil {
		return err
	}
	if k.SettingUp() {
		return seeOther(c, s.nextStep(k), "set-up")
	}
	if _, err := o.Syncer.RequestLanes(c.Request().Context(), k, store.Lanes(), "admin", false); err != nil {
		return err
	}
	return seeOther(c, "/connections/"+k.Name, "connected")
}

// localProblem is oauthProblem for a source of this machine: no provider wrote what it says, so paths stay whole.
func localProblem(err error) (string, bool) {
	if call, ok := errors.AsType[*connectors.Error](err); ok && !isOurs(err) {
		return cutLong(strings.Map(func(r rune) rune {
			if !unicode.IsGraphic(r) {
				return -1
			}
			return r
		}, strings.ToValidUTF8(call.Error(), ""))), true
	}
	return oauthProblem(err)
}

// makeLocal opens the source and stores the connection.
func (s *Server) makeLocal(c echo.Context, spec connectors.Spec, f map[string]string, v *pages.LocalView) (store.Connection, error) {
	ctx := c.Request().Context()
	values, err := readSettings(spec, f, v.Settings)
	if err != nil {
		return store.Connection{}, err
	}
	selection := connectors.Selection{Include: lines(v.Include), Exclude: lines(v.Exclude)}
	if _, err := s.cfg.OAuth.Opener.Verify(ctx, spec.Source, values, selection); err != nil {
		return store.Connection{}, err
	}
	return s.cfg.OAuth.Store.CreateConnection(ctx, store.NewConnection{Name: v.Name, Source: spec.Source, Settings: values, Selection: selection, SetUp: s.setsUp()}, audit.Event{
		Actor: actor(c), Action: "connection.create", Target: audit.Target{Kind: "connection"}, Outcome: audit.OK,
		Detail: map[string]string{"name": v.Name, "source": spec.Source, "path": values["path"]},
	})
}
