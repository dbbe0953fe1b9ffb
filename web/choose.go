package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/jobs"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// Chooser browses the source of a connection and changes what it syncs.
type Chooser interface {
	Choices(ctx context.Context, conn store.Connection, parent string, skip, limit int) (list []connectors.Choice, more bool, err error)
	// Narrowing lists the source as it would be selected, and says what that hides; nil is nothing.
	Narrowing(ctx context.Context, conn store.Connection, settings map[string]string, selection connectors.Selection) (*jobs.Narrowing, error)
	// Change asks for the run that follows, and records events with the change. It returns the connection as it is then. What is
	// taken out waits for an approval.
	Change(ctx context.Context, conn store.Connection, settings map[string]string, selection connectors.Selection, events ...audit.Event) (c store.Connection, changed bool, err error)
	// ChangeConfirmed is Change by somebody who was shown that it hides so many documents, which then wait for nothing.
	ChangeConfirmed(
		ctx context.Context, conn store.Connection, settings map[string]string, selection connectors.Selection, hides int64, events ...audit.Event,
	) (c store.Connection, changed bool, err error)
}

// maxTrail bounds how deep a page goes.
const maxTrail = 64

// choosable returns the connection that the path names and its source, where something of it can be chosen.
func (s *Server) choosable(c echo.Context) (store.Connection, connectors.Spec, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return k, connectors.Spec{}, err
	}
	spec, _ := s.sourceNamed(k.Source)
	if !spec.Has(connectors.CanChoose) || k.State == store.StateClosing || s.cfg.OAuth.Chooser == nil {
		return k, spec, problem(http.StatusNotFound, codeNotFound, "nothing of this connection can be chosen")
	}
	return k, spec, nil
}

// choosePage shows the top of a source, with what is chosen.
func (s *Server) choosePage(c echo.Context) error {
	k, spec, err := s.choosable(c)
	if err != nil {
		return err
	}
	v := pages.ChooseView{
		Connection: k, Spec: spec, Everything: len(k.Selection.Containers) == 0, Settings: k.Settings,
		Include: strings.Join(k.Selection.Include, "\n"), Exclude: strings.Join(k.Selection.Exclude, "\n"),
	}
	for _, id := range k.Selection.Containers {
		v.Chosen = append(v.Chosen, pages.Place{ID: id})
	}
	return s.showChoices(c, http.StatusOK, "", v)
}

// showChoices lists the containers where v is. A source that cannot be read leaves the rest of the page usable.
func (s *Server) showChoices(c echo.Context, status int, text string, v pages.ChooseView) error {
	parent := ""
	if len(v.Trail) > 0 {
		parent = v.Trail[len(v.Trail)-1].ID
	}
	list, more, err := s.cfg.OAuth.Chooser.Choices(c.Request().Context(), v.Connection, parent, v.From, pages.ChoosePage)
	if err != nil {
		said, ok := chooseProblem(err)
		if !ok {
			return err
		}
		v.Failed = sentence("The source could not be listed: " + said)
	}
	v.List, v.More = list, more
	for i, p := range v.Chosen {
		for _, l := range list {
			if l.ID == p.ID {
				v.Chosen[i].Name = l.Name
			}
		}
	}
	if v.Head, err = s.connectionHead(c, v.Connection, "choose"); err != nil {
		return err
	}
	return render(c, status, pages.Choosing(s.showProblem(c, "What "+v.Connection.Name+" syncs", text), v))
}

// chooseProblem returns what an admin can do something about.
func chooseProblem(err error) (text string, ok bool) {
	if in, ok := errors.AsType[*store.InputError](err); ok {
		return in.Problem, true
	}
	if errors.Is(err, store.ErrConflict) {
		return "somebody else changed what is synced meanwhile: look at it again, and save then", true
	}
	return oauthProblem(err)
}

// choose saves what is chosen, or moves the page and keeps what was entered.
func (s *Server) choose(c echo.Context) error {
	k, spec, err := s.choosable(c)
	if err != nil {
		return err
	}
	names := []string{"trail", "kept", "from", "scope", "do", "include", "exclude"}
	for i := range pages.ChoosePage {
		names = append(names, "pick."+strconv.Itoa(i))
	}
	for _, set := range spec.Settings {
		names = append(names, "set."+set.Name)
	}
	f, err := formValues(c, names...)
	if err != nil {
		return err
	}
	v, err := chooseForm(k, spec, f)
	if err != nil {
		return err
	}
	if verb, _, _ := strings.Cut(f["do"], "."); verb != "save" {
		readEntered(spec, f, v.Settings)
		if err := move(&v, f["do"]); err != nil {
			return err
		}
		return s.showChoices(c, http.StatusOK, "", v)
	}
	return s.saveChoice(c, spec, f, v)
}

