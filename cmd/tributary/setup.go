package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/internal/settings"
	"tributary/store"
)

// setupTokenFile is where the token of the first account stands while it is
// valid, beside being printed.
const setupTokenFile = "setup-token"

func setupTokenPath(s settings.Settings) string { return filepath.Join(s.DataDir, setupTokenFile) }

// offerSetup makes a set-up token where nobody has an account, prints the link
// with it, and writes it to the data directory.
func (srv *service) offerSetup(ctx context.Context, a *app) error {
	if srv.server == nil {
		return nil
	}
	open, err := srv.store.SetupOpen(ctx)
	if err != nil {
		return err
	}
	if !open {
		srv.forgetSetupToken()
		return nil
	}
	token, err := newSetupToken(ctx, srv.store, audit.Actor{Kind: audit.System, Name: "start", Authenticated: true})
	if errors.Is(err, store.ErrAccountExists) {
		return nil
	}
	if err != nil {
		return err
	}
	path, err := writeSetupToken(srv.settings, token)
	if err != nil {
		// The token is printed all the same.
		srv.log.Warn("writing the set-up token", "error", err)
	}
	a.printSetupToken(srv.public, token, path)
	return nil
}

// newSetupToken makes token the one that set-up takes.
func newSetupToken(ctx context.Context, st *store.Store, by audit.Actor) (secret.Text, error) {
	token := secret.New(rand.Text())
	return token, st.SetSetupToken(ctx, by, token)
}

// printSetupToken tells, once, how to make the first account.
//
// SECURITY: the token stands beside the link and not in it, where the histories
// of browsers and the logs of proxies would keep it.
func (a *app) printSetupToken(public string, token secret.Text, path string) {
	a.printf("\nNobody has an account yet. Open %s/setup within 30 minutes and paste this token:\n\n  %s\n\n", public, token.Reveal())
	if path != "" {
		a.printf("It stands in %s too, until it is used. tributary users setup-token makes another.\n\n", path)
	}
}

// writeSetupToken writes the token for the account that runs the program alone.
func writeSetupToken(s settings.Settings, token secret.Text) (string, error) {
	path := setupTokenPath(s)
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return "", fmt.Errorf("making the data directory: %w", err)
	}
	// A new file: one that stands there may have other rights.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("replacing the set-up token: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", fmt.Errorf("writing the set-up token: %w", err)
	}
	_, err = f.WriteString(token.Reveal() + "\n")
	return path, errors.Join(err, f.Close())
}

// forgetSetupToken removes what offerSetup wrote.
func (srv *service) forgetSetupToken() {
	if err := removeSetupToken(srv.settings); err != nil {
		srv.log.Warn("tidying up after set-up", "error", err)
	}
}

func removeSetupToken(s settings.Settings) error {
	if err := os.Remove(setupTokenPath(s)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the set-up token that was used: %w", err)
	}
	return nil
}
