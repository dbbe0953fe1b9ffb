package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	pgxvec "github.com/pgvector/pgvector-go/pgx"

	"tributary/store"
)

// Shape of the corpus of the search benchmarks.
const (
	searchDimensions = 384
	topics           = 1000
	chunksPerDoc     = 10
	// kinds is how many ways there are to be shared, besides the topics.
	kinds    = 1000
	resultsK = 10
	// noise is how far a chunk lies from the centre of its topic.
	noise = 0.35
)

// searchScale is how many chunks are stored: SCALE, or 200,000.
func searchScale() (int, error) {
	text := os.Getenv("SCALE")
	if text == "" {
		return 200_000, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 10*chunksPerDoc {
		return 0, fmt.Errorf("reading SCALE: %q must be a number of chunks, 100 at least", text)
	}
	return n, nil
}

// class is one reader's view of the corpus: a share of the documents, spread
// over every topic or, where it is by topic, all of some topics.
type class struct {
	name    string
	share   float64
	byTopic bool
	reader  uuid.UUID
	// sees[kind], or sees[topic], says what the reader may see.
	sees []standing
}

// standing is how an ACL stands to a reader: visible, or by how much it fails.
type standing byte

const (
	stranger standing = iota
	visible
	halfway // matches the first clause of two
	denied  // matches every clause and a denial
)

// newClasses draws who sees what. Of what a reader does not see, a tenth is one
// edge away.
func newClasses() []*class {
	rnd := rand.New(rand.NewPCG(11, 17)) //nolint:gosec // a corpus that is the same in every run
	list := []*class{
		{name: "100 %", share: 1},
		{name: "30 %", share: 0.3},
		{name: "10 %", share: 0.1},
		{name: "3 %", share: 0.03},
		{name: "1 %", share: 0.01},
		{name: "0.1 %", share: 0.001},
		{name: "10 % by topic", share: 0.1, byTopic: true},
		{name: "1 % by topic", share: 0.01, byTopic: true},
	}
	for _, c := range list {
		n := kinds
		if c.byTopic {
			n = topics
		}
		c.sees = make([]standing, n)
		for i, at := range rnd.Perm(n) {
			switch {
			case float64(i) < c.share*float64(n):
				c.sees[at] = visible
			case i%20 == 0:
				c.sees[at] = halfway
			case i%20 == 1:
				c.sees[at] = denied
			}
		}
	}
	return list
}

func (c *class) of(kind, topic int) standing {
	if c.byTopic {
		return c.sees[topic]
	}
	return c.sees[kind]
}

// searchBench is a corpus, its readers and what is measured over it.
type searchBench struct {
	server *server
	db     string
	scale  int
	store  *store.Store
	// closeStore closes it.
	closeStore func()
	super      *pgx.Conn
	classes    []*class
	// centres are the topics.
	centres [][]float32
}

// runSearch measures search over a corpus of SCALE chunks and returns how many
// bars were missed.
func runSearch(ctx context.Context, o options) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	scale, err := searchScale()
	if err != nil {
		return 0, err
	}
	b, err := newSearchBench(ctx, o, scale)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, b.close(ctx)) }()
	if err := b.addBaseline(ctx); err != nil {
		return 0, err
	}
	return b.measure(ctx, os.Stdout)
}

func newSearchBench(ctx context.Context, o options, scale int) (*searchBench, error) {
	s, err := startServer(ctx, o.buffers)
	if err != nil {
		return nil, err
	}
	b := &searchBench{server: s, scale: scale, classes: newClasses()}
	fail := func(err error) (*searchBench, error) { return nil, errors.Join(err, b.close(ctx)) }
	if b.db, err = s.database(ctx, false); err != nil {
		return fail(err)
	}
	if b.store, b.closeStore, err = s.openStore(ctx, b.db); err != nil {
		return fail(err)
	}
	if b.super, err = pgx.Connect(ctx, s.pg.SuperuserURL(b.db)); err != nil {
		return fail(fmt.Errorf("connecting to scratch PostgreSQL: %w", err))
	}
	if err := pgxvec.RegisterTypes(ctx, b.super); err != nil {
		return fail(fmt.Errorf("reading the types of vectors: %w", err))
	}
	if err := b.fill(ctx); err != nil {
		return fail(err)
	}
	return b, nil
}

func (b *searchBench) close(ctx context.Context) error {
	if b.super != nil {
		_ = b.super.Close(context.WithoutCancel(ctx))
	}
	if b.store != nil {
		b.closeStore()
	}
	return b.server.stop(ctx)
}

// exec runs statements of the superuser.
func (b *searchBench) exec(ctx context.Context, list ...string) error {
	for _, sql := range list {
		if _, err := b.super.Exec(ctx, sql); err != nil {
			return fmt.Errorf("preparing the corpus: %w", err)
		}
	}
	return nil
}
