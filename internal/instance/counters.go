package instance

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/entry"
)

// counters are what an instance counts besides its store, its book and its
// reader. They are written once for a chunk, not for each entry.
type counters struct {
	traffic      atomic.Int64 // event time of what was handed to the store last, or when the last heartbeat came; ms since 1970
	transactions atomic.Int64 // ends that passed
	seen         atomic.Int64 // ends that came
	events       [len(eventKinds)]atomic.Int64
	inFlight     atomic.Int32 // chunks between reader and committer

	free struct { // waits of the reader for a free chunk
		total atomic.Int64 // ns, but for the wait that goes on
		since atomic.Int64 // unix ns of the wait that goes on; 0 when there is none
	}

	mu struct {
		sync.Mutex
		dumps     int64 // that were begun
		errors    map[string]int64
		lastErr   error
		lastErrAt time.Time
		connected bool
		since     time.Time // of connected
	}
}

// eventKinds name what canal_events_total counts, by the index that kindOf gives.
var eventKinds = [...]string{"begin", "end", "insert", "update", "delete", "ddl", "query", "other"}

func kindOf(it *entry.Item) int {
	switch {
	case it.Type == entry.TransactionBegin:
		return 0
	case it.Type == entry.TransactionEnd:
		return 1
	case it.Event == entry.EventInsert:
		return 2
	case it.Event == entry.EventUpdate:
		return 3
	case it.Event == entry.EventDelete:
		return 4
	case it.Event.IsDDL():
		return 5
	case it.Event == entry.EventQuery:
		return 6
	}
	return 7
}

func newCounters() *counters {
	c := &counters{}
	now := time.Now()
	c.traffic.Store(now.UnixMilli())
	c.mu.errors = map[string]int64{}
	c.mu.since = now
	return c
}

func (c *counters) setConnected(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if on {
		c.mu.dumps++
	}
	if c.mu.connected != on {
		c.mu.connected, c.mu.since = on, time.Now()
	}
}

func (c *counters) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.errors[reasonOf(err)]++
	c.mu.lastErr, c.mu.lastErrAt = err, time.Now()
}

// Reasons of errors of a source, which are few so that they may be labels.
const (
	reasonPrecondition = "precondition"
	reasonPurged       = "purged"
	reasonStructure    = "structure"
	reasonClosed       = "closed"
	reasonNetwork      = "network"
	reasonOther        = "other"
)

func reasonOf(err error) string {
	var network net.Error
	switch {
	case errors.Is(err, binlog.ErrPrecondition):
		return reasonPrecondition
	case errors.Is(err, binlog.ErrPositionPurged):
		return reasonPurged
	case errors.Is(err, binlog.ErrNoTable):
		return reasonStructure
	case errors.Is(err, binlog.ErrSourceClosed):
		return reasonClosed
	case errors.As(err, &network):
		return reasonNetwork
	}
	return reasonOther
}

// waitFree counts the time that the reader waits for a free chunk.
func (c *counters) waitFree(wait func() error) error {
	began := time.Now()
	c.free.since.Store(began.UnixNano())
	err := wait()
	c.free.total.Add(int64(time.Since(began)))
	c.free.since.Store(0)
	return err
}

func (c *counters) freeWaited() (total time.Duration, waits bool) {
	total = time.Duration(c.free.total.Load())
	if since := c.free.since.Load(); since > 0 {
		return total + max(0, time.Duration(time.Now().UnixNano()-since)), true
	}
	return total, false
}
