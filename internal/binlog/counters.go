package binlog

import (
	"sync"
	"sync/atomic"
	"time"
)

// Counters tell what came from a source over all its dumps. They may be read by
// any goroutine; readers write them now and then, not for each event.
type Counters struct {
	Received  atomic.Int64 // bytes of binlog events, in searches too
	Heartbeat atomic.Int64 // when the last heartbeat came, ms since 1970; 0 before
	Skew      atomic.Int64 // of the source's clock before this host's at the last connect, ms

	filtered [filteredKinds]atomic.Int64

	mu struct {
		sync.Mutex
		place Place
	}
}

// Kinds of events that the reader leaves out.
const (
	filteredTable     = iota // rows of a table that is not wanted, or whose structure does not fit
	filteredRows             // rows of a kind that is not wanted
	filteredStatement        // statements that are not wanted
	filteredKinds
)

// Filtered counts the events that were left out: rows of tables that are not
// wanted, rows of kinds that are not, statements that are not.
func (c *Counters) Filtered() (tables, rows, statements int64) {
	return c.filtered[filteredTable].Load(), c.filtered[filteredRows].Load(), c.filtered[filteredStatement].Load()
}

// Place is how far a dump got.
type Place struct {
	File    string
	Offset  uint64    // behind the last event
	Time    int64     // of the last event that has one, by the source's clock, ms since 1970
	Arrived time.Time // when that was; zero before the first
}

// Place is how far the dump got that runs, or the last one.
func (c *Counters) Place() Place {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.place
}

// IsRefusal tells whether the source answered with an error, be it to the login,
// to a statement or to the dump.
func IsRefusal(err error) bool { return isLoginError(err) }

// count hands over what the stream noted since the last time.
func (s *stream) count() {
	c := s.r.cfg.Counters
	if c == nil || s.received == 0 {
		return
	}
	c.Received.Add(s.received)
	s.received = 0
	for i, n := range s.filtered {
		if n > 0 {
			c.filtered[i].Add(n)
			s.filtered[i] = 0
		}
	}
	now := time.Now()
	if s.heartbeat {
		c.Heartbeat.Store(now.UnixMilli())
		s.heartbeat = false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.mu.place
	p.File, p.Offset = s.file, s.base+uint64(s.next)
	if s.eventTime > 0 {
		p.Time, p.Arrived = int64(s.eventTime)*1000, now
		s.eventTime = 0
	}
}
