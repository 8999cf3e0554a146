package instance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/meta"
)

// Host runs the destinations of one server. One that fails is reported and
// tried again; it never ends the others.
type Host struct {
	log  *zap.Logger
	open map[string]func() (*Instance, error)
	mu   struct {
		sync.Mutex
		running map[string]*Instance
	}
}

// Pauses between attempts to start an instance that failed.
const (
	startRetryMin = time.Second
	startRetryMax = 30 * time.Second
)

// NewHost makes a host of the given destinations. Each function makes a fresh
// instance: it is called again after a failure.
func NewHost(open map[string]func() (*Instance, error), log *zap.Logger) *Host {
	h := &Host{log: log, open: open}
	h.mu.running = map[string]*Instance{}
	return h
}

// Run starts every destination and returns when the context is done and all of
// them have flushed their cursors and ended.
func (h *Host) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for name, open := range h.open {
		wg.Go(func() { h.keep(ctx, name, open) })
	}
	wg.Wait()
	return nil
}

// keep runs one destination, again and again while it fails.
func (h *Host) keep(ctx context.Context, name string, open func() (*Instance, error)) {
	pause := startRetryMin
	for ctx.Err() == nil {
		began := time.Now()
		err := h.once(ctx, name, open)
		if ctx.Err() != nil {
			if err != nil {
				h.log.Error("instance ended with an error", zap.String("destination", name), zap.Error(err))
			}
			return
		}
		if time.Since(began) > startRetryMax {
			pause = startRetryMin
		}
		wait := pause/2 + rand.N(pause/2+1)
		h.log.Error("start failed; trying again", zap.String("destination", name), zap.Error(err), zap.Duration("pause", wait))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, startRetryMax)
	}
}

func (h *Host) once(ctx context.Context, name string, open func() (*Instance, error)) (err error) {
	defer func() {
		// One destination's defect must not take the others along.
		if p := recover(); p != nil {
			err = fmt.Errorf("instance %q: panic: %v", name, p)
		}
	}()
	i, err := open()
	if err != nil {
		return fmt.Errorf("instance %q: %w", name, err)
	}
	h.set(name, i)
	defer h.set(name, nil)
	if err := i.Run(ctx); err != nil {
		return fmt.Errorf("instance %q: %w", name, err)
	}
	if ctx.Err() == nil {
		return errors.New("instance ended by itself")
	}
	return nil
}

func (h *Host) set(name string, i *Instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i == nil {
		delete(h.mu.running, name)
		return
	}
	h.mu.running[name] = i
}

// Session is a client's view of a destination; ErrNotRunning when it does not
// run here now, whether it is known or not.
func (h *Host) Session(destination string, id meta.ClientID) (*Session, error) {
	h.mu.Lock()
	i := h.mu.running[destination]
	h.mu.Unlock()
	if i == nil || !i.isRunning() {
		return nil, ErrNotRunning
	}
	return &Session{i: i, id: id}, nil
}

// Instance is the running instance of a destination, or nil.
func (h *Host) Instance(destination string) *Instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.running[destination]
}
