package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/internal/assertion"
	"tributary/internal/audit"
	"tributary/store"
)

// AdminKeyStore keeps API keys.
type AdminKeyStore interface {
	CreateKey(ctx context.Context, p store.CreateKeyParams, events ...audit.Event) (store.Key, string, error)
	Key(ctx context.Context, nameOrID string) (store.Key, error)
	ListKeys(ctx context.Context) ([]store.Key, error)
	RevokeKey(ctx context.Context, nameOrID string, events ...audit.Event) error
	RotateKey(ctx context.Context, nameOrID string, grace time.Duration, events ...audit.Event) (store.Key, string, error)
	AddSigner(ctx context.Context, nameOrID string, signer assertion.Signer, events ...audit.Event) (store.Key, error)
	RemoveSigner(ctx context.Context, nameOrID, kid string, events ...audit.Event) (store.Key, error)
}

// adminKeyRoutes are those of API keys.
//
// SECURITY: who makes a key, or says who signs for one, decides who reads what: that is for owners.
func (s *Server) adminKeyRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		operation(get, "/keys", accessTokenAuditor, s.adminListKeys),
		operation(post, "/keys", accessTokenOwner, s.adminCreateKey),
		operation(get, "/keys/:id", accessTokenAuditor, s.adminGetKey),
		operation(http.MethodDelete, "/keys/:id", accessTokenOwner, s.adminRevokeKey),
		operation(post, "/keys/:id/rotate", accessTokenOwner, s.adminRotateKey),
		operation(post, "/keys/:id/signers", accessTokenOwner, s.adminAddSigner),
		operation(http.MethodDelete, "/keys/:id/signers", accessTokenOwner, s.adminRemoveSigner),
	}
}

func (s *Server) adminListKeys(c echo.Context, in pageQuery) (Page[store.Key], error) {
	list, err := s.cfg.Admin.Store.ListKeys(c.Request().Context())
	if err != nil {
		return Page[store.Key]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(k store.Key) string { return k.Name })
}

func (s *Server) adminGetKey(c echo.Context, _ nothing) (store.Key, error) {
	key, err := s.cfg.Admin.Store.Key(c.Request().Context(), c.Param("id"))
	return key, noKey(err)
}

// adminCreateKey makes an API key, and shows its secret once.
func (s *Server) adminCreateKey(c echo.Context, in CreateKeyRequest) (NewKeyAnswer, error) {
	ctx := c.Request().Context()
	life, err := lifeOf(in.ExpiresIn)
	if err != nil {
		return NewKeyAnswer{}, err
	}
	p := store.CreateKeyParams{Name: in.Name, Mode: in.Mode, Rights: in.Rights, AllConnections: in.AllConnections, PerMinute: in.PerMinute, CreatedBy: actor(c).Name}
	if in.PublicKey != "" {
		signer, err := signerOf(in.SignerRequest)
		if err != nil {
			return NewKeyAnswer{}, err
		}
		p.Signers = []assertion.Signer{signer}
	}
	if len(p.Rights) == 0 {
		p.Rights = []string{store.RightSearch, store.RightDocuments}
	}
	for _, name := range in.Connections {
		k, err := s.cfg.OAuth.Store.Connection(ctx, name)
		if errors.Is(err, store.ErrNotFound) {
			return NewKeyAnswer{}, invalid("connections", "connections: there is no connection "+cut(name))
		}
		if err != nil {
			return NewKeyAnswer{}, err
		}
		p.Connections = append(p.Connections, k.ID)
	}
	if in.Reader != "" {
		r, err := s.cfg.OAuth.Store.Reader(ctx, in.Reader)
		if errors.Is(err, store.ErrNotFound) {
			return NewKeyAnswer{}, invalid("reader", "reader: there is no such reader")
		}
		if err != nil {
			return NewKeyAnswer{}, err
		}
		p.ReaderID = &r.ID
	}
	if life > 0 {
		now, err := s.cfg.OAuth.Store.Now(ctx)
		if err != nil {
			return NewKeyAnswer{}, err
		}
		at := now.Add(life)
		p.ExpiresAt = &at
	}
	detail := map[string]string{"name": p.Name, "mode": string(p.EffectiveMode()), "reader": in.Reader, "rights": strings.Join(p.Rights, " "), "connections": strings.Join(in.Connections, " "), "reads_whole": strconv.FormatBool(p.ReadsWhole())}
	key, text, err := s.cfg.Admin.Store.CreateKey(ctx, p, adminEvent(c, "api_key.create", "api_key", "", detail))
	if err == nil {
		created(c)
	}
	return NewKeyAnswer{key, text}, err
}

// adminRevokeKey ends a key. One that has ended is answered alike.
func (s *Server) adminRevokeKey(c echo.Context, _ nothing) (nothing, error) {
	name := c.Param("id")
	err := s.cfg.Admin.Store.RevokeKey(c.Request().Context(), name, adminEvent(c, "api_key.revoke", "api_key", name, nil))
	return nothing{}, noKey(err)
}

// adminRotateKey gives a key another secret, and shows it once.
func (s *Server) adminRotateKey(c echo.Context, in RotateKeyRequest) (NewKeyAnswer, error) {
	if in.Grace < 0 || in.Grace > int64(store.MaxKeyGrace/time.Second) {
		return NewKeyAnswer{}, invalid("grace", "grace: must be seconds, at most those of 7 days")
	}
	name := c.Param("id")
	event := adminEvent(c, "api_key.rotate", "api_key", name, map[string]string{"grace_seconds": strconv.FormatInt(in.Grace, 10)})
	key, text, err := s.cfg.Admin.Store.RotateKey(c.Request().Context(), name, time.Duration(in.Grace)*time.Second, event)
	return NewKeyAnswer{key, text}, noKey(err)
}

// signerOf reads the public key of a request.
func signerOf(in SignerRequest) (assertion.Signer, error) {
	signer, err := assertion.NewSigner(in.PublicKey, in.KeyID, in.Algorithm)
	if err != nil {
		return signer, invalid("public_key", "public_key: it "+err.Error())
	}
	return signer, nil
}

// adminAddSigner lets the holder of a public key sign assertions of a key.
func (s *Server) adminAddSigner(c echo.Context, in SignerRequest) (store.Key, error) {
	signer, err := signerOf(in)
	if err != nil {
		return store.Key{}, err
	}
	name := c.Param("id")
	key, err := s.cfg.Admin.Store.AddSigner(c.Request().Context(), name, signer,
		adminEvent(c, "api_key.signer_add", "api_key", name, map[string]string{"kid": signer.KeyID, "algorithm": signer.Algorithm}))
	return key, noKey(err)
}

// adminRemoveSigner ends what a signer may sign.
func (s *Server) adminRemoveSigner(c echo.Context, in SignerNameRequest) (store.Key, error) {
	name := c.Param("id")
	key, err := s.cfg.Admin.Store.RemoveSigner(c.Request().Context(), name, in.KeyID,
		adminEvent(c, "api_key.signer_remove", "api_key", name, map[string]string{"kid": in.KeyID}))
	return key, noKey(err)
}

func noKey(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return problem(http.StatusNotFound, codeNotFound, "there is no such key, or it has no such signer; the list of keys has their names")
	}
	return err
}