// saveChoice makes v what the connection syncs.
func (s *Server) saveChoice(c echo.Context, spec connectors.Spec, f map[string]string, v pages.ChooseView) error {
	k := v.Connection
	sel := connectors.Selection{Include: lines(v.Include), Exclude: lines(v.Exclude)}
	if v.Everything && len(k.Selection.Containers) == 0 && len(v.Chosen) > 0 {
		return s.showChoices(c, http.StatusUnprocessableEntity, "something is ticked, and everything is to be synced: choose one of the two", v)
	}
	if !v.Everything {
		for _, p := range v.Chosen {
			sel.Containers = append(sel.Containers, p.ID)
		}
		if len(sel.Containers) == 0 {
			return s.showChoices(c, http.StatusUnprocessableEntity, "nothing is chosen: tick something, or choose Everything", v)
		}
	}
	settings := k.Settings
	var err error
	if spec.Provider != "" { // SECURITY: what a source of this machine reads is not for a form to move
		settings, err = readSettings(spec, f, v.Settings)
	}
	if err == nil {
		v.Hides, err = s.change(c, k, settings, sel, f["do"])
	}
	if err != nil {
		text, ok := chooseProblem(err)
		if !ok {
			return err
		}
		return s.showChoices(c, http.StatusUnprocessableEntity, text, v)
	}
	if v.Hides != nil {
		readEntered(spec, f, v.Settings)
		return s.showChoices(c, http.StatusOK, "", v)
	}
	if k.SettingUp() {
		return seeOther(c, "/connections/"+k.Name+"/plan", "step")
	}
	return seeOther(c, "/connections/"+k.Name, "chosen")
}

// change makes settings and selection those of the connection, or returns what that would hide and nobody has confirmed. do is
// the button: "save", or "save.N.DIGEST" of who was shown that this very change hides N documents.
func (s *Server) change(c echo.Context, k store.Connection, settings map[string]string, sel connectors.Selection, do string) (*pages.Hides, error) {
	ctx, chooser := c.Request().Context(), s.cfg.OAuth.Chooser
	of := digestOf(settings, sel)
	var hides int64
	n, said, _ := strings.Cut(strings.TrimPrefix(do, "save."), ".")
	confirmed, err := strconv.ParseInt(n, 10, 64)
	if err == nil && said == of && confirmed >= 0 {
		hides = confirmed
	} else if narrowing, err := chooser.Narrowing(ctx, k, settings, sel); err != nil {
		return nil, err
	} else if narrowing != nil && narrowing.Hides > 0 {
		return &pages.Hides{Narrowing: *narrowing, Button: fmt.Sprintf("save.%d.%s", narrowing.Hides, of)}, nil
	}
	event := connectionEvent(c, "connection.change", k)
	event.Detail["hides"] = strconv.FormatInt(hides, 10)
	_, _, err = chooser.ChangeConfirmed(ctx, k, settings, sel, hides, event)
	return nil, err
}

// digestOf names a change, so that what was confirmed of one is not taken for another.
func digestOf(settings map[string]string, sel connectors.Selection) string {
	slices.Sort(sel.Containers)
	text, err := json.Marshal(struct {
		Settings  map[string]string
		Selection connectors.Selection
	}{settings, sel})
	if err != nil {
		return "" // texts always encode
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// chooseForm reads the form without its settings.
func chooseForm(k store.Connection, spec connectors.Spec, f map[string]string) (pages.ChooseView, error) {
	v := pages.ChooseView{
		Connection: k, Spec: spec, Everything: f["scope"] != "chosen", Settings: map[string]string{}, Include: f["include"], Exclude: f["exclude"],
	}
	bad := invalid("", "the form could not be read: open the page again")
	if json.Unmarshal([]byte(f["trail"]), &v.Trail) != nil && f["trail"] != "" || json.Unmarshal([]byte(f["kept"]), &v.Chosen) != nil && f["kept"] != "" {
		return v, bad
	}
	for i := range pages.ChoosePage {
		text, ok := f["pick."+strconv.Itoa(i)]
		if !ok {
			continue
		}
		var p pages.Place
		if json.Unmarshal([]byte(text), &p) != nil {
			return v, bad
		}
		if !slices.ContainsFunc(v.Chosen, func(o pages.Place) bool { return o.ID == p.ID }) {
			v.Chosen = append(v.Chosen, p)
		}
	}
	var err error
	if v.From, err = strconv.Atoi("0" + f["from"]); err != nil || len(v.Trail) > maxTrail {
		return v, bad
	}
	return v, nil
}

// readEntered keeps what stands in the fields of the settings.
func readEntered(spec connectors.Spec, f, entered map[string]string) {
	for _, set := range spec.Settings {
		if value, ok := f["set."+set.Name]; ok || set.Type == connectors.Bool {
			entered[set.Name] = value
		}
	}
}

// move does what a button of the page says: up to a place of the trail, into a container, on in the list, or one of the chosen out.
func move(v *pages.ChooseView, do string) error {
	verb, what, _ := strings.Cut(do, ".")
	n, err := strconv.Atoi(what)
	number := err == nil && n >= 0
	var p pages.Place
	switch {
	case verb == "up" && number && n <= len(v.Trail):
		v.Trail, v.From = v.Trail[:n], 0
	case verb == "from" && number:
		v.From = n
	case verb == "drop" && number && n < len(v.Chosen):
		v.Chosen = slices.Delete(v.Chosen, n, n+1)
	case verb == "open" && json.Unmarshal([]byte(what), &p) == nil && p.ID != "" && len(v.Trail) < maxTrail:
		v.Trail, v.From = append(v.Trail, p), 0
	default:
		return invalid("do", "there is no such button")
	}
	return nil
}

// neededScopes are the names of the scopes that a connection with these settings needs at a provider.
func neededScopes(spec connectors.Spec, p *oauthflow.Profile, settings map[string]string) []string {
	names := []string{}
	for _, sc := range spec.ScopesFor(p.Name, settings) {
		names = append(names, sc.Name)
	}
	return names
}
