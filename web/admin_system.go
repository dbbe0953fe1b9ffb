package web

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"tributary/jobs"
)

// adminSystemRoutes are those of the queues and their jobs.
func (s *Server) adminSystemRoutes() []route {
	if s.cfg.System == nil {
		return nil
	}
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		operation(get, "/jobs", accessTokenAuditor, s.adminListJobs),
		operation(post, "/jobs/:id/retry", accessTokenAdmin, s.adminRetryJob),
		operation(get, "/queues", accessTokenAuditor, s.adminListQueues),
		operation(post, "/queues/:name/pause", accessTokenOwner, s.adminPauseQueue(true)),
		operation(post, "/queues/:name/resume", accessTokenOwner, s.adminPauseQueue(false)),
	}
}

type jobsQuery struct {
	pageQuery

	// State is one of the job's; where it is left out, those that failed are listed.
	State string `query:"state"`
	Queue string `query:"queue"`
}

// adminListJobs lists jobs, the newest first.
func (s *Server) adminListJobs(c echo.Context, in jobsQuery) (Page[jobs.JobInfo], error) {
	return numbered(in.pageQuery, func(before int64, limit int) ([]jobs.JobInfo, error) {
		return s.cfg.System.Jobs.Jobs(c.Request().Context(), jobs.JobFilter{State: in.State, Queue: in.Queue, Before: before, Limit: limit})
	}, func(j jobs.JobInfo) int64 { return j.ID })
}

// adminRetryJob lets a job that failed begin again.
func (s *Server) adminRetryJob(c echo.Context, _ nothing) (nothing, error) {
	return nothing{}, s.beginAgain(c)
}

// adminListQueues lists the queues with how many jobs are in which state.
func (s *Server) adminListQueues(c echo.Context, in pageQuery) (Page[jobs.QueueState], error) {
	list, err := s.cfg.System.Jobs.Queues(c.Request().Context())
	if err != nil {
		return Page[jobs.QueueState]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(q jobs.QueueState) string { return q.Name })
}

// adminPauseQueue keeps jobs of a queue from being begun, or ends that.
func (s *Server) adminPauseQueue(paused bool) func(c echo.Context, _ nothing) (nothing, error) {
	return func(c echo.Context, _ nothing) (nothing, error) { return nothing{}, s.switchQueue(c, paused) }
}
