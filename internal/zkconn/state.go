package zkconn

import (
	"sync"
	"sync/atomic"
	"time"
)

// Session is the session as it is at one moment.
type Session struct {
	ID        int64         // 0: there is none, or it has expired and the next is not there yet
	Timeout   time.Duration // as negotiated
	Connected bool          // to a server; false while contact is lost
	Server    string        // that we are connected to, or were last
	Since     time.Time     // of this state
}

// Contact is the last moment at which the session was surely alive: a request
// that was sent then has been answered.
type Contact struct {
	Session int64
	At      time.Time
}

// states publishes the session to all who want to know.
type states struct {
	contact atomic.Pointer[Contact]
	mu      struct {
		sync.Mutex
		session Session
		changed chan struct{}
	}
}

func newStates() *states {
	s := &states{}
	s.contact.Store(&Contact{})
	s.mu.changed = make(chan struct{})
	s.mu.session.Since = time.Now()
	return s
}

func (s *states) get() (Session, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.session, s.mu.changed
}

// set publishes a state; one that is equal to the last is nothing new.
func (s *states) set(n Session) (old Session, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.mu.session
	n.Since = old.Since
	if n == old {
		return old, false
	}
	n.Since = time.Now()
	s.mu.session = n
	close(s.mu.changed)
	s.mu.changed = make(chan struct{})
	return old, true
}

// touch notes contact; it never goes back within a session.
func (s *states) touch(session int64, at time.Time) {
	for {
		old := s.contact.Load()
		if old.Session == session && !at.After(old.At) {
			return
		}
		if s.contact.CompareAndSwap(old, &Contact{Session: session, At: at}) {
			return
		}
	}
}
