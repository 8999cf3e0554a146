package server_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/server"
	"github.com/canald/canald/internal/store"
)

// world is a small host of destinations in memory: entries are counted, not
// measured, and each client id has its own place in the stream.
type world struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each change
	dests   map[string]*destination
	held    int // batches not yet released
}

type destination struct {
	running bool
	items   [][]byte
	clients map[meta.ClientID]*consumer
	filter  string
}

type consumer struct {
	subscribed  bool
	read, acked int
	nextID      int64
	batches     []outstanding
}

type outstanding struct {
	id         int64
	begin, end int
}

func newWorld(destinations ...string) *world {
	w := &world{changed: make(chan struct{}), dests: make(map[string]*destination)}
	for _, d := range destinations {
		w.dests[d] = &destination{running: true, clients: make(map[meta.ClientID]*consumer)}
	}
	return w
}

func (w *world) open(name string, client meta.ClientID) (server.Session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if name == "panics" {
		panic("a broken destination")
	}
	d := w.dests[name]
	if d == nil || !d.running {
		return nil, fmt.Errorf("open %s: %w", name, server.ErrNotRunning)
	}
	if d.clients[client] == nil {
		d.clients[client] = &consumer{nextID: 1}
	}
	return &session{w: w, d: d, c: d.clients[client]}, nil
}

func (w *world) changedLocked() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func item(entry string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, 2, protowire.BytesType), entry)
}

func (w *world) put(name string, entries ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range entries {
		w.dests[name].items = append(w.dests[name].items, item(e))
	}
	w.changedLocked()
}

func (w *world) setRunning(name string, running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dests[name].running = running
	w.changedLocked()
}

// batches is how many batches a client has outstanding.
func (w *world) batches(name string, client meta.ClientID) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.dests[name].clients[client]; c != nil {
		return len(c.batches)
	}
	return 0
}

func (w *world) filter(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dests[name].filter
}

func (w *world) unreleased() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}

// until waits for a condition on the world.
func (w *world) until(ctx context.Context, cond func() bool) error {
	for !cond() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

type session struct {
	w *world
	d *destination
	c *consumer
}

func (s *session) Subscribe(_ context.Context, filter string) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if strings.Contains(filter, "(") {
		return fmt.Errorf("filter %q:\nmissing closing )", filter)
	}
	s.c.subscribed = true
	if filter != "" {
		s.d.filter = filter
	}
	return nil
}

func (s *session) Unsubscribe(context.Context) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.c.subscribed = false
	return nil
}

func (s *session) Get(ctx context.Context, size int, wait time.Duration) (*store.Batch, error) {
	size = max(size, 1)
	var timeout <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timeout = t.C
	}
	over := wait == 0
	for {
		b, changed, err := s.take(size, over)
		if b != nil || err != nil {
			return b, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-timeout:
			over = true
		case <-changed:
		}
	}
}

func (s *session) take(size int, over bool) (*store.Batch, <-chan struct{}, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	switch {
	case !s.d.running:
		return nil, nil, store.ErrClosed
	case !s.c.subscribed:
		return nil, nil, meta.ErrNotSubscribed
	}
	n := min(size, len(s.d.items)-s.c.read)
	switch {
	case n < size && !over:
		return nil, s.w.changed, nil
	case n == 0:
		return store.NewBatch(store.NoBatch, nil, 0, nil), nil, nil
	}
	b := outstanding{s.c.nextID, s.c.read, s.c.read + n}
	s.c.nextID++
	s.c.read = b.end
	s.c.batches = append(s.c.batches, b)
	s.w.held++
	return store.NewBatch(b.id, slices.Clone(s.d.items[b.begin:b.end]), n, func() {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.w.held--
	}), nil, nil
}

func (s *session) findLocked(id int64) (int, error) {
	i := slices.IndexFunc(s.c.batches, func(b outstanding) bool { return b.id == id })
	switch {
	case !s.c.subscribed:
		return 0, meta.ErrNotSubscribed
	case i < 0:
		return 0, fmt.Errorf("batch %d: %w", id, store.ErrUnknownBatch)
	case i > 0:
		return 0, &store.NotFirstError{ID: id, First: s.c.batches[0].id}
	}
	return i, nil
}

func (s *session) Ack(id int64) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if _, err := s.findLocked(id); err != nil {
		return err
	}
	s.c.acked = s.c.batches[0].end
	s.c.batches = s.c.batches[1:]
	return nil
}

func (s *session) Rollback(id int64) error {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if !s.c.subscribed {
		return meta.ErrNotSubscribed
	}
	if id != 0 {
		if _, err := s.findLocked(id); err != nil {
			return err
		}
	}
	s.c.batches = nil
	s.c.read = s.c.acked
	return nil
}
