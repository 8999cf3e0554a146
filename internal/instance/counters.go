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
	empties      atomic.Int64 // entries of empty transactions that did not pass
	markers      atomic.Int64 // begin and end entries that canal.instance.filter.transaction.entry held back

	// through is true once something new got as far as the store, or a heartbeat
	// did, since the dump began.
	through atomic.Bool

	free struct { // waits of the reader for a free chunk
		sync.Mutex
		total time.Duration // but for the wait that goes on
		since time.Time     // of the wait that goes on; zero when there is none
	}

	mu struct {
		sync.Mutex
		dumps     int64 // that were begun
		errors    map[string]int64
		lastErr   error
		lastErrAt time.Time
		connected bool
		since     time.Time // of connected
		version   string    // of the source
		trouble   time.Time // of the first error since something got through; zero when there is none
		parked    time.Time // since when the dump rests because the store is full; zero when it does not
	}
}

// settledAfter is how long a dump has to last to count as one that works, when
// nothing comes through it. What a source always fails at comes sooner.
const settledAfter = 10 * time.Second

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
	for _, r := range reasons {
		c.mu.errors[r] = 0 // a counter that is there before its first error shows that error as a rise
	}
	c.mu.since = now
	return c
}

// begun notes that a dump begins.
func (c *counters) begun(version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.dumps++
	c.mu.connected, c.mu.since, c.mu.version = true, time.Now(), version
	c.through.Store(false)
}

// ended notes that the dump ended.
func (c *counters) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.trouble = c.troubleLocked()
	c.mu.connected, c.mu.since = false, time.Now()
}

// troubleLocked is since when nothing works: a source that accepts each dump and
// fails at the same place of it every time is in trouble all along.
func (c *counters) troubleLocked() time.Time {
	if c.mu.connected && (c.through.Load() || time.Since(c.mu.since) > settledAfter) {
		return time.Time{}
	}
	return c.mu.trouble
}

// gotThrough notes that the dump works.
func (c *counters) gotThrough() {
	if !c.through.Load() { // the line is shared: it is written once a dump
		c.through.Store(true)
	}
}

func (c *counters) setParked(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.parked = time.Time{}
	if on {
		c.mu.parked = time.Now()
	}
}

func (c *counters) failed(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.errors[reasonOf(err)]++
	c.mu.lastErr, c.mu.lastErrAt = err, time.Now()
	if c.mu.trouble.IsZero() {
		c.mu.trouble = c.mu.lastErrAt
	}
}

// Reasons of errors of a source, which are few so that they may be labels.
const (
	reasonPrecondition = "precondition"
	reasonPurged       = "purged"
	reasonStructure    = "structure"
	reasonClosed       = "closed"
	reasonChecksum     = "checksum"
	reasonRefused      = "refused" // the source answered with an error: a login, a statement, a dump
	reasonNetwork      = "network"
	reasonOther        = "other"
)

var reasons = []string{
	reasonPrecondition, reasonPurged, reasonStructure, reasonClosed, reasonChecksum, reasonRefused, reasonNetwork, reasonOther,
}

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
	case errors.Is(err, binlog.ErrChecksum):
		return reasonChecksum
	case binlog.IsRefusal(err):
		return reasonRefused
	case errors.As(err, &network):
		return reasonNetwork
	}
	return reasonOther
}

// waitFree counts the time that the reader waits for a free chunk.
func (c *counters) waitFree(wait func() error) error {
	began := time.Now()
	c.free.Lock()
	c.free.since = began
	c.free.Unlock()
	err := wait()
	c.free.Lock()
	defer c.free.Unlock()
	c.free.total += time.Since(began)
	c.free.since = time.Time{}
	return err
}

// freeWaited is how long the reader waited, and how much of that is the wait
// that goes on. The sum never falls.
func (c *counters) freeWaited() (total, now time.Duration) {
	c.free.Lock()
	defer c.free.Unlock()
	if !c.free.since.IsZero() {
		now = time.Since(c.free.since)
	}
	return c.free.total + now, now
}
