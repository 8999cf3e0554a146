package binlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a connection that plays bytes in pieces of random size.
type wire struct {
	net.Conn
	data []byte
	r    *rand.Rand
	most int
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.data) == 0 {
		return 0, io.EOF
	}
	n := min(1+w.r.IntN(w.most), len(p), len(w.data))
	copy(p, w.data[:n])
	w.data = w.data[n:]
	return n, nil
}

func (*wire) SetReadDeadline(time.Time) error { return nil }

func packetOf(body []byte) []byte {
	return append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), 0}, body...)
}

// Packets of all sizes come out as they went in, however the socket cuts them,
// and packets of 16 MiB - 1 are joined.
func TestFraming(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 2, 100, 4095, 65531, 65532, 65533, 70000, 1, 300000, 1 << 20, 5, 2 << 20, 7}
	for range 300 {
		sizes = append(sizes, 1+r.IntN(3000))
	}
	sizes = append(sizes, maxPacket-1, 2*maxPacket+77, 9, maxPacket, 11)
	var data []byte
	var want [][]byte
	for i, n := range sizes {
		body := bytes.Repeat([]byte{byte(i)}, n)
		body[0] = 0
		want = append(want, body[1:])
		for len(body) >= maxPacket {
			data = append(data, packetOf(body[:maxPacket])...)
			body = body[maxPacket:]
		}
		data = append(data, packetOf(body)...)
	}
	for _, most := range []int{3000, 1 << 16, 1 << 24} {
		d := &dump{conn: &wire{data: data, r: r, most: most}, buf: make([]byte, readBufferBytes)}
		for i := range want {
			got, err := d.event()
			if err != nil || !bytes.Equal(got, want[i]) {
				t.Fatalf("pieces up to %d: event %d of %d bytes is %d bytes, %v", most, i, len(want[i]), len(got), err)
			}
		}
		if _, err := d.event(); !errors.Is(err, ErrSourceClosed) {
			t.Errorf("at the end: %v", err)
		}
		if len(d.buf) > readBufferMaxLen+maxPacket || cap(d.joined) > 3*maxPacket {
			t.Errorf("buffers of %d and %d bytes are kept", len(d.buf), cap(d.joined))
		}
	}
}

func TestPacketsThatAreNoEvents(t *testing.T) {
	fatal := func(code uint16, text string) []byte {
		return append(binary.LittleEndian.AppendUint16([]byte{0xff}, code), "#HY000"+text...)
	}
	for _, c := range []struct {
		name string
		body []byte
		is   error
		text string
	}{
		{"end", []byte{0xfe}, ErrSourceClosed, ""},
		{"purged", fatal(1236, "Could not find first log file name in binary log index file"), ErrPositionPurged, ""},
		{"purged GTIDs", fatal(1236, "... the master has purged binary logs containing GTIDs"), ErrPositionPurged, ""},
		{"shared id", fatal(1236, "A slave with the same server_uuid/server_id as this slave has connected"), ErrSourceClosed, ""},
		{"other fatal error", fatal(1236, "log event entry exceeded max_allowed_packet"), nil, "max_allowed_packet"},
		{"no privilege", fatal(1227, "Access denied; you need REPLICATION SLAVE"), ErrPrecondition, "GRANT"},
		{"unknown", []byte{0x17, 1}, nil, "unknown kind 0x17"},
		{"empty", nil, nil, "empty packet"},
		{"short error", []byte{0xff, 1}, nil, "too short"},
	} {
		d := &dump{conn: &wire{data: packetOf(c.body), r: rand.New(rand.NewPCG(1, 1)), most: 100}, buf: make([]byte, 64)}
		_, err := d.event()
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.is == nil && errors.Is(err, ErrPositionPurged) {
			t.Errorf("%s counts as a lost position", c.name)
		}
	}
}

