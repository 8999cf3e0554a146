package store

import (
	"context"
	"time"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
)

// Attach makes a client known, which holds entries from then on. With a cursor
// it gets the entry at the cursor and what follows, or in GTID mode the first
// transaction that is not in the cursor's set; without one all that the store
// holds. Attaching a client again changes nothing.
func (s *Store) Attach(id meta.ClientID, cursor *position.Position) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return ErrClosed
	}
	if s.mu.clients[id] != nil {
		return nil
	}
	c := &client{nextID: max(s.firstID, s.mu.nextIDs[id]), active: time.Now()}
	if cursor != nil {
		c.mark, c.skipping = placeOf(*cursor), true
		if s.behindLocked(c, cursor.GTID) {
			return ErrBehind
		}
	}
	c.get, c.ack = s.mu.first, s.mu.first
	c.getBytes, c.ackBytes = s.mu.freed, s.mu.freed
	s.mu.clients[id] = c
	if c.skipping {
		s.skipLocked(c)
	}
	return nil
}

// behindLocked tells whether entries that the client needs were let go of.
func (s *Store) behindLocked(c *client, set string) bool {
	if set != "" && s.mu.floorSet != "" {
		has, err1 := position.ParseGTIDSet(set)
		floor, err2 := position.ParseGTIDSet(s.mu.floorSet)
		if err1 == nil && err2 == nil {
			c.set = has
			return !has.Contains(floor)
		}
	}
	d := c.mark.Compare(Mark{File: s.mu.floor.File, Offset: s.mu.floor.Offset})
	return d < 0 || d == 0 && s.mu.floorInside
}

// Detach forgets a client and its batches, which frees what only it held.
func (s *Store) Detach(id meta.ClientID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.detachLocked(id)
}

func (s *Store) detachLocked(id meta.ClientID) {
	c := s.mu.clients[id]
	if c == nil {
		return
	}
	delete(s.mu.clients, id)
	s.mu.nextIDs[id] = c.nextID
	for _, w := range c.waiters {
		close(w.wake)
	}
	s.trimLocked()
}

// Attached tells whether the client holds entries here.
func (s *Store) Attached(id meta.ClientID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.clients[id] != nil
}

// Oldest is the place of the oldest entry held; ok is false for an empty store.
func (s *Store) Oldest() (p position.Position, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.first == s.mu.put {
		return position.Position{}, false
	}
	it := s.slotLocked(s.mu.first).Item()
	p = it.Position()
	p.GTID = it.Context.Before // its transaction has not been had yet
	return p, true
}

