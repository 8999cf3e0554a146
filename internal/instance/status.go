package instance

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// Status is what is known of an instance at one moment.
type Status struct {
	Destination string
	Source      string // host:port
	ServerID    uint32 // towards the source
	Workers     int

	Connected      bool // to the source
	ConnectedSince time.Time
	Dumps          int64            // that were begun
	Errors         map[string]int64 // of the source, by a small set of reasons
	LastError      string           // of the source; empty before the first
	LastErrorAt    time.Time

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
	InFlight     int // chunks between the reader and the store

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
	var blocked bool
	s.FreeBlocked, blocked = c.freeWaited()
	for n, kind := range eventKinds {
		s.Events[kind] = c.events[n].Load()
	}
	c.mu.Lock()
	s.Connected, s.ConnectedSince, s.Dumps, s.Errors = c.mu.connected, c.mu.since, c.mu.dumps, maps.Clone(c.mu.errors)
	if c.mu.lastErr != nil {
		s.LastError, s.LastErrorAt = c.mu.lastErr.Error(), c.mu.lastErrAt
	}
	c.mu.Unlock()
	i.readerStatus(&s, blocked)
	for _, b := range i.book.Clients() {
		cs := ClientStatus{ID: b.ID}
		if b.Filter != nil {
			cs.Filter = *b.Filter
		}
		if b.Cursor != nil {
			cs.Cursor = b.Cursor.Position
		}
		cs.Store, cs.Known = s.Store.Clients[b.ID]
		s.Clients = append(s.Clients, cs)
	}
	return s, true
}

func (i *Instance) readerStatus(s *Status, blocked bool) {
	r := i.cfg.Source.Counters
	place := r.Place()
	s.File, s.Offset, s.Received = place.File, place.Offset, r.Received.Load()
	s.ClockSkew = time.Duration(r.Skew.Load()) * time.Millisecond
	if ms := r.Heartbeat.Load(); ms > 0 {
		s.LastHeartbeat = time.UnixMilli(ms)
	}
	if place.Time == 0 {
		return
	}
	s.LastEvent = time.UnixMilli(place.Time)
	if s.LastHeartbeat.After(place.Arrived) {
		return // the source had nothing more to send
	}
	// What is not read does not arrive: while the reader waits, the delay grows.
	at := place.Arrived
	if blocked {
		at = time.Now()
	}
	s.Delay = max(0, at.Add(s.ClockSkew).Sub(s.LastEvent).Truncate(time.Second))
}

// FileNumber is the number at the end of a binlog file's name, or 0.
func (s *Status) FileNumber() int64 {
	n, err := strconv.ParseInt(s.File[strings.LastIndexByte(s.File, '.')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
