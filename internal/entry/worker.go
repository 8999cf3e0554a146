package entry

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
)

// Worker transcodes chunks. It belongs to one goroutine; several workers of an
// instance share nothing but the pool.
type Worker struct {
	pool    *Pool
	zone    *render.Zone
	charset *render.Charset

	arena *arena
	used  int // bytes of the arena that segments own
	ratio int // bytes made of 16 bytes of events lately, a guess for the next chunk

	items   []Item
	itemsAt int

	most   int    // bytes of a segment
	prefix []byte // of the entry being written
	rows   rowState
	plain  []byte // an inflated event
}

// NewWorker makes a worker whose TIMESTAMP columns are shown in loc.
func NewWorker(pool *Pool, loc *time.Location, charset *render.Charset) *Worker {
	if charset == nil {
		charset = utf8Charset
	}
	return &Worker{pool: pool, zone: render.NewZone(loc), charset: charset, most: maxSegmentBytes}
}

// maxSegmentBytes is what a message of protobuf can hold, and the offsets of items.
const maxSegmentBytes = math.MaxInt32

// errTooLarge is what an event gives whose entry no client could take.
var errTooLarge = errors.New("entry of more than 2 GiB")

// itemBlock is how many items are allocated at a time once an instance is busy.
const itemBlock = 1024

// EventError tells which event could not be transcoded.
type EventError struct {
	File   string
	Offset uint64
	Type   event.Type
	Table  *TableName // nil outside row events
	Err    error
}

func (e *EventError) Error() string {
	if e.Table != nil {
		return fmt.Sprintf("event type %d of %s.%s at %s:%d: %v", e.Type, e.Table.Schema, e.Table.Table, e.File, e.Offset, e.Err)
	}
	return fmt.Sprintf("event type %d at %s:%d: %v", e.Type, e.File, e.Offset, e.Err)
}

func (e *EventError) Unwrap() error { return e.Err }

// Transcode makes a segment of a chunk. The segment has one holder, the
// caller. A chunk without entries gives a segment without items. The error is
// an *EventError; the chunk can be used again either way.
func (w *Worker) Transcode(c *Chunk) (*Segment, error) {
	w.reserve(len(c.Buf), len(c.Events))
	room := w.arena.buf[w.used:w.used:len(w.arena.buf)]
	b := room
	for i := range c.Events {
		e := &c.Events[i]
		raw := c.Buf[e.Off : e.Off+e.Len]
		var err error
		if b, err = w.event(b, e, raw); err == nil && len(b) > w.most {
			err = errTooLarge
		}
		if err != nil {
			failed := &EventError{File: e.Context.File, Offset: e.Offset, Type: e.Header.Type, Err: err}
			if e.Codec != nil {
				failed.Table = e.Codec.Name
			}
			w.items = w.items[:w.itemsAt]
			return nil, failed
		}
	}
	seg := &Segment{Buf: b[:len(b):len(b)], Items: w.items[w.itemsAt:len(w.items):len(w.items)]}
	w.itemsAt = len(w.items)
	seg.refs.Store(1)
	if len(c.Buf) > 0 {
		w.ratio = max(len(b)*16/len(c.Buf), w.ratio*7/8) // rises at once, falls slowly
	}
	if cap(b) != cap(room) { // outgrown: the new buffer is the segment's own
		seg.arena = w.pool.own(b[:cap(b)])
		return seg, nil
	}
	seg.arena, seg.base = w.arena, w.used
	w.arena.refs.Add(1)
	w.used += len(b)
	return seg, nil
}

// Close gives the worker's buffer back; segments that were made keep theirs.
func (w *Worker) Close() {
	if w.arena != nil {
		w.arena.release()
		w.arena = nil
	}
}

