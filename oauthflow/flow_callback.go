package oauthflow

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/httpx"
	"tributary/internal/secret"
)

// Result is a consent that gave a connection.
type Result struct {
	ConsentResult
	Account  string   // of the provider
	Subject  string   // its id, to offer as a link to the reader of who consented
	Granted  []string // scopes
	Missing  []string // needed and not granted
	Broader  []string // granted and not asked for
	ReturnTo string
}

// Callback finishes a consent. registration is the id from the path and rawQuery the query as it came; by is the
// session in which it came. The error is a *FlowError.
//
// The state is deleted before anything else is judged, so that no answer is looked at twice; the code is sent once.
func (f *Flows) Callback(ctx context.Context, registration, rawQuery string, by By) (*Result, error) {
	a, err := parseAnswer(rawQuery)
	if err != nil {
		f.refused(ctx, by, "oauth.refused", registration, err)
		return nil, err
	}
	row, err := f.store.TakeFlow(ctx, hashOf(a.state))
	if err != nil {
		return nil, notSaved(err)
	}
	r, err := f.accept(ctx, registration, row, a, by)
	if err != nil {
		return nil, f.place(ctx, by, registration, row, err)
	}
	res, err := f.redeem(ctx, r, row, a, by)
	if err != nil {
		return nil, f.place(ctx, by, registration, row, err)
	}
	return res, nil
}

// place adds to an error what the page needs to go on, and records the refusal.
func (f *Flows) place(ctx context.Context, by By, registration string, row *FlowRow, err error) error {
	fe, ok := errors.AsType[*FlowError](err)
	if !ok {
		fe = notSaved(err)
	}
	if row != nil && fe.Code != FlowOtherSession && fe.Code != FlowMixUp { // others learn nothing of it
		fe.RegistrationID, fe.ReturnTo, fe.Plan = row.RegistrationID.String(), row.ReturnTo, &row.Plan
		if row.Grant != nil {
			fe.Grant = row.Grant.String()
		}
	}
	action := "oauth.refused"
	switch fe.Code {
	case FlowMixUp, FlowIssuer:
		action = "oauth.mixup"
	case FlowOtherSession:
		action = "oauth.fixation"
	case FlowDenied:
		action = "oauth.denied"
	default:
	}
	f.refused(ctx, by, action, registration, fe)
	return fe
}

// refused records that nothing came of an answer. The refusal stands whether or not it is recorded.
func (f *Flows) refused(ctx context.Context, by By, action, registration string, err error) {
	detail := map[string]string{"problem": err.Error()}
	if fe, ok := errors.AsType[*FlowError](err); ok {
		detail["code"] = string(fe.Code)
	}
	if id, err := uuid.Parse(registration); err == nil {
		registration = id.String()
	} else {
		registration = ""
	}
	actor := by.Actor
	if actor.Kind == "" {
		actor = audit.Actor{Kind: audit.Anonymous, IP: actor.IP}
	}
	_ = f.store.Record(context.WithoutCancel(ctx), audit.Event{
		Actor: actor, Action: action, Target: audit.Target{Kind: "registration", ID: registration}, Outcome: audit.Refused, Detail: detail,
	})
}

// answer is an authorization answer (RFC 6749 §4.1.2).
type answer struct {
	state       secret.Text
	code        secret.Text
	iss         string
	hasIss      bool
	err         string
	description string
}

// parseAnswer reads the query of a callback. A parameter that stands twice (RFC 6749 §3.1) and a token (OA-7) are refused.
func parseAnswer(rawQuery string) (*answer, error) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil || len(rawQuery) > 16<<10 {
		return nil, flowError(FlowMalformed)
	}
	if slices.ContainsFunc([]string{"access_token", "id_token", "refresh_token", "token_type"}, values.Has) {
		return nil, flowError(FlowTokenInURL)
	}
	for _, v := range values {
		if len(v) != 1 || strings.ContainsRune(v[0], 0) {
			return nil, flowError(FlowMalformed)
		}
	}
	state := values.Get("state")
	if state == "" || len(state) > 200 {
		return nil, flowError(FlowMalformed)
	}
	return &answer{
		state: secret.New(state), code: secret.New(values.Get("code")), iss: values.Get("iss"), hasIss: values.Has("iss"),
		err: values.Get("error"), description: values.Get("error_description"),
	}, nil
}

