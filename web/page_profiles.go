package web

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// profilesPage lists the embedding profiles with how far each is filled.
func (s *Server) profilesPage(c echo.Context) error {
	ctx := c.Request().Context()
	list, err := s.cfg.System.Store.ProfileFills(ctx)
	if err != nil {
		return err
	}
	v := pages.ProfilesView{MayAct: mayAct(c, store.RoleOwner)}
	if v.Now, err = s.cfg.System.Store.Now(ctx); err != nil {
		return err
	}
	for _, f := range list {
		v.Profiles = append(v.Profiles, pages.ProfileRow{ProfileFill: f, Rate: s.fills.look(f.ID, f.Vectors, v.Now)})
	}
	return render(c, http.StatusOK, pages.Profiles(s.frame(c, "Embeddings"), v))
}

// activatePage asks before another profile answers questions.
func (s *Server) activatePage(c echo.Context) error {
	return s.showActivate(c, http.StatusOK, "")
}

func (s *Server) showActivate(c echo.Context, status int, text string) error {
	v, err := s.activation(c)
	if err != nil {
		return err
	}
	return render(c, status, pages.Activate(s.showProblem(c, "Switch to "+v.To.Name, text), v))
}

// activation reads the profile that the path names, and the one that is active.
func (s *Server) activation(c echo.Context) (pages.ActivateView, error) {
	ctx := c.Request().Context()
	to, err := s.cfg.System.Store.ProfileFill(ctx, c.Param("name"))
	if errors.Is(err, store.ErrNotFound) {
		return pages.ActivateView{}, problem(http.StatusNotFound, codeNotFound, "there is no such profile; the page Embeddings lists them")
	}
	if err != nil {
		return pages.ActivateView{}, err
	}
	v := pages.ActivateView{To: to}
	list, err := s.cfg.Admin.Store.Profiles(ctx)
	for _, p := range list {
		if p.State == store.ProfileActive {
			v.From = p
		}
	}
	return v, err
}

// activateProfile lets a profile answer questions from the next one on.
func (s *Server) activateProfile(c echo.Context) error {
	f, err := formValues(c, "force")
	if err != nil {
		return err
	}
	v, err := s.activation(c)
	if err != nil {
		return err
	}
	force := f["force"] == "yes"
	if v.To.Waiting > 0 && !force {
		return s.showActivate(c, http.StatusUnprocessableEntity, "chunks still wait for their vectors: wait until there are none, or tick that they may be found by words only")
	}
	name := v.To.Name
	err = s.cfg.Admin.Store.ActivateProfile(c.Request().Context(), name, force, adminEvent(c, "profile.activate", "profile", name, map[string]string{"name": name}))
	if _, ok := errors.AsType[*store.InputError](err); ok {
		return s.showActivate(c, http.StatusUnprocessableEntity, "chunks came meanwhile that wait for their vectors: look again in a moment, or tick that they may be found by words only")
	}
	if err != nil {
		return err
	}
	return seeOther(c, profilesPath, "activated")
}

// How long the number of a profile's vectors is compared with a later one: from rateSoonest on, up to rateOldest; past
// rateFresh the later one takes its place.
const (
	rateSoonest = 2 * time.Second
	rateFresh   = time.Minute
	rateOldest  = 10 * time.Minute
)

// fillRates remembers how many vectors profiles had when somebody looked, so that who looks again sees how fast it
// goes. Its zero value remembers nothing.
type fillRates struct {
	mu   sync.Mutex
	seen map[int16]fillSample
}

type fillSample struct {
	at      time.Time
	vectors int64
}

// look returns how many vectors a second have been stored since an earlier look, 0 where that is not known.
func (r *fillRates) look(profile int16, vectors int64, now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[int16]fillSample{}
	}
	before, ok := r.seen[profile]
	over := now.Sub(before.at)
	if !ok || over > rateOldest || over < 0 || vectors < before.vectors {
		r.seen[profile] = fillSample{at: now, vectors: vectors}
		return 0
	}
	if over > rateFresh {
		r.seen[profile] = fillSample{at: now, vectors: vectors}
	}
	if over < rateSoonest {
		return 0
	}
	return float64(vectors-before.vectors) / over.Seconds()
}