// reserve sees to it that the arena has room for what a chunk will probably
// become. A wrong guess costs one copy.
func (w *Worker) reserve(raw, events int) {
	guess := raw*max(w.ratio, 48)/16 + raw/4 + 64*events
	if w.arena == nil || len(w.arena.buf)-w.used < guess {
		size := arenaMinBytes
		if w.arena != nil {
			size = min(2*len(w.arena.buf), arenaMaxBytes)
			w.arena.release()
		}
		for size < guess && size < arenaMaxBytes {
			size *= 2
		}
		w.arena, w.used = w.pool.get(size), 0
	}
	if cap(w.items)-len(w.items) < events {
		block := min(max(2*cap(w.items), 16), itemBlock)
		w.items, w.itemsAt = make([]Item, 0, max(block, events)), 0
	}
}

func (w *Worker) event(b []byte, e *Event, raw []byte) ([]byte, error) {
	switch e.Kind {
	case KindRows:
		return w.rowsEvent(b, e, raw)
	case KindBegin:
		q, err := event.ParseQuery(raw)
		if err != nil {
			return b, err
		}
		return w.marker(b, e, TransactionBegin, appendVarint([]byte{0x20}, uint64(q.ThreadID))), nil
	case KindMariaBegin:
		return w.marker(b, e, TransactionBegin, []byte{0x20, 0}), nil // it does not tell the thread
	case KindXID:
		xid, err := event.ParseXID(raw)
		if err != nil {
			return b, err
		}
		return w.marker(b, e, TransactionEnd, appendString(nil, 0x12, strconv.FormatInt(int64(xid), 10))), nil
	case KindCommit:
		return w.marker(b, e, TransactionEnd, appendString(nil, 0x12, "0")), nil
	case KindXA:
		return w.xa(b, e, raw)
	case KindXAOnePhase:
		x, err := event.ParseXAPrepare(raw)
		if err != nil {
			return b, err
		}
		xid := fmt.Sprintf(" X'%x',X'%x',%d", x.Global, x.Local, x.Format)
		return w.xaDone(b, e, EventXACommit, "XA COMMIT", xid, "XA COMMIT"+xid), nil
	case KindStatement:
		return w.statement(b, e, raw)
	case KindRowsQuery:
		return w.rowsQuery(b, e, w.text(event.RowsQueryText(raw))), nil
	case KindAnnotate:
		return w.query(b, e, w.text(event.AnnotateText(raw))), nil
	case KindUserVar:
		v, err := event.ParseUserVar(raw)
		if err != nil {
			return b, err
		}
		return w.query(b, e, w.userVar(v)), nil
	case KindIntVar:
		v, err := event.IntVar(raw)
		if err != nil {
			return b, err
		}
		return w.query(b, e, strconv.AppendInt([]byte("SET INSERT_ID = "), int64(v), 10)), nil
	case KindRand:
		s1, s2, err := event.Rand(raw)
		if err != nil {
			return b, err
		}
		return w.query(b, e, fmt.Appendf(nil, "SET SESSION rand_seed1 = %d , rand_seed2 = %d", s1, s2)), nil
	case KindHeartbeat:
		w.item(e, Heartbeat, 0, len(b), len(b))
		return b, nil
	}
	return b, fmt.Errorf("unknown event kind %d", e.Kind)
}

func (w *Worker) text(raw []byte) []byte { return w.charset.Append(nil, raw) }

// item notes an entry that lies at start…end of the segment.
func (w *Worker) item(e *Event, t Type, et EventType, start, end int) *Item {
	w.items = append(w.items, Item{
		Context: e.Context, Offset: e.Offset, Start: uint32(start), End: uint32(end), Sub: e.Sub,
		Time: e.Header.Timestamp, ServerID: e.Header.ServerID, EventLength: e.Length,
		Type: t, Event: et, Resume: e.Resume,
	})
	return &w.items[len(w.items)-1]
}

// emptyNames are schemaName and tableName, both present and empty.
var emptyNames = []byte{0x42, 0, 0x4a, 0}

