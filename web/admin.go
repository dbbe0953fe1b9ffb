package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/store"
)

// AdminStore is what the admin API reads and writes without going through another package.
type AdminStore interface {
	AdminTokenStore
	AdminRunStore
	AdminAccessStore
	AdminSearchStore
	AdminProblemStore
	AdminScheduleStore
	AdminDeletionStore
	AdminHoldStore
	AdminExplainStore
	AdminDocumentStore
	AdminDirectoryStore
	LiveStore
	Profiles(ctx context.Context) ([]store.Profile, error)
	ProfileProgress(ctx context.Context, p store.Profile) (store.ProfileProgress, error)
	ActivateProfile(ctx context.Context, name string, force bool, events ...audit.Event) error
	Skipped(ctx context.Context, connection uuid.UUID) ([]store.SkippedItem, error)
	Reads(ctx context.Context, f store.ReadFilter) ([]store.Read, error)
}

// Admin is what the admin API needs beside OAuth. All of it is safe for concurrent use.
type Admin struct {
	Store  AdminStore  // *store.Store
	Runner AdminRunner // *jobs.Runner
}

// AdminTokenStore keeps the tokens of the admin API.
type AdminTokenStore interface {
	CreateAdminToken(ctx context.Context, n store.NewAdminToken, events ...audit.Event) (store.AdminToken, secret.Text, error)
	AdminTokens(ctx context.Context, account uuid.UUID) ([]store.AdminToken, error)
	AdminToken(ctx context.Context, nameOrID string) (store.AdminToken, error)
	RevokeAdminToken(ctx context.Context, id uuid.UUID, events ...audit.Event) error
	AuthenticateAdmin(ctx context.Context, text secret.Text) (store.AdminToken, store.Account, error)
}

// adminPrefix is where the admin API lies.
const adminPrefix = "/v1/admin"

// adminRoutes are the addresses of the admin API, by noun.
func (s *Server) adminRoutes() []route {
	if s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return nil
	}
	list := slices.Concat(
		s.adminConnectionRoutes(), s.adminRunRoutes(), s.adminProblemRoutes(), s.adminErasureRoutes(), s.adminDeletionRoutes(), s.adminGrantRoutes(), s.adminRegistrationRoutes(),
		s.adminTokenRoutes(), s.adminUserRoutes(), s.adminReaderRoutes(), s.adminKeyRoutes(), s.adminSearchRoutes(), s.adminExplainRoutes(), s.adminInstanceRoutes(),
		s.adminPrincipalRoutes(), s.adminSystemRoutes(),
	)
	for i := range list {
		list[i].handler = s.explained(list[i].handler)
	}
	return list
}

// nothing is the request, or the answer, without a field.
type nothing struct{}

