package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/jobs"
	"tributary/oauthflow/vault"
	"tributary/store"
	"tributary/web/pages"
)

// System is what the pages of the instance itself need: processes, queues, room, keys and embedding profiles. All of it
// is safe for concurrent use.
type System struct {
	Store SystemStore // *store.Store
	Jobs  JobQueues   // *jobs.Runner, which need not be started
	// Keys lists the master keys with what each has sealed; nil where this process has none.
	Keys func(ctx context.Context) ([]vault.KeyStatus, error)
	// KeyFile is where the master keys are.
	KeyFile string
}

// SystemStore is what these pages read, and the switch of the active profile.
type SystemStore interface {
	Now(ctx context.Context) (time.Time, error)
	Workers(ctx context.Context) ([]store.WorkerProcess, error)
	Instance(ctx context.Context) (store.Instance, error)
	TableSizes(ctx context.Context) ([]store.TableSize, error)
	DatabaseSize(ctx context.Context) (int64, error)
	Facts(ctx context.Context) (store.Facts, error)
	LiveAndRecent(ctx context.Context, limit int) (live, recent []store.Run, err error)
	ProfileFills(ctx context.Context) ([]store.ProfileFill, error)
	ProfileFill(ctx context.Context, name string) (store.ProfileFill, error)
}

// JobQueues shows and mends the queues of jobs.
type JobQueues interface {
	Queues(ctx context.Context) ([]jobs.QueueState, error)
	// PauseQueue returns store.ErrNotFound for a queue that nobody works on.
	PauseQueue(ctx context.Context, name string, paused bool, events ...audit.Event) error
	Jobs(ctx context.Context, f jobs.JobFilter) ([]jobs.JobInfo, error)
	// RetryJob returns store.ErrNotFound, or store.ErrConflict for a job that has not failed.
	RetryJob(ctx context.Context, id int64, events ...audit.Event) error
}

const (
	systemPath   = "/system"
	profilesPath = "/profiles"
)

// systemRoutes are the pages of the instance itself.
func (s *Server) systemRoutes() []route {
	if s.cfg.System == nil || s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return nil
	}
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: systemPath, access: accessAuditor, handler: s.systemPage, returnable: true},
		{method: get, path: "/system/jobs", access: accessAuditor, handler: s.jobsPage, returnable: true},
		{method: post, path: "/system/jobs/:id/retry", access: accessAdmin, handler: s.retryJob},
		{method: get, path: "/system/queues/:name/pause", access: accessOwner, handler: s.pausePage},
		{method: post, path: "/system/queues/:name/pause", access: accessOwner, handler: s.pauseQueue(true)},
		{method: post, path: "/system/queues/:name/resume", access: accessOwner, handler: s.pauseQueue(false)},
		{method: get, path: profilesPath, access: accessAuditor, handler: s.profilesPage, returnable: true},
		{method: get, path: "/profiles/:name/activate", access: accessOwner, handler: s.activatePage},
		{method: post, path: "/profiles/:name/activate", access: accessOwner, handler: s.activateProfile},
	}
}

// systemPage shows what runs, what waits, and what room it takes.
func (s *Server) systemPage(c echo.Context) error {
	ctx := c.Request().Context()
	y := s.cfg.System
	v := pages.SystemView{Version: s.cfg.Version, KeyFile: y.KeyFile, KeyProblem: sentence(s.keyProblem()), MayPause: mayAct(c, store.RoleOwner)}
	var err error
	if v.Now, err = y.Store.Now(ctx); err != nil {
		return err
	}
	if v.Instance, err = y.Store.Instance(ctx); err != nil {
		return err
	}
	if v.Workers, err = y.Store.Workers(ctx); err != nil {
		return err
	}
	if v.Queues, err = y.Jobs.Queues(ctx); err != nil {
		return err
	}
	if err := s.measure(ctx, &v); err != nil {
		return err
	}
	if y.Keys != nil && v.KeyProblem == "" {
		if v.Keys, err = y.Keys(ctx); err != nil {
			// A key file that cannot be read now is no reason to hide the rest.
			s.cfg.Log.WarnContext(ctx, "listing master keys", "error", err)
			v.KeyProblem = "The master key file could not be read just now; tributary master-key status says why."
		}
	}
	return render(c, http.StatusOK, pages.System(s.frame(c, "System"), v))
}