// appendHeader appends the header message as field 1 of an entry.
func appendHeader(b []byte, e *Event, names []byte, et EventType, rows int) []byte {
	pos := len(b) + 1
	b = append(b, 0x0a, 0)
	b = append(b, e.Context.prefix...)
	b = appendVarint(append(b, 0x18), e.Offset)
	b = appendVarint(append(b, 0x20), uint64(e.Header.ServerID))
	b = append(b, 0x2a, 5, 'U', 'T', 'F', '-', '8', 0x30)
	b = appendVarint(b, uint64(e.Header.Timestamp)*1000)
	b = append(b, 0x38, 2)
	b = append(b, names...)
	b = appendVarint(append(b, 0x50), uint64(e.Length))
	if et != 0 {
		b = append(b, 0x58, byte(et))
	}
	b = append(b, e.Context.props...)
	if e.Statement != nil {
		b = append(b, e.Statement.props...)
	}
	if rows > 0 {
		var digits [20]byte
		n := strconv.AppendInt(digits[:0], int64(rows), 10)
		b = append(b, 0x62, byte(13+len(n)), 0x0a, 9)
		b = append(b, "rowsCount"...)
		b = append(b, 0x12, byte(len(n)))
		b = append(b, n...)
	}
	b = append(b, e.Context.suffix...)
	return settle(b, pos, 1)
}

// entry appends a whole framed entry with a small body.
func (w *Worker) entry(b []byte, e *Event, names []byte, t Type, et EventType, body []byte) []byte {
	start := len(b)
	b = append(b, 0x12, 0)
	b = appendHeader(b, e, names, et, 0)
	b = append(b, 0x10, byte(t))
	b = appendBytes(b, 0x1a, body)
	b = settle(b, start+1, 1)
	w.item(e, t, et, start, len(b))
	return b
}

func (w *Worker) marker(b []byte, e *Event, t Type, body []byte) []byte {
	return w.entry(b, e, emptyNames, t, 0, body)
}

// query is the entry of a statement that only accompanies row changes.
func (w *Worker) query(b []byte, e *Event, sql []byte) []byte {
	return w.accompany(b, e, emptyNames, sql)
}

// rowsQuery is that of a ROWS_QUERY: its table's name is left out when it is not known.
func (w *Worker) rowsQuery(b []byte, e *Event, sql []byte) []byte {
	names := emptyNames[:2]
	if e.Statement != nil {
		names = e.Statement.names
	}
	return w.accompany(b, e, names, sql)
}

func (w *Worker) accompany(b []byte, e *Event, names, sql []byte) []byte {
	return w.entry(b, e, names, RowData, EventQuery, appendBytes([]byte{0x10, byte(EventQuery)}, 0x5a, sql))
}

// plainStatement is one of which nobody found out anything.
var plainStatement = &Statement{Event: EventQuery}

// statement is the entry of a statement that is no transaction control.
func (w *Worker) statement(b []byte, e *Event, raw []byte) ([]byte, error) {
	q, err := w.parseQuery(e, raw)
	if err != nil {
		return b, err
	}
	st := e.Statement
	if st == nil {
		st = plainStatement
	}
	sql := q.SQL
	if i := bytes.IndexByte(sql, 0); i >= 0 {
		sql = sql[:i]
	}
	body := []byte{0x10, byte(st.Event), 0x50, 1}
	if st.Event.IsDML() {
		body[3] = 0
	}
	if st.Charset != nil {
		body = appendBytes(body, 0x5a, st.Charset.Append(nil, sql))
	} else {
		body = appendBytes(body, 0x5a, w.text(sql))
	}
	if len(q.Schema) > 0 {
		body = appendBytes(body, 0x72, render.UTF8(nil, q.Schema)) // in UTF-8 whatever the session speaks
	}
	return w.entry(b, e, st.names, RowData, st.Event, body), nil
}