func TestChecksum(t *testing.T) {
	raw := bytes.Repeat([]byte{7}, 60)
	sum := binary.LittleEndian.AppendUint32(bytes.Clone(raw), crc32.ChecksumIEEE(raw))
	if b, err := body(sum, true); err != nil || !bytes.Equal(b, raw) {
		t.Errorf("%x, %v", b, err)
	}
	for i := range sum {
		bad := bytes.Clone(sum)
		bad[i] ^= 0x10
		if _, err := body(bad, true); !errors.Is(err, ErrChecksum) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if _, err := body(raw[:20], true); !errors.Is(err, event.ErrShort) {
		t.Errorf("short event: %v", err)
	}
	if b, err := body(raw, false); err != nil || len(b) != len(raw) {
		t.Errorf("without checksum: %v", err)
	}
}

// greeting is the first packet of an old server, with a plugin name and with or
// without the NUL behind it.
func greeting(nul bool) []byte {
	b := append([]byte{10}, "5.5.9-log\x00"...)
	b = append(b, 1, 0, 0, 0)
	b = append(b, "12345678\x00"...)
	b = append(b, 0xff, 0xf7, 8, 2, 0, 0x0f, 0x80, 21)
	b = append(b, make([]byte, 10)...)
	b = append(b, "123456789012\x00mysql_native_password"...)
	if nul {
		b = append(b, 0)
	}
	return b
}

func TestGreetingIsCompleted(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for name, c := range map[string]struct{ first, want []byte }{
		"without NUL": {greeting(false), greeting(true)},
		"with NUL":    {greeting(true), greeting(true)},
		"an error":    {[]byte("\xff\x10\x04Too many connections"), []byte("\xff\x10\x04Too many connections")},
		"empty":       {nil, nil},
		"large":       {bytes.Repeat([]byte{10}, 9000), bytes.Repeat([]byte{10}, 9000)},
		"one byte":    {[]byte{10}, []byte{10}},
	} {
		t.Run(name, func(t *testing.T) {
			rest := []byte("what follows")
			g := &greetingConn{Conn: &wire{data: append(packetOf(c.first), rest...), r: r, most: 3}}
			got, err := io.ReadAll(g)
			if want := append(packetOf(c.want), rest...); err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %q, %v, want %q", got, err, want)
			}
		})
	}
	g := &greetingConn{Conn: &wire{data: packetOf(greeting(false))[:30], r: r, most: 3}}
	if _, err := io.ReadAll(g); err != nil && !errors.Is(err, io.EOF) {
		t.Errorf("cut off: %v", err)
	}
}

// collector is a sink that keeps what it gets.
type collector struct{ chunks []*entry.Chunk }

func (*collector) Free(context.Context) (*entry.Chunk, error) { return new(entry.Chunk), nil }

func (c *collector) Emit(_ context.Context, chunk *entry.Chunk) error {
	c.chunks = append(c.chunks, chunk)
	return nil
}

// deadSession answers everything with an error.
func deadSession() *session {
	here, there := net.Pipe()
	_, _ = here.Close(), there.Close()
	return &session{raw: here}
}

func testStream(sink Sink) *stream {
	h, err := history.Open("", history.Keep{})
	if err != nil {
		panic(err)
	}
	r := &Reader{log: zap.NewNop(), history: h, meta: deadSession()}
	return &stream{r: r, d: &dump{}, sink: sink, file: "mysql-bin.000001", context: entry.NewContext("mysql-bin.000001", ""), maps: map[uint64]*mapped{}}
}

func rawEvent(typ event.Type, body []byte) []byte {
	b := append([]byte{1, 0, 0, 0, byte(typ), 9, 0, 0, 0}, make([]byte, 10)...)
	binary.LittleEndian.PutUint32(b[9:], uint32(event.HeaderLen+len(body)))
	return append(b, body...)
}

func queryBody(sql string) []byte {
	return append(append(make([]byte, 13), 0), sql...)
}

// payloadEvent wraps events as MySQL's transaction compression does.
func payloadEvent(t *testing.T, compression byte, inner []byte) []byte {
	t.Helper()
	if compression == 0 {
		z, err := zstd.NewWriter(nil)
		if err != nil {
			t.Fatal(err)
		}
		inner = z.EncodeAll(inner, nil)
		_ = z.Close()
	}
	head := []byte{2, 1, compression, 1, 9, 0xfe}
	if compression == 255 {
		head = []byte{2, 3, 0xfc, 255, 0, 1, 9, 0xfe}
	}
	head = binary.LittleEndian.AppendUint64(head, uint64(len(inner)))
	return rawEvent(event.TypeTransactionPayload, append(append(head, 0), inner...))
}

func TestPayloadIsExpanded(t *testing.T) {
	inner := bytes.Join([][]byte{
		rawEvent(event.TypeQuery, queryBody("BEGIN")), rawEvent(event.TypeRowsQuery, []byte("\x08insert x")),
		rawEvent(event.TypeXID, []byte{1, 0, 0, 0, 0, 0, 0, 0}),
	}, nil)
	for _, compression := range []byte{0, 255} {
		sink := new(collector)
		s := testStream(sink)
		raw := payloadEvent(t, compression, inner)
		h := event.Header{Type: event.TypeTransactionPayload, LogPos: 5000, Length: 300}
		if err := s.event(t.Context(), h, raw); err != nil {
			t.Fatal(err)
		}
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		events := sink.chunks[0].Events
		kinds := []entry.Kind{entry.KindBegin, entry.KindRowsQuery, entry.KindXID}
		if len(events) != len(kinds) {
			t.Fatalf("compression %d: %d events", compression, len(events))
		}
		for i, e := range events {
			if e.Kind != kinds[i] || e.Offset != 4700 || e.Length != 300 || e.Sub != uint32(i+1) || e.Resume != (i == 2) {
				t.Errorf("compression %d: event %d is %+v", compression, i, e)
			}
		}
	}
}

