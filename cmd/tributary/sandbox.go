package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
	"tributary/internal/settings"
)

// sandboxService is Sandbox Drive on a listener of its own.
type sandboxService struct {
	listener net.Listener
	server   *sandbox.Server
	// base is its address and issuer. It is localhost while Tributary is 127.0.0.1, so that for a browser the two are
	// different sites, as Tributary and a provider are.
	base string
}

// openSandbox listens and reads the sandbox's state; it returns nil where no sandbox is asked for.
func (a *app) openSandbox(ctx context.Context, s settings.Settings) (*sandboxService, error) {
	if s.SandboxAddr == "" {
		return nil, nil //nolint:nilnil // nil is no sandbox, which is no error
	}
	l, err := listen(ctx, s.SandboxAddr, "TRIBUTARY_SANDBOX_ADDR", "localhost:8091")
	if err != nil {
		return nil, err
	}
	box := &sandboxService{listener: l, base: "http://" + withPort(&url.URL{Host: "localhost:0"}, l.Addr()).Host}
	org, err := company.Load()
	if err == nil {
		box.server, err = sandbox.New(sandbox.Config{Org: org, StatePath: filepath.Join(s.DataDir, "sandbox"), BaseURL: box.base, Log: a.logger(false)})
	}
	if err != nil {
		box.close()
		return nil, err
	}
	return box, nil
}

func (b *sandboxService) close() {
	if b != nil {
		// It is closed already when its server ran.
		_ = b.listener.Close()
	}
}

// Limits of the sandbox's server. Slow answers are among its switches, so writing has time.
const (
	sandboxReadTimeout  = 15 * time.Second
	sandboxWriteTimeout = 5 * time.Minute
	sandboxDrain        = 2 * time.Second
)

// serve answers requests until ctx ends.
func (b *sandboxService) serve(ctx context.Context) error {
	srv := &http.Server{Handler: b.server.Handler(), ReadTimeout: sandboxReadTimeout, WriteTimeout: sandboxWriteTimeout, MaxHeaderBytes: 16 << 10}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(b.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandboxDrain)
	defer cancel()
	if srv.Shutdown(drain) != nil {
		// What still runs is a slow answer that was asked for.
		_ = srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// announceSandbox says where to find the sandbox.
func (a *app) announceSandbox(b *sandboxService) {
	if b == nil {
		return
	}
	a.printf("Sandbox Drive, a provider to try consent with, is at %s.\n", b.base)
	if u, err := url.Parse(b.base); err == nil {
		if line := sshLine(u, a.env("SSH_CONNECTION")); line != "" {
			a.printf("From your machine: %s, then open %s\n", line, b.base)
		}
	}
}
