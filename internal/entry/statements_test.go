package entry_test

import (
	"bytes"
	"compress/zlib"
	"errors"
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
)

func queryBytes(t event.Type, thread uint32, db, sql string) []byte {
	b := []byte{byte(thread), byte(thread >> 8), byte(thread >> 16), byte(thread >> 24), 0, 0, 0, 0, byte(len(db)), 0, 0, 3, 0, 1, 2, 3}
	b = append(append(b, db...), 0)
	return rawEvent(t, append(b, sql...))
}

// deflated is a text as MariaDB compresses it in an event.
func deflated(tb testing.TB, text string) string {
	tb.Helper()
	var b bytes.Buffer
	b.Write([]byte{0x82, byte(len(text) >> 8), byte(len(text))})
	z := zlib.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

func pairs(kv ...string) []*canalpb.Pair {
	var out []*canalpb.Pair
	for i := 0; i < len(kv); i += 2 {
		out = append(out, &canalpb.Pair{Key: new(kv[i]), Value: new(kv[i+1])})
	}
	return out
}

// Entries of everything that is no row, beside the same as protobuf objects.
func TestStatements(t *testing.T) {
	queryEntry := func(sql string) *canalpb.RowChange {
		return &canalpb.RowChange{EventType: canalpb.EventType_QUERY.Enum(), Sql: new(sql)}
	}
	statement := func(sql string, db *string) *canalpb.RowChange {
		return &canalpb.RowChange{EventType: canalpb.EventType_QUERY.Enum(), IsDdl: new(true), Sql: new(sql), DdlSchemaName: db}
	}
	xa := func(et canalpb.EventType, sql, kind, xid string) *canalpb.RowChange {
		return &canalpb.RowChange{EventType: et.Enum(), Sql: new(sql), Props: pairs("XA_TYPE", kind, "XA_XID", xid)}
	}
	userVar := func(body ...byte) []byte {
		return rawEvent(event.TypeUserVar, append([]byte{1, 0, 0, 0, 'v'}, body...))
	}
	const long = "XA COMMIT X'616161616161616161616161616161616161616161616161616161',X'6262626262626262626262626262626262626262',1"
	none, empty := (*string)(nil), new("")
	for _, c := range []struct {
		name          string
		kind          entry.Kind
		raw           []byte
		schema, table *string
		typ           canalpb.EntryType
		body          proto.Message
	}{
		{
			"begin", entry.KindBegin, queryBytes(2, math.MaxUint32, "d", "BEGIN"), empty, empty, canalpb.EntryType_TRANSACTIONBEGIN,
			&canalpb.TransactionBegin{ThreadId: new(int64(math.MaxUint32))},
		},
		{
			"commit", entry.KindCommit, queryBytes(2, 1, "d", "COMMIT"), empty, empty, canalpb.EntryType_TRANSACTIONEND,
			&canalpb.TransactionEnd{TransactionId: new("0")},
		},
		{
			"xid", entry.KindXID, rawEvent(event.TypeXID, []byte{7, 0, 0, 0, 0, 0, 0, 0}), empty, empty, canalpb.EntryType_TRANSACTIONEND,
			&canalpb.TransactionEnd{TransactionId: new("7")},
		},
		{
			"xid is signed", entry.KindXID, rawEvent(event.TypeXID, bytes.Repeat([]byte{255}, 8)), empty, empty, canalpb.EntryType_TRANSACTIONEND,
			&canalpb.TransactionEnd{TransactionId: new("-1")},
		},
		{
			"xa start", entry.KindXA, queryBytes(2, 300, "", "XA START X'78',X'6271',1"), empty, empty, canalpb.EntryType_TRANSACTIONBEGIN,
			&canalpb.TransactionBegin{Props: pairs("XA_TYPE", "XA START", "XA_XID", " X'78',X'6271',1"), ThreadId: new(int64(300))},
		},
		{
			"xa end", entry.KindXA, queryBytes(2, 300, "", "XA END X'78'"), empty, empty, canalpb.EntryType_TRANSACTIONEND,
			&canalpb.TransactionEnd{TransactionId: new("0"), Props: pairs("XA_TYPE", "XA END", "XA_XID", " X'78'")},
		},
		{
			"xa commit", entry.KindXA, queryBytes(2, 300, "", "XA COMMIT X'78'"), empty, empty, canalpb.EntryType_ROWDATA,
			xa(canalpb.EventType_XACOMMIT, "XA COMMIT X'78'", "XA COMMIT", " X'78'"),
		},
		{
			"xa rollback in lower case", entry.KindXA, queryBytes(2, 300, "", "xa rollback X'78'"), empty, empty, canalpb.EntryType_ROWDATA,
			xa(canalpb.EventType_XAROLLBACK, "xa rollback X'78'", "XA ROLLBACK", ""),
		},
		{
			"xa commit that MariaDB compressed", entry.KindXA, queryBytes(event.TypeMariaQueryCompressed, 300, "", deflated(t, long)), empty, empty, canalpb.EntryType_ROWDATA,
			xa(canalpb.EventType_XACOMMIT, long, "XA COMMIT", long[len("XA COMMIT"):]),
		},
		{
			"xa start that MariaDB compressed", entry.KindXA, queryBytes(event.TypeMariaQueryCompressed, 300, "", deflated(t, "XA START X'78'")), empty, empty, canalpb.EntryType_TRANSACTIONBEGIN,
			&canalpb.TransactionBegin{Props: pairs("XA_TYPE", "XA START", "XA_XID", " X'78'"), ThreadId: new(int64(300))},
		},
		{
			"statement", entry.KindStatement, queryBytes(2, 1, "d1", "create table t (a int)"), none, none, canalpb.EntryType_ROWDATA,
			statement("create table t (a int)", new("d1")),
		},
		{
			"statement without a database", entry.KindStatement, queryBytes(2, 1, "", "drop database d"), none, none, canalpb.EntryType_ROWDATA,
			statement("drop database d", nil),
		},
		{
			"statement with a NUL", entry.KindStatement, queryBytes(2, 1, "d", "drop table a\x00b"), none, none, canalpb.EntryType_ROWDATA,
			statement("drop table a", new("d")),
		},
		{
			"statement of bad UTF-8", entry.KindStatement, queryBytes(2, 1, "d", "drop table \xff"), none, none, canalpb.EntryType_ROWDATA,
			statement("drop table \uFFFD", new("d")),
		},
		{
			"statement that MariaDB compressed", entry.KindStatement, queryBytes(event.TypeMariaQueryCompressed, 1, "d", deflated(t, "drop table a")), none, none, canalpb.EntryType_ROWDATA,
			statement("drop table a", new("d")),
		},
		{"rows query", entry.KindRowsQuery, rawEvent(event.TypeRowsQuery, []byte("\x03update")), empty, none, canalpb.EntryType_ROWDATA, queryEntry("update")},
		{"annotate", entry.KindAnnotate, rawEvent(event.TypeMariaAnnotateRows, []byte("update")), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("update")},
		{"intvar", entry.KindIntVar, rawEvent(event.TypeIntVar, []byte{2, 9, 0, 0, 0, 0, 0, 0, 0}), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("SET INSERT_ID = 9")},
		{
			"rand", entry.KindRand, rawEvent(event.TypeRand, []byte{1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0}), empty, empty, canalpb.EntryType_ROWDATA,
			queryEntry("SET SESSION rand_seed1 = 1 , rand_seed2 = 2"),
		},
		{"user variable, NULL", entry.KindUserVar, userVar(1), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("SET @v := NULL")},
		{"user variable, string", entry.KindUserVar, userVar(0, 0, 45, 0, 0, 0, 2, 0, 0, 0, 'h', '\''), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("SET @v := 'h''")},
		{"user variable, integer", entry.KindUserVar, userVar(0, 2, 45, 0, 0, 0, 8, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("SET @v := -1")},
		{"user variable, double", entry.KindUserVar, userVar(0, 1, 45, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("SET @v := 1.5")},
		{"user variable, decimal", entry.KindUserVar, userVar(0, 4, 45, 0, 0, 0, 4, 0, 0, 0, 3, 2, 0x81, 0x32, 0), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("SET @v := 1.50")},
		{"user variable, double cut short", entry.KindUserVar, userVar(0, 1, 45, 0, 0, 0, 1, 0, 0, 0, 'x', 0), empty, empty, canalpb.EntryType_ROWDATA, queryEntry("SET @v := 'x'")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var pool entry.Pool
			w := entry.NewWorker(&pool, time.UTC, nil)
			defer w.Close()
			for _, ctx := range []*entry.Context{plainContext, gtidContext} {
				seg, err := w.Transcode(chunkOf(ctx, nil, c.kind, c.raw))
				if err != nil {
					t.Fatal(err)
				}
				h := slowHeader(ctx, c.raw)
				h.SchemaName, h.TableName = c.schema, c.table
				if ctx == gtidContext {
					h.Props = gtidProps
				}
				if rc, ok := c.body.(*canalpb.RowChange); ok {
					h.EventType = rc.EventType
				}
				checkSegment(t, seg, [][]byte{frame(t, h, c.typ, c.body)})
				it := &seg.Items[0]
				if it.Type != entry.Type(c.typ) || it.Event != entry.EventType(h.GetEventType()) && h.EventType != nil || it.Rows != 0 || it.Table != nil {
					t.Errorf("item %+v", it)
				}
				if p := it.Position(); p.Offset != 100_000_000 || p.Timestamp != eventTime*1000 || p.ServerID != eventServerID || p.File != ctx.File || p.GTID != ctx.GTID {
					t.Errorf("position %+v", p)
				}
				if it.EndOffset() != 100_000_000+uint64(len(c.raw)) {
					t.Errorf("ends at %d", it.EndOffset())
				}
				seg.Release(1)
			}
		})
	}
}

func TestHeartbeatMakesNoBytes(t *testing.T) {
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	defer w.Close()
	seg, err := w.Transcode(chunkOf(plainContext, nil, entry.KindHeartbeat, rawEvent(event.TypeHeartbeat, nil)))
	if err != nil || len(seg.Buf) != 0 || len(seg.Items) != 1 || seg.Items[0].Type != entry.Heartbeat {
		t.Errorf("%+v, %v", seg, err)
	}
	if empty, err := w.Transcode(new(entry.Chunk)); err != nil || len(empty.Items) != 0 {
		t.Errorf("empty chunk: %v", err)
	}
}

// A bad event is an error that says where; the worker goes on with the next chunk.
func TestEventErrors(t *testing.T) {
	tab := (&table{id: 7, schema: "d", name: "t"}).add("a", "int", true).add("b", "text", false)
	codec := tab.codec(t, entry.Options{})
	good := tab.rowEvent(30, []row{{image{{raw: []byte{1, 0, 0, 0}}, {raw: []byte("x")}}}})
	for _, c := range []struct {
		name string
		kind entry.Kind
		raw  []byte
		is   error
	}{
		{"row cut short", entry.KindRows, good[:len(good)-1], nil},
		{"row cut in its length", entry.KindRows, good[:len(good)-2], nil},
		{"row header cut short", entry.KindRows, good[:event.HeaderLen+5], event.ErrShort},
		{"other number of columns", entry.KindRows, (&table{id: 7}).add("a", "int", true).rowEvent(30, []row{{image{{raw: []byte{1, 0, 0, 0}}}}}), nil},
		{"compressed rows that are none", entry.KindRows, rawEvent(event.TypeMariaWriteRowsCompressed1, good[event.HeaderLen:]), nil},
		{"update with half a second image", entry.KindRows, tab.rowEvent(31, []row{{image{{raw: []byte{1, 0, 0, 0}}, {null: true}}, image{{raw: []byte{1, 0, 0, 0}}, {raw: []byte("xyz")}}}})[:55], nil},
		{"begin", entry.KindBegin, rawEvent(2, nil), event.ErrShort},
		{"xid", entry.KindXID, rawEvent(16, nil), event.ErrShort},
		{"statement", entry.KindStatement, rawEvent(2, nil), event.ErrShort},
		{"compressed statement that is none", entry.KindStatement, queryBytes(event.TypeMariaQueryCompressed, 1, "d", "plain"), render.ErrCompression},
		{"compressed xa that is none", entry.KindXA, queryBytes(event.TypeMariaQueryCompressed, 1, "d", "XA START x"), render.ErrCompression},
		{"xa that is none", entry.KindXA, queryBytes(2, 1, "d", "XA WHAT"), nil},
		{"xa", entry.KindXA, rawEvent(2, nil), event.ErrShort},
		{"intvar", entry.KindIntVar, rawEvent(5, nil), event.ErrShort},
		{"rand", entry.KindRand, rawEvent(13, nil), event.ErrShort},
		{"user variable", entry.KindUserVar, rawEvent(14, nil), event.ErrShort},
		{"unknown kind", entry.Kind(99), rawEvent(14, nil), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var pool entry.Pool
			w := entry.NewWorker(&pool, time.UTC, nil)
			chunk := chunkOf(plainContext, codec, entry.KindRows, good)
			add(chunk, plainContext, codec, c.kind, c.raw)
			_, err := w.Transcode(chunk)
			var at *entry.EventError
			if !errors.As(err, &at) || at.File != plainContext.File || at.Offset != 100_000_000 || at.Table != codec.Name || c.is != nil && !errors.Is(err, c.is) {
				t.Fatalf("error %#v", err)
			}
			seg, err := w.Transcode(chunkOf(plainContext, codec, entry.KindRows, good))
			if err != nil || len(seg.Items) != 1 {
				t.Fatalf("%v", err)
			}
			seg.Release(1)
			w.Close()
			if n := pool.Bytes(); n != 0 {
				t.Errorf("%d bytes are held", n)
			}
		})
	}
}
