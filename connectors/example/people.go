package example

import (
	"context"
	"errors"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Verify returns the account and proves that items can be listed.
func (s *session) Verify(ctx context.Context) (string, error) {
	const op = "verifying example"
	who, err := s.account(ctx, op)
	if err != nil {
		return "", err
	}
	_, err = s.next(ctx, op, cursor{}, &connectors.Page{}, func(*item, *connectors.Page) {})
	return who.Organisation + ", as " + who.Name, err
}

// Realm returns the organisation in which ids are unique.
func (s *session) Realm(ctx context.Context) (string, error) {
	who, err := s.account(ctx, "reading example's organisation")
	return who.Organisation, err
}

func (s *session) account(ctx context.Context, op string) (account, error) {
	var who account
	if _, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: "me"}, &who); err != nil {
		return who, err
	}
	if who.Organisation == "" {
		return who, &connectors.Error{Op: op, Class: connectors.Transient, Err: errors.New("the answer names no organisation")}
	}
	return who, nil
}
