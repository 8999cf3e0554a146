package main

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/logging"
)

// actor is a part of the server that lives as long as it does.
type actor struct {
	name string
	why  string // why it is stopped at its place in the order, and what it does then
	run  func(context.Context) error
}

// lastChance is what an actor gets to end when an earlier one used up the time.
const lastChance = 2 * time.Second

// runActors runs all actors until the context ends or one of them returns. Then
// it stops them one after the other, in the order given, each of them gone
// before the next is stopped. All of that may take as long as the bound; an
// actor that is still there then is left to the end of the process, and those
// after it get lastChance each: a client that hangs must not cost the cursors.
// The error is that of the first actor that failed, or that the bound was missed.
func runActors(ctx context.Context, log *zap.Logger, bound time.Duration, actors []actor) error {
	type running struct {
		actor
		stop context.CancelFunc
		done chan struct{}
		err  error // to be read when done is closed
	}
	first := make(chan *running, len(actors))
	all := make([]*running, len(actors))
	for i, a := range actors {
		// Not a child of ctx, whose end would stop all at the same time.
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		r := &running{actor: a, stop: stop, done: make(chan struct{})}
		all[i] = r
		go func() {
			defer stop()
			r.err = r.run(own)
			close(r.done)
			first <- r
		}()
	}
	var failed error
	select {
	case <-ctx.Done():
		log.Info("## stop the canal server")
	case r := <-first:
		if r.err == nil {
			failed = fmt.Errorf("%s ended by itself", r.name)
		} else {
			failed = fmt.Errorf("%s: %w", r.name, r.err)
		}
		log.Error("a part of the server ended", zap.Error(failed))
	}
	late := time.NewTimer(bound)
	defer late.Stop()
	for _, r := range all {
		log.Info("stopping", zap.String("part", r.name), zap.String(logging.Reason, r.why))
		r.stop()
		select {
		case <-r.done:
		case <-late.C:
			missed := fmt.Errorf("%s did not end in time; giving up on it", r.name)
			log.Error("stopping takes too long", zap.Error(missed))
			if failed == nil {
				failed = missed
			}
			late.Reset(lastChance)
			continue
		}
		if r.err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", r.name, r.err)
		}
	}
	return failed
}
