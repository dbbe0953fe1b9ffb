package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
)

// AdminAccessStore keeps readers and keys.
type AdminAccessStore interface {
	ListReaders(ctx context.Context) ([]store.Reader, error)
	UnlinkReader(ctx context.Context, reader uuid.UUID, principal int64, events ...audit.Event) error
	DisableReader(ctx context.Context, reader uuid.UUID, events ...audit.Event) error
	EnableReader(ctx context.Context, reader uuid.UUID, events ...audit.Event) error
	MakeReader(ctx context.Context, n store.NewReader, events ...audit.Event) (store.Reader, error)
	DeleteReader(ctx context.Context, reader uuid.UUID, deleted audit.Event) error
	AddReaderIdentity(ctx context.Context, reader uuid.UUID, i store.ReaderIdentity, events ...audit.Event) error
	RemoveReaderIdentity(ctx context.Context, reader uuid.UUID, i store.ReaderIdentity, events ...audit.Event) error
	AddReaderEmail(ctx context.Context, reader uuid.UUID, email string, events ...audit.Event) (store.Mapped, error)
	RemoveReaderEmail(ctx context.Context, reader uuid.UUID, email string, events ...audit.Event) (store.Mapped, error)
	SetMapEmail(ctx context.Context, connection uuid.UUID, on bool, events ...audit.Event) (store.Mapped, error)
	UnmatchedPeople(ctx context.Context, f store.UnmatchedFilter) ([]store.Unmatched, error)
	ImportReaders(ctx context.Context, rows []store.ImportRow, dryRun bool, events ...audit.Event) (store.ImportReport, error)
	AdminKeyStore
}

// adminReaderRoutes are those of readers.
//
// SECURITY: who links a reader decides who reads what: that is for owners.
func (s *Server) adminReaderRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		operation(get, "/readers", accessTokenAuditor, s.adminListReaders),
		operation(post, "/readers", accessTokenOwner, s.adminCreateReader),
		operation(get, "/readers/:id", accessTokenAuditor, s.adminGetReader),
		operation(post, "/readers/:id/links", accessTokenOwner, s.adminLinkReader),
		operation(http.MethodDelete, "/readers/:id/links", accessTokenOwner, s.adminUnlinkReader),
		operation(post, "/readers/:id/disable", accessTokenOwner, s.adminReaderAct("reader.disable")),
		operation(post, "/readers/:id/enable", accessTokenOwner, s.adminReaderAct("reader.enable")),
		operation(http.MethodDelete, "/readers/:id", accessTokenOwner, s.adminDeleteReader),
		operation(post, "/readers/:id/identities", accessTokenOwner, s.adminAddIdentity),
		operation(http.MethodDelete, "/readers/:id/identities", accessTokenOwner, s.adminRemoveIdentity),
		operation(post, "/readers/:id/emails", accessTokenOwner, s.adminAddEmail),
		operation(http.MethodDelete, "/readers/:id/emails", accessTokenOwner, s.adminRemoveEmail),
		operation(post, "/imports/readers", accessTokenOwner, s.adminImportReaders),
		operation(get, "/people/unmatched", accessTokenAuditor, s.adminUnmatched),
		operation(http.MethodPut, "/connections/:name/map-email", accessTokenOwner, s.adminMapEmail),
	}
}

func (s *Server) adminListReaders(c echo.Context, in pageQuery) (Page[store.Reader], error) {
	list, err := s.cfg.Admin.Store.ListReaders(c.Request().Context())
	if err != nil {
		return Page[store.Reader]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(r store.Reader) string { return r.Name })
}

// adminReaderOf returns the reader that the path names by id or name.
func (s *Server) adminReaderOf(c echo.Context) (store.Reader, error) {
	r, err := s.cfg.OAuth.Store.Reader(c.Request().Context(), c.Param("id"))
	if errors.Is(err, store.ErrNotFound) {
		err = problem(http.StatusNotFound, codeNotFound, "there is no such reader; the list of readers has their names")
	}
	return r, err
}

