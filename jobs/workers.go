package jobs

import (
	"context"
	"time"

	"tributary/store"
)

// showTimeout bounds one sign of life.
const showTimeout = 10 * time.Second

// longestJob is how long a job may run before its context ends: a slice, and the
// page that it is in the middle of.
func (c Config) longestJob() time.Duration { return c.Slice + 10*time.Minute }

// show keeps this process on the list of workers until ctx ends.
func (r *Runner) show(ctx context.Context) {
	me := store.WorkerProcess{Name: r.owner.name, Version: r.cfg.Version, Kinds: r.kinds, Slots: r.cfg.Workers}
	tick := time.NewTicker(r.cfg.Heartbeat)
	defer tick.Stop()
	for {
		sign, cancel := context.WithTimeout(ctx, showTimeout)
		err := r.store.ShowWorker(sign, me)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("showing that this process works", "error", err)
		}
		select {
		case <-ctx.Done():
			gone, cancel := context.WithTimeout(context.WithoutCancel(ctx), showTimeout)
			defer cancel()
			if err := r.store.RemoveWorker(gone, me.Name); err != nil {
				r.cfg.Log.Warn("leaving the list of workers", "error", err)
			}
			return
		case <-tick.C:
		}
	}
}

// adopt looks for runs that nobody works on until ctx ends. Each process does so
// by itself and does nothing else meanwhile: how soon a run that lost its holder
// goes on depends neither on the process that leads nor on how long due work and
// repairs take.
func (r *Runner) adopt(ctx context.Context) {
	every := time.NewTicker(r.cfg.Heartbeat)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.stopping:
			return
		case <-every.C:
		}
		look, cancel := context.WithTimeout(ctx, showTimeout)
		err := r.adoptOrphans(look)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("looking for runs that nobody works on", "error", err)
		}
	}
}

// repair does what the tick does until ctx ends: schedules and runs go on where
// no process leads, or where the queue has lost the ticks.
func (r *Runner) repair(ctx context.Context) {
	every := time.NewTicker(r.cfg.Repair)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.stopping:
			return
		case <-every.C:
		}
		look, cancel := context.WithTimeout(ctx, time.Minute)
		err := r.tick(look)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("looking for due work", "error", err)
		}
	}
}
