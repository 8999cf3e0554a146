package instance

import (
	"context"
	"sync"
	"time"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// Canal's rule for what carries no rows: of empty transactions, and with the
// transaction filter of all begin and end entries, one passes when its event
// time differs by this much from the last that passed, or after so many.
const (
	emptyIntervalMillis = 5000
	emptyMost           = 8192
)

// bufferMostBytes ends a flush group of large entries early: Canal counts
// entries only, and a thousand of them may be gigabytes.
const bufferMostBytes = 1 << 20

// committer puts entries into the store in flush groups, by the rules of
// Canal's transaction buffer and sink. It belongs to one goroutine; where it
// stands may be asked by any.
type committer struct {
	store           *store.Store
	counters        *counters
	transactionSize int  // entries that are buffered at most
	filterMarkers   bool // canal.instance.filter.transaction.entry
	buffered        []store.Slot
	bufferedBytes   int
	out             []store.Slot
	ends            []int
	next            position.Position // resume place once out is put
	passing         bool              // entries up to mu.last come again after a reconnect and are passed over
	open            bool              // part of a transaction is stored, its end is not
	emptyTime       int64
	emptyCount      int
	markerTime      int64
	markerCount     int
	mu              struct {
		sync.Mutex
		resume position.Position // where a new dump has to start
		last   store.Mark        // last entry put; after a reconnect all up to it are passed over
	}
}

// Resume is where a new dump has to start; zero before anything was committed.
func (c *committer) Resume() position.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.resume
}

// passed tells whether something was put that lies behind the place.
func (c *committer) passed(p position.Position) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := store.Mark{File: c.mu.last.File, Offset: c.mu.last.Offset}
	return last.File != "" && last.Compare(store.Mark{File: p.File, Offset: p.Offset}) > 0
}

// begin prepares for a new dump. What was buffered of a transaction comes again.
func (c *committer) begin() {
	c.drop(c.buffered)
	c.buffered, c.bufferedBytes = c.buffered[:0], 0
	c.next = position.Position{}
	c.passing = c.mu.last != store.Mark{}
}

// restart prepares for a dump from an earlier place into an emptied store.
func (c *committer) restart(from position.Position) {
	c.begin()
	c.open, c.emptyTime, c.emptyCount, c.markerTime, c.markerCount = false, 0, 0, 0, 0
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.resume, c.mu.last = from, store.Mark{}
	c.passing = false
}

// commit takes over the caller's hold on the segment.
func (c *committer) commit(ctx context.Context, seg *entry.Segment) error {
	c.count(seg)
	stored := c.open // flush goes ahead of what the store has
	seg.Retain(len(seg.Items))
	defer seg.Release(1)
	for i := range seg.Items {
		it := &seg.Items[i]
		if it.Type == entry.Heartbeat {
			seg.Release(1)
			c.flush(true)
			c.counters.traffic.Store(time.Now().UnixMilli())
			c.counters.gotThrough()
			continue
		}
		if c.passing {
			if store.MarkOf(it).Compare(c.mu.last) <= 0 { // last is written by this goroutine only
				seg.Release(1)
				continue
			}
			c.passing = false
		}
		c.add(store.Slot{Segment: seg, Index: int32(i)}, it)
	}
	return c.put(ctx, stored)
}

// count notes what came. What comes again after a reconnect counts again.
func (c *committer) count(seg *entry.Segment) {
	var kinds [len(eventKinds)]int64
	for i := range seg.Items {
		if seg.Items[i].Type != entry.Heartbeat {
			kinds[kindOf(&seg.Items[i])]++
		}
	}
	for k, n := range kinds {
		if n > 0 {
			c.counters.events[k].Add(n)
		}
	}
}

// add is Canal's transaction buffer.
func (c *committer) add(s store.Slot, it *entry.Item) {
	if it.Type == entry.TransactionBegin {
		c.flush(false)
	}
	c.buffered = append(c.buffered, s)
	c.bufferedBytes += it.Len()
	if it.Type == entry.TransactionEnd || it.Type == entry.RowData && !it.Event.IsDML() ||
		len(c.buffered) >= c.transactionSize || c.bufferedBytes >= bufferMostBytes {
		c.flush(false)
	}
}

