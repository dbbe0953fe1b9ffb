package web

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
)

// readerEvent is about a reader.
func readerEvent(c echo.Context, action string, r store.Reader, detail map[string]string) audit.Event {
	detail["name"] = r.Name
	return adminEvent(c, action, "reader", r.ID.String(), detail)
}

// onReader changes the reader that the path names, and answers with it.
func (s *Server) onReader(c echo.Context, change func(r store.Reader) error) (store.Reader, error) {
	r, err := s.adminReaderOf(c)
	if err != nil {
		return r, err
	}
	if err := change(r); err != nil {
		return r, err
	}
	return s.adminReaderOf(c)
}

// adminDeleteReader deletes a reader, and revokes its keys.
func (s *Server) adminDeleteReader(c echo.Context, _ nothing) (nothing, error) {
	r, err := s.adminReaderOf(c)
	if err != nil {
		return nothing{}, err
	}
	return nothing{}, s.cfg.Admin.Store.DeleteReader(c.Request().Context(), r.ID, readerEvent(c, "reader.delete", r, map[string]string{}))
}

func identityDetail(i store.ReaderIdentity) map[string]string {
	return map[string]string{"issuer": i.Issuer, "subject": i.Subject}
}

func (s *Server) adminAddIdentity(c echo.Context, in store.ReaderIdentity) (store.Reader, error) {
	return s.onReader(c, func(r store.Reader) error {
		err := s.cfg.Admin.Store.AddReaderIdentity(c.Request().Context(), r.ID, in, readerEvent(c, "reader.identity_add", r, identityDetail(in)))
		if errors.Is(err, store.ErrConflict) {
			err = problem(http.StatusConflict, codeConflict, "the identity is another reader's: take it from that one first")
		}
		return err
	})
}

// adminRemoveIdentity takes an identity from a reader; one that it does not have is no error.
func (s *Server) adminRemoveIdentity(c echo.Context, in store.ReaderIdentity) (store.Reader, error) {
	return s.onReader(c, func(r store.Reader) error {
		return unlessMissing(s.cfg.Admin.Store.RemoveReaderIdentity(c.Request().Context(), r.ID, in, readerEvent(c, "reader.identity_remove", r, identityDetail(in))))
	})
}

func unlessMissing(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (s *Server) adminAddEmail(c echo.Context, in EmailRequest) (store.Reader, error) {
	return s.onReader(c, func(r store.Reader) error {
		_, err := s.cfg.Admin.Store.AddReaderEmail(c.Request().Context(), r.ID, in.Email, readerEvent(c, "reader.email_add", r, map[string]string{"email": in.Email}))
		return err
	})
}

// adminRemoveEmail takes an address from a reader; one that it does not have is no error.
func (s *Server) adminRemoveEmail(c echo.Context, in EmailRequest) (store.Reader, error) {
	return s.onReader(c, func(r store.Reader) error {
		_, err := s.cfg.Admin.Store.RemoveReaderEmail(c.Request().Context(), r.ID, in.Email, readerEvent(c, "reader.email_remove", r, map[string]string{"email": in.Email}))
		return unlessMissing(err)
	})
}

// adminImportReaders makes readers, all or none.
func (s *Server) adminImportReaders(c echo.Context, in ImportReadersRequest) (store.ImportReport, error) {
	report, err := s.importRows(c, in.Rows, in.DryRun)
	if bad, ok := errors.AsType[*store.ImportError](err); ok {
		err = invalid(fmt.Sprintf("rows[%d].%s", bad.Problems[0].Row-1, bad.Problems[0].Field), bad.Error())
	}
	return report, err
}

// importRows makes what rows say, or only counts it.
func (s *Server) importRows(c echo.Context, rows []store.ImportRow, dryRun bool) (store.ImportReport, error) {
	detail := map[string]string{"rows": strconv.Itoa(len(rows))}
	return s.cfg.Admin.Store.ImportReaders(c.Request().Context(), rows, dryRun, adminEvent(c, "reader.import", "reader", "", detail))
}

type unmatchedQuery struct {
	pageQuery

	Connection string `query:"connection"`
	Ambiguous  bool   `query:"ambiguous"`
}

// adminUnmatched lists the people of sources whom no reader is.
func (s *Server) adminUnmatched(c echo.Context, in unmatchedQuery) (Page[store.Unmatched], error) {
	limit, err := limitOf(in.Limit)
	if err != nil {
		return Page[store.Unmatched]{}, err
	}
	f := store.UnmatchedFilter{Ambiguous: in.Ambiguous, Limit: limit + 1}
	if in.Cursor != "" {
		if f.After, err = strconv.ParseInt(in.Cursor, 10, 64); err != nil {
			return Page[store.Unmatched]{}, invalid("cursor", "cursor: must be next_cursor of the page before")
		}
	}
	if in.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), in.Connection)
		if err != nil {
			return Page[store.Unmatched]{}, noConnection(err)
		}
		f.Connection = k.ID
	}
	list, err := s.cfg.Admin.Store.UnmatchedPeople(c.Request().Context(), f)
	if err != nil || len(list) <= limit {
		return Page[store.Unmatched]{Items: append([]store.Unmatched{}, list...)}, err
	}
	return Page[store.Unmatched]{Items: list[:limit], NextCursor: strconv.FormatInt(list[limit-1].PrincipalID, 10)}, nil
}

// adminMapEmail says whether verified addresses map readers to people of a connection.
func (s *Server) adminMapEmail(c echo.Context, in MapEmailRequest) (MapEmailAnswer, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return MapEmailAnswer{}, err
	}
	if in.Enabled == nil {
		return MapEmailAnswer{}, invalid("enabled", "enabled: must be true or false")
	}
	event := connectionEvent(c, "connection.map_email", k)
	event.Detail["map_email"] = strconv.FormatBool(*in.Enabled)
	m, err := s.cfg.Admin.Store.SetMapEmail(c.Request().Context(), k.ID, *in.Enabled, event)
	return MapEmailAnswer{Mapped: m, Enabled: *in.Enabled}, err
}
