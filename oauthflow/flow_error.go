package oauthflow

import (
	"context"
	"errors"
	"net/http"
)

// FlowCode says how a consent ended that gave no connection.
type FlowCode string

// The ways in which a consent ends.
const (
	FlowNoRegistration FlowCode = "no_registration"
	FlowIncomplete     FlowCode = "registration_incomplete"
	FlowMoved          FlowCode = "moved" // PUBLIC_URL is another than when the registration was made
	FlowNoConsent      FlowCode = "no_consent"
	FlowPlan           FlowCode = "plan"
	FlowMalformed      FlowCode = "malformed"      // parameters twice, too long, or no state
	FlowTokenInURL     FlowCode = "token_in_url"   //nolint:gosec // a word, no secret: OA-7
	FlowUnknownState   FlowCode = "unknown_state"  // used before, or never ours
	FlowExpired        FlowCode = "expired"        // older than FlowLife
	FlowOtherSession   FlowCode = "other_session"  // OA-2
	FlowMixUp          FlowCode = "mix_up"         // OA-1
	FlowChanged        FlowCode = "changed"        // the registration changed meanwhile
	FlowIssuer         FlowCode = "issuer"         // OA-4
	FlowDenied         FlowCode = "denied"         // the person said no
	FlowProviderError  FlowCode = "provider_error" // another error in the answer
	FlowTimeout        FlowCode = "timeout"        // sent, and no answer: OA-9
	FlowUnreachable    FlowCode = "unreachable"    // nothing was sent
	FlowClientRefused  FlowCode = "client_refused" // wrong secret
	FlowCodeRefused    FlowCode = "code_refused"   // the code is not accepted
	FlowRedirectURI    FlowCode = "redirect_uri"   // not the one that is registered there
	FlowTokenAnswer    FlowCode = "token_answer"   // an answer that is no token
	FlowUserinfo       FlowCode = "userinfo"       // whose account it is was not to be learned
	FlowOtherAccount   FlowCode = "other_account"  // a renewal by somebody else
	FlowVault          FlowCode = "vault"          // the master key does not open what is stored
	FlowNotSaved       FlowCode = "not_saved"      // our database
	FlowTicket         FlowCode = "ticket"         // a link that is over
	FlowNoCredential   FlowCode = "no_credential"  //nolint:gosec // a word, no secret: nothing proves the client
	FlowHost           FlowCode = "host"           // where we may not go
	FlowUnknownGrant   FlowCode = "unknown_kind"   // the provider does not offer it
	FlowScopeRefused   FlowCode = "scope_refused"  // invalid_scope
	FlowRateLimited    FlowCode = "rate_limited"   // asked to wait
	FlowUnavailable    FlowCode = "unavailable"    // 5xx
	FlowHeldBack       FlowCode = "held_back"      // by the limit of calls to the token endpoint, or its breaker
	FlowClosing        FlowCode = "closing"        // an earlier grant of the account was being revoked
	FlowReplaced       FlowCode = "replaced"       // the grant was renewed, or ended, while the person was away
)

// FlowError says how a consent failed: what was sent, what came back and what to do. It holds no secret; what came from
// the provider is cleaned.
type FlowError struct {
	Code   FlowCode
	Title  string
	Sent   string // what we sent, in words
	Came   string // what came back
	Remedy string
	Status int // of the page
	// RegistrationID, ReturnTo and Plan are known where the state was.
	RegistrationID string
	ReturnTo       string
	Plan           *Plan
	Grant          string // that was to be renewed
}

// Error returns the title and what came back.
func (e *FlowError) Error() string {
	if e.Came == "" {
		return e.Title
	}
	return e.Title + ": " + e.Came
}

type flowText struct {
	title, remedy string
	status        int
}

// flowError returns the error of a code with its words.
func flowError(code FlowCode) *FlowError {
	t := flowTexts(code)
	return &FlowError{Code: code, Title: t.title, Remedy: t.remedy, Status: t.status}
}