// flush is Canal's sink for one flush group: it goes to out, or is dropped. A
// group that a heartbeat ends is never dropped: it may be a begin alone.
func (c *committer) flush(heartbeat bool) {
	if len(c.buffered) == 0 {
		return
	}
	lastItem := c.buffered[len(c.buffered)-1].Item()
	if lastItem.Resume {
		c.next = lastItem.Position()
		c.next.Offset = lastItem.EndOffset()
	}
	ended := lastItem.Type == entry.TransactionEnd
	if ended {
		c.counters.seen.Add(1)
	}
	if c.buffered[0].Item().Type == entry.TransactionBegin {
		c.open = false // the one before it ended without an entry, as a rollback does
	}
	group := c.buffered
	if c.filterMarkers {
		group = c.withoutMarkers(group)
	}
	rows := false
	for _, s := range group {
		if s.Item().Type == entry.RowData {
			rows = true
			break
		}
	}
	// Markers alone are an empty transaction, unless they close one that is stored in part.
	if len(group) > 0 && (rows || heartbeat || c.open && ended || c.emptyPasses(group[0].Item())) {
		c.out = append(c.out, group...)
		c.ends = append(c.ends, len(c.out))
		passed := group[len(group)-1].Item()
		if passed.Time > 0 {
			c.counters.traffic.Store(int64(passed.Time) * 1000)
		}
		if passed.Type == entry.TransactionEnd {
			c.counters.transactions.Add(1)
		}
		c.open = !ended && !lastItem.Resume
	} else if len(group) > 0 {
		c.counters.empties.Add(int64(len(group)))
		c.drop(group)
	}
	c.buffered, c.bufferedBytes = c.buffered[:0], 0
}

func (c *committer) emptyPasses(first *entry.Item) bool {
	t := int64(first.Time) * 1000
	c.emptyCount++
	if abs(t-c.emptyTime) > emptyIntervalMillis || c.emptyCount > emptyMost {
		c.emptyTime, c.emptyCount = t, 0
		return true
	}
	return false
}

// withoutMarkers drops begin and end entries but for one pair now and then.
func (c *committer) withoutMarkers(group []store.Slot) []store.Slot {
	kept := group[:0]
	for _, s := range group {
		it := s.Item()
		if it.Type == entry.RowData {
			kept = append(kept, s)
			continue
		}
		c.markerCount++
		t := int64(it.Time) * 1000
		if c.markerCount <= emptyMost && abs(t-c.markerTime) <= emptyIntervalMillis {
			c.counters.markers.Add(1)
			s.Segment.Release(1)
			continue
		}
		if it.Type == entry.TransactionEnd {
			c.markerCount, c.markerTime = 0, t
		}
		kept = append(kept, s)
	}
	return kept
}

func (c *committer) drop(slots []store.Slot) {
	for _, s := range slots {
		s.Segment.Release(1)
	}
}

// put hands the flush groups of a segment to the store and waits while it is
// full. open says whether a transaction was open in the store before.
func (c *committer) put(ctx context.Context, open bool) error {
	var err error
	if len(c.out) > 0 {
		mark := store.MarkOf(c.out[len(c.out)-1].Item())
		var n int
		n, err = c.store.Put(ctx, c.out, c.ends)
		if err != nil {
			// What was refused comes again. How the accepted part ended is not
			// known any more; taken for open, at most one empty transaction passes.
			c.open = open || n > 0
			if n > 0 {
				// The accepted entries may be freed by now; the first that was not
				// accepted is still held, and all before it were put.
				mark = store.MarkOf(c.out[n].Item())
				c.drop(c.out[n:])
				c.setLastBefore(mark)
			} else {
				c.drop(c.out)
			}
		} else {
			c.counters.gotThrough()
			c.mu.Lock()
			c.mu.last = mark
			c.mu.Unlock()
		}
		clear(c.out)
		c.out, c.ends = c.out[:0], c.ends[:0]
	}
	if err == nil && !c.next.IsZero() {
		c.mu.Lock()
		c.mu.resume = c.next
		c.mu.Unlock()
		c.next = position.Position{}
	}
	return err
}

// setLastBefore notes that everything before the mark was put.
func (c *committer) setLastBefore(m store.Mark) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.Sub > 0:
		m.Sub--
	default:
		m.Offset--
		m.Sub = ^uint32(0)
	}
	c.mu.last = m
}

func abs(v int64) int64 { return max(v, -v) }
