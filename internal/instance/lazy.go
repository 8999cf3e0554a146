package instance

import (
	"context"
	"time"
)

// wakeWait bounds the wait for a destination that starts. Whoever loses its
// election is told by then that another server runs it.
const wakeWait = 3 * time.Second

// Wake asks for a destination on behalf of a client: one that is Idle is started,
// once for all, or takes part in its election from now on. While a destination
// starts, for this or any other reason, Wake waits a little, so that the client's
// first request finds it. Unknown destinations are left alone.
func (h *Host) Wake(ctx context.Context, destination string) {
	h.mu.Lock()
	m := h.mu.members[destination]
	if m == nil || !m.starting() {
		h.mu.Unlock()
		return
	}
	until := time.Now().Add(wakeWait)
	if m.state == Idle {
		if !m.wanted() {
			m.askedAt = time.Now()
			close(m.asked)
		}
		until = m.askedAt.Add(wakeWait) // which later ones do not prolong
	}
	h.mu.Unlock()
	const look = 5 * time.Millisecond
	for ctx.Err() == nil && time.Now().Before(until) {
		h.mu.Lock()
		decided := !m.starting() || h.mu.members[destination] != m
		h.mu.Unlock()
		if decided {
			return
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
		}
	}
}

// starting tells whether the destination may run in a moment. The host's lock is held.
func (m *member) starting() bool {
	if m.instance != nil { // it may not be that far yet
		return !m.instance.isRunning()
	}
	return m.state == Idle || m.state == Starting
}

// wanted tells whether a client has asked for the destination.
func (m *member) wanted() bool {
	select {
	case <-m.asked:
		return true
	default:
		return false
	}
}

// asked is closed when somebody asks for a lazy destination; nil for one that
// needs no asking.
func (h *Host) asked(m *member) <-chan struct{} {
	if h.cfg.Lazy == nil || !h.cfg.Lazy(m.name) || m.wanted() {
		return nil
	}
	return m.asked
}

// onceAsked runs the destination once it is asked for.
func (h *Host) onceAsked(ctx context.Context, m *member, asked <-chan struct{}) error {
	if asked != nil {
		select {
		case <-asked:
		case <-ctx.Done():
			return nil
		}
	}
	return h.once(ctx, m)
}