// flowTexts are the words of each code.
func flowTexts(code FlowCode) flowText {
	const again = "Start the connection again."
	switch code {
	case FlowNoRegistration:
		return flowText{"There is no such registration", "Choose a registration from the list.", http.StatusNotFound}
	case FlowIncomplete:
		return flowText{"The registration is not complete", "Open the registration, enter what is missing and save it.", http.StatusConflict}
	case FlowMoved:
		return flowText{"The registration was made for another address of this instance", "Set PUBLIC_URL to that address again, or make a new registration and enter its redirect URI at the provider.", http.StatusConflict}
	case FlowNoConsent:
		return flowText{"This provider has no consent by a person", "Connect as a server, with the registration's own credentials.", http.StatusConflict}
	case FlowPlan:
		return flowText{"The connection cannot be made like this", "Change the field that is named, and start again.", http.StatusConflict}
	case FlowMalformed:
		return flowText{"The answer of the provider is not well formed", again + " If it happens again, the address of this page was changed on its way.", http.StatusBadRequest}
	case FlowTokenInURL:
		return flowText{"The answer holds a token in its address", "Register the client for the authorization code flow (response type code), revoke that token at the provider, and start again.", http.StatusBadRequest}
	case FlowUnknownState:
		return flowText{"This consent was used already, or was not started here", again, http.StatusBadRequest}
	case FlowExpired:
		return flowText{"This consent took longer than ten minutes", again, http.StatusBadRequest}
	case FlowOtherSession:
		return flowText{"This consent was started in another session", "Sign in and start the connection yourself. If somebody sent you the link, do not use it: the connection would have been theirs, with your data.", http.StatusForbidden}
	case FlowMixUp:
		return flowText{"The answer belongs to another provider's consent", "Do not start it again before you know why: one of the two providers may be trying to get at the other's tokens. See the audit log.", http.StatusForbidden}
	case FlowChanged:
		return flowText{"The registration was changed while you were away", again, http.StatusConflict}
	case FlowIssuer:
		return flowText{"The answer does not come from the provider that was asked", "Compare the issuer in the registration with what the provider's documentation names, letter by letter, and start again.", http.StatusBadRequest}
	case FlowDenied:
		return flowText{"The consent was not given", again + " Choose Allow on the provider's page, with an account that may read what you want to connect.", http.StatusOK}
	case FlowTicket:
		return flowText{"This link is over", "A link works once and for ten minutes. Ask for a new one with the connect command.", http.StatusNotFound}
	default:
		return flowTextsAfter(code)
	}
}

// flowTextsAfter are the words of what fails after the provider's answer was accepted.
func flowTextsAfter(code FlowCode) flowText {
	const again = "Start the connection again."
	switch code {
	case FlowProviderError:
		return flowText{"The provider answered with an error", "Look the error up in the provider's documentation, mend what it names, and start again.", http.StatusBadGateway}
	case FlowTimeout:
		return flowText{"The provider did not answer in time", again + " The code may have been used, so it is not sent a second time.", http.StatusGatewayTimeout}
	case FlowUnreachable:
		return flowText{"The provider cannot be reached", "Check the network, the proxy and the provider's status page, and start again.", http.StatusBadGateway}
	case FlowClientRefused:
		return flowText{"The provider refuses the client credentials", "Open the registration and enter the client ID and the secret again; make a new secret at the provider if it has expired.", http.StatusBadGateway}
	case FlowCodeRefused:
		return flowText{"The provider refuses the code that it gave", again, http.StatusBadGateway}
	case FlowRedirectURI:
		return flowText{"The redirect URI is not the one that is registered", "Open the registration, copy the redirect URI and enter it at the provider exactly so.", http.StatusBadGateway}
	case FlowTokenAnswer:
		return flowText{"The provider's answer holds no usable token", "Compare the provider's settings with its documentation, and start again.", http.StatusBadGateway}
	case FlowUserinfo:
		return flowText{"The provider did not say whose account it is", again + " Keep the permissions ticked that show your account.", http.StatusBadGateway}
	case FlowOtherAccount:
		return flowText{"The consent was given by another account", "Sign out at the provider, sign in with the account named here, and grant again; or confirm that the connection changes to the other account.", http.StatusConflict}
	case FlowVault:
		return flowText{"The stored credentials cannot be decrypted", "Put the master key file of this instance back, or enter the registration's credentials again.", http.StatusInternalServerError}
	case FlowNotSaved:
		return flowText{"The database did not confirm the grant", "Look at the connection: if it has no grant, start again. What the provider gave is lost then; the next consent takes its place.", http.StatusInternalServerError}
	case FlowNoCredential:
		return flowText{"The registration lacks a credential", "Open the registration and enter it.", http.StatusConflict}
	case FlowHost:
		return flowText{"The provider's address may not be reached", "Check the registration's address; an owner can open a private host.", http.StatusBadGateway}
	case FlowUnknownGrant:
		return flowText{"The provider does not offer this kind of grant", "Choose another way to connect.", http.StatusConflict}
	case FlowScopeRefused:
		return flowText{"The provider refuses a permission", "Add the permissions that are listed in the registration to the client at the provider, and start again.", http.StatusBadGateway}
	case FlowHeldBack:
		return flowText{"The provider is not asked at the moment", "Wait a few minutes, and start again.", http.StatusServiceUnavailable}
	case FlowClosing:
		return flowText{"An earlier access of this account was being ended", again + " What the provider gave may have ended with it, and is thrown away.", http.StatusConflict}
	case FlowReplaced:
		return flowText{"The grant was changed while you were away", "Nothing of it was touched, and what the provider gave is thrown away. Look at the grant: if it is active and lacks nothing, nothing is to do; else start again from its connection.", http.StatusConflict}
	case FlowRateLimited:
		return flowText{"The provider asks to wait", "Wait a few minutes, and start again.", http.StatusServiceUnavailable}
	default:
		return flowText{"The provider is not available", "Wait a few minutes, and start again.", http.StatusBadGateway}
	}
}

// notSaved says that the database did not do, or did not confirm, what was asked of it.
func notSaved(err error) *FlowError {
	e := flowError(FlowNotSaved)
	if errors.Is(err, context.DeadlineExceeded) {
		e.Came = "the database did not answer in time"
	}
	return e
}