// Get hands out what follows the last batch. Size is in units or entries; what
// is not positive asks for the smallest batch. Wait is how long to wait for a
// full batch: 0 not at all, Forever without limit. Nothing to hand out gives a
// batch with the id NoBatch. The caller must Release the batch.
func (s *Store) Get(ctx context.Context, id meta.ClientID, size int, wait time.Duration) (*Batch, error) {
	need := int64(max(size, 0))
	if !s.cfg.ItemMode {
		need *= s.cfg.Unit
	}
	need = max(need, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.enterLocked(id)
	if err != nil {
		return nil, err
	}
	defer s.leaveLocked(c)
	if wait != 0 && !s.satisfiedLocked(c, need) {
		if err := s.waitLocked(ctx, c, need, wait); err != nil {
			return nil, err
		}
		if s.mu.closed {
			return nil, ErrClosed
		}
		if s.mu.clients[id] != c {
			return nil, ErrNoClient
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	return s.takeLocked(c, size), nil
}

func (s *Store) enterLocked(id meta.ClientID) (*client, error) {
	if s.mu.closed {
		return nil, ErrClosed
	}
	c := s.mu.clients[id]
	if c == nil {
		return nil, ErrNoClient
	}
	c.calls++
	c.active = time.Now()
	return c, nil
}

func (s *Store) leaveLocked(c *client) {
	c.calls--
	c.active = time.Now()
}

func (s *Store) waitLocked(ctx context.Context, c *client, need int64, wait time.Duration) error {
	w := &waiter{need: need, wake: make(chan struct{})}
	c.waiters = append(c.waiters, w)
	s.mu.Unlock()
	var timeout <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timeout = t.C
	}
	var err error
	select {
	case <-w.wake:
	case <-timeout:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-s.done:
		err = ErrClosed
	}
	s.mu.Lock()
	for i, o := range c.waiters {
		if o == w {
			c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
			break
		}
	}
	return err
}

// takeLocked picks entries by Canal's size rule, notes the batch, and makes runs
// of the entries' bytes.
func (s *Store) takeLocked(c *client, size int) *Batch { return s.pickLocked(c, size, false) }

// pickLocked takes entries up to a size, or, to finish a transaction, up to its
// end whatever the size.
func (s *Store) pickLocked(c *client, size int, finish bool) *Batch {
	if c.get == s.mu.put {
		return NewBatch(NoBatch, nil, 0, nil)
	}
	limit := int64(max(size, 0)) * s.cfg.Unit
	var (
		sum, framed int64
		runs        [][]byte
		held        []*entry.Segment
		from, last  Slot // ends of the run that is open
		b           = batch{id: c.nextID}
		n           = c.get
	)
	for ; n < s.mu.put; n++ {
		sl := s.slotLocked(n)
		it := sl.Item()
		if n > c.get {
			full := sum > limit
			if s.cfg.ItemMode {
				full = n-c.get >= int64(size)
			}
			if full && !finish || framed+int64(it.FramedLen()) > s.cfg.MaxReply {
				break
			}
			if s.cfg.IsolateDDL && it.Event.IsDDL() {
				break
			}
		}
		sum += int64(it.Len())
		s.mu.rows.Get += int64(it.Rows)
		framed += int64(it.FramedLen())
		p, ok := ackPoint(it)
		if b.cut = !ok; ok {
			b.point, b.hasPoint = p, true
		}
		switch {
		case from.Segment == nil:
			from = sl
		case last.Segment.Joins(int(last.Index), sl.Segment, int(sl.Index)):
		default:
			runs = append(runs, from.Segment.Run(int(from.Index), last.Segment, int(last.Index)))
			from = sl
		}
		if last.Segment != sl.Segment {
			sl.Segment.Retain(1)
			held = append(held, sl.Segment)
		}
		last = sl
		if s.cfg.IsolateDDL && it.Event.IsDDL() || finish && ok {
			n++
			break
		}
	}
	runs = append(runs, from.Segment.Run(int(from.Index), last.Segment, int(last.Index)))
	items := int(n - c.get)
	s.markLocked(&s.mu.marks.Get, c.get, n)
	c.nextID++
	c.get = n
	c.getBytes += sum
	b.end, b.endBytes = c.get, c.getBytes
	c.batches = append(c.batches, b)
	return NewBatch(b.id, runs, items, func() {
		for _, seg := range held {
			seg.Release(1)
		}
	})
}

// Finish hands out the rest of the transaction that the client's last batch has
// cut, as far as it is here. It is no batch when none was cut.
func (s *Store) Finish(id meta.ClientID) (*Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.enterLocked(id)
	if err != nil {
		return nil, err
	}
	defer s.leaveLocked(c)
	if !c.cut() {
		return NewBatch(NoBatch, nil, 0, nil), nil
	}
	return s.pickLocked(c, 0, true), nil
}

// cut tells whether what the client has been handed out ends within a transaction.
func (c *client) cut() bool {
	if n := len(c.batches); n > 0 {
		return c.batches[n-1].cut
	}
	return c.ackCut
}

// ackPoint tells whether a cursor may stand at the item. In GTID mode a begin
// carries the set with its own transaction already and must not be recorded.
func ackPoint(it *entry.Item) (position.Position, bool) {
	switch {
	case it.Type == entry.TransactionEnd,
		it.Type == entry.TransactionBegin && it.Context.GTID == "",
		it.Type == entry.RowData && it.Event.IsDDL():
		return it.Position(), true
	}
	return position.Position{}, false
}

// Ack acknowledges a client's oldest outstanding batch. The cursor moves to p
// when ok; a batch without a place where a dump could restart leaves it alone.
// The error is ErrUnknownBatch or a *NotFirstError, and nothing has changed then.
func (s *Store) Ack(id meta.ClientID, batchID int64) (p position.Position, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.enterLocked(id)
	if err != nil {
		return p, false, err
	}
	defer s.leaveLocked(c)
	if err := c.oldest(batchID); err != nil {
		return p, false, err
	}
	b := c.batches[0]
	c.batches = c.batches[1:]
	c.ackCut = b.cut
	lastItem := s.slotLocked(b.end - 1).Item()
	c.mark, c.markIncluded, c.skipping, c.set = MarkOf(lastItem), true, false, nil
	s.markLocked(&s.mu.marks.Ack, c.ack, b.end)
	rows := s.rowsLocked(c.ack, b.end)
	c.ackRows += rows
	s.mu.rows.Ack += rows
	c.ack, c.ackBytes = b.end, b.endBytes
	s.trimLocked()
	return b.point, b.hasPoint, nil
}

// Rollback forgets batches and hands their entries out again with the next get:
// all batches for id 0, else the oldest one, which must have that id, and with
// it all later ones, whose entries come again as well.
func (s *Store) Rollback(id meta.ClientID, batchID int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.enterLocked(id)
	if err != nil {
		return err
	}
	defer s.leaveLocked(c)
	if batchID != 0 {
		if err := c.oldest(batchID); err != nil {
			return err
		}
	}
	if len(c.batches) > 0 {
		c.rollbacks++
		c.againRows += s.rowsLocked(c.ack, c.get)
	}
	c.batches = nil
	c.get, c.getBytes = c.ack, c.ackBytes
	s.wakeGetsLocked()
	return nil
}

// rowsLocked counts the rows of entries that are held.
func (s *Store) rowsLocked(from, to int64) (rows int64) {
	for n := from; n < to; n++ {
		rows += int64(s.slotLocked(n).Item().Rows)
	}
	return rows
}

// oldest checks that the batch is the client's oldest.
func (c *client) oldest(batchID int64) error {
	for i, b := range c.batches {
		if b.id != batchID {
			continue
		}
		if i > 0 {
			return &NotFirstError{ID: batchID, First: c.batches[0].id}
		}
		return nil
	}
	return ErrUnknownBatch
}

// DetachAbsent detaches a client that holds the store full: Put waits, the client's
// ack mark is the lowest, it made no call for the given time, and another client is
// there that could go on without it. It does so in one step: a call that comes
// meanwhile is that of a client that is there.
func (s *Store) DetachAbsent(limit time.Duration) (meta.ClientID, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.blockedT.IsZero() || len(s.mu.clients) < 2 {
		return 0, false
	}
	now := time.Now()
	for id, c := range s.mu.clients {
		if c.ack == s.mu.first && c.calls == 0 && now.Sub(c.active) > limit && s.othersActiveLocked(id, now, limit) {
			s.detachLocked(id)
			return id, true
		}
	}
	return 0, false
}

func (s *Store) othersActiveLocked(id meta.ClientID, now time.Time, limit time.Duration) bool {
	for other, c := range s.mu.clients {
		if other != id && (c.calls > 0 || now.Sub(c.active) <= limit) {
			return true
		}
	}
	return false
}

// BlockedSince is when Put began to wait for space; zero while it does not wait.
func (s *Store) BlockedSince() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.blockedT
}

// HasRoom tells whether a Put would not wait. A group that was refused comes
// again, and needs room for all of it.
func (s *Store) HasRoom() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fitsLocked(max(1, s.mu.refused))
}

