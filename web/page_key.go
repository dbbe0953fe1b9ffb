package web

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// keyPage shows one key.
func (s *Server) keyPage(c echo.Context) error {
	k, err := s.adminGetKey(c, nothing{})
	if err != nil {
		return err
	}
	return s.showKey(c, http.StatusOK, k, "")
}

func (s *Server) showKey(c echo.Context, status int, k store.Key, text string) error {
	ctx := c.Request().Context()
	v := pages.KeyView{Key: k, MayAct: mayAct(c, store.RoleOwner)}
	names, err := s.cfg.Admin.Store.ConnectionNames(ctx, k.Connections[:min(len(k.Connections), shownNames)])
	if err != nil {
		return err
	}
	for _, id := range k.Connections {
		if n := names[id]; n != "" {
			v.Names = append(v.Names, n)
		}
	}
	v.More = len(k.Connections) - min(len(k.Connections), shownNames)
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, status, pages.KeyPage(s.showProblem(c, k.Name, text), v))
}

// rotateKey gives a key another secret, and shows it once.
func (s *Server) rotateKey(c echo.Context) error {
	k, err := s.adminGetKey(c, nothing{})
	if err != nil {
		return err
	}
	f, err := formValues(c, "hours")
	if err != nil {
		return err
	}
	hours, err := strconv.ParseInt("0"+strings.TrimSpace(f["hours"]), 10, 32)
	if err != nil || hours > 7*24 {
		return s.showKey(c, http.StatusUnprocessableEntity, k, "hours that the secret before goes on counting: must be 0 to 168")
	}
	if k.RevokedAt != nil {
		return s.showKey(c, http.StatusUnprocessableEntity, k, "a revoked key gets no other secret: make another key")
	}
	made, err := s.adminRotateKey(c, RotateKeyRequest{Grace: hours * 60 * 60})
	if err != nil {
		return err
	}
	before := "The secret before counts no more."
	if hours > 0 {
		before = "The secret before goes on counting for " + hoursWords(hours) + "."
	}
	names, err := s.cfg.Admin.Store.ConnectionNames(c.Request().Context(), made.Connections[:min(len(made.Connections), 1)])
	if err != nil {
		return err
	}
	first := ""
	for _, n := range names {
		first = n
	}
	return s.showSecret(c, made, first, before)
}

// changeSigners adds a public key that may sign assertions, or takes one away.
func (s *Server) changeSigners(c echo.Context) error {
	k, err := s.adminGetKey(c, nothing{})
	if err != nil {
		return err
	}
	f, err := formValues(c, "do", "public_key", "kid", "algorithm")
	if err != nil {
		return err
	}
	done := "signer-added"
	if f["do"] == "remove" {
		done = "signer-removed"
		_, err = s.adminRemoveSigner(c, SignerNameRequest{KeyID: f["kid"]})
	} else {
		_, err = s.adminAddSigner(c, SignerRequest{PublicKey: strings.TrimSpace(f["public_key"]), KeyID: strings.TrimSpace(f["kid"]), Algorithm: strings.TrimSpace(f["algorithm"])})
	}
	if errors.Is(err, store.ErrConflict) {
		err = &store.InputError{Field: "kid", Problem: "is that of another signer of this key"}
	}
	if text, ok := actProblem(err); ok {
		return s.showKey(c, http.StatusUnprocessableEntity, k, text)
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/keys/"+k.ID.String(), done)
}

// revokeKeyPage asks whether a key shall end.
func (s *Server) revokeKeyPage(c echo.Context) error {
	k, err := s.adminGetKey(c, nothing{})
	if err != nil {
		return err
	}
	now, err := s.cfg.OAuth.Store.Now(c.Request().Context())
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.RevokeKey(s.frame(c, "Revoke "+k.Name), pages.KeyView{Key: k, Now: now}))
}

// revokeKey ends a key.
func (s *Server) revokeKey(c echo.Context) error {
	k, err := s.adminGetKey(c, nothing{})
	if err != nil {
		return err
	}
	if _, err := formValues(c); err != nil {
		return err
	}
	if _, err := s.adminRevokeKey(c, nothing{}); err != nil {
		return err
	}
	return seeOther(c, "/keys/"+k.ID.String(), "key-revoked")
}

func hoursWords(n int64) string {
	if n == 1 {
		return "an hour"
	}
	return strconv.FormatInt(n, 10) + " hours"
}