func (s *Server) adminGetReader(c echo.Context, _ nothing) (store.Reader, error) {
	return s.adminReaderOf(c)
}

func (s *Server) adminCreateReader(c echo.Context, in CreateReaderRequest) (store.Reader, error) {
	if in.Kind == "" {
		in.Kind = store.Person
	}
	detail := map[string]string{"name": in.Name, "kind": string(in.Kind), "emails": strings.Join(in.Emails, " ")}
	for _, i := range in.Identities {
		detail["identities"] = strings.TrimSpace(detail["identities"] + " " + i.Issuer + "," + i.Subject)
	}
	n := store.NewReader{Name: in.Name, Kind: in.Kind, Identities: in.Identities, Emails: in.Emails}
	r, err := s.cfg.Admin.Store.MakeReader(c.Request().Context(), n, adminEvent(c, "reader.create", "reader", "", detail))
	if err == nil {
		created(c)
	}
	return r, err
}

func linkEvent(c echo.Context, action string, r store.Reader, in LinkRequest) audit.Event {
	return adminEvent(c, action, "reader", r.ID.String(), map[string]string{"name": r.Name, "principal": string(in.Kind) + ":" + in.ID, "connection": in.Connection})
}

// adminLinkReader links a reader to who it is at the source of a connection.
func (s *Server) adminLinkReader(c echo.Context, in LinkRequest) (store.Reader, error) {
	ctx := c.Request().Context()
	r, err := s.adminReaderOf(c)
	if err != nil {
		return r, err
	}
	k, err := s.cfg.OAuth.Store.Connection(ctx, in.Connection)
	if errors.Is(err, store.ErrNotFound) {
		return r, invalid("connection", "connection: there is no such connection")
	}
	if err != nil {
		return r, err
	}
	if err := s.linkByHand(c, r, k, in); err != nil {
		return r, err
	}
	return s.adminReaderOf(c)
}

// linkByHand links a reader by hand to a principal in the realm of k.
func (s *Server) linkByHand(c echo.Context, r store.Reader, k store.Connection, in LinkRequest) error {
	p := store.PrincipalIn{Connection: k.ID, Principal: connectors.Principal{Kind: in.Kind, ID: in.ID}}
	return s.cfg.OAuth.Store.LinkReader(c.Request().Context(), r.ID, p, store.LinkManual, linkEvent(c, "reader.link", r, in))
}

// adminUnlinkReader removes a link, at every source where it stands, or in the realm of a connection; one that does not stand is no error.
func (s *Server) adminUnlinkReader(c echo.Context, in LinkRequest) (store.Reader, error) {
	r, err := s.adminReaderOf(c)
	if err != nil {
		return r, err
	}
	var realm *int64
	if in.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), in.Connection)
		if err != nil {
			return r, noConnection(err)
		}
		realm = k.RealmID
	}
	for _, l := range r.Links {
		if l.Kind != in.Kind || l.ExternalID != in.ID || in.Connection != "" && (realm == nil || l.RealmID != *realm) {
			continue
		}
		if err := s.cfg.Admin.Store.UnlinkReader(c.Request().Context(), r.ID, l.PrincipalID, linkEvent(c, "reader.unlink", r, in)); err != nil {
			return r, err
		}
	}
	return s.adminReaderOf(c)
}

func (s *Server) adminReaderAct(action string) func(c echo.Context, _ nothing) (store.Reader, error) {
	return func(c echo.Context, _ nothing) (store.Reader, error) {
		r, err := s.adminReaderOf(c)
		if err != nil {
			return r, err
		}
		act := s.cfg.Admin.Store.EnableReader
		if action == "reader.disable" {
			act = s.cfg.Admin.Store.DisableReader
		}
		if err := act(c.Request().Context(), r.ID, adminEvent(c, action, "reader", r.ID.String(), map[string]string{"name": r.Name})); err != nil {
			return r, err
		}
		return s.adminReaderOf(c)
	}
}
