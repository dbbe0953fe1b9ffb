package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/pprof"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/connectors/folder"
	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/store"
)

// pipeline is the engine as the command wires it, with one folder connected.
type pipeline struct {
	store  *store.Store
	runner *jobs.Runner
	conn   store.Connection
}

func openPipeline(ctx context.Context) (*pipeline, error) {
	st, err := store.Open(ctx, store.Config{URL: os.Getenv(envURL), Purpose: store.Worker})
	if err != nil {
		return nil, err
	}
	source := folder.New(folder.Config{Sniff: sniff, Realm: "bench"})
	r, err := jobs.New(jobs.Config{
		Store: st, Extractor: extract.New(extract.Config{}),
		Connectors: map[string]connectors.Connector{folder.Source: source},
	})
	if err != nil {
		return nil, err
	}
	conn, err := st.CreateConnection(ctx, store.NewConnection{Name: "corpus", Source: folder.Source, Settings: map[string]string{"path": os.Getenv(envDir)}})
	return &pipeline{st, r, conn}, err
}

// sniff is how the command decides what is a document.
func sniff(name string, head []byte) (string, bool, string) {
	_, mediaType, ok := extract.Sniff(name, head)
	if !ok {
		return "", false, "not a document: " + mediaType
	}
	return mediaType, true, ""
}

// sync runs the content lane to its end and measures it.
func (p *pipeline) sync(ctx context.Context, name string) (sample, store.Run, error) {
	s := sample{Name: name}
	if err := settle(ctx); err != nil {
		return s, store.Run{}, err
	}
	m, err := startMeter(postmaster())
	if err != nil {
		return s, store.Run{}, err
	}
	run, _, err := p.runner.Request(ctx, p.conn, store.Content, "bench", false)
	if err == nil {
		run, err = p.runner.RunHere(ctx, run.ID, nil)
	}
	if err != nil {
		return s, run, err
	}
	if err := m.stop(&s); err != nil {
		return s, run, err
	}
	if run.State != store.RunSucceeded {
		return s, run, fmt.Errorf("syncing: the run ended %s: %s", run.State, run.Error)
	}
	s.Documents, s.Bytes = int(run.Counts.Listed), run.Counts.Bytes
	s.Chunks = int(run.Counts.ChunksWritten)
	return s, run, nil
}

// settle writes out what earlier work left dirty, so that nobody else pays.
func settle(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, os.Getenv(envSuper))
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `CHECKPOINT`); err != nil {
		return fmt.Errorf("settling the server: %w", err)
	}
	return nil
}

// syncOnce is a first sync.
func syncOnce(ctx context.Context) ([]sample, error) {
	p, err := openPipeline(ctx)
	if err != nil {
		return nil, err
	}
	defer p.store.Close()
	first, _, err := p.sync(ctx, "first")
	return []sample{first}, err
}

// syncTwice is a first sync and one with nothing changed.
func syncTwice(ctx context.Context) ([]sample, error) {
	p, err := openPipeline(ctx)
	if err != nil {
		return nil, err
	}
	defer p.store.Close()
	stop, err := startProfile(os.Getenv(envProfile))
	if err != nil {
		return nil, err
	}
	first, _, err := p.sync(ctx, "first")
	if err = errors.Join(err, stop()); err != nil {
		return nil, err
	}
	second, run, err := p.sync(ctx, "second")
	if err != nil {
		return nil, err
	}
	if c := run.Counts; c.ChunksWritten != 0 || c.VectorsMade != 0 || int(c.Unchanged) != first.Documents {
		return nil, fmt.Errorf("syncing unchanged documents: %d chunks and %d vectors were written, %d of %d documents were unchanged",
			c.ChunksWritten, c.VectorsMade, c.Unchanged, first.Documents)
	}
	return []sample{first, second}, nil
}

func startProfile(path string) (stop func() error, err error) { //nolint:nonamedreturns // says what to call
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path) //nolint:gosec // the path is a flag of the person who measures
	if err != nil {
		return nil, fmt.Errorf("creating profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, fmt.Errorf("starting profile: %w", err)
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}
