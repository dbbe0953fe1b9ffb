package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/internal/settings"
	"tributary/oauthflow"
	"tributary/store"
)

// grantFlags are what a source with consent takes besides connectFlags.
type grantFlags struct {
	registration, again, installation, actFor string
	client, serviceAccount, noWait            bool
}

func (f *grantFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.registration, "registration", "", "the registration at the provider; it may be left out where there is one")
	flags.StringVar(&f.again, "again", "", "a connection to grant again, in place of a new one; documents and cursor are kept")
	flags.BoolVar(&f.noWait, "no-wait", false, "print the link and return")
	flags.BoolVar(&f.client, "client-credentials", false, "connect at once as the client itself; nobody consents")
	flags.BoolVar(&f.serviceAccount, "service-account", false, "connect at once as the service account of the registration")
	flags.StringVar(&f.actFor, "act-for", "", "with --service-account: the person whose documents it reads, where the organisation allows that")
	flags.StringVar(&f.installation, "installation", "", "connect at once as an installed app, by the number of the installation")
}

// kind returns how the grant is obtained.
func (f *grantFlags) kind() (oauthflow.GrantType, error) {
	kinds := []oauthflow.GrantType{}
	if f.client {
		kinds = append(kinds, oauthflow.GrantClientCredentials)
	}
	if f.serviceAccount {
		kinds = append(kinds, oauthflow.GrantJWTBearer)
	}
	if f.installation != "" {
		kinds = append(kinds, oauthflow.GrantInstallation)
	}
	switch {
	case len(kinds) > 1:
		return "", usagef("choose one of --client-credentials, --service-account and --installation")
	case f.actFor != "" && !f.serviceAccount:
		return "", usagef("--act-for goes with --service-account")
	case len(kinds) == 1:
		return kinds[0], nil
	default:
		return oauthflow.GrantCode, nil
	}
}

const grantHelp = `
Somebody has to consent: the command prints a link, waits until whoever opens it
has signed in to Tributary and consented at the provider, and says how it ended.
The link works once, for 10 minutes. With --client-credentials, --service-account
or --installation nobody consents, and the source is connected at once.
`

// connectGrant connects a source with consent.
func (a *app) connectGrant(cmd *cobra.Command, spec connectors.Spec, f connectFlags, g grantFlags) error {
	kind, err := g.kind()
	if err != nil {
		return err
	}
	plan := oauthflow.Plan{Source: spec.Source}
	if g.again == "" {
		n, err := newConnection(spec, f)
		if err != nil {
			return err
		}
		plan.Name, plan.Settings, plan.Include, plan.Exclude, plan.Every = n.Name, n.Settings, f.include, f.exclude, f.every
	} else if f.name != "" || kind != oauthflow.GrantCode {
		return usagef("--again names a connection to consent to again: leave --name, --client-credentials, --service-account and --installation out")
	}
	s, err := a.settings(cmd)
	if err != nil {
		return err
	}
	return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
		p := oauthflow.StartParams{By: a.by(), Plan: plan}
		values := plan.Settings
		if g.again != "" {
			if values, err = planAgain(ctx, st, spec, g.again, &p); err != nil {
				return err
			}
		}
		r, err := a.chooseRegistration(ctx, st, spec, g.registration, p.Registration)
		if err != nil {
			return err
		}
		if r.ID != p.Registration { // another server knows neither the grant nor what was asked for
			p.Registration, p.Grant, p.Scopes = r.ID, uuid.Nil, nil
		}
		p.Plan.Needed = []string{}
		for _, sc := range spec.ScopesFor(r.Profile.Name, values) {
			p.Plan.Needed = append(p.Plan.Needed, sc.Name)
		}
		if kind != oauthflow.GrantCode {
			params := oauthflow.GrantParams{InstallationID: g.installation, ActFor: g.actFor}
			return a.connectServer(ctx, c, oauthflow.ServerGrantParams{Registration: r.ID, By: p.By, Kind: kind, Scopes: p.Plan.Needed, Params: params, Plan: p.Plan})
		}
		return a.connectByLink(ctx, s, st, c, p, g.noWait)
	})
}

