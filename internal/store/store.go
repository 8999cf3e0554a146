// Package store keeps the entries of one instance between the source and its
// clients: framed bytes in sequence, bounded by bytes and slots as Canal counts
// them, with a get and an ack mark of its own for each client.
//
// Put blocks while the store is full; space is freed at the smallest ack mark.
// A waiting get holds no lock. The store runs no goroutine.
package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
)

// ErrNoClient is returned for a client that is not attached.
var ErrNoClient = errors.New("client is not attached to the store")

// ErrBehind is returned by Attach for a cursor that lies before what the store
// holds: only a new dump from the cursor can serve it.
var ErrBehind = errors.New("cursor lies before what the store holds")

// Forever as the wait of a Get means: until a full batch is there.
const Forever time.Duration = -1

// Config sizes a store. Zero values get Canal's defaults.
type Config struct {
	Slots      int   // entries; 16384
	Unit       int64 // bytes that one unit of a batch size means, and Slots×Unit the capacity; 1024
	ItemMode   bool  // a batch size counts entries and bytes do not limit (ITEMSIZE); default MEMSIZE
	IsolateDDL bool  // a DDL is handed out in a batch of its own
	MaxReply   int64 // bytes after which a batch ends, though not before its first entry; 64 MiB
}

const (
	defaultSlots    = 16384
	defaultUnit     = 1024
	defaultMaxReply = 64 << 20
	minRing         = 64
)

// Slot is one entry of a segment. A slot in the store holds its segment once.
type Slot struct {
	Segment *entry.Segment
	Index   int32
}

// Item is what is known of the slot's entry.
func (s Slot) Item() *entry.Item { return &s.Segment.Items[s.Index] }

// Mark is the exact place of an entry.
type Mark struct {
	File   string
	Offset uint64
	Sub    uint32
}

// MarkOf is the place of an item.
func MarkOf(i *entry.Item) Mark {
	return Mark{File: i.Context.File, Offset: i.Offset, Sub: i.Sub}
}

func placeOf(p position.Position) Mark { return Mark{File: p.File, Offset: p.Offset} }

// Compare orders two places of one source.
func (m Mark) Compare(o Mark) int {
	if m.File != o.File {
		if c := position.CompareFiles(m.File, o.File); c != 0 {
			return c
		}
	}
	switch {
	case m.Offset != o.Offset:
		if m.Offset < o.Offset {
			return -1
		}
		return 1
	case m.Sub != o.Sub:
		if m.Sub < o.Sub {
			return -1
		}
		return 1
	}
	return 0
}

// Store is safe for use by several goroutines; Put has one caller.
type Store struct {
	cfg     Config
	maxByte int64
	firstID int64

	mu struct {
		sync.Mutex
		ring  []Slot // of a power of two; sequence n lies at n & (len-1)
		first int64  // sequence of the oldest entry held
		put   int64  // sequence behind the newest
		bytes int64  // of all entries ever put
		freed int64  // of all entries ever freed
		rows  Rows
		marks Marks
		floor Mark // everything behind it is held or still to come
		// floorSet is the set at floor, in GTID mode.
		floorSet string
		// floorInside is true when the entry at floor was freed and ended no
		// transaction: a client whose cursor stands there may not have had it.
		floorInside bool
		clients     map[meta.ClientID]*client
		nextIDs     map[meta.ClientID]int64 // of clients that were detached
		space       chan struct{}           // closed when the blocked Put may look again; nil when none waits
		blockedT    time.Time               // since when Put waits; zero when it does not
		blocked     time.Duration           // that Put waited, but for the wait that goes on
		refused     int                     // entries of the group that Put gave up on last; 0 after a group that was put
		closed      bool
	}
	done chan struct{}
}

type client struct {
	get, ack           int64 // next to hand out; oldest not acknowledged
	getBytes, ackBytes int64 // bytes of all entries before them
	batches            []batch
	nextID             int64
	mark               Mark // entries up to it are not given again
	markIncluded       bool // the entry at mark is not given again either
	skipping           bool // mark may lie ahead of what was put so far
	// set is that of the client's cursor in GTID mode, until it acknowledged
	// something: it is what skipping goes by then, as mark may be of another source.
	set       *position.GTIDSet
	waiters   []*waiter
	active    time.Time
	calls     int  // calls that are running
	ackCut    bool // of the batch that was acknowledged last
	ackRows   int64
	rollbacks int64
	againRows int64 // rows that a rollback made to be handed out again
}