// accept decides whether an answer may be used: in the order of the checks nothing is sent before all have passed.
func (f *Flows) accept(ctx context.Context, registration string, row *FlowRow, a *answer, by By) (*Registration, error) {
	switch {
	case row == nil:
		return nil, flowError(FlowUnknownState)
	case by.Session == uuid.Nil || by.Session != row.Session || by.Account != row.Account:
		return nil, flowError(FlowOtherSession)
	case row.Expired:
		return nil, flowError(FlowExpired)
	case registration != row.RegistrationID.String():
		return nil, flowError(FlowMixUp)
	}
	r, err := f.store.RegistrationByID(ctx, row.RegistrationID)
	switch {
	case err != nil:
		return nil, err
	case r == nil:
		return nil, flowError(FlowNoRegistration)
	case r.State == RegistrationDraft || r.Digest != row.Digest || r.Profile.Digest() != row.Digest || r.RedirectURI != row.RedirectURI || r.RedirectURI != callbackURL(f.publicURL, r.ID):
		return nil, flowError(FlowChanged)
	}
	if err := checkIssuer(r.Profile, row.Issuer, a); err != nil {
		return nil, err
	}
	if a.err != "" {
		return nil, providerRefused(r, a)
	}
	if !a.code.IsSet() || len(a.code.Reveal()) > 8<<10 {
		return nil, flowError(FlowMalformed)
	}
	return r, nil
}

// checkIssuer compares iss exactly, in answers with an error too (RFC 9207 §2.4). Where the registration knows no issuer
// there is nothing to compare with.
func checkIssuer(p *Profile, issuer string, a *answer) error {
	if issuer == "" {
		return nil
	}
	if !a.hasIss && !p.RequireIss || a.hasIss && a.iss == issuer {
		return nil
	}
	e := flowError(FlowIssuer)
	e.Sent = "a request to " + issuer
	e.Came = "no issuer"
	if a.hasIss {
		e.Came = "an answer of " + CleanText(a.iss, a.state, a.code)
	}
	return e
}

// grantWithOtherScopes is what Gitea says, under the code server_error, to a consent whose scopes are not those of the
// grant that the account gave the application before (routers/web/auth/oauth2_provider.go, GrantApplicationOAuth).
const grantWithOtherScopes = "grant exists with different scope"

// providerRefused is the error that the provider sent the person back with (RFC 6749 §4.1.2.1).
func providerRefused(r *Registration, a *answer) error {
	code := FlowProviderError
	switch a.err {
	case "access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required":
		code = FlowDenied
	case "redirect_uri_mismatch", "invalid_redirect_uri":
		code = FlowRedirectURI
	case "invalid_scope":
		code = FlowScopeRefused
	case "unauthorized_client", "invalid_client", "application_suspended":
		code = FlowClientRefused
	case "temporarily_unavailable", "server_error":
		code = FlowUnavailable
	}
	e := flowError(code)
	if r.Profile.GrantPer == PerAccount && r.Profile.Revocation.ManageURL != "" && strings.Contains(strings.ToLower(a.description), grantWithOtherScopes) {
		e = flowError(FlowScopeRefused)
		e.Remedy = "The provider keeps one grant for an account and an application, with the permissions of its first consent. Remove the access of the application at " +
			r.Profile.Revocation.ManageURL + ", and start the connection again."
	}
	e.Sent = "a request for consent to " + hostOf(r.Profile.Endpoints.Authorize)
	e.Came = CleanText(a.err, a.state, a.code)
	if d := CleanText(a.description, a.state, a.code); d != "" {
		e.Came += ": " + d
	}
	return e
}

// redeemLife bounds what follows an answer, whoever waits for it: requests to the provider, which have limits of their
// own, and to a database that may not answer.
const redeemLife = 3 * time.Minute

