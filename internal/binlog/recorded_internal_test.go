package binlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

// recordedFile reads the events of a binlog file that a server wrote.
func recordedFile(t *testing.T, name string) [][]byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "event", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var events [][]byte
	for b = b[4:]; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b[9:])
		e := b[:n:n]
		if e[4] == byte(event.TypeFormatDescription) {
			e[17] &^= 1 // "in use"; a dump is sent without it
		}
		events = append(events, e)
		b = b[n:]
	}
	return events
}

// artificial is a ROTATE event made for a dump, with a checksum.
func artificial(file string, offset uint64) []byte {
	b := rawEvent(event.TypeRotate, append(binary.LittleEndian.AppendUint64(nil, offset), file...))
	binary.LittleEndian.PutUint16(b[17:], event.FlagArtificial)
	binary.LittleEndian.PutUint32(b[9:], uint32(len(b)+event.ChecksumLen))
	return withChecksum(b)
}

func withChecksum(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }

// dumped is a stream whose socket plays the events in pieces.
func dumped(events [][]byte, sink Sink, most int) *stream {
	var data []byte
	for _, e := range events {
		data = append(data, packetOf(append([]byte{0}, e...))...)
	}
	s := testStream(sink)
	s.d = &dump{conn: &wire{data: data, r: rand.New(rand.NewPCG(5, 6)), most: most}, buf: make([]byte, 256), checksum: true}
	err := s.r.history.Learn([]*schema.Table{{Schema: "rows1", Name: "t", Columns: []schema.Column{
		{Name: "id", Type: "int", Key: true}, {Name: "a", Type: "varchar(20)"}, {Name: "b", Type: "decimal(10,2)"},
	}}}, position.Position{})
	if err != nil {
		panic(err)
	}
	return s
}

// story writes what the chunks hold, one word an event.
func story(chunks []*entry.Chunk) string {
	words := map[entry.Kind]string{
		entry.KindRows: "rows", entry.KindBegin: "begin", entry.KindXID: "xid", entry.KindStatement: "statement",
		entry.KindAnnotate: "annotate", entry.KindCommit: "commit", entry.KindHeartbeat: "heartbeat",
	}
	var b strings.Builder
	for _, c := range chunks {
		for _, e := range c.Events {
			fmt.Fprintf(&b, "%s:%d", words[e.Kind], e.Offset)
			if e.Resume {
				b.WriteString("!")
			}
			b.WriteString(" ")
		}
	}
	return strings.TrimSpace(b.String())
}

// A dump of a real file, however the socket cuts it; ! marks where a dump may
// start behind.
func TestRecordedDump(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"mysql-9.7.binlog", "begin:845 rows:975 xid:1034! begin:1144 rows:1283 xid:1343! begin:1453 rows:1583 xid:1632!"},
		{"mariadb-10.11.binlog", "annotate:836 rows:962 xid:1019! annotate:1092 rows:1203 xid:1261!"},
	} {
		for _, most := range []int{1, 7, 100, 1 << 20} {
			events := [][]byte{artificial("mysql-bin.000001", 4)}
			for _, e := range recordedFile(t, c.name) {
				if e[4] == byte(event.TypeQuery) && !bytes.Contains(e, []byte("BEGIN")) {
					continue // what changes structures needs a server to ask
				}
				events = append(events, e)
			}
			sink := new(collector)
			s := dumped(events, sink, most)
			if err := s.run(t.Context()); !errors.Is(err, ErrSourceClosed) {
				t.Fatalf("%s: %v", c.name, err)
			}
			if got := story(sink.chunks); got != c.want {
				t.Errorf("%s in pieces up to %d: %s, want %s", c.name, most, got, c.want)
			}
			for _, chunk := range sink.chunks {
				for _, e := range chunk.Events {
					if e.Kind == entry.KindRows && e.Codec.Name.Table != "t" || e.Context.File != "mysql-bin.000001" {
						t.Errorf("%+v", e)
					}
				}
			}
		}
	}
}

// One bit of one event bent is an error that tells the place; nothing of it goes on.
func TestBentDump(t *testing.T) {
	events := recordedFile(t, "mysql-9.7.binlog")
	for i, e := range events {
		if e[4] == byte(event.TypeFormatDescription) {
			continue // the length of its own fields is in doubt then, too
		}
		bent := bytes.Clone(e)
		bent[len(bent)-6] ^= 0x20
		all := append(append([][]byte{artificial("mysql-bin.000001", 4)}, events[:i]...), bent)
		if strings.Contains(fmt.Sprintf("%s", all), "CREATE TABLE") {
			break
		}
		err := dumped(all, new(collector), 50).run(t.Context())
		if !errors.Is(err, ErrChecksum) || !strings.Contains(err.Error(), "mysql-bin.000001") {
			t.Errorf("event %d of type %d: %v", i, e[4], err)
		}
	}
}

