package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync"

	"github.com/klippa-app/go-pdfium"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
)

// pdfEngine runs PDFium as WebAssembly. It is compiled when the first PDF
// comes. Every document gets an instance with memory of its own, so that a
// broken one leaves nothing behind.
//
// SECURITY: an instance sees no file, no directory and no network; its memory
// and its time are bounded. PDFium does run inside this process.
type pdfEngine struct {
	cfg   Config
	slots chan struct{} // one for each document that may be read at a time

	mu     sync.Mutex
	pool   pdfium.Pool
	cache  wazero.CompilationCache
	closed bool
}

var errEngineClosed = errors.New("the PDF engine is closed")

func newPDFEngine(cfg Config) *pdfEngine {
	return &pdfEngine{cfg: cfg, slots: make(chan struct{}, cfg.PDFInstances)}
}

// acquire waits for a free place and returns an instance. The caller calls
// release, whatever happened.
func (p *pdfEngine) acquire(ctx context.Context) (pdfium.Pdfium, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	pool, err := p.start(ctx)
	if err == nil {
		var instance pdfium.Pdfium
		if instance, err = pool.GetInstanceWithContext(ctx); err == nil {
			return instance, nil
		}
	}
	<-p.slots
	return nil, fmt.Errorf("starting the PDF engine: %w", err)
}

// release ends an instance. One that was interrupted is not asked to clean up.
func (p *pdfEngine) release(instance pdfium.Pdfium, interrupted bool) error {
	defer func() { <-p.slots }()
	if interrupted {
		return nil // ended already
	}
	if err := instance.Close(); err != nil {
		return fmt.Errorf("closing the PDF engine: %w", err)
	}
	return nil
}

// start compiles the engine once.
func (p *pdfEngine) start(ctx context.Context) (pdfium.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, errEngineClosed
	case p.pool != nil:
		return p.pool, nil
	}
	runtime := wazero.NewRuntimeConfig().
		WithCloseOnContextDone(true).
		WithMemoryLimitPages(uint32(min(p.cfg.PDFMemoryPage, 1<<16))) //nolint:gosec // bounded
	if p.cfg.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(p.cfg.CacheDir, "pdfium"))
		if err != nil {
			return nil, fmt.Errorf("opening the cache directory: %w", err)
		}
		p.cache = cache
		runtime = runtime.WithCompilationCache(cache)
	}
	pool, err := webassembly.Init(webassembly.Config{
		MinIdle: 0, MaxIdle: p.cfg.PDFInstances, MaxTotal: p.cfg.PDFInstances,
		FSConfig:      wazero.NewFSConfig(),
		RuntimeConfig: runtime,
		Stdout:        io.Discard,
		Stderr:        io.Discard,
	})
	if err != nil {
		return nil, errors.Join(err, p.closeCache(ctx))
	}
	p.pool = pool
	return pool, nil
}

// close waits until no document is being read and ends the engine.
func (p *pdfEngine) close(ctx context.Context) error {
	for i := range cap(p.slots) {
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			for range i {
				<-p.slots
			}
			return fmt.Errorf("waiting for PDFs to end: %w", ctx.Err())
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for range cap(p.slots) {
		<-p.slots
	}
	p.closed = true
	var err error
	if p.pool != nil {
		err = p.pool.Close()
		p.pool = nil
	}
	return errors.Join(err, p.closeCache(ctx))
}

func (p *pdfEngine) closeCache(ctx context.Context) error {
	if p.cache == nil {
		return nil
	}
	err := p.cache.Close(ctx)
	p.cache = nil
	return err
}

// extractPDF reads a PDF.
func (e *Extractor) extractPDF(ctx context.Context, in Input, r *Result) error {
	instance, err := e.pdf.acquire(ctx)
	if err != nil {
		return fmt.Errorf("extracting text: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, e.cfg.PDFTimeout)
	defer cancel()
	doc, interrupted, err := readPDF(limited, instance, in.Body, e.cfg)
	if closing := e.pdf.release(instance, interrupted); closing != nil && err == nil {
		r.Warnings = append(r.Warnings, "The PDF engine did not end cleanly.")
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("extracting text: %w", ctx.Err())
	case interrupted:
		return ErrTimeout.because(fmt.Errorf("%s", e.cfg.PDFTimeout))
	case err != nil:
		return err
	}
	r.Title = doc.title
	r.Warnings = append(r.Warnings, doc.warnings...)
	r.ImageOnlyPages = doc.imageOnly
	assemblePages(doc, e.cfg, r)
	if r.Text == "" {
		return ErrImageOnly
	}
	return nil
}