// redeem exchanges the code, once, and stores what comes of it.
func (f *Flows) redeem(ctx context.Context, r *Registration, row *FlowRow, a *answer, by By) (*Result, error) {
	client, err := openClient(ctx, f.store, f.vault, r)
	if err != nil {
		return nil, err
	}
	verifier, err := f.vault.Unseal(VerifierPlace(row.StateHash), row.VerifierCT)
	if err != nil {
		return nil, flowError(FlowVault)
	}
	req := CodeRequest{Code: a.code, RedirectURI: row.RedirectURI, Scopes: row.Scopes, Resource: row.Plan.Resource}
	if r.Profile.PKCE == PKCES256 {
		req.Verifier = secret.New(string(verifier))
	}
	// What follows is done whether or not the browser waits for it: the code can be used once only.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redeemLife)
	defer cancel()
	token, err := f.obtain(ctx, r, "an authorization code", func(trace *Trace) (*Token, error) { return f.client.Code(ctx, client, req, trace) })
	if err != nil {
		return nil, err
	}
	answered := time.Now()
	info, err := f.account(ctx, r, row, token)
	if err != nil {
		f.discard(ctx, client, token, "")
		return nil, err
	}
	f.learnScopes(ctx, client, token)
	c := consentOf(f.vault, r, row, token, info, answered)
	c.By, c.Began = by, row.TakenAt
	saved, err := f.store.SaveConsent(ctx, c)
	if err != nil {
		kept := f.refusedPair(err, token)
		err = consentRefused(err, info)
		if e, ok := errors.AsType[*FlowError](err); ok && e.Code != FlowNotSaved && !kept { // else it may be stored, and in use
			f.discard(ctx, client, token, info.Subject)
		}
		return nil, err
	}
	f.replaced(ctx, client, saved, token)
	return &Result{
		ConsentResult: saved, Account: info.Name, Subject: info.Subject, Granted: token.Scopes, Missing: r.Profile.Missing(row.Plan.Needed, token.Scopes),
		Broader: broader(r.Profile, slices.Concat(row.Scopes, saved.Before), token.Scopes), ReturnTo: row.ReturnTo,
	}, nil
}

// causeOf is an error in words that hold no address and no secret: that of an outbound call.
func causeOf(err error) string {
	if te, ok := errors.AsType[*TokenError](err); ok {
		text := te.Error()
		if te.Description != "" {
			text += ": " + te.Description
		}
		return strings.TrimPrefix(text, "token endpoint: ")
	}
	if ce, ok := errors.AsType[*connectors.Error](err); ok {
		return ce.Error()
	}
	return "no usable answer"
}

// tokenRefused turns the error of a token request into words.
func tokenRefused(r *Registration, what string, err error, trace *Trace) *FlowError {
	e := flowError(tokenCode(err, trace))
	e.Sent = what + " to " + hostOf(r.Profile.Endpoints.Token) + " as client " + CleanText(r.ClientID)
	e.Came = causeOf(err)
	if te, ok := errors.AsType[*TokenError](err); ok && te.aboutClient() && e.Code == FlowCodeRefused {
		e.Remedy += " Where that does not help, the client secret is wrong: " + r.Profile.Title + " answers to both alike."
	}
	return e
}

func tokenCode(err error, trace *Trace) FlowCode {
	te, ok := errors.AsType[*TokenError](err)
	if !ok {
		switch {
		case errors.Is(err, httpx.ErrRefused):
			return FlowHost
		case errors.Is(err, httpx.ErrRedirect):
			return FlowTokenAnswer
		case connectors.ClassOf(err) == connectors.ClientRejected:
			return FlowNoCredential
		case trace.MaybeSent():
			return FlowTimeout
		default:
			return FlowUnreachable
		}
	}
	switch {
	case te.Problem == ProblemCutOff:
		return FlowTimeout
	case te.Problem != ProblemNone:
		return FlowTokenAnswer
	}
	switch te.Class {
	case connectors.GrantLost:
		return FlowCodeRefused
	case connectors.ClientRejected:
		return FlowClientRefused
	case connectors.ScopeDenied:
		return FlowScopeRefused
	case connectors.RateLimited:
		return FlowRateLimited
	case connectors.Transient:
		return FlowUnavailable
	case connectors.Invalid:
		if strings.Contains(te.Code, "redirect_uri") {
			return FlowRedirectURI
		}
		return FlowProviderError
	default:
		return FlowProviderError
	}
}
