package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// connectionOf reads the connection that the path names.
func (s *Server) connectionOf(c echo.Context) (store.Connection, error) {
	k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), c.Param("name"))
	if err != nil {
		return k, noConnection(err)
	}
	return k, nil
}

// readerOffer is the reader that the one who looks can be linked to the consenting account as: only who consented, and
// only where the link does not stand already.
func (s *Server) readerOffer(ctx context.Context, c echo.Context, k store.Connection, g *oauthflow.GrantView) (string, error) {
	who, _ := identityOf(c)
	if !isConsenter(who, k, g) {
		return "", nil
	}
	reader, err := s.cfg.OAuth.Store.Reader(ctx, who.Account.Name)
	if errors.Is(err, store.ErrNotFound) {
		return who.Account.Name, nil
	}
	if err != nil {
		return "", err
	}
	linked := slices.ContainsFunc(reader.Links, func(l store.ReaderLink) bool {
		return l.Source == k.Source && l.Kind == connectors.User && l.How == string(store.LinkConsent)
	})
	if linked || reader.Kind != store.Person || reader.DisabledAt != nil {
		return "", nil
	}
	return who.Account.Name, nil
}

// isConsenter reports whether the account gave the consent that the grant stands on. The realm of the connection is
// known after its first sync.
func isConsenter(who Identity, k store.Connection, g *oauthflow.GrantView) bool {
	return g.ConsentedBy != nil && *g.ConsentedBy == who.Account.ID && g.Kind == oauthflow.GrantCode && g.Subject != "" && k.RealmID != nil && who.MayAct(store.RoleAdmin)
}

// connectionAct makes a handler of an act on one connection, whose form has a button alone.
func (s *Server) connectionAct(act func(c echo.Context, k store.Connection) error, done string) echo.HandlerFunc {
	return func(c echo.Context) error {
		k, err := s.connectionOf(c)
		if err != nil {
			return err
		}
		if _, err := formValues(c); err != nil {
			return err
		}
		err = act(c, k)
		if text, ok := oauthProblem(err); ok && err != nil {
			return s.showConnection(c, http.StatusUnprocessableEntity, k, text)
		}
		if err != nil {
			return err
		}
		return seeOther(c, "/connections/"+k.Name, done)
	}
}

func connectionEvent(c echo.Context, action string, k store.Connection) audit.Event {
	return audit.Event{
		Actor: actor(c), Action: action, Target: audit.Target{Kind: "connection", ID: k.ID.String()}, Outcome: audit.OK, Detail: map[string]string{"name": k.Name},
	}
}

// canSync refuses a sync that cannot be.
func canSync(k store.Connection) error {
	switch k.State { //nolint:exhaustive // the others may sync
	case store.StatePaused, store.StateNeedsReauth, store.StateClosing:
		return &store.InputError{Problem: "it cannot sync while its state is " + string(k.State)}
	}
	return nil
}

// requestLanes asks for a run of each lane, and records that it was asked.
func (s *Server) requestLanes(c echo.Context, k store.Connection, lanes []store.Lane) ([]store.Run, error) {
	if err := canSync(k); err != nil {
		return nil, err
	}
	return s.cfg.OAuth.Syncer.RequestLanes(c.Request().Context(), k, lanes, "admin", false, connectionEvent(c, "connection.sync", k))
}

// syncConnection asks for a run of each lane.
func (s *Server) syncConnection(c echo.Context, k store.Connection) error {
	_, err := s.requestLanes(c, k, store.Lanes())
	return err
}

func (s *Server) pauseConnection(pause bool) func(c echo.Context, k store.Connection) error {
	return func(c echo.Context, k store.Connection) error {
		action := "connection.resume"
		if pause {
			action = "connection.pause"
		}
		switch {
		case k.State == store.StateClosing:
			return &store.InputError{Problem: "it is being deleted"}
		case !pause && k.State != store.StatePaused:
			// SECURITY: resuming must not make a connection active that stands still for another reason.
			return nil
		}
		return s.cfg.OAuth.Store.SetPaused(c.Request().Context(), k.ID, pause, connectionEvent(c, action, k))
	}
}

// readExpiry reads when something ends, and what becomes of its documents.
func (s *Server) readExpiry(c echo.Context, f map[string]string) (*time.Time, oauthflow.AtExpiry, error) {
	at, err := parseDay(f["at"])
	if err != nil {
		return nil, "", &store.InputError{Field: "Ends on", Problem: err.Error()}
	}
	then := oauthflow.AtExpiry(f["then"])
	if then != oauthflow.KeepDocuments && then != oauthflow.HideDocuments {
		return nil, "", &store.InputError{Field: "Documents", Problem: "choose whether they are kept or hidden"}
	}
	now, err := s.cfg.OAuth.Store.Now(c.Request().Context())
	if err != nil {
		return nil, "", err
	}
	if at != nil && !at.After(now) {
		return nil, "", &store.InputError{Field: "Ends on", Problem: "choose a day after today"}
	}
	return at, then, nil
}

