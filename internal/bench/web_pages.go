package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
)

// visit is a page that is looked at: its address, with {names} of what webIDs finds, and the form that is sent, if any.
type visit struct {
	path string
	form url.Values
}

// String names the kind of page.
func (v visit) String() string {
	if v.form == nil {
		return v.path
	}
	return v.path + " asked " + v.form.Get("q")
}

// visits is a page of every kind. The first has a frame and a form, and is what the others are compared with.
func visits() []visit {
	paths := []string{
		emptyPage, "/", "/account", "/users", "/users/{account}", "/system", "/system/jobs", "/system/queues/{queue}/pause", "/profiles", "/audit", "/audit?action=connection.sync",
		"/notices", "/notices?connection={connection}", "/runs/{run}",
		"/connections", "/connections?find=c-49", "/connections/{connection}", "/connections/{connection}/runs", "/connections/{connection}/schedule",
		"/connections/{connection}/quarantine", "/connections/{connection}/deletions", "/connections/{connection}/settings", "/connections/{connection}/grant",
		"/connections/{connection}/disconnect", "/deletions/{hold}", "/erasures", "/erasures/{erasure}",
		"/documents", "/documents?q={rare}", "/documents?q=document", "/documents?q=document&connection={connection}", "/documents?q=oldest", "/documents?connection={connection}",
		"/documents?state=hidden", "/documents/{document}", "/documents/{document}/access", "/search",
		"/readers", "/readers?find=reader-49", "/readers/{reader}", "/readers/{reader}/delete", "/readers/new", "/readers/import", "/readers/unmatched",
		"/groups", "/groups?find=principal", "/principals/{group}", "/principals/{user}",
		"/keys", "/keys/{key}", "/keys/{key}/revoke", "/keys/new", "/registrations", "/registrations/{registration}", "/registrations/{registration}/change",
		"/registrations/new", "/grants", "/grants/{grant}", "/connect",
	}
	list := make([]visit, 0, len(paths)+2)
	for _, p := range paths {
		list = append(list, visit{path: p})
	}
	for _, q := range []string{"{rare}", "subject"} {
		list = append(list, visit{path: "/search", form: url.Values{"q": {q}, "as": {"{readername}"}, "mode": {"keyword"}}})
	}
	return list
}

// unmeasured are addresses that pages lead to and that are no pages of the store's: acts of a moment, pages that ask
// the source, and files.
var unmeasured = regexp.MustCompile(`^/(connect/.*|connections/[^/]+/(choose|plan)|signin|signout|oauth/.*|openapi\.json|live|readyz|favicon\.ico|[a-z]+\.(css|js|svg)|profiles/[^/]+/activate)$`)

// webIDs finds what pages are about.
func webIDs(ctx context.Context, s *server, db string) (map[string]string, error) {
	conn, err := pgx.Connect(ctx, s.pg.SuperuserURL(db))
	if err != nil {
		return nil, fmt.Errorf("connecting to scratch PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	rows, err := conn.Query(ctx, `
		SELECT 'connection', 'c-1' UNION ALL SELECT 'rare', '4321' UNION ALL SELECT 'readername', 'reader-1' UNION ALL SELECT 'queue', 'default'
		UNION ALL SELECT 'account', id::text FROM tributary.account WHERE name = 'account-1'
		UNION ALL SELECT 'run', run_id::text FROM (SELECT run_id FROM tributary.run_item LIMIT 1) x
		UNION ALL SELECT 'hold', id::text FROM (SELECT id FROM tributary.deletion_hold LIMIT 1) x
		UNION ALL SELECT 'erasure', id::text FROM (SELECT id FROM tributary.erasure LIMIT 1) x
		UNION ALL SELECT 'document', id::text FROM tributary.document WHERE external_id = 'd-500'
		UNION ALL SELECT 'reader', id::text FROM tributary.reader WHERE name = 'reader-1'
		UNION ALL SELECT 'group', id::text FROM (SELECT group_id AS id FROM tributary.membership LIMIT 1) x
		UNION ALL SELECT 'user', id::text FROM tributary.principal WHERE external_id = 'p-1'
		UNION ALL SELECT 'key', id::text FROM tributary.api_key WHERE name = 'key-1'
		UNION ALL SELECT 'registration', id::text FROM tributary.client_registration WHERE name = 'registration-1'
		UNION ALL SELECT 'grant', id::text FROM (SELECT id FROM tributary.oauth_grant LIMIT 1) x`)
	if err != nil {
		return nil, fmt.Errorf("looking for what pages are about: %w", err)
	}
	ids := map[string]string{}
	var name, id string
	_, err = pgx.ForEachRow(rows, []any{&name, &id}, func() error {
		ids[name] = id
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for what pages are about: %w", err)
	}
	return ids, nil
}

var (
	pageLinks  = regexp.MustCompile(`<a [^>]*href="(/[^"#?]*)`)
	parameters = regexp.MustCompile(`\{\w+\}`)
)

// look asks for a page once and returns its body and how long it took.
func (b *webBench) look(ctx context.Context, v visit) (looked, error) {
	fill := func(text string) string {
		return parameters.ReplaceAllStringFunc(text, func(name string) string { return b.ids[strings.Trim(name, "{}")] })
	}
	form := url.Values{}
	for name, values := range v.form {
		form.Set(name, fill(values[0]))
	}
	method := http.MethodGet
	if v.form != nil {
		method = http.MethodPost
	}
	l, err := b.ask(ctx, method, fill(v.path), form)
	if err == nil && (l.status != http.StatusOK || !strings.Contains(l.body, "<main")) {
		err = fmt.Errorf("%s answers %d", fill(v.path), l.status)
	}
	return l, err
}

// first looks at every page once. It fails where one does not answer, or leads to a page that is not measured.
func (b *webBench) first(ctx context.Context, list []visit) error {
	var errs []error
	kinds := make([]*regexp.Regexp, len(list))
	for i, v := range list {
		path, _, _ := strings.Cut(v.path, "?")
		kinds[i] = regexp.MustCompile(`^` + parameters.ReplaceAllString(path, `[^/]+`) + `$`)
	}
	missing := map[string]bool{}
	for _, v := range list {
		l, err := b.look(ctx, v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range pageLinks.FindAllStringSubmatch(l.body, -1) {
			known := unmeasured.MatchString(m[1])
			for _, k := range kinds {
				known = known || k.MatchString(m[1])
			}
			if !known && !missing[m[1]] {
				missing[m[1]] = true
				errs = append(errs, fmt.Errorf("%s leads to %s, which is not measured", v.path, m[1]))
			}
		}
	}
	return errors.Join(errs...)
}
