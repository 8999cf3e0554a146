// Package entry turns chunks of raw binlog events into the bytes of Canal
// entries, in one pass and without a value object per column.
//
// A Codec is compiled when a table map arrives and never changes; a Worker
// transcodes chunks with it and is a pure function of the chunk: no I/O, no
// clock, no state that a result depends on. Nothing here runs a goroutine;
// each Worker belongs to one.
package entry

import (
	"strconv"
	"sync/atomic"

	"github.com/canald/canald/internal/position"
)

// Type is Canal's EntryType.
type Type uint8

// The entry types, numbered as on the wire.
const (
	TransactionBegin Type = 1
	RowData          Type = 2
	TransactionEnd   Type = 3
	Heartbeat        Type = 4 // never stored; it only flushes what waits before it
)

// EventType is Canal's EventType; 0 means that the field is not on the wire.
type EventType uint8

// The event types, numbered as on the wire.
const (
	EventInsert     EventType = 1
	EventUpdate     EventType = 2
	EventDelete     EventType = 3
	EventCreate     EventType = 4
	EventAlter      EventType = 5
	EventErase      EventType = 6
	EventQuery      EventType = 7
	EventTruncate   EventType = 8
	EventRename     EventType = 9
	EventCreateIdx  EventType = 10
	EventDropIdx    EventType = 11
	EventXACommit   EventType = 13
	EventXARollback EventType = 14
)

// IsDML tells whether t changes rows.
func (t EventType) IsDML() bool { return t == EventInsert || t == EventUpdate || t == EventDelete }

// IsDDL tells whether t is one of the seven kinds that move a cursor and that
// ddl isolation hands out alone.
func (t EventType) IsDDL() bool {
	switch t {
	case EventCreate, EventAlter, EventErase, EventTruncate, EventRename, EventCreateIdx, EventDropIdx:
		return true
	}
	return false
}

// Context is what all events of a file, and in GTID mode of a transaction, have
// in common. It is immutable and shared by reference.
type Context struct {
	File   string
	GTID   string // executed set including the transaction; empty outside GTID mode
	Before string // the set without it; NewContext leaves it empty
	prefix []byte // version and logfileName, ready for a header
	suffix []byte // gtid, ready for a header
	props  []byte // curtGtid* props, ready for a header
}

// NewContext makes the context of a binlog file. GTID and props are empty
// outside GTID mode; props are pairs of key and value in wire order.
func NewContext(file, gtid string, props ...[2]string) *Context {
	c := &Context{File: file, GTID: gtid}
	c.prefix = appendString(append(c.prefix, 0x08, 1), 0x12, file)
	if gtid != "" {
		c.suffix = appendString(nil, 0x6a, gtid)
	}
	for _, p := range props {
		c.props = appendPair(c.props, 0x62, p[0], p[1])
	}
	return c
}

// TableName names a table in items; it is shared by reference.
type TableName struct{ Schema, Table string }

// Item says what the store, the sessions and the metrics must know of one
// entry without decoding it.
type Item struct {
	Context     *Context
	Table       *TableName // nil when the entry names no table
	Offset      uint64     // start of the event in its file; of the payload for an event inside one
	Start, End  uint32     // the framed entry in its segment's buffer
	Sub         uint32     // number of the event within its payload, else 0
	Time        uint32     // event time, seconds
	ServerID    uint32
	EventLength uint32 // bytes, as in the entry's header
	Rows        uint32 // rows of a row event, else 0
	Type        Type
	Event       EventType
	// Resume is set on the last entry of a transaction and on a statement
	// outside one: a new dump may start at the event's end.
	Resume bool
}

// FramedLen is the size of the entry with its frame, which is what memory holds.
func (i *Item) FramedLen() int { return int(i.End - i.Start) }

// Len is the size of the entry without its frame: what Canal calls rawLength
// and counts batches and the store by.
func (i *Item) Len() int {
	n := i.FramedLen()
	for w := 1; w <= 5; w++ {
		if body := n - 1 - w; varintLen(uint64(max(body, 0))) == w {
			return body
		}
	}
	return n
}

// Position is the place of the item's event.
func (i *Item) Position() position.Position {
	return position.Position{
		File: i.Context.File, Offset: i.Offset, ServerID: int64(i.ServerID),
		Timestamp: int64(i.Time) * 1000, GTID: i.Context.GTID,
	}
}

// EndOffset is the offset behind the item's event.
func (i *Item) EndOffset() uint64 { return i.Offset + uint64(i.EventLength) }

// Segment is what a worker made of one chunk. Its bytes belong to an arena
// that is recycled when the last holder of a segment in it lets go.
type Segment struct {
	Buf   []byte // framed entries, one behind the other
	Items []Item // in binlog order; offsets are in Buf

	arena *arena
	base  int // offset of Buf in the arena
	refs  atomic.Int32
}

// Bytes is the framed entry of item i.
func (s *Segment) Bytes(i int) []byte { return s.Buf[s.Items[i].Start:s.Items[i].End] }

// Retain adds n holders.
func (s *Segment) Retain(n int) { s.refs.Add(int32(n)) }

// Release takes n holders away; with the last one the bytes may be reused.
func (s *Segment) Release(n int) {
	switch left := s.refs.Add(-int32(n)); {
	case left == 0:
		s.arena.release()
	case left < 0:
		panic("entry: segment released more often than retained: " + strconv.Itoa(int(left)))
	}
}

// Joins tells whether the entry at j of t lies in memory right behind the entry
// at i of s, so that one run covers both.
func (s *Segment) Joins(i int, t *Segment, j int) bool {
	return s.arena == t.arena && s.base+int(s.Items[i].End) == t.base+int(t.Items[j].Start)
}

// Run is the memory from the entry at i of s to the entry at j of t, which must
// be joined without a gap.
func (s *Segment) Run(i int, t *Segment, j int) []byte {
	return s.arena.buf[s.base+int(s.Items[i].Start) : t.base+int(t.Items[j].End)]
}
