package web

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"tributary/store"
)

// LiveStore tells which runs wait or work.
type LiveStore interface {
	LiveRuns(ctx context.Context) ([]store.LiveRun, error)
}

// Topics of live pages: a run, a connection, or everything.
const (
	topicAll        = "all"
	topicRun        = "run:"
	topicConnection = "connection:"
)

// lookEvery is how long a page that is watched may be behind.
const lookEvery = time.Second

// hub looks at the live runs for all the pages that are watched, by one statement, and wakes those whose topic has moved.
// It looks only while somebody watches. It is safe for concurrent use.
type hub struct {
	store LiveStore
	log   *slog.Logger
	every time.Duration

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	// stop ends the loop; it is nil while none runs.
	stop   context.CancelFunc
	closed bool
	// over ends every watcher; it is closed with closed.
	over chan struct{}
}

// unlooked is the mark of a topic before the first look, and no other's.
const unlooked = "unlooked"

// watcher is a page that is watched.
type watcher struct {
	topic string
	mark  string
	// moved holds one message while the topic has moved since the last was taken.
	moved chan struct{}
}

func newHub(live LiveStore, log *slog.Logger) *hub {
	return &hub{store: live, log: log, every: lookEvery, watchers: map[*watcher]struct{}{}, over: make(chan struct{})}
}

// watch begins to watch topic; leave ends it. It reports false once the hub is closed, or where most pages are watched
// already.
func (h *hub) watch(topic string, most int) (w *watcher, leave func(), ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.watchers) >= most {
		return nil, nil, false
	}
	// What moved between the page and the next look is not known: that look wakes it. Were it woken now, it could read itself
	// before a run ends, and the look come after.
	w = &watcher{topic: topic, mark: unlooked, moved: make(chan struct{}, 1)}
	h.watchers[w] = struct{}{}
	if h.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		h.stop = stop
		go h.look(ctx, h.every)
	}
	return w, func() { h.leave(w) }, true
}

// leave ends watching, and the loop with the last that watches.
func (h *hub) leave(w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	if len(h.watchers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

// close ends every watcher, and nobody may watch any more.
func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.closed = true
		close(h.over)
	}
}

// look is the loop. A look that fails is told of once, and changes nothing.
func (h *hub) look(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		runs, err := h.store.LiveRuns(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			h.log.Warn("live pages stand still", "error", err)
		}
		if failed = err != nil; !failed {
			h.tell(marksOf(runs))
		}
	}
}

// tell wakes whose topic has moved.
func (h *hub) tell(marks map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		if mark := marks[w.topic]; mark != w.mark {
			w.mark = mark
			select {
			case w.moved <- struct{}{}:
			default:
			}
		}
	}
}

// marksOf returns the mark of each topic that has a live run; a topic without one has "".
func marksOf(runs []store.LiveRun) map[string]string {
	marks := map[string]string{}
	for _, r := range runs {
		marks[topicRun+r.ID.String()] = r.Mark
		marks[topicConnection+r.ConnectionID.String()] += r.ID.String() + r.Mark
		marks[topicAll] += r.Mark
	}
	return marks
}