type batch struct {
	id       int64
	end      int64 // sequence behind its last entry
	endBytes int64
	point    position.Position
	hasPoint bool
	cut      bool // its last entry lies within a transaction
}

type waiter struct {
	need int64
	wake chan struct{}
}

// New makes an empty store whose stream starts at the given place. Batch ids
// start at firstID, which should be above those of the instance's earlier runs.
func New(cfg Config, start position.Position, firstID int64) *Store {
	if cfg.Slots <= 0 {
		cfg.Slots = defaultSlots
	}
	if cfg.Unit <= 0 {
		cfg.Unit = defaultUnit
	}
	if cfg.MaxReply <= 0 {
		cfg.MaxReply = defaultMaxReply
	}
	s := &Store{cfg: cfg, maxByte: int64(cfg.Slots) * cfg.Unit, firstID: max(firstID, 1), done: make(chan struct{})}
	s.mu.clients = map[meta.ClientID]*client{}
	s.mu.nextIDs = map[meta.ClientID]int64{}
	s.mu.ring = make([]Slot, minRing)
	s.mu.floor, s.mu.floorSet = placeOf(start), start.GTID
	now := time.Now().UnixMilli()
	s.mu.marks = Marks{now, now, now}
	return s
}

// Close wakes every waiting call with ErrClosed and lets go of all entries.
func (s *Store) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	s.mu.closed = true
	close(s.done)
	s.freeLocked(s.mu.put)
}

// Reset empties the store; the stream goes on from the given place. Outstanding
// batches are forgotten; what a client acknowledged is not given to it again.
func (s *Store) Reset(start position.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.freeLocked(s.mu.put)
	s.mu.floor, s.mu.floorSet, s.mu.floorInside = placeOf(start), start.GTID, false
	for _, c := range s.mu.clients {
		c.get, c.ack, c.getBytes, c.ackBytes = s.mu.put, s.mu.put, s.mu.bytes, s.mu.bytes
		c.batches = nil
		c.skipping = c.mark != Mark{} || c.set != nil
	}
	s.wakePutLocked()
}

// Put adds entries in flush groups: ends holds the index behind the last slot of
// each group. A group becomes visible as a whole. Put waits while the store is
// full, and takes over one hold on a slot's segment for each slot it accepted,
// also when it returns an error; accepted says how many those are.
func (s *Store) Put(ctx context.Context, slots []Slot, ends []int) (accepted int, err error) {
	start := 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, end := range ends {
		for start < end {
			group := slots[start:min(end, start+s.cfg.Slots)] // longer than the store: in pieces
			for !s.fitsLocked(len(group)) {
				if err := s.waitSpaceLocked(ctx); err != nil {
					s.mu.refused = len(group)
					return start, err
				}
			}
			if s.mu.closed {
				return start, ErrClosed
			}
			s.mu.refused = 0
			s.appendLocked(group)
			start += len(group)
		}
	}
	s.wakeGetsLocked()
	return start, nil
}

func (s *Store) fitsLocked(n int) bool {
	if s.mu.closed {
		return true
	}
	if s.mu.put-s.mu.first+int64(n) > int64(s.cfg.Slots) {
		return false
	}
	return s.cfg.ItemMode || s.mu.bytes-s.mu.freed < s.maxByte
}

// waitSpaceLocked gives the lock away while it waits. Gets that wait for more
// than can come are satisfied with what is there.
func (s *Store) waitSpaceLocked(ctx context.Context) error {
	space := make(chan struct{})
	s.mu.space = space
	if s.mu.blockedT.IsZero() {
		s.mu.blockedT = time.Now()
	}
	s.wakeGetsLocked()
	s.mu.Unlock()
	var err error
	select {
	case <-space:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.done:
		err = ErrClosed
	}
	s.mu.Lock()
	s.mu.space = nil
	if err != nil || s.fitsLocked(1) {
		s.mu.blocked += time.Since(s.mu.blockedT)
		s.mu.blockedT = time.Time{}
	}
	return err
}