// Rows counts rows ever put, handed out and acknowledged. What a rollback makes
// to come again is handed out again; several clients count each for themselves.
type Rows struct{ Put, Get, Ack int64 }

// Marks are event times, ms since 1970: of the first entry of the flush group
// put last, of the batch handed out last, of the batch acknowledged last. Each
// begins as the time at which the store was made.
type Marks struct{ Put, Get, Ack int64 }

// Stats says how full a store is.
type Stats struct {
	Slots    int   // entries that it can hold
	Capacity int64 // bytes that it can hold, as Canal counts them; not looked at in item mode
	ItemMode bool

	Entries    int64 // held
	Bytes      int64 // held, as Canal counts them
	Put, Freed int64 // entries ever put, and ever let go of: acknowledged by all clients
	PutBytes   int64
	FreedBytes int64
	Rows       Rows
	Marks      Marks
	Blocked    time.Duration // that Put waited for space, the wait that goes on included
	Clients    map[meta.ClientID]ClientStats
}

// ClientStats is one client's share.
type ClientStats struct {
	Unread      int64 // entries not handed out
	Outstanding int   // batches
	Cut         bool  // the last batch ends within a transaction
	AckedRows   int64
	Active      time.Time // last call
	Rollbacks   int64     // that gave batches back
	AgainRows   int64     // rows that those made to be handed out again
	OldestTime  int64     // event time of the oldest entry not acknowledged, ms since 1970; 0 when there is none
}

// Stats is a consistent picture of the store.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Slots: s.cfg.Slots, Capacity: s.maxByte, ItemMode: s.cfg.ItemMode,
		Entries: s.mu.put - s.mu.first, Bytes: s.mu.bytes - s.mu.freed,
		Put: s.mu.put, Freed: s.mu.first, PutBytes: s.mu.bytes, FreedBytes: s.mu.freed,
		Rows: s.mu.rows, Marks: s.mu.marks, Blocked: s.mu.blocked,
		Clients: make(map[meta.ClientID]ClientStats, len(s.mu.clients)),
	}
	if !s.mu.blockedT.IsZero() {
		st.Blocked += time.Since(s.mu.blockedT)
	}
	for id, c := range s.mu.clients {
		cs := ClientStats{
			Unread: s.mu.put - c.get, Outstanding: len(c.batches), Cut: c.cut(), AckedRows: c.ackRows, Active: c.active,
			Rollbacks: c.rollbacks, AgainRows: c.againRows,
		}
		if c.ack < s.mu.put {
			cs.OldestTime = int64(s.slotLocked(c.ack).Item().Time) * 1000
		}
		st.Clients[id] = cs
	}
	return st
}
