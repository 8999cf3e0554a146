package binlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/ddl"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

// ErrUnknownEvent is wrapped by the error of an event that nobody may pass over
// and that is not known: what it does to tables cannot be told.
var ErrUnknownEvent = errors.New("event of an unknown type, which the source does not allow to pass over")

// stream is the state of one dump: what the binlog said so far.
type stream struct {
	r       *Reader
	d       *dump
	sink    Sink
	chunk   *entry.Chunk
	file    string
	context *entry.Context
	plain   *entry.Context // the file's, without a set
	gtids   *gtids         // nil outside GTID mode
	maps    map[uint64]*mapped

	// inTransaction is true between BEGIN, or a MariaDB GTID that opens a
	// transaction, and the event that ends it.
	inTransaction bool
	statements    int // seen so far that may change structures
	// unsettled is true for the statement of an ALTER that is logged again when
	// it is done, or was given up.
	unsettled bool
	// next is where the event behind the last one starts in its file.
	next uint32
	base uint64 // the bits of it that 32 do not hold
	// fresh is true until something came that lies between transactions or
	// begins or ends one: rows before that are from the middle of one.
	fresh bool
	// loadWarned is true once a lost LOAD DATA was warned of.
	loadWarned bool
	payload    payloadPlace

	// Not counted yet.
	received  int64
	eventTime uint32
	heartbeat bool
	filtered  [filteredKinds]int64
}

// payloadPlace is where events come from that a TRANSACTION_PAYLOAD holds; they
// are known by the payload's offset and length and by their number in it.
type payloadPlace struct {
	active bool
	offset uint64
	length uint32
	next   uint32
}

// mapped is a table map and what was made of it.
type mapped struct {
	raw   []byte // the event behind its header, to recognise it when it comes again
	name  schema.Name
	table *schema.Table // that codec was compiled from
	codec *entry.Codec  // nil: the table's rows are left out
	// statements is the stream's count when a table was left out: after the next
	// statement it is looked at again.
	statements int
	filters    int64 // the reader's count when SkipTable was asked
}

