package oauthflow

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tributary/connectors"
)

// problem is a ProfileError in the making.
func (p *Profile) problem(field, problem, remedy string) error {
	return &ProfileError{Profile: p.Name, Field: field, Problem: problem, Remedy: remedy}
}

// validate checks every field, and resolves the classes of the error rules.
func (p *Profile) validate(r Rules) error {
	return errors.Join(p.validateNames(), p.validateEnums(), p.validateEndpoints(r), p.validateParams(), p.validateAnswer(), p.validateScopes(), p.validateErrors())
}

func (p *Profile) validateNames() error {
	if p.Name == "" || len(p.Name) > 40 || strings.Trim(p.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || p.Name[0] == '-' {
		return &ProfileError{Profile: CleanName(p.Name), Field: "name", Problem: "it is not a name", Remedy: "use at most 40 lower-case letters, digits and hyphens"}
	}
	if p.Title == "" || p.Title != CleanName(p.Title) {
		return p.problem("title", "it is empty, too long or holds characters that cannot be shown", "write the provider's name")
	}
	for _, pattern := range p.ClientIDs {
		if len(strings.ReplaceAll(pattern, "*", "")) < 3 || strings.Count(pattern, "*") > 1 {
			return p.problem("client_ids", "a pattern fits too many client ids", "write at least three letters and at most one *")
		}
	}
	return nil
}

func (p *Profile) validateEnums() error {
	var errs []error
	check := func(ok bool, field, remedy string) {
		if !ok {
			errs = append(errs, p.problem(field, "the value is not one of the list", remedy))
		}
	}
	check(oneOf(p.Hosting, HostingFixed, HostingInstance), "hosting", "write fixed or instance")
	check(len(p.Grants) > 0, "grants", "write at least one")
	for _, g := range p.Grants {
		check(oneOf(g, GrantCode, GrantClientCredentials, GrantJWTBearer, GrantInstallation), "grants", "write authorization_code, client_credentials, jwt_bearer or installation")
	}
	check(oneOf(p.Discovery, DiscoveryNone, DiscoveryOAuth, DiscoveryOIDC), "discovery", "write oauth, oidc, or nothing")
	// SECURITY: trying one style after the other presents a single-use token twice.
	check(oneOf(p.ClientAuth, AuthPost, AuthBasic, AuthPrivateKey, AuthNone), "client_auth", "write the one that the server takes: client_secret_post, client_secret_basic, private_key_jwt or none")
	check(oneOf(p.PKCE, PKCES256, PKCEBroken), "pkce", "write S256, or broken where the server refuses it")
	check(oneOf(p.Request.Body, BodyForm, BodyJSON), "request.body", "write form or json")
	check(oneOf(p.Refresh.Rotation, RotationNone, RotationGrace, RotationStrict, RotationFamily), "refresh.rotation", "write N, G, S or F; S where it is not known")
	check((p.Refresh.Rotation == RotationGrace) == (p.Refresh.Grace > 0), "refresh.grace", "write a grace with rotation G, and only there")
	check(oneOf(p.Revocation.Style, RevokeNone, RevokeRFC7009, RevokePost, RevokeGitHub), "revocation.style", "write none, rfc7009, post or github")
	check((p.Revocation.Style == RevokeNone) == (p.Revocation.Reach == ReachNone), "revocation.reach", "write token or grant with every style but none")
	check(oneOf(p.Revocation.Reach, ReachNone, ReachToken, ReachGrant), "revocation.reach", "write token or grant")
	check(oneOf(p.GrantPer, PerAccount, PerConsent), "grant_per", "write account or consent")
	check(oneOf(p.JWT.Alg, "", "RS256", "PS256", "ES256"), "jwt.alg", "write RS256, PS256 or ES256")
	signs := p.ClientAuth == AuthPrivateKey || slices.Contains(p.Grants, GrantJWTBearer) || slices.Contains(p.Grants, GrantInstallation)
	check(signs == (p.JWT.Alg != ""), "jwt.alg", "write it where assertions are signed, and only there")
	check(p.ClientAuth != AuthNone || p.PKCE == PKCES256, "pkce", "a client without a secret needs S256")
	return errors.Join(errs...)
}

// validateEndpoints holds OA-17: https, no odd hosts, and an endpoint for everything that the profile says it can do.
func (p *Profile) validateEndpoints(r Rules) error {
	var errs []error
	check := func(name, raw string) {
		if err := p.checkAddress(raw, r); err != nil {
			errs = append(errs, p.problem(name, err.Error(), "write the address from the provider's documentation"))
		}
	}
	e := p.Endpoints
	e.each(func(name string, url *string) { check(name, *url) })
	check("issuer", p.Issuer)
	check("revocation.manage_url", p.Revocation.ManageURL)
	check("setup.console_url", p.Setup.ConsoleURL)
	check("setup.docs_url", p.Setup.DocsURL)
	need := func(when bool, url, field string) {
		if when && url == "" && p.Discovery == DiscoveryNone {
			errs = append(errs, p.problem(field, "it is missing", "write it, or an issuer with discovery"))
		}
	}
	need(slices.Contains(p.Grants, GrantCode), e.Authorize, "endpoints.authorize")
	need(!slices.Equal(p.Grants, []GrantType{GrantInstallation}), e.Token, "endpoints.token")
	need(oneOf(p.Revocation.Style, RevokeRFC7009, RevokePost, RevokeGitHub), e.Revoke, "endpoints.revoke")
	if p.Discovery != DiscoveryNone && p.Issuer == "" || p.RequireIss && p.Issuer == "" {
		errs = append(errs, p.problem("issuer", "it is missing", "discovery and require_iss compare with it"))
	}
	installs := slices.Contains(p.Grants, GrantInstallation)
	if installs != strings.Contains(e.Installation, installationID) {
		errs = append(errs, p.problem("endpoints.installation", "it does not fit the grants", "write it with {installation_id} for the grant installation, and only there"))
	}
	if p.Revocation.Style == RevokeGitHub && !strings.Contains(e.Revoke, clientID) {
		errs = append(errs, p.problem("endpoints.revoke", "it lacks {client_id}", "this style deletes /applications/{client_id}/grant"))
	}
	return errors.Join(errs...)
}

// Placeholders of endpoints, besides {base}.
const (
	installationID = "{installation_id}"
	clientID       = "{client_id}"
)

// checkAddress checks one URL of the profile; "" is none.
func (p *Profile) checkAddress(raw string, r Rules) error {
	if raw == "" {
		return nil
	}
	if rest, ok := strings.CutPrefix(raw, base); ok {
		if p.Hosting != HostingInstance {
			return errors.New("{base} is only for hosting instance")
		}
		if rest != "" && rest[0] != '/' {
			return errors.New("a path must follow {base}")
		}
		raw = "https://base.example" + rest
	}
	raw = strings.NewReplacer(installationID, "1", clientID, "1").Replace(raw)
	if strings.ContainsAny(raw, "{}") {
		return errors.New("it holds an unknown placeholder")
	}
	u, err := r.checkURL(raw)
	if err != nil {
		return err
	}
	for key := range u.Query() {
		if reservedAuthorize(key) {
			return fmt.Errorf("its query sets %q, which the flow sets itself", key)
		}
	}
	return nil
}

// reservedAuthorize reports whether the flow itself sets the parameter (OA-32).
func reservedAuthorize(key string) bool {
	key = strings.ToLower(key)
	return strings.HasPrefix(key, "code_challenge") ||
		oneOf(key, "client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "request", "request_uri")
}

// reservedToken reports whether the token request sets the parameter itself.
func reservedToken(key string) bool {
	key = strings.ToLower(key)
	return strings.HasPrefix(key, "client_") ||
		oneOf(key, "grant_type", "code", "code_verifier", "redirect_uri", "refresh_token", "assertion", "scope", "token", "token_type_hint")
}

func (p *Profile) validateParams() error {
	var errs []error
	each := func(field string, params map[string]string, reserved func(string) bool) {
		for key, value := range params {
			if key == "" || len(key) > 100 || len(value) > 500 || cleanASCII(key, 100) != key || strings.ContainsAny(key, " &=") || cleanASCII(value, 500) != value {
				errs = append(errs, p.problem(field, "a parameter is empty, too long or holds other than plain characters", "write it as the provider's documentation does"))
			} else if reserved(key) {
				errs = append(errs, p.problem(field, fmt.Sprintf("%q is set by the flow itself", key), "remove it"))
			}
		}
	}
	each("authorize.params", p.Authorize.Params, reservedAuthorize)
	each("request.params", p.Request.Params, reservedToken)
	each("request.headers", p.Request.Headers, func(key string) bool {
		return !oneOf(http.CanonicalHeaderKey(key), "Accept", "User-Agent", "X-Github-Api-Version", "Notion-Version")
	})
	return errors.Join(errs...)
}

func (p *Profile) validateAnswer() error {
	var errs []error
	for media, format := range p.Answer.ContentTypes {
		if !oneOf(format, BodyForm, BodyJSON) || media != strings.ToLower(media) || media != "" && strings.Count(media, "/") != 1 {
			errs = append(errs, p.problem("answer.content_types", fmt.Sprintf("%.60q is not a media type with json or form", media), `write such as "text/plain": "json"`))
		}
	}
	for field, patterns := range p.Answer.Hosts {
		if len(patterns) == 0 {
			errs = append(errs, p.problem("answer.hosts."+field, "it has no pattern", "write the hosts that the provider may name"))
		}
		for _, pattern := range patterns {
			if err := checkHostPattern(pattern); err != nil {
				errs = append(errs, p.problem("answer.hosts."+field, err.Error(), "write a host, or *. before one"))
			}
		}
	}
	return errors.Join(errs...)
}

func (p *Profile) validateScopes() error {
	var errs []error
	if !oneOf(p.Scopes.Separator, " ", ",") || !oneOf(p.Scopes.AnswerSeparator, " ", ",") {
		errs = append(errs, p.problem("scopes.separator", "it is neither a blank nor a comma", "write both separators"))
	}
	for _, s := range p.Scopes.Known {
		if !isScope(s.Name) || s.Reason == "" {
			errs = append(errs, p.problem("scopes.known", "a scope has no name or no reason", "write both"))
		}
	}
	return errors.Join(errs...)
}

// maxRemedy bounds what a profile says about an error.
const maxRemedy = 400

func (p *Profile) validateErrors() error {
	rules := slices.Clone(p.Errors)
	for i, e := range rules {
		class, ok := classNamed(e.Class)
		if !ok || e.Status == 0 && e.Code == "" || e.Status != 0 && (e.Status < 200 || e.Status > 599) || e.Code != "" && cleanASCII(e.Code, maxText) != e.Code {
			return p.problem(fmt.Sprintf("errors.%d", i), "it names no error or no class", "write a status or a code, and grant_lost, client_rejected, scope_denied, rate_limited, transient or invalid")
		}
		if cut(e.Remedy, maxRemedy) != e.Remedy || cleanASCII(e.Remedy, 0) != e.Remedy {
			return p.problem(fmt.Sprintf("errors.%d.remedy", i), "it is too long, or holds characters beyond ASCII", "write at most 400 plain characters")
		}
		// SECURITY: a status alone never means that a grant is dead; proxies answer too.
		if e.Code == "" && class == connectors.GrantLost {
			return p.problem(fmt.Sprintf("errors.%d", i), "a status alone cannot mean grant_lost", "write the code too")
		}
		rules[i].class = class
	}
	p.Errors = rules
	return nil
}