// measure adds what room the database takes. While somebody rewrites a table, that is not known.
func (s *Server) measure(ctx context.Context, v *pages.SystemView) error {
	tables, err := s.cfg.System.Store.TableSizes(ctx)
	if errors.Is(err, store.ErrTimeout) {
		return nil
	}
	if err != nil {
		return err
	}
	v.Room = pages.GroupTables(tables)
	v.Database, err = s.cfg.System.Store.DatabaseSize(ctx)
	return err
}

// jobsPerPage is how many jobs a page shows.
const jobsPerPage = 50

// jobsPage lists jobs by state and queue; first those that failed.
func (s *Server) jobsPage(c echo.Context) error {
	ctx := c.Request().Context()
	v := pages.JobsView{State: c.QueryParam("state"), Queue: cut(c.QueryParam("queue")), States: jobs.JobStates(), MayAct: mayAct(c, store.RoleAdmin)}
	before, err := numberOf(c.QueryParam("before"))
	if err != nil {
		return err
	}
	if v.Jobs, err = s.cfg.System.Jobs.Jobs(ctx, jobs.JobFilter{State: v.State, Queue: v.Queue, Before: before, Limit: jobsPerPage + 1}); err != nil {
		return err
	}
	if v.Now, err = s.cfg.System.Store.Now(ctx); err != nil {
		return err
	}
	if len(v.Jobs) > jobsPerPage {
		v.Jobs = v.Jobs[:jobsPerPage]
		v.Older = v.Address(v.State) + "&before=" + strconv.FormatInt(v.Jobs[jobsPerPage-1].ID, 10)
	}
	return render(c, http.StatusOK, pages.Jobs(s.frame(c, "Jobs"), v))
}

// retryJob lets a job that failed begin again.
func (s *Server) retryJob(c echo.Context) error {
	if _, err := formValues(c); err != nil {
		return err
	}
	if err := s.beginAgain(c); err != nil {
		return err
	}
	return seeOther(c, "/system/jobs", "job-retry")
}

// beginAgain begins the job that the path names again.
func (s *Server) beginAgain(c echo.Context) error {
	id, err := strconv.ParseInt(c.Param("id"), 10, 64)
	if err != nil {
		return noJob()
	}
	err = s.cfg.System.Jobs.RetryJob(c.Request().Context(), id, adminEvent(c, "job.retry", "job", strconv.FormatInt(id, 10), nil))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noJob()
	case errors.Is(err, store.ErrConflict):
		return problem(http.StatusConflict, codeConflict, "the job has not failed, or is tried again already; the list of jobs shows how it is")
	}
	return err
}

func noJob() error {
	return problem(http.StatusNotFound, codeNotFound, "there is no such job; those that are over are kept for a day, and for a week where they failed")
}

// queueOf reads the queue that the path names.
func (s *Server) queueOf(c echo.Context) (jobs.QueueState, error) {
	list, err := s.cfg.System.Jobs.Queues(c.Request().Context())
	if err != nil {
		return jobs.QueueState{}, err
	}
	for _, q := range list {
		if q.Name == c.Param("name") && q.SeenAt != nil {
			return q, nil
		}
	}
	return jobs.QueueState{}, noQueue()
}

func noQueue() error {
	return problem(http.StatusNotFound, codeNotFound, "nobody works on such a queue; the list of queues has their names")
}

// pausePage asks before a queue is paused.
func (s *Server) pausePage(c echo.Context) error {
	q, err := s.queueOf(c)
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.PauseQueue(s.frame(c, "Pause the queue "+q.Name), pages.PauseView{Queue: q}))
}

// pauseQueue keeps jobs of a queue from being begun, or ends that.
func (s *Server) pauseQueue(paused bool) echo.HandlerFunc {
	done := "queue-resumed"
	if paused {
		done = "queue-paused"
	}
	return func(c echo.Context) error {
		if _, err := formValues(c); err != nil {
			return err
		}
		if err := s.switchQueue(c, paused); err != nil {
			return err
		}
		return seeOther(c, systemPath, done)
	}
}

// switchQueue pauses or resumes the queue that the path names.
func (s *Server) switchQueue(c echo.Context, paused bool) error {
	action, name := "queue.resume", c.Param("name")
	if paused {
		action = "queue.pause"
	}
	err := s.cfg.System.Jobs.PauseQueue(c.Request().Context(), name, paused, adminEvent(c, action, "queue", name, nil))
	if errors.Is(err, store.ErrNotFound) {
		return noQueue()
	}
	return err
}
