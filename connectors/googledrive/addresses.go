package googledrive

import (
	"context"
	"iter"
	"net/url"
	"strconv"

	"tributary/connectors"
)

// People yields the addresses of the organisation's accounts where the directory
// is asked. An organisation proves to Google that its domains are its own, and
// Google gives an address of them to one account: so each is verified. What
// permissions say of other accounts is not, and is left out.
func (s *session) People(ctx context.Context) iter.Seq2[connectors.Person, error] {
	const op = "listing Google accounts"
	return func(yield func(connectors.Person, error) bool) {
		if s.groups != groupsDirectory {
			return
		}
		for u, err := range s.accounts(ctx, op) {
			if err == nil && u.ID == "" {
				err = broken(op, errNoID)
			}
			if err != nil {
				yield(connectors.Person{}, err)
				return
			}
			for _, address := range append([]string{u.Email}, u.Aliases...) {
				if u.Suspended || u.Archived || address == "" {
					continue
				}
				if !yield(connectors.Person{Principal: directoryPerson(u.ID, u.Name.Full), Email: address, Verified: true}, nil) {
					return
				}
			}
		}
	}
}

// accounts yields the accounts of the organisation.
func (s *session) accounts(ctx context.Context, op string) iter.Seq2[directoryUser, error] {
	query := url.Values{
		"customer": {"my_customer"}, "maxResults": {strconv.Itoa(min(s.pageSize, 500))},
		"fields": {"nextPageToken,users(id,primaryEmail,aliases,customerId,suspended,archived,name/fullName)"},
	}
	return directoryPages(ctx, s, op, "users", scopeUsers, query, connectors.ItemRef{}, func(p usersPage) ([]directoryUser, string) { return p.Users, p.Next })
}
