package sandbox

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// switchesView is what the switches page shows.
type switchesView struct {
	Rows    []switchRow
	Items   []string
	Options Options
	Seen    Seen
	Now     time.Time
	Problem string
}

func (s *Server) switchesPage(w http.ResponseWriter, r *http.Request) {
	s.showSwitches(w, r, http.StatusOK, "")
}

func (s *Server) showSwitches(w http.ResponseWriter, r *http.Request, status int, problem string) {
	s.render(w, r, status, "switches", switchesView{
		Rows: s.faults.rows(), Items: s.faults.failingItems(), Options: s.faults.Options(), Seen: s.Seen(), Now: s.now(), Problem: problem,
	})
}

// switchesSet does what a form of the switches page says.
func (s *Server) switchesSet(w http.ResponseWriter, r *http.Request) {
	if !s.checkForm(w, r) {
		return
	}
	problem := ""
	switch r.PostFormValue("do") {
	case "fault":
		problem = s.setFault(r)
	case "options":
		problem = s.setOptions(r)
	case "advance":
		d, err := time.ParseDuration(r.PostFormValue("by"))
		if err != nil || d < 0 || d > 10*365*24*time.Hour {
			problem = "Write how far the clock jumps, such as 90m or 24h."
			break
		}
		s.faults.Advance(d)
	case "expire-pages":
		s.faults.ExpirePages()
	case "expire-feed":
		s.faults.ExpireFeed()
	case "clear":
		s.faults.Clear()
	case "start-over":
		if err := s.world.StartOver(); err != nil {
			s.serverError(w, r, err)
			return
		}
	default:
		problem = "There is no such switch."
	}
	if problem != "" {
		s.showSwitches(w, r, http.StatusBadRequest, problem)
		return
	}
	http.Redirect(w, r, "/switches", http.StatusSeeOther)
}

// setFault reads how often a kind happens; an item's id makes it happen to that item alone, each time.
func (s *Server) setFault(r *http.Request) string {
	i := slices.Index(kindNames[:], r.PostFormValue("kind"))
	n, err1 := number(r.PostFormValue("next"))
	every, err2 := number(r.PostFormValue("every"))
	item := strings.TrimSpace(r.PostFormValue("item"))
	switch {
	case i < 0 || err1 != nil || err2 != nil:
		return "Write how many times, as a number."
	case item != "" && !strings.HasPrefix(kindNames[i], "content-"):
		return "Only downloads can fail for one item."
	case item != "":
		if _, ok := s.world.Item(item); !ok {
			return "There is no item with this id."
		}
		s.faults.OnItem(Kind(i), item)
	default:
		s.faults.Next(Kind(i), n)
		s.faults.Every(Kind(i), every)
	}
	return ""
}

// number reads a count; nothing is 0.
func number(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 20)
	return int(n), err
}

func (s *Server) setOptions(r *http.Request) string {
	o := s.faults.Options()
	for name, d := range map[string]*time.Duration{"token_life": &o.TokenLife, "delay": &o.Delay, "retry_after": &o.RetryAfter} {
		v, err := time.ParseDuration(r.PostFormValue(name))
		if err != nil || v < 0 || v > refreshIdle {
			return "Write times such as 1s, 5m or 1h."
		}
		*d = v
	}
	for name, n := range map[string]*int{"rate_burst": &o.RateBurst, "rate_per_second": &o.RatePerSecond, "feed_length": &o.FeedLength} {
		v, err := number(r.PostFormValue(name))
		if err != nil {
			return "Write limits as numbers."
		}
		*n = v
	}
	o.RedirectTo = strings.TrimSpace(r.PostFormValue("redirect_to"))
	jump := o.Jump
	s.faults.Set(func(set *Options) { *set = o; set.Jump = jump })
	return ""
}
