package httpx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"tributary/connectors"
)

// What went wrong, for errors.Is. Each stands inside a [connectors.Error]; none carries what the other side said.
var (
	// ErrRefused: the address is not one that may be reached, for whatever reason. Class Invalid.
	ErrRefused = errors.New("this address may not be reached; an owner can allow a private host as host:port, and https is needed")
	// ErrRedirect: the redirect may not be followed. Class Invalid.
	ErrRedirect = errors.New("the server redirects where this request must not follow; enter the final address")
	// ErrTimeout: the server was too slow to answer, to go on, or to end. Class Transient.
	ErrTimeout = errors.New("the server is too slow")
	// ErrTooLarge: the answer is larger than the limit. Class ItemSkipped, for secrets Transient.
	ErrTooLarge = errors.New("the answer is larger than the limit")
	// ErrCertificate: the server's certificate does not prove its name. Class Transient: they expire and are renewed.
	ErrCertificate = errors.New("the server's certificate is not valid")
	// ErrNoAnswer: no connection, or no complete HTTP answer. Class Transient.
	ErrNoAnswer = errors.New("no usable answer from the server")
	// ErrHeader: a header of the request holds characters that HTTP does not allow. Class Invalid.
	ErrHeader = errors.New("a request header holds a line break or control character; check the pasted credentials")
)

// The limits that ErrTimeout stands for.
var (
	errHeaderTime = fmt.Errorf("%w: no answer within the header timeout", ErrTimeout)
	errIdle       = fmt.Errorf("%w: nothing arrived within the idle timeout", ErrTimeout)
	errRate       = fmt.Errorf("%w: less arrived than the minimum rate", ErrTimeout)
	errTotal      = fmt.Errorf("%w: the request took longer than its total timeout", ErrTimeout)
)

// fail gives cause a class and names the host; t may be the zero target.
func fail(t target, class connectors.Class, cause error) error {
	op := "calling a server"
	if t.host != "" {
		op = "calling " + t.host
	}
	return &connectors.Error{Op: op, Class: class, Err: cause}
}

// classify turns an error of net/http into one of ours. ctx is the request's own context, whose cause is our limit or the
// caller's. SECURITY: the error itself is dropped, because it quotes addresses and bytes of the answer.
func classify(ctx context.Context, t target, err error) error {
	cause := context.Cause(ctx)
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(cause, ErrTimeout):
		return fail(t, connectors.Transient, cause)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fail(t, connectors.Transient, context.DeadlineExceeded)
	case ctx.Err() != nil:
		return context.Canceled
	case errors.Is(err, ErrRefused):
		return fail(t, connectors.Invalid, ErrRefused)
	case errors.As(err, &cert):
		return fail(t, connectors.Transient, fmt.Errorf("%w: %s", ErrCertificate, certReason(cert.Err)))
	default:
		return fail(t, connectors.Transient, ErrNoAnswer)
	}
}

// certReason says what is wrong with a certificate, without quoting it.
func certReason(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "it was issued for another host"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return "it has expired or is not valid yet"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "its issuer is unknown; add the issuer's certificate to the trusted ones"
	}
	return "it cannot be verified"
}

// Redact returns err without what http.Client puts around it: the whole URL, whose query can hold a secret, and texts that
// quote a Location header. An error that this package classified keeps its class.
func Redact(err error) error {
	around, ok := errors.AsType[*url.Error](err)
	if !ok {
		return err
	}
	if e, ok := errors.AsType[*connectors.Error](around.Err); ok {
		return e
	}
	t := target{}
	if u, parseErr := url.Parse(around.URL); parseErr == nil {
		t, _ = targetOf(u)
	}
	op := strings.ToLower(around.Op)
	switch {
	case errors.Is(around.Err, context.Canceled):
		return context.Canceled
	case errors.Is(around.Err, context.DeadlineExceeded) || around.Timeout():
		return fail(t, connectors.Transient, context.DeadlineExceeded)
	case op == "parse":
		return fail(target{}, connectors.Invalid, errors.New("the address is not a URL"))
	default:
		return fail(t, connectors.Transient, ErrNoAnswer)
	}
}
