package httpx

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// body reads an answer within the limits. One goroutine reads it; Close may come from another.
type body struct {
	t      *transport
	ctx    context.Context //nolint:containedctx // it is the request's, whose cause tells why a read ended
	cancel context.CancelCauseFunc
	end    func() // stops the clock and frees the request
	to     target
	raw    io.ReadCloser
	left   int64

	waited time.Duration // in reads of the current window
	got    int64         // bytes of the current window
	err    error         // sticky

	closing sync.Once
}

func (t *transport) newBody(ctx context.Context, to target, resp *http.Response, cancel context.CancelCauseFunc, end func()) *body {
	b := &body{t: t, ctx: ctx, cancel: cancel, end: end, to: to, raw: resp.Body, left: t.limits.Body}
	if resp.ContentLength > b.left && resp.Request.Method != http.MethodHead {
		b.err = fail(to, t.tooLarge, ErrTooLarge)
	}
	return b
}

// Read reads what has arrived. After an error it returns the same one.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > b.left {
		p = p[:b.left+1] // one more than allowed, to tell the end from too much
	}
	n, err := b.timed(p)
	switch {
	case int64(n) > b.left:
		n, err = int(b.left), fail(b.to, b.t.tooLarge, ErrTooLarge)
	case errors.Is(err, io.EOF):
		err = io.EOF
	case err != nil:
		err = classify(b.ctx, b.to, err)
	}
	b.left -= int64(n)
	if err != nil {
		b.err = err
		b.end()
	}
	return n, err
}

// timed reads once and cancels the request when that takes too long. A window that has its bytes already leaves only Idle.
func (b *body) timed(p []byte) (int, error) {
	limit, cause := b.t.limits.Idle, errIdle
	if rest := b.t.limits.RateWindow - b.waited; rest < limit && b.got < b.need() {
		limit, cause = rest, errRate
	}
	start := b.t.clock.Now()
	stop := b.t.clock.AfterFunc(limit, func() { b.cancel(cause) })
	n, err := b.raw.Read(p)
	stop()
	b.waited += b.t.clock.Now().Sub(start)
	b.got += int64(n)
	if b.waited >= b.t.limits.RateWindow {
		b.waited, b.got = 0, 0
	}
	return n, err
}

// need is how many bytes a window must bring.
func (b *body) need() int64 { return b.t.limits.MinRate * int64(b.t.limits.RateWindow/time.Second) }

// Close frees the request. It does not read on, so that a connection with much left is closed.
func (b *body) Close() error {
	var err error
	b.closing.Do(func() {
		b.end()
		err = b.raw.Close()
	})
	return err
}
