package instance

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/canald/canald/internal/binlog"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// Status is what is known of an instance at one moment.
type Status struct {
	Destination string
	Source      string // host:port
	Version     string // of the source, as it says; empty before the first dump
	ServerID    uint32 // towards the source
	Workers     int

	Connected      bool // to the source
	ConnectedSince time.Time
	Dumps          int64            // that were begun
	Errors         map[string]int64 // of the source, by a small set of reasons
	LastError      string           // of the source, its first line; empty before the first
	LastErrorAt    time.Time
	TroubleSince   time.Time // of the first error since something came through; zero while the source works
	ParkedSince    time.Time // since when the dump rests because nobody takes what fills the store; zero when it does not

	File          string // that the reader is in; empty before the first dump
	Offset        uint64 // behind the last event
	Received      int64  // bytes of binlog events
	LastEvent     time.Time
	LastHeartbeat time.Time
	ClockSkew     time.Duration // of the source's clock before this host's, to half a second
	Delay         time.Duration // of the source's changes until they arrived here, by the source's clock

	FreeBlocked  time.Duration // that the reader waited for the workers
	Traffic      time.Time     // see canal_instance_traffic_delay
	Transactions int64         // ends that were handed to the store
	Seen         int64         // ends that came
	Events       map[string]int64
	Filtered     map[string]int64 // events and entries that were left out, by a small set of reasons
	InFlight     int              // chunks between the reader and the store

	Store   store.Stats
	Clients []ClientStatus // that subscribed, in that order
	Flushes meta.Flushes
}

// ClientStatus is a subscription.
type ClientStatus struct {
	ID     meta.ClientID
	Filter string
	Cursor position.Position // zero without one
	Known  bool              // to the store: it holds entries for the client
	Store  store.ClientStats
}

// Lag is how old the oldest change is that a client has not acknowledged, by the
// source's clock; 0 when there is none.
func (s *Status) Lag(c *ClientStatus, now time.Time) time.Duration {
	if c.Store.OldestTime <= 0 {
		return 0
	}
	return max(0, now.Add(s.ClockSkew).Sub(time.UnixMilli(c.Store.OldestTime)).Truncate(time.Millisecond))
}

// Status is a picture of a running instance; ok is false before it runs and
// after it ended. It waits for no one.
func (i *Instance) Status() (s Status, ok bool) {
	if !i.isRunning() {
		return s, false
	}
	c := i.counters
	s = Status{
		Destination: i.cfg.Destination, Source: i.cfg.Source.Addr, ServerID: i.cfg.Source.ServerID, Workers: i.cfg.Workers,
		Traffic: time.UnixMilli(c.traffic.Load()), Transactions: c.transactions.Load(), Seen: c.seen.Load(),
		InFlight: int(c.inFlight.Load()), Events: map[string]int64{},
		Store: i.store.Stats(), Flushes: i.book.Flushes(),
	}
	var waiting time.Duration
	s.FreeBlocked, waiting = c.freeWaited()
	for n, kind := range eventKinds {
		s.Events[kind] = c.events[n].Load()
	}
	c.mu.Lock()
	s.Connected, s.ConnectedSince, s.Dumps, s.Errors = c.mu.connected, c.mu.since, c.mu.dumps, maps.Clone(c.mu.errors)
	s.Version, s.TroubleSince, s.ParkedSince = c.mu.version, c.troubleLocked(), c.mu.parked
	if c.mu.lastErr != nil {
		s.LastError, s.LastErrorAt = firstLine(c.mu.lastErr.Error()), c.mu.lastErrAt
	}
	c.mu.Unlock()
	i.readerStatus(&s, waiting)
	for _, b := range i.book.Clients() {
		cs := ClientStatus{ID: b.ID}
		if b.Filter != nil {
			cs.Filter = *b.Filter
		}
		if b.Cursor != nil {
			cs.Cursor = b.Cursor.Position
		}
		cs.Store, cs.Known = s.Store.Clients[b.ID]
		if !cs.Known && b.Cursor != nil && i.committer.passed(b.Cursor.Position) {
			// Detached: what it lacks is not held any more, but is no younger than its cursor.
			cs.Store.OldestTime = b.Cursor.Position.Timestamp
		}
		s.Clients = append(s.Clients, cs)
	}
	return s, true
}

// maxErrorBytes bounds an error's text: a panic's comes with its stack, and a
// source's is as long as the source likes.
const maxErrorBytes = 1 << 10

func firstLine(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > maxErrorBytes {
		text = text[:maxErrorBytes] + "…"
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}

func (i *Instance) readerStatus(s *Status, waiting time.Duration) {
	r := i.cfg.Source.Counters
	place := r.Place()
	s.File, s.Offset, s.Received = place.File, place.Offset, r.Received.Load()
	tables, rows, statements := r.Filtered()
	s.Filtered = map[string]int64{
		"table": tables, "row_kind": rows, "statement": statements,
		"empty_transaction": i.counters.empties.Load(), "marker": i.counters.markers.Load(),
	}
	s.ClockSkew = time.Duration(r.Skew.Load()) * time.Millisecond
	if ms := r.Heartbeat.Load(); ms > 0 {
		s.LastHeartbeat = time.UnixMilli(ms)
	}
	if place.Time == 0 {
		return
	}
	s.LastEvent = time.UnixMilli(place.Time)
	s.Delay = delay(place, s.LastHeartbeat, s.ClockSkew, waiting, !s.ParkedSince.IsZero())
}

// delay is how old the source's changes are when they arrive. What is not read
// does not arrive: while the reader waits for the workers, or rests, it grows.
func delay(last binlog.Place, heartbeat time.Time, skew, waiting time.Duration, parked bool) time.Duration {
	at := last.Arrived
	switch {
	case parked:
		at = time.Now()
	case heartbeat.After(last.Arrived): // the source had nothing more to send then
		return waiting.Truncate(time.Second)
	case waiting > 0:
		at = time.Now()
	}
	return max(0, at.Add(skew).Sub(time.UnixMilli(last.Time)).Truncate(time.Second))
}

// FileNumber is the number at the end of a binlog file's name, or 0.
func (s *Status) FileNumber() int64 {
	n, err := strconv.ParseInt(s.File[strings.LastIndexByte(s.File, '.')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