func TestBadPayloads(t *testing.T) {
	good := rawEvent(event.TypeXID, make([]byte, 8))
	tooLong := bytes.Clone(good)
	binary.LittleEndian.PutUint32(tooLong[9:], 1<<31)
	tooShort := bytes.Clone(good)
	binary.LittleEndian.PutUint32(tooShort[9:], 3)
	for name, raw := range map[string][]byte{
		"truncated":           payloadEvent(t, 255, good[:20]),
		"absurd size":         payloadEvent(t, 255, tooLong),
		"size below a header": payloadEvent(t, 255, tooShort),
		"nested":              payloadEvent(t, 255, payloadEvent(t, 255, good)),
		"unknown compression": rawEvent(event.TypeTransactionPayload, []byte{2, 1, 7, 0}),
		"no zstd":             rawEvent(event.TypeTransactionPayload, []byte{2, 1, 0, 0, 1, 2, 3, 4}),
		"no end mark":         rawEvent(event.TypeTransactionPayload, []byte{2, 1, 0}),
		"empty":               rawEvent(event.TypeTransactionPayload, nil),
	} {
		s := testStream(new(collector))
		if err := s.event(t.Context(), event.Header{Type: event.TypeTransactionPayload}, raw); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// Only the exact words delimit a transaction.
func TestQueries(t *testing.T) {
	for _, c := range []struct {
		sql    string
		kind   entry.Kind
		none   bool
		resume bool
		in     bool // a transaction is open behind it
	}{
		{"BEGIN", entry.KindBegin, false, false, true},
		{" begin ", entry.KindBegin, false, false, true},
		{"COMMIT", entry.KindCommit, false, true, false},
		{"ROLLBACK", 0, true, false, false},
		{"rename table a to rn_begin", entry.KindStatement, false, true, false},
		{"alter table a rename x_commit", entry.KindStatement, false, true, false},
		{"XA START X'78',X'',1", entry.KindXA, false, false, true},
		{"XA END X'78',X'',1", entry.KindXA, false, true, false},
		{"xa commit X'78',X'',1", entry.KindXA, false, true, false},
		{"XA ROLLBACK X'78',X'',1", entry.KindXA, false, true, false},
		{"XA PREPARE X'78',X'',1", 0, true, false, false},
		{"xanthippe", entry.KindStatement, false, true, false},
		{"SAVEPOINT `s`", 0, true, false, false},
		{"ROLLBACK TO `s`", 0, true, false, false},
		{"CREATE TABLE t (a INT)", entry.KindStatement, false, true, false},
	} {
		sink := new(collector)
		s := testStream(sink)
		if err := s.event(t.Context(), event.Header{Type: event.TypeQuery}, rawEvent(event.TypeQuery, queryBody(c.sql))); err != nil {
			t.Fatal(err)
		}
		if err := s.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.none {
			if len(sink.chunks) != 0 {
				t.Errorf("%q makes an entry", c.sql)
			}
			continue
		}
		e := sink.chunks[0].Events[0]
		if e.Kind != c.kind || e.Resume != c.resume || s.inTransaction != c.in {
			t.Errorf("%q: kind %d, resume %v, in a transaction %v", c.sql, e.Kind, e.Resume, s.inTransaction)
		}
	}
}

func TestRowsWithoutTableMap(t *testing.T) {
	s := testStream(new(collector))
	rows := rawEvent(event.TypeWriteRowsV2, []byte{9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 0, 1, 0, 0, 0})
	if err := s.event(t.Context(), event.Header{Type: event.TypeWriteRowsV2}, rows); !errors.Is(err, ErrInsideTransaction) {
		t.Error(err)
	}
}

// Positions go on past 4 GiB, where the headers' 32 bits begin anew.
func TestPositionsPast4GiB(t *testing.T) {
	sink := new(collector)
	s := testStream(sink)
	s.next = 1<<32 - 300
	for _, c := range []struct {
		pos, length uint32
		want        uint64
	}{{1<<32 - 200, 100, 1<<32 - 300}, {50, 250, 1<<32 - 200}, {150, 100, 1<<32 + 50}, {0, 100, 1<<32 + 150}, {350, 100, 1<<32 + 250}} {
		h := event.Header{Type: event.TypeXID, LogPos: c.pos, Length: c.length}
		s.place(&h)
		if got := s.start(h); got != c.want {
			t.Errorf("event that ends at %d starts at %d, want %d", c.pos, got, c.want)
		}
	}
	if err := s.rotate(t.Context(), rawEvent(event.TypeRotate, append([]byte{4, 0, 0, 0, 0, 0, 0, 0}, "mysql-bin.000002"...))); err != nil {
		t.Fatal(err)
	}
	h := event.Header{Type: event.TypeXID, LogPos: 126, Length: 100}
	s.place(&h)
	if got := s.start(h); got != 26 {
		t.Errorf("in the next file an event starts at %d", got)
	}
}
