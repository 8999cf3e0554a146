package election

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Causes for which the context of the leading function ends.
var (
	// ErrExpired: the session has ended, or may have by now.
	ErrExpired = errors.New("lease lost: the ZooKeeper session has ended")
	// ErrTaken: the running node is gone or another's.
	ErrTaken = errors.New("lease lost: the running node is no longer ours")
	// ErrReleased: an operator gave the order to give the destination away.
	ErrReleased = errors.New("lease released by order")
)

// Lease is the right to run a destination. It is held by time: without contact
// to ZooKeeper it lapses after two thirds of the session timeout, and nothing
// may be answered or saved from then on, until contact shows that it is ours
// still.
type Lease struct {
	epoch   int64
	session int64
	timeout time.Duration
	base    time.Time    // times are counted from here, by the monotonic clock
	until   atomic.Int64 // valid before
	mu      struct {
		sync.Mutex
		ended     bool
		suspended chan struct{}
		closed    bool
	}
}

func newLease(epoch, session int64, timeout time.Duration) *Lease {
	l := &Lease{epoch: epoch, session: session, timeout: timeout, base: time.Now()}
	l.mu.suspended = make(chan struct{})
	return l
}

// Epoch grows with each lease on the destination, whoever holds it.
func (l *Lease) Epoch() int64 { return l.epoch }

// Session is the ZooKeeper session that holds the lease: what is written for the
// destination is written in it.
func (l *Lease) Session() int64 { return l.session }

// Valid tells whether the lease holds at this moment. It is cheap.
func (l *Lease) Valid() bool { return int64(time.Since(l.base)) < l.until.Load() }

// Suspended is closed while the lease is suspended, and when it has ended. A
// lease that is resumed has a new channel.
func (l *Lease) Suspended() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.suspended
}

// holdTime is the part of the session timeout that a lease lasts without contact.
// The rest is for the ensemble's own inexactness: a follower that dies has not
// told the leader about the session's last half tick.
func holdTime(timeout time.Duration) time.Duration { return timeout * 2 / 3 }

// extend makes the lease last for its time from a moment of contact.
func (l *Lease) extend(contact time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := int64(contact.Add(holdTime(l.timeout)).Sub(l.base))
	if l.mu.ended || until <= l.until.Load() {
		return
	}
	l.until.Store(until)
	if l.mu.closed && l.Valid() {
		l.mu.suspended, l.mu.closed = make(chan struct{}), false
	}
}

// suspend makes the lease invalid until it is extended.
func (l *Lease) suspend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until.Store(min(l.until.Load(), int64(time.Since(l.base))))
	if !l.mu.closed {
		close(l.mu.suspended)
		l.mu.closed = true
	}
}

// end makes the lease invalid for good.
func (l *Lease) end() {
	l.suspend()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.ended = true
}