// parseQuery reads a QUERY event, which MariaDB may have compressed. The
// statement is valid until the next call.
func (w *Worker) parseQuery(e *Event, raw []byte) (event.Query, error) {
	if e.Header.Type == event.TypeMariaQueryCompressed {
		plain, err := inflateQuery(w.plain[:0], raw)
		if err != nil {
			return event.Query{}, err
		}
		w.plain, raw = plain, plain
	}
	return event.ParseQuery(raw)
}

// xa handles the four XA statements. The xid is what follows the upper-case
// words, leading blank included.
func (w *Worker) xa(b []byte, e *Event, raw []byte) ([]byte, error) {
	q, err := w.parseQuery(e, raw)
	if err != nil {
		return b, err
	}
	sql := string(w.text(q.SQL))
	upper := strings.ToUpper(strings.TrimSpace(sql))
	for _, kind := range []string{"XA START", "XA END", "XA COMMIT", "XA ROLLBACK"} {
		if !strings.HasPrefix(upper, kind) {
			continue
		}
		xid := ""
		if _, after, found := strings.Cut(sql, kind); found {
			xid = after
		}
		switch kind {
		case "XA START":
			body := append(xaProps(0x1a, kind, xid), 0x20)
			return w.marker(b, e, TransactionBegin, appendVarint(body, uint64(q.ThreadID))), nil
		case "XA END":
			return w.marker(b, e, TransactionEnd, append(appendString(nil, 0x12, "0"), xaProps(0x1a, kind, xid)...)), nil
		case "XA ROLLBACK":
			return w.xaDone(b, e, EventXARollback, kind, xid, sql), nil
		}
		return w.xaDone(b, e, EventXACommit, kind, xid, sql), nil
	}
	return b, fmt.Errorf("not an XA statement: %.40q", sql)
}

func xaProps(tag byte, kind, xid string) []byte {
	return appendPair(appendPair(nil, tag, "XA_TYPE", kind), tag, "XA_XID", xid)
}

// xaDone is the entry of the end of a transaction that was prepared.
func (w *Worker) xaDone(b []byte, e *Event, et EventType, kind, xid, sql string) []byte {
	body := appendString([]byte{0x10, byte(et)}, 0x5a, sql)
	return w.entry(b, e, emptyNames, RowData, et, append(body, xaProps(0x6a, kind, xid)...))
}

func (w *Worker) userVar(v event.UserVar) []byte {
	b := append([]byte("SET @"), w.text(v.Name)...)
	b = append(b, " := "...)
	if v.Null {
		return append(b, "NULL"...)
	}
	switch v.Type {
	case 1:
		if len(v.Value) >= 8 {
			return render.Double(b, v.Value[:8])
		}
	case 2:
		return append(b, v.Integer()...)
	case 4:
		if len(v.Value) >= 2 {
			return render.Decimal(b, v.Value[2:], int(v.Value[0]), int(v.Value[1]))
		}
	}
	b = append(b, '\'')
	b = w.charset.Append(b, v.Value)
	return append(b, '\'')
}

// InflateStatement is the statement of a whole MariaDB QUERY_COMPRESSED event.
func InflateStatement(raw []byte) ([]byte, error) {
	q, err := event.ParseQuery(raw)
	if err != nil {
		return nil, err
	}
	return render.InflateEvent(nil, q.SQL, maxInflatedBytes)
}

// inflateQuery rebuilds the QUERY event behind a MariaDB QUERY_COMPRESSED: only
// the statement itself is compressed.
func inflateQuery(dst, raw []byte) ([]byte, error) {
	q, err := event.ParseQuery(raw)
	if err != nil {
		return dst, err
	}
	head := raw[:len(raw)-len(q.SQL)]
	dst = append(dst, head...)
	return render.InflateEvent(dst, q.SQL, maxInflatedBytes)
}

// maxInflatedBytes is more than max_allowed_packet lets an event be (1 GiB).
const maxInflatedBytes = 1<<30 + 1<<20
