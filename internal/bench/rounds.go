package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
)

// Tasks of children.
const (
	taskParse  = "parse"
	taskCopy   = "copy"
	taskSync   = "sync"
	taskLarge  = "large"
	taskPulled = "pulled"
)

// Rows of the table.
const (
	rowParse      = "limit: parse + chunk, 1 thread, no database"
	rowParseEmbed = "limit: parse + chunk + embed, 2 threads, no database"
	rowCopyHNSW   = "limit: COPY of the same rows, btree + GIN + HNSW"
	rowCopy       = "limit: COPY of the same rows, btree + GIN"
	rowSyncHNSW   = "pipeline, first sync, btree + GIN + HNSW"
	rowSync       = "pipeline, first sync, btree + GIN"
	rowAgainHNSW  = "pipeline, nothing changed, btree + GIN + HNSW"
	rowAgain      = "pipeline, nothing changed, btree + GIN"
	rowLarge      = "pipeline, 8,000 files, btree + GIN + HNSW"
)

func rowNames() []string {
	return []string{rowParse, rowParseEmbed, rowCopyHNSW, rowSyncHNSW, rowCopy, rowSync, rowAgainHNSW, rowAgain, rowLarge}
}

// rounds measures everything several times.
type rounds struct {
	server       *server
	small, large string
	profile      string
	// source is the database whose rows the limit programs copy.
	source  string
	samples map[string][]sample
}

// prepare makes the rows that the limit programs write: those of the pipeline.
func (r *rounds) prepare(ctx context.Context) error {
	var err error
	if r.source, err = r.server.database(ctx, false); err != nil {
		return err
	}
	_, err = spawn(ctx, taskLarge, r.env(r.source, r.small))
	return err
}

func (r *rounds) env(db, dir string) map[string]string {
	return map[string]string{
		envURL: r.server.appURL(db), envSuper: r.server.pg.SuperuserURL(db), envDir: dir,
		envSource: r.server.pg.SuperuserURL(r.source), envPostmaster: strconv.Itoa(r.server.pg.PID()),
	}
}

// round measures every row once; odd rounds in reverse, so that nothing always
// comes first.
func (r *rounds) round(ctx context.Context, n int) error {
	steps := []func(context.Context) error{
		r.parse,
		func(ctx context.Context) error { return r.copy(ctx, true, rowCopyHNSW) },
		func(ctx context.Context) error { return r.sync(ctx, n, true, rowSyncHNSW, rowAgainHNSW) },
		func(ctx context.Context) error { return r.copy(ctx, false, rowCopy) },
		func(ctx context.Context) error { return r.sync(ctx, n, false, rowSync, rowAgain) },
	}
	if n%2 == 1 {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *rounds) add(name string, s sample) { r.samples[name] = append(r.samples[name], s) }

func (r *rounds) parse(ctx context.Context) error {
	list, err := spawn(ctx, taskParse, map[string]string{envDir: r.small})
	for _, s := range list {
		r.add(s.Name, s)
	}
	return err
}

func (r *rounds) copy(ctx context.Context, hnsw bool, row string) error {
	return r.with(ctx, hnsw, func(db string) error {
		list, err := spawn(ctx, taskCopy, r.env(db, ""))
		if err != nil {
			return err
		}
		r.add(row, list[0])
		return nil
	})
}

func (r *rounds) sync(ctx context.Context, n int, hnsw bool, first, again string) error {
	return r.with(ctx, hnsw, func(db string) error {
		env := r.env(db, r.small)
		if r.profile != "" {
			env[envProfile] = filepath.Join(r.profile, fmt.Sprintf("sync-hnsw-%t-%d.prof", hnsw, n))
		}
		list, err := spawn(ctx, taskSync, env)
		if err != nil {
			return err
		}
		r.add(first, list[0])
		r.add(again, list[1])
		return nil
	})
}

func (r *rounds) largeRun(ctx context.Context) error {
	return r.with(ctx, true, func(db string) error {
		list, err := spawn(ctx, taskLarge, r.env(db, r.large))
		if err != nil {
			return err
		}
		r.add(rowLarge, list[0])
		return nil
	})
}

// with runs fn on a database of its own.
func (r *rounds) with(ctx context.Context, hnsw bool, fn func(db string) error) error {
	db, err := r.server.database(ctx, hnsw)
	if err != nil {
		return err
	}
	if err := fn(db); err != nil {
		return err
	}
	return r.server.drop(ctx, db)
}
