package main

import (
	"context"

	"tributary/oauthflow/vault"
	"tributary/web"
)

// systemPages is what the pages of the instance itself need.
func (srv *service) systemPages() *web.System {
	y := &web.System{Store: srv.webStore, Jobs: srv.engine.runner, KeyFile: srv.settings.MasterKeyFile}
	if ring := srv.ring; ring != nil {
		st, spool := srv.webStore, spoolDir(srv.settings)
		y.Keys = func(ctx context.Context) ([]vault.KeyStatus, error) { return vault.Status(ctx, ring, st, spool) }
	}
	return y
}

// sandboxBase is where this process serves Sandbox Drive, "" where it does not.
func (srv *service) sandboxBase() string {
	if srv.sandbox == nil {
		return ""
	}
	return srv.sandbox.base
}
