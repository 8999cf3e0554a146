package instance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/filter"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// Session is one client's view of a running instance. It holds no state of its
// own; any number may exist for one client.
type Session struct {
	i     *Instance
	id    meta.ClientID
	valid func() bool // see Lease
}

// holds tells whether the instance may answer at this moment.
func (s *Session) holds() bool { return s.i.isRunning() && (s.valid == nil || s.valid()) }

// open tells whether it may also hand something out.
func (s *Session) open() bool { return s.holds() && s.i.isOpen() }

// subscribeWait bounds the wait of a subscription for a source that cannot be
// reached; clients wait a minute for an answer.
const subscribeWait = 3 * time.Second

// Subscribe records the subscription and attaches the client. A filter that is
// not blank replaces the white list of the whole instance, as in Canal; one
// that does not compile is refused and nothing changes.
//
// While the source's place is not known yet it waits a little: what is written
// after a subscription that was answered should reach the client.
func (s *Session) Subscribe(ctx context.Context, pattern string) error {
	i := s.i
	if !s.open() {
		return ErrNotRunning
	}
	select {
	case <-i.placed:
	case <-i.shut: // not here: the client should ask for the next owner at once
	case <-time.After(subscribeWait):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if strings.TrimSpace(pattern) == "" {
		pattern = ""
	}
	var f *filter.Filter
	if pattern != "" {
		var err error
		if f, err = filter.New(pattern); err != nil {
			return err
		}
	}
	i.attach.Lock()
	defer i.attach.Unlock()
	i.closing.RLock()
	defer i.closing.RUnlock()
	if !s.open() {
		return ErrNotRunning
	}
	i.book.Subscribe(s.id, pattern)
	c, _ := i.book.Client(s.id)
	if c.Cursor == nil {
		// Without a cursor of its own the client would lose what comes before
		// its first ack when this process ends.
		if p, ok := i.firstPosition(); ok {
			i.book.SetCursor(s.id, i.cursor(p))
		}
	}
	if f != nil {
		i.setFilter(f)
	}
	now, _ := i.book.Client(s.id)
	i.saySubscribed(s.id, pattern, now.Cursor, c.Cursor == nil)
	if i.streamStart().IsZero() {
		return nil // attached when the source's place is known
	}
	if c.Cursor == nil {
		return i.store.Attach(s.id, nil)
	}
	if err := i.store.Attach(s.id, &c.Cursor.Position); !errors.Is(err, store.ErrBehind) {
		return err
	}
	return nil // its first get restarts the dump
}

// firstPosition is the place of what a client without a cursor gets first.
func (i *Instance) firstPosition() (position.Position, bool) {
	if p, ok := i.store.Oldest(); ok {
		return p, true
	}
	if p := i.committer.Resume(); !p.IsZero() {
		return p, true
	}
	return position.Position{}, false
}

func (i *Instance) streamStart() position.Position {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.mu.start
}

// Unsubscribe removes the subscription; without one it does nothing.
func (s *Session) Unsubscribe(context.Context) error {
	s.i.attach.Lock()
	defer s.i.attach.Unlock()
	s.i.closing.RLock()
	defer s.i.closing.RUnlock()
	if !s.holds() {
		return ErrNotRunning
	}
	s.i.book.Unsubscribe(s.id)
	s.i.store.Detach(s.id)
	s.i.sayUnsubscribed(s.id)
	return nil
}

func (s *Session) check() error {
	if !s.holds() {
		return ErrNotRunning
	}
	if _, ok := s.i.book.Client(s.id); !ok {
		return meta.ErrNotSubscribed
	}
	return nil
}

// Get hands out the client's next batch; see store.Get. A client that was
// detached is attached again first.
func (s *Session) Get(ctx context.Context, size int, wait time.Duration) (*store.Batch, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	if !s.open() {
		return s.finish(ctx)
	}
	began := time.Now()
	for {
		b, err := s.i.store.Get(ctx, s.id, size, wait)
		if err == nil && !s.open() {
			// The wait was long. What is not delivered is handed out again.
			b.Release()
			if b.ID > 0 {
				_ = s.i.store.Rollback(s.id, b.ID)
			}
			return s.finish(ctx)
		}
		if !errors.Is(err, store.ErrNoClient) {
			return b, err
		}
		if err := s.check(); err != nil {
			return nil, err
		}
		if s.i.comeBack(s.id) {
			continue
		}
		// The source's place is not known yet, or the dump restarts: nothing
		// can be handed out now.
		const look = 50 * time.Millisecond
		if wait >= 0 && time.Since(began)+look > wait {
			return store.NewBatch(store.NoBatch, nil, 0, nil), nil
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// finish hands out the rest of a transaction, so that a hand-over cuts none.
func (s *Session) finish(ctx context.Context) (*store.Batch, error) {
	if !s.holds() {
		return nil, ErrNotRunning
	}
	b, err := s.i.store.Finish(s.id)
	if err != nil || !s.holds() {
		if err == nil {
			b.Release()
		}
		return nil, ErrNotRunning
	}
	if b.ID > 0 {
		return b, nil
	}
	if !s.i.store.Stats().Clients[s.id].Cut {
		return nil, ErrNotRunning
	}
	const look = 5 * time.Millisecond // the rest is not here yet
	select {
	case <-time.After(look):
		return b, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// comeBack attaches a subscribed client that the store does not know. When its
// cursor lies before the store, the dump is asked to restart there.
func (i *Instance) comeBack(id meta.ClientID) bool {
	i.attach.Lock()
	defer i.attach.Unlock()
	if i.streamStart().IsZero() {
		return false
	}
	c, ok := i.book.Client(id)
	if !ok {
		return false
	}
	if c.Cursor == nil {
		return i.store.Attach(id, nil) == nil
	}
	err := i.store.Attach(id, &c.Cursor.Position)
	if errors.Is(err, store.ErrBehind) {
		i.restartAt(id, c.Cursor.Position)
	}
	return err == nil
}

// restartAt asks for a new dump from the client's place; follow empties the
// store for it once the dump that runs has ended, and attaches the client. The
// other clients go on behind what they acknowledged.
func (i *Instance) restartAt(id meta.ClientID, p position.Position) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !slices.Contains(i.mu.returned, id) {
		i.mu.returned = append(i.mu.returned, id)
	}
	if !i.mu.back.IsZero() && !position.Before(p, i.mu.back) {
		return // asked for already
	}
	i.log.Info("client returned: the dump restarts at its cursor", zap.String("position", p.String()))
	i.mu.back = p
	if i.mu.restart != nil {
		i.mu.restart(errRestart)
	}
}

// Ack acknowledges the client's oldest batch and moves its cursor.
func (s *Session) Ack(batchID int64) error {
	s.i.attach.Lock()
	defer s.i.attach.Unlock()
	s.i.closing.RLock()
	defer s.i.closing.RUnlock()
	if err := s.check(); err != nil {
		return err
	}
	p, ok, err := s.i.store.Ack(s.id, batchID)
	if errors.Is(err, store.ErrNoClient) {
		return store.ErrUnknownBatch
	}
	if err == nil && ok {
		s.i.book.SetCursor(s.id, s.i.cursor(p))
	}
	return err
}

// Rollback hands batches out again; see store.Rollback. For a client without a
// subscription it does nothing, since clients roll back before they subscribe.
func (s *Session) Rollback(batchID int64) error {
	if err := s.check(); errors.Is(err, meta.ErrNotSubscribed) {
		return nil
	} else if err != nil {
		return err
	}
	err := s.i.store.Rollback(s.id, batchID)
	switch {
	case errors.Is(err, store.ErrNoClient) && batchID == 0:
		return nil
	case errors.Is(err, store.ErrNoClient):
		return store.ErrUnknownBatch
	case err == nil:
		s.i.sayRolledBack(s.id, batchID)
	}
	return err
}