// operation makes a route of the admin API of a function from its request to its answer. A GET takes its request from the
// query, by the tags "query" of the fields; the others take it from the body, as JSON.
func operation[In, Out any](method, path string, access access, do func(c echo.Context, in In) (Out, error)) route {
	return route{method: method, path: adminPrefix + path, access: access, takes: reflect.TypeFor[In](), gives: reflect.TypeFor[Out](), handler: func(c echo.Context) error {
		var in In
		if err := readOperation(c, &in); err != nil {
			return err
		}
		out, err := do(c, in)
		if err != nil {
			return adminProblem(err)
		}
		status := http.StatusOK
		if made, ok := c.Get(createdKey).(bool); ok && made {
			status = http.StatusCreated
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		return c.JSON(status, out)
	}}
}

// calling marks an operation that waits for a provider or a source.
func calling(r route) route {
	r.calls = true
	return r
}

// createdKey is where an operation says that it made something.
const createdKey = "created"

func created(c echo.Context) { c.Set(createdKey, true) }

func readOperation(c echo.Context, in any) error {
	r := c.Request()
	if isSafe(r.Method) {
		return readQuery(r, reflect.ValueOf(in).Elem())
	}
	if r.URL.RawQuery != "" {
		return invalid("", "this takes no query: send the fields in the body, as JSON")
	}
	if r.ContentLength == 0 {
		return nil // what is missing is named by who needs it
	}
	return decodeJSON(r, in)
}

// readQuery fills the fields of in. A name that no field has, or that stands twice, is refused.
func readQuery(r *http.Request, in reflect.Value) error {
	query := r.URL.Query()
	if err := takeQuery(query, in); err != nil {
		return err
	}
	for name := range query {
		return invalid(cut(name), "there is no such field in the query")
	}
	return nil
}

// takeQuery moves what has a field from the query into it.
func takeQuery(query url.Values, in reflect.Value) error {
	for i := range in.NumField() {
		field := in.Type().Field(i)
		if field.Anonymous {
			if err := takeQuery(query, in.Field(i)); err != nil {
				return err
			}
			continue
		}
		name := field.Tag.Get("query")
		values, ok := query[name]
		delete(query, name)
		if !ok || len(values) == 1 && values[0] == "" {
			continue
		}
		if len(values) > 1 {
			return invalid(name, name+": stands in the query more than once")
		}
		if err := setField(in.Field(i), name, values[0]); err != nil {
			return err
		}
	}
	return nil
}

func setField(f reflect.Value, name, value string) error {
	switch f.Addr().Interface().(type) {
	case *int:
		n, err := strconv.Atoi(value)
		if err != nil {
			return invalid(name, name+": must be a number")
		}
		f.SetInt(int64(n))
	case *bool:
		if value != "true" && value != "false" {
			return invalid(name, name+": must be true or false")
		}
		f.SetBool(value == "true")
	case *time.Time:
		at, err := time.Parse(time.RFC3339, value)
		if err != nil {
			return invalid(name, name+": must be a time as in RFC 3339, such as 2026-01-02T15:04:05Z")
		}
		f.Set(reflect.ValueOf(at.UTC()))
	default:
		if strings.ContainsRune(value, 0) || strings.ToValidUTF8(value, "") != value {
			return invalid(name, name+": must be UTF-8 without NUL")
		}
		f.SetString(value)
	}
	return nil
}

// adminProblem says what a program, or who wrote it, can do something about. What problemOf knows stays as it is.
func adminProblem(err error) error {
	if _, ok := errors.AsType[*Problem](err); ok || isKnown(err) {
		return err
	}
	text, ok := oauthProblem(err)
	if !ok {
		return err
	}
	p := problem(http.StatusUnprocessableEntity, codeRefused, text)
	if refused, ok := errors.AsType[*oauthflow.RefusedError](err); ok {
		p.Field, p.Detail = refused.Field, refused.Error()
	}
	if plan, ok := errors.AsType[*oauthflow.PlanError](err); ok {
		p.Field, p.Detail = plan.Field, plan.Error()
	}
	if flow, ok := errors.AsType[*oauthflow.FlowError](err); ok {
		p.Code = string(flow.Code)
	}
	if errors.Is(err, oauthflow.ErrOwner) {
		p = problem(http.StatusForbidden, codeForbidden, text)
	}
	return p
}

// isKnown reports whether problemOf has an answer to err that is no 500.
func isKnown(err error) bool { return problemOf(err).Status != http.StatusInternalServerError }

// Paging of lists.
const (
	adminPage    = 100
	maxAdminPage = 500
)

// pageQuery is what every list that has pages takes.
type pageQuery struct {
	// Limit is how many at most: 1 to 500; 100 where it is left out.
	Limit int `query:"limit"`
	// Cursor is next_cursor of the page before.
	Cursor string `query:"cursor"`
}

func limitOf(n int) (int, error) {
	switch {
	case n == 0:
		return adminPage, nil
	case n < 1 || n > maxAdminPage:
		return 0, invalid("limit", "limit: must be 1 to "+strconv.Itoa(maxAdminPage))
	}
	return n, nil
}

// Page is a page of a list.
type Page[T any] struct {
	Items []T `json:"items"`
	// NextCursor asks for the next page; "" where this is the last.
	NextCursor string `json:"next_cursor"`
}

// pageOf cuts a page out of a list that is whole. key is what orders it, and names its items.
func pageOf[T any](list []T, limit int, cursor string, key func(T) string) (Page[T], error) {
	limit, err := limitOf(limit)
	if err != nil {
		return Page[T]{}, err
	}
	slices.SortFunc(list, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if cursor != "" {
		// What the cursor named may be gone: the list goes on behind where it was.
		list = slices.DeleteFunc(list, func(item T) bool { return key(item) <= cursor })
	}
	if len(list) <= limit {
		return Page[T]{Items: append([]T{}, list...)}, nil
	}
	return Page[T]{Items: list[:limit], NextCursor: key(list[limit-1])}, nil
}

// numbered is a page of a list whose items are numbered. read returns at most limit of them behind a number.
func numbered[T any](in pageQuery, read func(after int64, limit int) ([]T, error), number func(T) int64) (Page[T], error) {
	limit, err := limitOf(in.Limit)
	if err != nil {
		return Page[T]{}, err
	}
	after, err := numberOf(in.Cursor)
	if err != nil {
		return Page[T]{}, err
	}
	list, err := read(after, limit+1)
	if err != nil || len(list) <= limit {
		return Page[T]{Items: append([]T{}, list...)}, err
	}
	return Page[T]{Items: list[:limit], NextCursor: strconv.FormatInt(number(list[limit-1]), 10)}, nil
}

// numberOf reads a cursor that is a number; 0 is the beginning.
func numberOf(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n < 1 {
		return 0, invalid("cursor", "cursor: must be next_cursor of the page before")
	}
	return n, nil
}

// adminEvent is what is recorded of an act through the admin API.
func adminEvent(c echo.Context, action, kind, id string, detail map[string]string) audit.Event {
	return audit.Event{Actor: actor(c), Action: action, Target: audit.Target{Kind: kind, ID: id}, Outcome: audit.OK, Detail: detail}
}
