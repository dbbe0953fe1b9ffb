package jobs

import (
	"fmt"
	"slices"

	"github.com/riverqueue/river"
)

// kind is a job kind with the worker that executes it.
type kind struct {
	name string
	add  func(*river.Workers) error
}

func kindOf[T river.JobArgs](w river.Worker[T]) kind {
	var args T
	return kind{name: args.Kind(), add: func(all *river.Workers) error { return river.AddWorkerSafely(all, w) }}
}

// jobKinds is every kind of job. Each process registers all of them, whatever it
// works on, so that any of them can rescue what another one enqueued.
func (r *Runner) jobKinds() []kind {
	return []kind{
		kindOf(&tickWorker{r: r}),
		kindOf(&sliceWorker{r: r}),
		kindOf(&embedWorker{r: r}),
		kindOf(&refreshWorker{r: r}),
		kindOf(&eraseWorker{r: r}),
		kindOf(&purgeHeldWorker{r: r}),
	}
}

// register returns the workers of every kind, and the kinds' names in order.
func (r *Runner) register() (*river.Workers, []string, error) {
	workers := river.NewWorkers()
	var names []string
	for _, k := range r.jobKinds() {
		if err := k.add(workers); err != nil {
			return nil, nil, fmt.Errorf("registering jobs: %w", err)
		}
		names = append(names, k.name)
	}
	slices.Sort(names)
	return workers, names, nil
}