// planAgain plans another consent for a connection, and returns its settings.
func planAgain(ctx context.Context, st *store.Store, spec connectors.Spec, name string, p *oauthflow.StartParams) (map[string]string, error) {
	conn, err := st.Connection(ctx, name)
	if err != nil {
		return nil, err
	}
	if conn.Source != spec.Source {
		return nil, usagef("--again: %s is a connection of %s: tributary connect %s --again %s", conn.Name, conn.Source, conn.Source, conn.Name)
	}
	p.Plan = oauthflow.Plan{Connection: conn.ID, Name: conn.Name, Source: conn.Source}
	if conn.GrantID == nil {
		return conn.Settings, nil
	}
	p.Grant = *conn.GrantID
	grant, err := st.GrantByID(ctx, p.Grant)
	if err != nil || grant == nil {
		return conn.Settings, err
	}
	p.Registration, p.Scopes = grant.RegistrationID, grant.Asked
	return conn.Settings, nil
}

// chooseRegistration returns the registration that was named, or the one there is. known is the grant's.
func (a *app) chooseRegistration(ctx context.Context, st *store.Store, spec connectors.Spec, name string, known uuid.UUID) (*oauthflow.Registration, error) {
	if name == "" && known != uuid.Nil {
		name = known.String()
	}
	if name != "" {
		r, err := findRegistration(ctx, st, name)
		if err == nil && !spec.Accepts(r.Profile.Name) {
			err = usagef("--registration %s: it is at %s, and %s needs one at %s", r.Name, r.Profile.Title, spec.Source, providersOf(spec))
		}
		return r, err
	}
	list, err := st.Registrations(ctx)
	if err != nil {
		return nil, err
	}
	var fit []oauthflow.Registration
	var names []string
	for _, r := range list {
		if spec.Accepts(r.Profile.Name) && r.State != oauthflow.RegistrationDraft {
			fit, names = append(fit, r), append(names, r.Name)
		}
	}
	switch len(fit) {
	case 0:
		return nil, &notFoundError{what: fmt.Sprintf("%s needs a registration at %s first: tributary registrations create NAME --provider %s", spec.Source, providersOf(spec), spec.Provider)}
	case 1:
		return &fit[0], nil
	default:
		return nil, usagef("--registration is missing: there are %s", strings.Join(names, ", "))
	}
}

// providersOf names the providers whose grants a source accepts.
func providersOf(spec connectors.Spec) string {
	return strings.Join(append([]string{spec.Provider}, spec.OtherProviders...), " or ")
}

// connectServer connects without a person.
func (a *app) connectServer(ctx context.Context, c *consent, p oauthflow.ServerGrantParams) error {
	res, err := c.flows.CreateServerGrant(ctx, p)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"connection": res.Name, "grant_id": res.Grant, "account": res.Account, "missing": nonNil(res.Missing)})
	}
	a.printf("Connected %s as %s.\n", res.Name, printable(res.Account))
	a.printMissing(res.Missing, "")
	a.offerChoice(p.Plan.Source, res.Name)
	a.printf("Sync it with: tributary sync %s --wait\n", res.Name)
	return nil
}

// offerChoice says how to choose from a source that can be browsed.
func (a *app) offerChoice(source, name string) {
	for _, c := range a.connectors() {
		if spec := c.Spec(); spec.Source == source && spec.Has(connectors.CanChoose) {
			a.printf("What of it is synced can be chosen: tributary connections choose %s\n", name)
		}
	}
}

// printMissing says what was not granted. removeFirst is where the access has to be removed before more can be granted.
func (a *app) printMissing(missing []string, removeFirst string) {
	if len(missing) == 0 {
		return
	}
	a.printf("Permissions are missing: %s. The connection is degraded until they are granted.\n", strings.Join(missing, ", "))
	if removeFirst != "" {
		a.printf("The provider keeps the permissions of the account's first consent: remove the access of the application at %s first, then grant again.\n", removeFirst)
	}
}

