package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/oauthflow"
)

// outcome is how a consent ended, on its way from the callback to the page that shows it. It holds no code, no state and
// no secret; what came from the provider is cleaned.
type outcome struct {
	OK           bool               `json:"ok,omitempty"`
	Code         oauthflow.FlowCode `json:"code,omitempty"`
	Title        string             `json:"title,omitempty"`
	Sent         string             `json:"sent,omitempty"`
	Came         string             `json:"came,omitempty"`
	Remedy       string             `json:"remedy,omitempty"`
	Status       int                `json:"status,omitempty"`
	Registration string             `json:"registration,omitempty"`
	Grant        string             `json:"grant,omitempty"`
	Connection   string             `json:"connection,omitempty"`
	Renewed      bool               `json:"renewed,omitempty"`
	Broader      []string           `json:"broader,omitempty"`
	ReturnTo     string             `json:"return_to,omitempty"`
	Plan         *oauthflow.Plan    `json:"plan,omitempty"`
	Until        time.Time          `json:"until"`
}

// outcomeLife is how long the page of a result can be looked at again.
const outcomeLife = 15 * time.Minute

// maxOutcome bounds a cookie: browsers take 4,096 bytes (RFC 6265bis §5.6).
const maxOutcome = 3800

// outcomeCookie is the name of the cookie that carries an outcome.
func (s *Server) outcomeCookie() string { return s.cookieName() + "-result" }

// keepOutcome gives the outcome to the browser. Any process of the instance can show it then.
//
// SECURITY: it is bound to the session by its secret, which nobody else knows. So no other site, and no neighbour of the
// host that can plant cookies, makes this server show a text.
func (s *Server) keepOutcome(c echo.Context, o outcome) error {
	key := s.outcomeKey(c)
	if key == nil {
		return nil
	}
	o.Until = time.Now().Add(outcomeLife)
	value, err := encodeOutcome(key, o)
	if err == nil && len(value) > maxOutcome {
		o.Plan, o.Broader = nil, nil
		value, err = encodeOutcome(key, o)
	}
	if err != nil {
		return err
	}
	c.SetCookie(&http.Cookie{ //nolint:gosec // on plain http, which is loopback only, a browser would not take Secure
		Name: s.outcomeCookie(), Value: value, Path: "/", HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode, MaxAge: int(outcomeLife.Seconds()),
	})
	return nil
}

// readOutcome returns the outcome that the browser carries, where it is one of this session.
func (s *Server) readOutcome(c echo.Context) (outcome, bool) {
	var o outcome
	key, found := s.outcomeKey(c), c.Request().CookiesNamed(s.outcomeCookie())
	if key == nil || len(found) != 1 {
		return o, false
	}
	text, mac, ok := strings.Cut(found[0].Value, ".")
	body, err := base64.RawURLEncoding.DecodeString(text)
	sum, macErr := base64.RawURLEncoding.DecodeString(mac)
	if !ok || err != nil || macErr != nil || !hmac.Equal(sum, seal(key, body)) {
		return o, false
	}
	if json.Unmarshal(body, &o) != nil || time.Now().After(o.Until) {
		return outcome{}, false
	}
	return o, true
}

// outcomeKey is made from the secret of the session; nil without one.
func (s *Server) outcomeKey(c echo.Context) []byte {
	session := s.sessionSecret(c.Request())
	if !session.IsSet() {
		return nil
	}
	return seal([]byte(session.Reveal()), []byte("tributary: the outcome of a consent"))
}

func seal(key, text []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return h.Sum(nil)
}

func encodeOutcome(key []byte, o outcome) (string, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("encoding outcome: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(seal(key, body)), nil
}

// planFields are the fields of the form that connects p.
func planFields(registration string, p *oauthflow.Plan) [][2]string {
	fields := [][2]string{
		{"source", p.Source},
		{"registration", registration},
		{"kind", string(oauthflow.GrantCode)},
		{"name", p.Name},
		{"include", strings.Join(p.Include, "\n")},
		{"exclude", strings.Join(p.Exclude, "\n")},
	}
	if !p.SetUp {
		fields = append(fields, [2]string{"first", firstNow})
	}
	for name, value := range p.Settings {
		fields = append(fields, [2]string{"set." + name, value})
	}
	return fields
}