func (s *stream) run(ctx context.Context) error {
	defer s.count()
	for {
		if !s.d.buffered() {
			// The socket is drained: what is there goes out before the wait.
			if err := s.flush(ctx); err != nil {
				return err
			}
			s.count()
		}
		raw, err := s.d.event()
		if err != nil {
			return err
		}
		h, err := event.ParseHeader(raw)
		if err != nil {
			return err
		}
		s.place(&h)
		s.received += int64(len(raw))
		if h.Type == event.TypeHeartbeat || h.Type == event.TypeHeartbeatV2 {
			s.heartbeat = true
		} else if h.Timestamp > 0 && h.LogPos > 0 {
			s.eventTime = h.Timestamp
		}
		checksum := s.d.checksum
		if h.Type == event.TypeFormatDescription {
			f, err := event.ParseFormat(raw)
			if err != nil {
				return err
			}
			if f.Checksum > 1 {
				return fmt.Errorf("binlog %s uses checksum algorithm %d, which is not known", s.file, f.Checksum)
			}
			checksum = f.Checksum == 1
			s.d.checksum = checksum
			clear(s.maps) // ids start anew with the server
		}
		b, err := body(raw, checksum)
		if err != nil {
			return fmt.Errorf("event type %d in %s at %d: %w", h.Type, s.file, h.Start(), err)
		}
		if err := s.event(ctx, h, b); err != nil {
			return fmt.Errorf("event type %d in %s at %d: %w", h.Type, s.file, h.Start(), err)
		}
		if s.chunk != nil && s.chunk.Full() {
			s.count()
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// place gives an event the position that its header leaves out: MariaDB from
// 11.4 on writes 0 into the events of a transaction but its last one
// (binlog_legacy_event_pos). Events that lie in no file have 0 as well.
func (s *stream) place(h *event.Header) {
	switch h.Type {
	case event.TypeRotate, event.TypeHeartbeat, event.TypeHeartbeatV2:
		return
	case event.TypeFormatDescription, event.TypeMariaStartEncryption:
		if h.LogPos == 0 { // sent ahead of a dump that starts further on
			return
		}
	}
	if h.Flags&event.FlagArtificial != 0 {
		return
	}
	if h.LogPos == 0 {
		h.LogPos = s.next + h.Length
	}
	if h.LogPos < s.next && s.next-h.LogPos > math.MaxUint32/2 {
		s.base += 1 << 32 // only one huge transaction makes a file so long
	}
	s.next = h.LogPos
}

// start is where an event starts in its file. Its header has the low 32 bits only.
func (s *stream) start(h event.Header) uint64 {
	if s.base == 0 {
		return uint64(h.Start())
	}
	return s.base + uint64(h.LogPos) - uint64(h.Length)
}

func (s *stream) flush(ctx context.Context) error {
	if s.chunk == nil || len(s.chunk.Events) == 0 {
		return nil
	}
	c := s.chunk
	s.chunk = nil
	return s.sink.Emit(ctx, c)
}

// add puts an event into the chunk.
func (s *stream) add(ctx context.Context, h event.Header, kind entry.Kind, codec *entry.Codec, b []byte, resume bool) error {
	return s.put(ctx, h, entry.Event{Kind: kind, Codec: codec, Resume: resume}, b)
}

func (s *stream) put(ctx context.Context, h event.Header, e entry.Event, b []byte) error {
	if s.chunk == nil {
		c, err := s.sink.Free(ctx)
		if err != nil {
			return err
		}
		s.chunk = c
	}
	e.Context, e.Header, e.Offset, e.Length = s.context, h, s.start(h), h.Length
	if e.Kind == entry.KindIntVar {
		e.Context = s.plain // Canal gives this one no set
	}
	e.Off, e.Len = uint32(len(s.chunk.Buf)), uint32(len(b))
	if s.payload.active {
		e.Offset, e.Length = s.payload.offset, s.payload.length
		e.Sub = s.payload.next
		s.payload.next++
	}
	s.chunk.Buf = append(s.chunk.Buf, b...)
	s.chunk.Events = append(s.chunk.Events, e)
	return nil
}

func (s *stream) event(ctx context.Context, h event.Header, b []byte) error {
	if kind, _, _ := h.Type.Rows(); kind != event.NotRows {
		return s.rows(ctx, h, kind, b)
	}
	switch h.Type {
	case event.TypeTableMap:
		return s.tableMap(ctx, h, b)
	case event.TypeQuery, event.TypeMariaQueryCompressed:
		return s.query(ctx, h, b)
	case event.TypeXID:
		s.inTransaction, s.fresh = false, false
		return s.add(ctx, h, entry.KindXID, nil, b, true)
	case event.TypeMariaGTID:
		// Flag 1 marks a statement that stands alone; all else opens a transaction.
		s.inTransaction = len(b) > event.HeaderLen+12 && b[event.HeaderLen+12]&1 == 0
		s.fresh = false
		s.unsettled = event.MariaAlterUnsettled(b)
		if err := s.track(h, b); err != nil {
			return err
		}
		if s.inTransaction && s.r.cfg.MariaBegin {
			return s.add(ctx, h, entry.KindMariaBegin, nil, b, false)
		}
	case event.TypeRotate:
		return s.rotate(ctx, b)
	case event.TypeTransactionPayload:
		s.fresh = false
		return s.expand(ctx, h, b)
	case event.TypeRowsQuery:
		return s.rowsQuery(ctx, h, b)
	case event.TypeMariaAnnotateRows:
		return s.accompany(ctx, h, entry.KindAnnotate, b)
	case event.TypeUserVar:
		return s.accompany(ctx, h, entry.KindUserVar, b)
	case event.TypeIntVar:
		return s.accompany(ctx, h, entry.KindIntVar, b)
	case event.TypeRand:
		return s.accompany(ctx, h, entry.KindRand, b)
	case event.TypeHeartbeat, event.TypeHeartbeatV2:
		return s.add(ctx, h, entry.KindHeartbeat, nil, nil, false)
	case event.TypeExecuteLoadQuery:
		return s.loadData(ctx, h, b)
	case event.TypeXAPrepare:
		x, err := event.ParseXAPrepare(b)
		if err != nil {
			return err
		}
		if x.OnePhase && s.r.cfg.XAOnePhase {
			return s.add(ctx, h, entry.KindXAOnePhase, nil, b, true)
		}
	case event.TypeIncident:
		s.r.log.Error("source reports an incident: its binlog may lack changes", zap.String("file", s.file), zap.Uint32("offset", h.Start()))
	case event.TypeGTID, event.TypeGTIDTagged, event.TypeAnonymousGTID, event.TypePreviousGTIDs:
		return s.track(h, b)
	case event.TypeMariaStartEncryption, event.TypeFormatDescription, event.TypeStop, event.TypeIgnorable,
		event.TypeMariaGTIDList, event.TypeMariaBinlogCheckpoint:
	default:
		if h.Flags&event.FlagIgnorable == 0 && !h.Type.Harmless() {
			return fmt.Errorf("%w; a newer canald may know it", ErrUnknownEvent)
		}
	}
	return nil
}

// accompany adds a statement that only explains the row changes behind it.
func (s *stream) accompany(ctx context.Context, h event.Header, kind entry.Kind, b []byte) error {
	if s.r.cfg.SkipQueries {
		s.filtered[filteredStatement]++
		return nil
	}
	return s.add(ctx, h, kind, nil, b, false)
}

// rowsQuery adds a ROWS_QUERY. Canal names the table that the statement begins
// with where its Druid parser understands it.
func (s *stream) rowsQuery(ctx context.Context, h event.Header, b []byte) error {
	if s.r.cfg.SkipQueries || s.r.cfg.Simple {
		return s.accompany(ctx, h, entry.KindRowsQuery, b)
	}
	e := entry.Event{Kind: entry.KindRowsQuery}
	empty := ""
	if rs := ddl.Druid(event.RowsQueryText(b), ddl.Mode{MariaDB: s.r.meta.maria}); len(rs) > 0 && rs[0].HasTable {
		e.Statement = entry.NewStatement(entry.EventQuery, &empty, &rs[0].Table, nil)
	}
	return s.put(ctx, h, e, b)
}

// rotate starts the context of a new file. Events of two files never share a
// chunk, so that a chunk's end says where the reader is.
func (s *stream) rotate(ctx context.Context, b []byte) error {
	file, offset, err := event.ParseRotate(b)
	if err != nil {
		return err
	}
	s.next, s.base = uint32(offset), offset&^math.MaxUint32
	if file == s.file {
		return nil
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	if err := s.r.history.See(file); err != nil {
		return err
	}
	s.r.log.Info("binlog file switched", zap.String("from", s.file), zap.String("to", file))
	s.enter(file)
	return nil
}

func (s *stream) rows(ctx context.Context, h event.Header, kind event.RowsKind, b []byte) error {
	id, flags, ok := event.RowsTableID(b)
	if !ok {
		return fmt.Errorf("row event of %d bytes: %w", len(b), event.ErrShort)
	}
	m := s.maps[id]
	if m == nil {
		if flags&event.FlagStmtEnd != 0 && len(b) <= event.HeaderLen+12 {
			return nil // the source closes a statement that changed nothing
		}
		return fmt.Errorf("table id %d: %w", id, ErrInsideTransaction)
	}
	cfg := &s.r.cfg
	if m.codec == nil {
		s.filtered[filteredTable]++
		return nil
	}
	if cfg.SkipRows || kind == event.Insert && cfg.SkipInserts ||
		kind == event.Update && cfg.SkipUpdates || kind == event.Delete && cfg.SkipDeletes {
		s.filtered[filteredRows]++
		return nil
	}
	return s.add(ctx, h, entry.KindRows, m.codec, b, false)
}

// tableMap finds or makes the codec for the rows that follow.
func (s *stream) tableMap(ctx context.Context, h event.Header, b []byte) error {
	id, _, ok := event.RowsTableID(b)
	if !ok {
		return fmt.Errorf("table map of %d bytes: %w", len(b), event.ErrShort)
	}
	if s.fresh {
		return fmt.Errorf("table map of id %d: %w", id, ErrInsideTransaction)
	}
	raw := b[event.HeaderLen:]
	m := s.maps[id]
	if m != nil && bytes.Equal(m.raw, raw) && s.current(m) {
		return nil
	}
	tm, err := event.ParseTableMap(b)
	if err != nil {
		return err
	}
	m = &mapped{raw: bytes.Clone(raw), statements: s.statements, filters: s.r.filters.Load(), name: schema.Name{
		Schema: s.name(tm.Schema), Table: s.name(tm.Table),
	}}
	if !s.r.skipped(m.name) {
		if err := s.compile(ctx, h, m, &tm); err != nil {
			return err
		}
	}
	s.maps[id] = m
	return nil
}

// current tells whether what was made of a table map still holds.
func (s *stream) current(m *mapped) bool {
	if m.filters != s.r.filters.Load() {
		return false
	}
	if m.codec == nil {
		return m.statements == s.statements
	}
	known := s.r.history.Get(m.name)
	return known != nil && known.Table == m.table
}

func (s *stream) name(raw []byte) string {
	if cs := s.r.cfg.Charset; cs != nil {
		return string(cs.Append(nil, raw))
	}
	return string(bytes.ToValidUTF8(raw, []byte("\uFFFD")))
}

// query sorts a QUERY event. Only the exact words are transaction control: a
// table may be called rn_begin.
func (s *stream) query(ctx context.Context, h event.Header, b []byte) error {
	s.fresh = false
	compressed := h.Type == event.TypeMariaQueryCompressed
	q, err := event.ParseQuery(b)
	if err != nil {
		return err
	}
	sql := q.SQL
	if compressed {
		if sql, err = entry.InflateStatement(b); err != nil {
			return err
		}
	}
	text := bytes.TrimSpace(sql)
	switch {
	case bytes.EqualFold(text, []byte("BEGIN")):
		s.inTransaction = true
		return s.add(ctx, h, entry.KindBegin, nil, b, false)
	case bytes.EqualFold(text, []byte("COMMIT")):
		s.inTransaction = false
		return s.add(ctx, h, entry.KindCommit, nil, b, true)
	case bytes.EqualFold(text, []byte("ROLLBACK")):
		// A transaction of a table that cannot roll back; Canal sends no entry for its end.
		s.inTransaction = false
		return nil
	case hasWord(text, "XA"):
		switch {
		case hasWord(text, "XA START"):
			s.inTransaction = true
			return s.add(ctx, h, entry.KindXA, nil, b, false)
		case hasWord(text, "XA END"), hasWord(text, "XA COMMIT"), hasWord(text, "XA ROLLBACK"):
			s.inTransaction = false
			return s.add(ctx, h, entry.KindXA, nil, b, true)
		}
		return nil
	case hasWord(text, "SAVEPOINT"), hasWord(text, "ROLLBACK TO"), hasWord(text, "RELEASE SAVEPOINT"):
		return nil
	}
	return s.statement(ctx, h, b, &q, sql)
}

// hasWord tells whether text starts with the given upper-case words.
func hasWord(text []byte, words string) bool {
	if len(text) < len(words) || !bytes.EqualFold(text[:len(words)], []byte(words)) {
		return false
	}
	return len(text) == len(words) || !isLetter(text[len(words)])
}

func isLetter(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
