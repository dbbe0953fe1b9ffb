package connectortest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

func secretRules() []Rule {
	return []Rule{
		{ID: "secret-log", Says: "No credential is ever logged.", run: secretLog},
		{ID: "secret-error", Says: "No credential is ever in an error.", run: secretError},
		{ID: "content-log", Says: "No content is ever logged.", run: contentLog},
		{ID: "content-error", Says: "No content is ever in an error.", run: contentError},
	}
}

// provoke makes a session do and suffer everything that the site can arrange.
func (p *probe) provoke() {
	items := p.corpus()
	s := p.open()
	p.modelOf(p.snapshot(s))
	p.everything(s)
	for _, c := range bodyCases() {
		for _, f := range []Fault{
			{On: OnListing, Kind: c.kind, Page: 2},
			{On: OnBody, Kind: c.kind, Name: items[0].Name},
			{On: OnFeed, Kind: c.kind},
			{On: OnACL, Kind: c.kind, Name: items[1].Name},
			{On: OnGroups, Kind: c.kind},
			{On: OnContainer, Kind: c.kind, Name: blockedContainer},
			{On: OnBody, Kind: Truncated, Name: items[0].Name},
		} {
			if !p.supported(p.fix.Site.Fail(f), "fail") {
				continue
			}
			for _, ch := range p.read(s.Snapshot(p.ctx, nil), nil, nil).changes() {
				if ch.Ref.ID == items[0].ID && ch.Document != nil && ch.Document.Open != nil {
					_, _ = p.body(p.ctx, ch)
				}
			}
			p.everything(s)
			p.fix.Site.Mend()
		}
	}
}

// spelled returns the forms in which secret could appear.
func spelled(secret string) []string {
	raw := []byte(secret)
	return []string{
		secret, url.QueryEscape(secret), hex.EncodeToString(raw),
		base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	}
}

func (p *probe) secret() string {
	if p.fix.Secret == "" {
		if p.spec.Provider != "" {
			p.fatal("the Spec names the provider %q and the harness plants no secret", p.spec.Provider)
		}
		p.skip("the connector has no credential")
	}
	return p.fix.Secret
}

func (p *probe) lookFor(words []string, where, text string) {
	for _, w := range words {
		if at := strings.Index(text, w); at >= 0 {
			p.fail("%s holds it: ...%q", where, text[max(0, at-60):at])
			return
		}
	}
}

// errorTexts returns every error that the connector returned, in full detail.
func (p *probe) errorTexts() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var b strings.Builder
	for _, err := range p.errs {
		fmt.Fprintf(&b, "%s\n%+v\n", err, err)
	}
	return b.String()
}

func secretLog(p *probe) {
	words := spelled(p.secret())
	p.provoke()
	p.lookFor(words, "the log", p.log.String())
}

func secretError(p *probe) {
	words := spelled(p.secret())
	p.provoke()
	env := p.env()
	env.Settings = nil
	if s, err := p.fix.Connector.Open(p.ctx, env); p.seen(err) == nil {
		_ = p.seen(s.Close(p.ctx))
	}
	p.lookFor(words, "an error", p.errorTexts())
}

func contentLog(p *probe) {
	p.provoke()
	p.lookFor([]string{phrase}, "the log", p.log.String())
}

func contentError(p *probe) {
	p.provoke()
	p.lookFor([]string{phrase}, "an error", p.errorTexts())
}
