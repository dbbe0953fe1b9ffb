package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"

	"tributary/internal/settings"
)

// ports are the listeners of a process; nil where there is none.
type ports struct{ web, metrics net.Listener }

func (p *ports) close() {
	for _, l := range []net.Listener{p.web, p.metrics} {
		if l != nil {
			// It is closed already when its server ran.
			_ = l.Close()
		}
	}
}

// listenAll opens both listeners.
func listenAll(ctx context.Context, s settings.Settings) (*ports, error) {
	if err := checkCertificate(s); err != nil {
		return nil, err
	}
	p, err := listenMetrics(ctx, s)
	if err != nil {
		return nil, err
	}
	if p.web, err = listen(ctx, s.Addr, "TRIBUTARY_ADDR", "127.0.0.1:8081"); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// checkCertificate refuses a certificate that cannot be served.
func checkCertificate(s settings.Settings) error {
	if s.TLSCert == "" {
		return nil
	}
	if _, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey); err != nil {
		return &settings.Error{Setting: "TRIBUTARY_TLS_CERT", Problem: oneLine(err.Error()), Remedy: "name a PEM certificate chain here, and its key in TRIBUTARY_TLS_KEY"}
	}
	return nil
}

func listenMetrics(ctx context.Context, s settings.Settings) (*ports, error) {
	p := &ports{}
	if s.MetricsAddr == "" {
		return p, nil
	}
	var err error
	p.metrics, err = listen(ctx, s.MetricsAddr, "TRIBUTARY_METRICS_ADDR", "127.0.0.1:9091 or off")
	return p, err
}

func listen(ctx context.Context, addr, variable, example string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &settings.Error{Setting: variable, Problem: addr + " is taken by another process", Remedy: "stop that one, or choose another address, such as " + variable + "=" + example}
	case errors.Is(err, os.ErrPermission):
		return nil, &settings.Error{Setting: variable, Problem: "this account may not listen on " + addr, Remedy: "choose a port above 1023"}
	default:
		return nil, &settings.Error{Setting: variable, Problem: oneLine(err.Error()), Remedy: "choose an address of this machine"}
	}
}
