package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
	"tributary/web/pages"
)

// Bounds of what the page of a reader shows.
const (
	shownGroups  = 300
	shownReads   = 10
	shownHistory = 200
	shownKeys    = 20
)

// readerPage shows one reader.
func (s *Server) readerPage(c echo.Context) error {
	r, err := s.adminReaderOf(c)
	if err != nil {
		return err
	}
	return s.showReader(c, http.StatusOK, r, "")
}

func (s *Server) showReader(c echo.Context, status int, r store.Reader, text string) error {
	ctx, st := c.Request().Context(), s.cfg.Admin.Store
	v := pages.ReaderView{Reader: r, MayAct: mayAct(c, store.RoleOwner)}
	var err error
	if v.Groups, err = st.ReaderGroups(ctx, r.ID, shownGroups+1); err != nil {
		return err
	}
	if len(v.Groups) > shownGroups {
		v.Groups, v.MoreGroups = v.Groups[:shownGroups], true
	}
	if v.Reads, err = st.Reads(ctx, store.ReadFilter{Reader: r.ID.String(), Limit: shownReads}); err != nil {
		return err
	}
	if v.Keys, err = st.FindKeys(ctx, store.KeyFilter{Reader: r.ID, Limit: shownKeys}); err != nil {
		return err
	}
	if v.History, err = s.cfg.OAuth.Store.AuditEvents(ctx, store.AuditFilter{Target: "reader:" + r.ID.String(), Limit: shownHistory}); err != nil {
		return err
	}
	v.LinkedBy = linkers(r.Links, v.History)
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	if s.Returns("/search") && v.MayAct {
		v.SearchAs = "/search?as=" + r.ID.String()
	}
	return render(c, status, pages.Reader(s.showProblem(c, r.Name, text), v))
}

// readerAct makes a handler of an act on the reader of the path, whose form has the named fields. act returns what the page
// says then.
func (s *Server) readerAct(act func(c echo.Context, r store.Reader, f map[string]string) (string, error), fields ...string) echo.HandlerFunc {
	return func(c echo.Context) error {
		r, err := s.adminReaderOf(c)
		if err != nil {
			return err
		}
		f, err := formValues(c, fields...)
		if err != nil {
			return err
		}
		done, err := act(c, r, f)
		if text, ok := actProblem(err); ok {
			return s.showReader(c, http.StatusUnprocessableEntity, r, text)
		}
		if err != nil {
			return err
		}
		return seeOther(c, "/readers/"+r.ID.String(), done)
	}
}

// linkToReader says who the reader is at the source of a connection.
func (s *Server) linkToReader(c echo.Context, _ store.Reader, f map[string]string) (string, error) {
	_, err := s.adminLinkReader(c, LinkRequest{Connection: strings.TrimSpace(f["connection"]), Kind: connectors.PrincipalKind(f["kind"]), ID: f["principal"]})
	return "reader-linked", err
}

// unlinkFromReader removes one link, which the form names by the number of its principal.
func (s *Server) unlinkFromReader(c echo.Context, r store.Reader, f map[string]string) (string, error) {
	for _, l := range r.Links {
		if strconv.FormatInt(l.PrincipalID, 10) == f["principal"] {
			err := s.cfg.Admin.Store.UnlinkReader(c.Request().Context(), r.ID, l.PrincipalID, linkEvent(c, "reader.unlink", r, LinkRequest{Kind: l.Kind, ID: l.ExternalID}))
			return "reader-unlinked", unlessMissing(err)
		}
	}
	return "", &store.InputError{Problem: "there is no such link any more"}
}

func (s *Server) changeIdentity(c echo.Context, _ store.Reader, f map[string]string) (string, error) {
	i := store.ReaderIdentity{Issuer: strings.TrimSpace(f["issuer"]), Subject: strings.TrimSpace(f["subject"])}
	if f["do"] == "remove" {
		_, err := s.adminRemoveIdentity(c, store.ReaderIdentity{Issuer: f["issuer"], Subject: f["subject"]})
		return "identity-removed", err
	}
	_, err := s.adminAddIdentity(c, i)
	return "identity-added", err
}

func (s *Server) changeEmail(c echo.Context, _ store.Reader, f map[string]string) (string, error) {
	in := EmailRequest{Email: strings.TrimSpace(f["email"])}
	if f["do"] == "remove" {
		_, err := s.adminRemoveEmail(c, in)
		return "email-removed", err
	}
	_, err := s.adminAddEmail(c, in)
	return "email-added", err
}

// switchReader disables or enables a reader.
func (s *Server) switchReader(action string) func(c echo.Context, r store.Reader, f map[string]string) (string, error) {
	done := "reader-enabled"
	if action == "reader.disable" {
		done = "reader-disabled"
	}
	return func(c echo.Context, _ store.Reader, _ map[string]string) (string, error) {
		_, err := s.adminReaderAct(action)(c, nothing{})
		return done, err
	}
}

// deleteReaderPage asks whether a reader shall go.
func (s *Server) deleteReaderPage(c echo.Context) error {
	r, err := s.adminReaderOf(c)
	if err != nil {
		return err
	}
	return s.askDelete(c, http.StatusOK, r, "")
}

func (s *Server) askDelete(c echo.Context, status int, r store.Reader, text string) error {
	keys, err := s.cfg.Admin.Store.FindKeys(c.Request().Context(), store.KeyFilter{Reader: r.ID, Revoked: new(false), Limit: shownKeys + 1})
	if err != nil {
		return err
	}
	return render(c, status, pages.DeleteReader(s.showProblem(c, "Delete "+r.Name, text), pages.DeleteReaderView{Reader: r, Keys: keys}))
}

// deleteReader removes a reader whose name was written to confirm it.
func (s *Server) deleteReader(c echo.Context) error {
	r, err := s.adminReaderOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "confirm")
	if err != nil {
		return err
	}
	if strings.TrimSpace(f["confirm"]) != strings.TrimSpace(r.Name) {
		return s.askDelete(c, http.StatusUnprocessableEntity, r, "nothing is deleted: write the reader's name to confirm")
	}
	err = s.cfg.Admin.Store.DeleteReader(c.Request().Context(), r.ID, readerEvent(c, "reader.delete", r, map[string]string{}))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return seeOther(c, readersPath, "reader-deleted")
}

// linkers says who confirmed the links of a reader, by principal, as the audit log has it: the first event of a link of that
// principal since the link stands. history is newest first.
func linkers(links []store.ReaderLink, history []audit.Event) map[int64]string {
	by := map[int64]string{}
	for _, l := range links {
		if len(history) == shownHistory && l.At.Before(history[len(history)-1].At) {
			continue // its event may be one that was not read
		}
		for _, e := range slices.Backward(history) {
			p := e.Detail["principal"]
			if e.Action == "reader.link" && !e.At.Before(l.At) && (p == string(l.Kind)+":"+l.ExternalID || p == l.Source+":"+l.ExternalID) {
				by[l.PrincipalID] = e.Actor.Name
				break
			}
		}
	}
	return by
}