// expireConnection sets when a connection ends.
func (s *Server) expireConnection(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "at", "then")
	if err != nil {
		return err
	}
	at, then, err := s.readExpiry(c, f)
	if err == nil {
		err = s.cfg.OAuth.Grants.SetConnectionExpiry(c.Request().Context(), s.by(c), k.ID, at, then)
	}
	if text, ok := oauthProblem(err); ok && err != nil {
		return s.showSettings(c, http.StatusUnprocessableEntity, k, text, nil)
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/connections/"+k.Name+"/settings", "expiry")
}

// linkReader links the account that consented to the reader of who consented, making that reader if needed.
func (s *Server) linkReader(c echo.Context, k store.Connection) error {
	ctx := c.Request().Context()
	who, _ := identityOf(c)
	refuse := &store.InputError{Problem: "only who gave the consent can be linked to it, once the connection has synced"}
	if k.GrantID == nil {
		return refuse
	}
	g, err := s.cfg.OAuth.Grants.Get(ctx, *k.GrantID)
	if err != nil {
		return err
	}
	if !isConsenter(who, k, g) {
		return refuse
	}
	// SECURITY: the provider's id of an account need not be the source's id of the person; the connector tells which it is.
	if spec, ok := s.sourceNamed(k.Source); !ok || !spec.Has(connectors.CanSelf) {
		return &store.InputError{Problem: "this source does not tell which of its users consented: link the reader by name, with tributary readers link"}
	}
	self, err := s.cfg.OAuth.Opener.Self(ctx, k)
	if err != nil {
		return err
	}
	// Another consent that came meanwhile is not this one's.
	again, err := s.cfg.OAuth.Grants.Get(ctx, *k.GrantID)
	if err != nil {
		return err
	}
	if !isConsenter(who, k, again) || again.Health.Epoch != g.Health.Epoch {
		return refuse
	}
	reader, err := s.cfg.OAuth.Store.Reader(ctx, who.Account.Name)
	if errors.Is(err, store.ErrNotFound) {
		reader, err = s.cfg.OAuth.Store.CreateReader(ctx, who.Account.Name, store.Person, audit.Event{
			Actor: actor(c), Action: "reader.create", Target: audit.Target{Kind: "reader"}, Outcome: audit.OK, Detail: map[string]string{"name": who.Account.Name},
		})
	}
	if err != nil {
		return err
	}
	return s.cfg.OAuth.Store.LinkReader(ctx, reader.ID, store.PrincipalIn{
		Connection: k.ID, Principal: connectors.Principal{Kind: connectors.User, ID: self.ID, Name: self.Name},
	}, store.LinkConsent, audit.Event{
		Actor: actor(c), Action: "reader.link", Target: audit.Target{Kind: "reader", ID: reader.ID.String()}, Outcome: audit.OK,
		Detail: map[string]string{"name": reader.Name, "principal": k.Source + ":" + self.ID, "connection": k.Name, "how": string(store.LinkConsent)},
	})
}

// disconnectPage says what disconnecting does, before it happens.
func (s *Server) disconnectPage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	return s.askDisconnect(c, http.StatusOK, k, "")
}

func (s *Server) askDisconnect(c echo.Context, status int, k store.Connection, text string) error {
	ctx := c.Request().Context()
	v := pages.DisconnectView{}
	var err error
	if v.Head, err = s.connectionHead(c, k, "settings"); err != nil {
		return err
	}
	if v.Totals, err = s.cfg.OAuth.Store.Totals(ctx, k.ID); err != nil {
		return err
	}
	if k.GrantID != nil {
		if v.Grant, err = s.cfg.OAuth.Grants.Get(ctx, *k.GrantID); err != nil {
			return err
		}
		for _, other := range v.Grant.Connections {
			if other.ID != k.ID {
				v.Others = append(v.Others, other.Name)
			}
		}
	}
	return render(c, status, pages.Disconnect(s.showProblem(c, "Disconnect "+k.Name, text), v))
}

// deleteTimeout bounds how long a request deletes documents; what is left goes on with the next one, or with a job.
const deleteTimeout = 20 * time.Second

// disconnect ends a connection, its grant where nothing else uses it, and its documents.
func (s *Server) disconnect(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "confirm")
	if err != nil {
		return err
	}
	if f["confirm"] != k.Name && k.State != store.StateClosing {
		return s.askDisconnect(c, http.StatusUnprocessableEntity, k, "nothing is disconnected: write the connection's name to confirm")
	}
	v := pages.DisconnectedView{Name: k.Name}
	if k.State == store.StateClosing {
		v.Note = "Its grant was ended before."
	} else {
		out, err := s.cfg.OAuth.Grants.Disconnect(c.Request().Context(), s.by(c), k.ID)
		if out == nil && err != nil {
			return err
		}
		if err != nil {
			s.cfg.Log.WarnContext(c.Request().Context(), "revoking a grant", "connection", k.Name, "error", err)
			out.Note = "The grant could not be revoked yet; it is tried again."
		}
		v.Note, v.ManageURL = out.Note, out.ManageURL
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), deleteTimeout)
	defer cancel()
	err = s.cfg.OAuth.Store.DeleteConnection(ctx, k.ID, connectionEvent(c, "connection.delete", k))
	v.Later = errors.Is(err, context.DeadlineExceeded) || errors.Is(err, store.ErrTimeout)
	if err != nil && !v.Later {
		return err
	}
	if v.Erasure, err = s.erasureOf(c, k); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.Disconnected(s.frame(c, "Disconnected"), v))
}
