package oauthflow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ServerGrantParams ask for a grant without a person: the client's own, a service account's, or that of an installed app.
type ServerGrantParams struct {
	Registration uuid.UUID
	By           By
	Kind         GrantType
	Scopes       []string
	Params       GrantParams
	Plan         Plan
}

// CreateServerGrant obtains a first token, to show that it works, and stores the grant as Callback does. The error is a
// *FlowError.
func (f *Flows) CreateServerGrant(ctx context.Context, p ServerGrantParams) (*Result, error) {
	r, err := f.prepareServer(ctx, &p)
	if err != nil {
		return nil, err
	}
	client, err := openClient(ctx, f.store, f.vault, r)
	if err != nil {
		return nil, err
	}
	scopes := askedScopes(&Profile{}, StartParams{Plan: p.Plan, Scopes: p.Scopes})
	g := Grant{Kind: p.Kind, Asked: scopes, Params: p.Params}
	token, err := f.obtain(ctx, r, "a request for a token", func(trace *Trace) (*Token, error) { return f.client.Obtain(ctx, client, g, trace) })
	if err != nil {
		if e, ok := errors.AsType[*FlowError](err); ok && e.Code == FlowCodeRefused {
			e.Title, e.Remedy = "The provider knows no such account or installation", "Check whom the grant is for: the number of the installation, or the person to act for."
		}
		return nil, err
	}
	answered := time.Now()
	c := tokenConsent(f.vault, r, p.Kind, token, answered)
	c.Subject, c.Account = serverSubject(client, p)
	c.Subject += purposeOf(scopes, p.Params)
	c.PerAccount = true
	c.Asked, c.Plan, c.By = scopes, p.Plan, p.By
	hosts := c.Params.Hosts
	c.Params = p.Params
	c.Params.Hosts = hosts
	saved, err := f.store.SaveConsent(ctx, c)
	if err != nil {
		return nil, consentRefused(err, Userinfo{Name: c.Account})
	}
	return &Result{
		ConsentResult: saved, Account: c.Account, Subject: c.Subject, Granted: token.Scopes, Missing: r.Profile.Missing(p.Plan.Needed, token.Scopes),
		Broader: broader(r.Profile, scopes, token.Scopes), ReturnTo: DefaultReturn,
	}, nil
}

func (f *Flows) prepareServer(ctx context.Context, p *ServerGrantParams) (*Registration, error) {
	r, err := f.store.RegistrationByID(ctx, p.Registration)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, flowError(FlowNoRegistration)
	case r.State == RegistrationDraft || r.Digest != r.Profile.Digest():
		return nil, flowError(FlowIncomplete)
	case p.Kind == GrantCode || !oneOf(p.Kind, r.Profile.Grants...):
		return nil, flowError(FlowUnknownGrant)
	}
	needed, err := f.store.CheckPlan(ctx, p.Plan)
	if err != nil {
		return nil, planRefused(err)
	}
	if p.Plan.Needed == nil {
		p.Plan.Needed = needed
	}
	return r, nil
}

// purposeOf tells grants of one client apart that are for other scopes or another resource: each keeps its own tokens.
func purposeOf(scopes []string, params GrantParams) string {
	out := ""
	if len(scopes) > 0 {
		out += " for " + strings.Join(slices.Sorted(slices.Values(scopes)), " ")
	}
	if params.Resource != "" {
		out += " at " + params.Resource
	}
	return out
}

// serverSubject is whom a grant between servers speaks for, and its name for people.
func serverSubject(client Client, p ServerGrantParams) (subject, account string) {
	r := client.Registration
	switch p.Kind {
	case GrantInstallation:
		return "installation:" + p.Params.InstallationID, "installation " + p.Params.InstallationID
	case GrantJWTBearer:
		who := r.Subject
		if sa, err := ParseServiceAccount(client.Credentials.ServiceAccount); err == nil {
			who = sa.Email
		}
		if p.Params.ActFor != "" {
			return "service:" + who + " for " + CleanName(p.Params.ActFor), CleanName(p.Params.ActFor) + " through " + CleanName(who)
		}
		return "service:" + who, CleanName(who)
	default:
		return "client:" + r.ClientID, "client " + CleanName(r.ClientID)
	}
}