// Rows are left out by table, by kind and all; the rest stays.
func TestLeftOut(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"nothing", Config{}, "begin:845 rows:975 xid:1034! begin:1144 rows:1283 xid:1343! begin:1453 rows:1583 xid:1632!"},
		{"the table", Config{SkipTable: func(db, table string) bool { return db == "rows1" && table == "t" }}, "begin:845 xid:1034! begin:1144 xid:1343! begin:1453 xid:1632!"},
		{"all rows", Config{SkipRows: true}, "begin:845 xid:1034! begin:1144 xid:1343! begin:1453 xid:1632!"},
		{"inserts", Config{SkipInserts: true}, "begin:845 xid:1034! begin:1144 rows:1283 xid:1343! begin:1453 rows:1583 xid:1632!"},
		{"updates", Config{SkipUpdates: true}, "begin:845 rows:975 xid:1034! begin:1144 xid:1343! begin:1453 rows:1583 xid:1632!"},
		{"deletes", Config{SkipDeletes: true}, "begin:845 rows:975 xid:1034! begin:1144 rows:1283 xid:1343! begin:1453 xid:1632!"},
	} {
		events := [][]byte{artificial("mysql-bin.000001", 4)}
		for _, e := range recordedFile(t, "mysql-9.7.binlog") {
			if e[4] != byte(event.TypeQuery) || bytes.Contains(e, []byte("BEGIN")) {
				events = append(events, e)
			}
		}
		sink := new(collector)
		s := dumped(events, sink, 1000)
		s.r.cfg = c.cfg
		if err := s.run(t.Context()); !errors.Is(err, ErrSourceClosed) {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := story(sink.chunks); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Events of two files never share a chunk, and the second file's have its name.
func TestRotateCutsTheChunk(t *testing.T) {
	xid := func(pos uint32) []byte {
		b := rawEvent(event.TypeXID, make([]byte, 8))
		binary.LittleEndian.PutUint32(b[9:], uint32(len(b)+4))
		binary.LittleEndian.PutUint32(b[13:], pos)
		return withChecksum(b)
	}
	events := [][]byte{
		artificial("mysql-bin.000001", 4), xid(100), xid(200), artificial("mysql-bin.000002", 4), xid(50),
		artificial("mysql-bin.000002", 4), xid(90),
	}
	sink := new(collector)
	if err := dumped(events, sink, 1<<20).run(t.Context()); !errors.Is(err, ErrSourceClosed) {
		t.Fatal(err)
	}
	var got []string
	for _, c := range sink.chunks {
		for _, e := range c.Events {
			if e.Context.File != c.Events[0].Context.File {
				t.Error("a chunk holds events of two files")
			}
			got = append(got, fmt.Sprintf("%s:%d", e.Context.File, e.Offset+uint64(e.Length)))
		}
	}
	const want = "mysql-bin.000001:100 mysql-bin.000001:200 mysql-bin.000002:50 mysql-bin.000002:90"
	if s := strings.Join(got, " "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}
}

func TestUnknownChecksumAlgorithm(t *testing.T) {
	e := bytes.Clone(recordedFile(t, "mysql-9.7.binlog")[0])
	e[len(e)-event.ChecksumLen-1] = 2
	err := dumped([][]byte{e}, new(collector), 100).run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "checksum algorithm 2") {
		t.Error(err)
	}
}

// A payload that holds less than it says, or whose events end too early.
func TestPayloadCutShort(t *testing.T) {
	inner := bytes.Join([][]byte{
		rawEvent(event.TypeQuery, queryBody("BEGIN")), rawEvent(event.TypeRowsQuery, bytes.Repeat([]byte("insert "), 3000)),
		rawEvent(event.TypeXID, make([]byte, 8)),
	}, nil)
	whole := payloadEvent(t, 0, inner)
	for n := event.HeaderLen; n < len(whole); n++ {
		s := testStream(new(collector))
		if err := s.event(t.Context(), event.Header{Type: event.TypeTransactionPayload}, whole[:n:n]); err == nil {
			t.Errorf("cut at %d of %d: no error", n, len(whole))
		}
		if s.payload.active {
			t.Fatal("the payload is still open")
		}
	}
}

// A few bytes that expand to very much are handed on event by event.
func TestPayloadThatExpands(t *testing.T) {
	one := rawEvent(event.TypeRowsQuery, bytes.Repeat([]byte{'x'}, 60_000))
	raw := payloadEvent(t, 0, bytes.Repeat(one, 500)) // 30 MB
	if len(raw) > 100_000 {
		t.Fatalf("payload of %d bytes is not small", len(raw))
	}
	sink := new(counter)
	s := testStream(sink)
	if err := s.event(t.Context(), event.Header{Type: event.TypeTransactionPayload}, raw); err != nil {
		t.Fatal(err)
	}
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sink.events != 500 || sink.largest > 4*entry.ChunkBytes {
		t.Errorf("%d events, the largest chunk has %d bytes", sink.events, sink.largest)
	}
}

type counter struct {
	collector
	events, largest int
}

func (c *counter) Emit(_ context.Context, chunk *entry.Chunk) error {
	c.events += len(chunk.Events)
	c.largest = max(c.largest, len(chunk.Buf))
	return nil
}

func TestEndsTransaction(t *testing.T) {
	query := func(sql string) (event.Header, []byte) {
		return event.Header{Type: event.TypeQuery}, rawEvent(event.TypeQuery, queryBody(sql))
	}
	mariaGTID := func(flags byte) (event.Header, []byte) {
		return event.Header{Type: event.TypeMariaGTID}, rawEvent(event.TypeMariaGTID, append(make([]byte, 12), flags))
	}
	of := func(typ event.Type) func() (event.Header, []byte) {
		return func() (event.Header, []byte) { return event.Header{Type: typ}, rawEvent(typ, nil) }
	}
	sql := func(s string) func() (event.Header, []byte) {
		return func() (event.Header, []byte) { return query(s) }
	}
	gtid := func(flags byte) func() (event.Header, []byte) {
		return func() (event.Header, []byte) { return mariaGTID(flags) }
	}
	for _, c := range []struct {
		name       string
		e          func() (event.Header, []byte)
		in         bool
		ended, now bool
	}{
		{"xid", of(event.TypeXID), true, true, false},
		{"payload", of(event.TypeTransactionPayload), false, true, false},
		{"begin", sql("BEGIN"), false, false, true},
		{"commit", sql(" commit "), true, true, false},
		{"rollback", sql("ROLLBACK"), true, true, false},
		{"rollback to a savepoint", sql("ROLLBACK TO s"), true, false, true},
		{"savepoint", sql("SAVEPOINT s"), true, false, true},
		{"statement inside", sql("INSERT INTO t VALUES (1)"), true, false, true},
		{"statement outside", sql("CREATE TABLE t (a INT)"), false, true, false},
		{"a name that ends with begin", sql("RENAME TABLE a TO x_begin"), false, true, false},
		{"xa start", sql("XA START X'78'"), false, false, true},
		{"xa end", sql("XA END X'78'"), true, true, false},
		{"xa commit", sql("XA COMMIT X'78'"), false, true, false},
		{"mariadb, a transaction", gtid(0), false, false, true},
		{"mariadb, a statement alone", gtid(1), false, false, false},
		{"rows", of(event.TypeWriteRowsV2), true, false, true},
		{"a query cut short", of(event.TypeQuery), true, false, true},
		{"a gtid cut short", of(event.TypeMariaGTID), false, false, false},
	} {
		h, b := c.e()
		if ended, now := endsTransaction(h, b, c.in); ended != c.ended || now != c.now {
			t.Errorf("%s: ended %v, in %v", c.name, ended, now)
		}
	}
}

// Any event bytes give chunks or an error.
func FuzzStream(f *testing.F) {
	for _, name := range []string{"mysql-9.7.binlog", "mariadb-10.11.binlog"} {
		b, err := os.ReadFile(filepath.Join("..", "event", "testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		for b = b[4:]; len(b) > 0; {
			n := binary.LittleEndian.Uint32(b[9:])
			f.Add(b[: n-event.ChecksumLen : n-event.ChecksumLen])
			b = b[n:]
		}
	}
	known := []*schema.Table{{Schema: "rows1", Name: "t", Columns: []schema.Column{
		{Name: "id", Type: "int", Key: true}, {Name: "a", Type: "varchar(20)"}, {Name: "b", Type: "decimal(10,2)"},
	}}}
	h, err := history.Open("", history.Keep{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		head, err := event.ParseHeader(b)
		if err != nil {
			return
		}
		s := testStream(new(collector))
		if err := h.Learn(known, position.Position{}); err != nil {
			t.Fatal(err)
		}
		// Without a session what would be asked of a server is an error.
		s.r = &Reader{log: zap.NewNop(), history: h, meta: deadSession(), cfg: Config{Addr: "127.0.0.1:0"}.withDefaults()}
		s.r.cfg.SkipTable = func(_, table string) bool { return table != "t" }
		_ = s.event(t.Context(), head, b)
		_ = s.flush(t.Context())
	})
}