// connectByLink prints a link and waits for what comes of it.
func (a *app) connectByLink(ctx context.Context, s settings.Settings, st *store.Store, c *consent, p oauthflow.StartParams, noWait bool) error {
	since, err := st.Now(ctx)
	if err != nil {
		return err
	}
	before := consentTime(ctx, st, p.Plan)
	if a.alone || !answers(ctx, s.PublicURL.String()) {
		return usagef("nothing answers at %s, where the link would lead: start tributary up or serve first, or set TRIBUTARY_PUBLIC_URL", s.PublicURL)
	}
	link, expires, err := c.flows.MakeTicket(ctx, p)
	if err != nil {
		return err
	}
	if a.json && noWait {
		return a.printJSON(map[string]any{"link": link.Reveal(), "expires_at": expires})
	}
	out := a.printf
	if a.json {
		out = a.notef
	}
	out("Open this link, sign in to Tributary, and consent. It works once, until %s:\n\n  %s\n\n", expires.UTC().Format("15:04:05 UTC"), link.Reveal())
	if noWait {
		return nil
	}
	out("Waiting; Ctrl-C stops the waiting, not the link.\n")
	return a.awaitConsent(ctx, st, c, p, awaited{since: since, before: before, until: expires.Add(oauthflow.FlowLife)})
}

// consentTime is when the connection of a plan was last consented to; the zero time is never.
func consentTime(ctx context.Context, st *store.Store, p oauthflow.Plan) time.Time {
	conn, err := st.Connection(ctx, p.Name)
	if err != nil || conn.GrantID == nil {
		return time.Time{}
	}
	g, err := st.GrantByID(ctx, *conn.GrantID)
	if err != nil || g == nil {
		return time.Time{}
	}
	return g.ConsentedAt
}

// answers reports whether Tributary answers at an address.
func answers(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/healthz", nil)
	if err != nil {
		return false
	}
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }()
	return resp.StatusCode == http.StatusOK
}

// awaited is what a waiting command knows of the time before.
type awaited struct{ since, before, until time.Time }

// consentPoll is how often a waiting command looks.
const consentPoll = time.Second

// awaitConsent waits until the plan is carried out, and tells of attempts that failed meanwhile.
func (a *app) awaitConsent(ctx context.Context, st *store.Store, c *consent, p oauthflow.StartParams, w awaited) error {
	tick := time.NewTicker(consentPoll)
	defer tick.Stop()
	told := map[int64]bool{}
	for {
		if at := consentTime(ctx, st, p.Plan); at.After(w.before) {
			return a.consented(ctx, st, c, p.Plan.Name)
		}
		if err := a.tellRefusals(ctx, st, p.Registration, w.since, told); err != nil {
			return err
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		if now.After(w.until) {
			return errors.New("nobody consented in time: run the command again for another link")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// tellRefusals prints, once each, how consents at a registration ended that failed.
func (a *app) tellRefusals(ctx context.Context, st *store.Store, registration uuid.UUID, since time.Time, told map[int64]bool) error {
	events, err := st.AuditEvents(ctx, store.AuditFilter{Action: "oauth", Target: "registration:" + registration.String(), Since: since, Limit: 20})
	if err != nil {
		return err
	}
	for _, e := range events {
		if e.Detail["problem"] == "" || told[e.ID] {
			continue
		}
		told[e.ID] = true
		a.notef("Not connected yet: %s. The page in the browser says what to do.\n", auditText(e.Detail["problem"]))
	}
	return nil
}

// consented says what a consent gave.
func (a *app) consented(ctx context.Context, st *store.Store, c *consent, name string) error {
	conn, err := st.Connection(ctx, name)
	if err != nil {
		return err
	}
	if conn.GrantID == nil {
		return fmt.Errorf("connection %s lost its grant again: tributary audit list says how", conn.Name)
	}
	g, err := c.grants.Get(ctx, *conn.GrantID)
	if err != nil {
		return err
	}
	missing := g.Missing[conn.Name]
	removeFirst := g.Registration.Profile.RemoveFirst()
	if a.json {
		out := map[string]any{"connection": conn.Name, "grant_id": g.ID, "account": g.Account, "missing": nonNil(missing)}
		if len(missing) > 0 && removeFirst != "" {
			out["remove_first"] = removeFirst
		}
		return a.printJSON(out)
	}
	a.printf("Connected %s as %s.\n", conn.Name, printable(g.Account))
	a.printMissing(missing, removeFirst)
	a.offerChoice(conn.Source, conn.Name)
	a.printf("It syncs by itself; tributary runs list --connection %s shows how it goes.\n", conn.Name)
	return nil
}
