package instance

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"golang.org/x/sync/errgroup"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/position"
)

// chunksInFlight bounds the chunks between reader and committer.
const chunksInFlight = 12

// job is a chunk on its way; done has the worker's word that seg or err is set.
type job struct {
	chunk entry.Chunk
	seg   *entry.Segment
	err   error
	done  chan struct{}
}

// pipeline carries chunks from the reader through the workers to the committer.
type pipeline struct {
	free  chan *job // empty ones
	work  chan *job // to the workers, in any order
	order chan *job // to the committer, in the reader's order
	made  int       // jobs that exist; the reader's goroutine counts
	lent  map[*entry.Chunk]*job

	counters *counters
}

func newPipeline(c *counters) *pipeline {
	return &pipeline{
		counters: c,
		free:     make(chan *job, chunksInFlight), work: make(chan *job, chunksInFlight), order: make(chan *job, chunksInFlight),
		lent: map[*entry.Chunk]*job{},
	}
}

// Free returns an empty chunk to the reader.
func (p *pipeline) Free(ctx context.Context) (*entry.Chunk, error) {
	var j *job
	select {
	case j = <-p.free:
	default:
		if p.made < chunksInFlight {
			p.made++
			j = &job{done: make(chan struct{}, 1)}
			break
		}
		err := p.counters.waitFree(func() error {
			select {
			case j = <-p.free:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	p.lent[&j.chunk] = j
	return &j.chunk, nil
}

// Emit hands the reader's chunk on. The channels have room for every job there is.
func (p *pipeline) Emit(_ context.Context, c *entry.Chunk) error {
	j := p.lent[c]
	delete(p.lent, c)
	p.counters.inFlight.Add(1)
	p.order <- j
	p.work <- j
	return nil
}

// run dumps from the given place until something ends: it never returns nil.
func (i *Instance) run(ctx context.Context, r *binlog.Reader, from position.Position) error {
	p := newPipeline(i.counters)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(guarded("reader", func() error {
		defer close(p.work)
		err := r.Run(ctx, from, p)
		if err == nil {
			err = errors.New("dump ended")
		}
		return err
	}))
	for range i.cfg.Workers {
		g.Go(guarded("worker", func() error {
			w := entry.NewWorker(&i.pool, i.cfg.Location, i.cfg.Source.Charset)
			defer w.Close()
			for j := range p.work {
				j.seg, j.err = w.Transcode(&j.chunk)
				j.done <- struct{}{}
			}
			return nil
		}))
	}
	g.Go(guarded("committer", func() error { return i.commitAll(ctx, p) }))
	err := g.Wait()
	p.drain()
	i.counters.inFlight.Store(0)
	return err
}

// guarded turns a panic into an error that ends this dump only: a defect met by
// one destination must not take the process along.
func guarded(part string, f func() error) func() error {
	return func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%s: panic: %v\n%s", part, p, debug.Stack())
			}
		}()
		return f()
	}
}

func (i *Instance) commitAll(ctx context.Context, p *pipeline) error {
	for {
		select {
		case j := <-p.order:
			// A worker always finishes a job that was handed to it.
			select {
			case <-j.done:
			case <-ctx.Done():
				p.order <- j // drain waits for it
				return context.Cause(ctx)
			}
			if j.err != nil {
				return j.err
			}
			seg := j.seg
			j.seg = nil
			j.chunk.Reset()
			p.free <- j
			i.counters.inFlight.Add(-1)
			if err := i.committer.commit(ctx, seg); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// drain lets go of segments that the committer did not take. The workers are
// gone by then, so every job that is left is done.
func (p *pipeline) drain() {
	for {
		select {
		case j := <-p.order:
			if j.seg != nil {
				j.seg.Release(1)
			}
		default:
			return
		}
	}
}