func (s *Store) appendLocked(group []Slot) {
	for int64(len(s.mu.ring)) < s.mu.put-s.mu.first+int64(len(group)) {
		s.growLocked()
	}
	mask := int64(len(s.mu.ring) - 1)
	for _, sl := range group {
		it := sl.Item()
		s.mu.ring[s.mu.put&mask] = sl
		s.mu.put++
		s.mu.bytes += int64(it.Len())
		s.mu.rows.Put += int64(it.Rows)
	}
	s.markLocked(&s.mu.marks.Put, s.mu.put-int64(len(group)), s.mu.put)
	for _, c := range s.mu.clients {
		if c.skipping {
			s.skipLocked(c)
		}
	}
}

// markLocked moves a mark to the event time of the first of the entries that has one.
func (s *Store) markLocked(mark *int64, from, to int64) {
	for n := from; n < to; n++ {
		if t := s.slotLocked(n).Item().Time; t > 0 {
			*mark = int64(t) * 1000
			return
		}
	}
}

func (s *Store) growLocked() {
	ring := make([]Slot, 2*len(s.mu.ring))
	old, mask := int64(len(s.mu.ring)-1), int64(len(ring)-1)
	for n := s.mu.first; n < s.mu.put; n++ {
		ring[n&mask] = s.mu.ring[n&old]
	}
	s.mu.ring = ring
}

func (s *Store) slotLocked(n int64) Slot { return s.mu.ring[n&int64(len(s.mu.ring)-1)] }

// skipLocked moves a client over entries that it has had.
func (s *Store) skipLocked(c *client) {
	for c.get < s.mu.put {
		it := s.slotLocked(c.get).Item()
		if !c.had(it) {
			c.skipping, c.set = false, nil
			break
		}
		c.get++
		c.getBytes += int64(it.Len())
		c.ack, c.ackBytes = c.get, c.getBytes
	}
	s.trimLocked()
}

// had tells whether the client had an entry before.
func (c *client) had(it *entry.Item) bool {
	if c.set == nil {
		d := MarkOf(it).Compare(c.mark)
		return d < 0 || d == 0 && c.markIncluded
	}
	with, err := position.ParseGTIDSet(it.Context.GTID)
	return err == nil && c.set.Contains(with) // one without a set belongs to what was skipped before it
}

// trimLocked frees what every client has acknowledged.
func (s *Store) trimLocked() {
	if len(s.mu.clients) == 0 {
		return // kept for the first client that comes
	}
	low := s.mu.put
	for _, c := range s.mu.clients {
		low = min(low, c.ack)
	}
	if low > s.mu.first {
		s.freeLocked(low)
		s.wakePutLocked()
	}
}

// freeLocked lets go of everything before the sequence.
func (s *Store) freeLocked(to int64) {
	mask := int64(len(s.mu.ring) - 1)
	var seg *entry.Segment
	held := 0
	for n := s.mu.first; n < to; n++ {
		sl := &s.mu.ring[n&mask]
		it := sl.Item()
		s.mu.freed += int64(it.Len())
		if n == to-1 {
			s.mu.floor = MarkOf(it)
			if it.Context.GTID != "" {
				s.mu.floorSet = it.Context.GTID
			}
			s.mu.floorInside = !it.Resume && it.Type != entry.TransactionEnd
		}
		if sl.Segment != seg {
			if seg != nil {
				seg.Release(held)
			}
			seg, held = sl.Segment, 0
		}
		held++
		*sl = Slot{}
	}
	if seg != nil {
		seg.Release(held)
	}
	s.mu.first = to
}

func (s *Store) wakePutLocked() {
	if s.mu.space != nil {
		close(s.mu.space)
		s.mu.space = nil
	}
}

func (s *Store) wakeGetsLocked() {
	for _, c := range s.mu.clients {
		kept := c.waiters[:0]
		for _, w := range c.waiters {
			if s.satisfiedLocked(c, w.need) {
				close(w.wake)
				continue
			}
			kept = append(kept, w)
		}
		clear(c.waiters[len(kept):])
		c.waiters = kept
	}
}

// satisfiedLocked tells whether a get that wants `need` bytes or entries must not
// wait longer: they are there, or no more can come before it takes some.
func (s *Store) satisfiedLocked(c *client, need int64) bool {
	unread := s.mu.bytes - c.getBytes
	if s.cfg.ItemMode {
		unread = s.mu.put - c.get
	}
	return unread >= need || s.mu.space != nil && s.mu.put > c.get
}
