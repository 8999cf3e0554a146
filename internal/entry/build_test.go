package entry_test

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/render"
	"github.com/canald/canald/internal/schema"
)

// kind is a column type as the tests know it: how a value lies in an image, and
// by rules written a second time what a client sees of it.
type kind struct {
	name     string // the type text
	code     byte   // in the table map
	meta     []byte
	prefix   int // bytes of length before a value; 0 for fixed ones
	fixed    int
	sql      int
	wide     int // sqlType of an unsigned value above the signed range
	null     int // sqlType of NULL when it differs
	unsigned bool
	text     func(raw []byte) string
}

func littleUint(raw []byte) uint64 {
	var b [8]byte
	copy(b[:], raw)
	return binary.LittleEndian.Uint64(b[:])
}

func signed(raw []byte) string {
	shift := 64 - 8*len(raw)
	return strconv.FormatInt(int64(littleUint(raw)<<shift)>>shift, 10)
}

func unsigned(raw []byte) string { return strconv.FormatUint(littleUint(raw), 10) }

func latin1(raw []byte) string {
	var b strings.Builder
	for _, c := range raw {
		b.WriteRune(rune(c))
	}
	return b.String()
}

func plain(raw []byte) string { return string(raw) }

var utc = render.NewZone(time.UTC)

var kinds = []kind{
	{name: "tinyint", code: 1, fixed: 1, sql: -6, text: signed},
	{name: "tinyint unsigned", code: 1, fixed: 1, sql: -6, wide: 5, unsigned: true, text: unsigned},
	{name: "smallint", code: 2, fixed: 2, sql: 5, text: signed},
	{name: "smallint(5) unsigned", code: 2, fixed: 2, sql: 5, wide: 4, unsigned: true, text: unsigned},
	{name: "mediumint", code: 9, fixed: 3, sql: 4, text: signed},
	{name: "mediumint unsigned zerofill", code: 9, fixed: 3, sql: 4, wide: 4, unsigned: true, text: unsigned},
	{name: "int", code: 3, fixed: 4, sql: 4, text: signed},
	{name: "int unsigned", code: 3, fixed: 4, sql: 4, wide: -5, unsigned: true, text: unsigned},
	{name: "bigint", code: 8, fixed: 8, sql: -5, text: signed},
	{name: "bigint unsigned", code: 8, fixed: 8, sql: -5, wide: 3, unsigned: true, text: unsigned},
	{name: "float", code: 4, meta: []byte{4}, fixed: 4, sql: 7, text: func(raw []byte) string { return string(render.Float(nil, raw)) }},
	{name: "double", code: 5, meta: []byte{8}, fixed: 8, sql: 8, text: func(raw []byte) string { return string(render.Double(nil, raw)) }},
	{name: "decimal(10,2)", code: 246, meta: []byte{10, 2}, fixed: 5, sql: 3, text: func(raw []byte) string { return string(render.Decimal(nil, raw, 10, 2)) }},
	{name: "bit(13)", code: 16, meta: []byte{5, 1}, fixed: 2, sql: -7, text: func(raw []byte) string { return strconv.Itoa(int(raw[0])<<8 | int(raw[1])) }},
	{name: "year", code: 13, fixed: 1, sql: 12, text: func(raw []byte) string {
		if raw[0] == 0 {
			return "0000"
		}
		return strconv.Itoa(1900 + int(raw[0]))
	}},
	{name: "date", code: 10, fixed: 3, sql: 91, text: func(raw []byte) string { return string(render.Date(nil, raw)) }},
	{name: "time(3)", code: 19, meta: []byte{3}, fixed: 5, sql: 92, text: func(raw []byte) string { return string(render.Time2(nil, raw, 3)) }},
	{name: "datetime", code: 18, meta: []byte{0}, fixed: 5, sql: 93, text: func(raw []byte) string { return string(render.Datetime2(nil, raw, 0)) }},
	{name: "timestamp(6)", code: 17, meta: []byte{6}, fixed: 7, sql: 93, text: func(raw []byte) string { return string(utc.Timestamp2(nil, raw, 6)) }},
	{name: "char(40)", code: 254, meta: []byte{254, 160}, prefix: 1, sql: 1, text: plain},
	{name: "varchar(50)", code: 15, meta: []byte{200, 0}, prefix: 1, sql: 12, text: plain},
	{name: "varchar(500)", code: 15, meta: []byte{0xd0, 7}, prefix: 2, sql: 12, text: plain},
	{name: "varbinary(500)", code: 15, meta: []byte{0xf4, 1}, prefix: 2, sql: 2004, text: latin1},
	{name: "tinytext", code: 252, meta: []byte{1}, prefix: 1, sql: 2005, text: plain},
	{name: "text", code: 252, meta: []byte{2}, prefix: 2, sql: 2005, text: plain},
	{name: "mediumblob", code: 252, meta: []byte{3}, prefix: 3, sql: 2004, text: latin1},
	{name: "longtext", code: 252, meta: []byte{4}, prefix: 4, sql: 2005, text: plain},
	{name: "enum('a','b')", code: 254, meta: []byte{247, 1}, fixed: 1, sql: 4, text: unsigned},
	{name: "set('a','b')", code: 254, meta: []byte{248, 8}, fixed: 8, sql: -7, null: 2004, text: unsigned},
	{name: "json", code: 245, meta: []byte{4}, prefix: 4, sql: 12, null: 1111, text: func(raw []byte) string { return string(render.JSON(nil, raw, render.JSONStyle{})) }},
	{name: "geometry", code: 255, meta: []byte{4}, prefix: 4, sql: 2004, text: latin1},
}

func kindNamed(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	panic("no kind " + name)
}

// table is a table of the tests.
type table struct {
	id      uint64
	schema  string
	name    string
	columns []schema.Column
	kinds   []*kind
}

func (t *table) add(name, kindName string, key bool) *table {
	k := kindNamed(kindName)
	t.columns = append(t.columns, schema.Column{Name: name, Type: k.name, Unsigned: k.unsigned, Key: key})
	t.kinds = append(t.kinds, k)
	return t
}

func lenenc(b []byte, n int) []byte {
	switch {
	case n < 251:
		return append(b, byte(n))
	case n < 1<<16:
		return append(b, 0xfc, byte(n), byte(n>>8))
	}
	return append(b, 0xfd, byte(n), byte(n>>8), byte(n>>16))
}

func id48(b []byte, id uint64) []byte {
	return append(b, byte(id), byte(id>>8), byte(id>>16), byte(id>>24), byte(id>>32), byte(id>>40))
}

// tableMap is the body of the table's TABLE_MAP event.
func (t *table) tableMap() []byte {
	b := append(id48(nil, t.id), 1, 0, byte(len(t.schema)))
	b = append(append(b, t.schema...), 0, byte(len(t.name)))
	b = append(append(b, t.name...), 0)
	b = lenenc(b, len(t.kinds))
	var meta []byte
	for _, k := range t.kinds {
		b, meta = append(b, k.code), append(meta, k.meta...)
	}
	b = lenenc(b, len(meta))
	return append(append(b, meta...), make([]byte, (len(t.kinds)+7)/8)...)
}

func (t *table) codec(tb testing.TB, o entry.Options) *entry.Codec {
	tb.Helper()
	m, err := event.ParseTableMap(rawEvent(event.TypeTableMap, t.tableMap()))
	if err != nil {
		tb.Fatal(err)
	}
	c := entry.Compile(&schema.Table{Schema: t.schema, Name: t.name, Columns: t.columns}, &m, o)
	return c
}

// value is one column of an image.
type value struct {
	raw     []byte
	null    bool
	absent  bool
	partial bool // raw is a diff
}

type image []value

func bitmap(n int, set func(i int) bool) []byte {
	b := make([]byte, (n+7)/8)
	for i := range n {
		if set(i) {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

func (t *table) appendImage(b []byte, im image) []byte {
	var present []int
	for i, v := range im {
		if !v.absent {
			present = append(present, i)
		}
	}
	b = append(b, bitmap(len(present), func(i int) bool { return im[present[i]].null })...)
	for _, i := range present {
		if im[i].null {
			continue
		}
		n := len(im[i].raw)
		for range t.kinds[i].prefix {
			b = append(b, byte(n))
			n >>= 8
		}
		b = append(b, im[i].raw...)
	}
	return b
}

// row has one image, or two for an update.
type row []image

// rowEvent is a whole row event without checksum.
func (t *table) rowEvent(kind event.Type, rows []row) []byte {
	_, version, _ := kind.Rows()
	b := append(id48(nil, t.id), 1, 0)
	if version == 2 {
		b = append(b, 2, 0)
	}
	b = lenenc(b, len(t.kinds))
	for i := range rows[0] {
		b = append(b, bitmap(len(t.kinds), func(c int) bool { return !rows[0][i][c].absent })...)
	}
	for _, r := range rows {
		for i, im := range r {
			if kind == event.TypePartialUpdateRows && i == 1 {
				b = t.appendValueOptions(b, im)
			}
			b = t.appendImage(b, im)
		}
	}
	return rawEvent(kind, b)
}

// appendValueOptions says which JSON columns are diffs: one bit for each JSON
// column of the table, in the image or not.
func (t *table) appendValueOptions(b []byte, im image) []byte {
	var bits []bool
	some := false
	for i, k := range t.kinds {
		if k.code == 245 {
			bits = append(bits, im[i].partial)
			some = some || im[i].partial
		}
	}
	if !some {
		return append(b, 0)
	}
	return append(append(b, 1), bitmap(len(bits), func(i int) bool { return bits[i] })...)
}

const (
	eventTime     = 1_795_424_361
	eventServerID = 300
)

// rawEvent puts a header before a body.
func rawEvent(t event.Type, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, eventTime)
	b = append(b, byte(t))
	b = binary.LittleEndian.AppendUint32(b, eventServerID)
	b = binary.LittleEndian.AppendUint32(b, uint32(event.HeaderLen+len(body)))
	b = binary.LittleEndian.AppendUint32(b, uint32(100_000_000+event.HeaderLen+len(body)))
	return append(append(b, 0, 0), body...)
}

func headerOf(raw []byte) event.Header {
	h, err := event.ParseHeader(raw)
	if err != nil {
		panic(err)
	}
	return h
}

// chunkOf makes a chunk of whole events.
func chunkOf(ctx *entry.Context, codec *entry.Codec, kind entry.Kind, events ...[]byte) *entry.Chunk {
	c := &entry.Chunk{}
	for _, raw := range events {
		add(c, ctx, codec, kind, raw)
	}
	return c
}

func add(c *entry.Chunk, ctx *entry.Context, codec *entry.Codec, kind entry.Kind, raw []byte) {
	h := headerOf(raw)
	c.Events = append(c.Events, entry.Event{
		Codec: codec, Context: ctx, Kind: kind, Header: h, Offset: uint64(h.Start()), Length: h.Length,
		Off: uint32(len(c.Buf)), Len: uint32(len(raw)),
	})
	c.Buf = append(c.Buf, raw...)
}

// The slow twin: the same entry as protobuf structs.

func (t *table) column(i int, v value, updated bool) *canalpb.Column {
	k := t.kinds[i]
	sql := k.sql
	c := &canalpb.Column{
		Index: new(int32(i)), Name: new(t.columns[i].Name), IsKey: new(t.columns[i].Key),
		Updated: new(updated), IsNull: new(v.null), MysqlType: new(k.name),
	}
	if v.null {
		if k.null != 0 {
			sql = k.null
		}
	} else {
		if k.unsigned && v.raw[len(v.raw)-1] >= 0x80 {
			sql = k.wide
		}
		c.Value = new(t.textOf(i, v))
	}
	c.SqlType = new(int32(sql))
	return c
}

func (t *table) textOf(i int, v value) string {
	if !v.partial {
		return t.kinds[i].text(v.raw)
	}
	if len(v.raw) == 0 {
		return ""
	}
	out, ok := render.JSONDiff(nil, v.raw, t.columns[i].Name, render.JSONStyle{})
	if !ok {
		panic("not a diff")
	}
	return string(out)
}

func (t *table) rowData(op event.RowsKind, r row) *canalpb.RowData {
	d := &canalpb.RowData{}
	for i, v := range r[0] {
		if v.absent {
			continue
		}
		if op == event.Insert {
			d.AfterColumns = append(d.AfterColumns, t.column(i, v, true))
		} else {
			d.BeforeColumns = append(d.BeforeColumns, t.column(i, v, false))
		}
	}
	if len(r) == 1 {
		return d
	}
	for i, v := range r[1] {
		if v.absent {
			continue
		}
		before := r[0][i]
		same := !before.absent && before.null == v.null && (v.null || t.textOf(i, before) == t.textOf(i, v))
		d.AfterColumns = append(d.AfterColumns, t.column(i, v, !same))
	}
	return d
}

// slow is the framed entry of a row event, as a server that builds objects makes it.
func (t *table) slow(tb testing.TB, ctx *entry.Context, props []*canalpb.Pair, kind event.Type, raw []byte, rows []row) []byte {
	tb.Helper()
	op, _, _ := kind.Rows()
	et := canalpb.EventType(op)
	rc := &canalpb.RowChange{TableId: new(int64(t.id)), EventType: &et, IsDdl: new(false)}
	counted := 0
	for _, r := range rows {
		rc.RowDatas = append(rc.RowDatas, t.rowData(op, r))
		counted++
		if op == event.Update && len(r) == 1 {
			counted--
		}
	}
	if counted > 0 {
		props = append(props, &canalpb.Pair{Key: new("rowsCount"), Value: new(strconv.Itoa(counted))})
	}
	h := slowHeader(ctx, raw)
	h.SchemaName, h.TableName, h.EventType, h.Props = new(t.schema), new(t.name), &et, props
	return frame(tb, h, canalpb.EntryType_ROWDATA, rc)
}

func slowHeader(ctx *entry.Context, raw []byte) *canalpb.Header {
	h := headerOf(raw)
	source := canalpb.Type_MYSQL
	out := &canalpb.Header{
		Version: proto.Int32(1), LogfileName: new(ctx.File), LogfileOffset: new(int64(h.Start())),
		ServerId: new(int64(h.ServerID)), ServerenCode: new("UTF-8"), ExecuteTime: new(int64(h.Timestamp) * 1000),
		SourceType: &source, EventLength: new(int64(h.Length)),
	}
	if ctx.GTID != "" {
		out.Gtid = new(ctx.GTID)
	}
	return out
}

// frame is an entry as a Messages.messages item.
func frame(tb testing.TB, h *canalpb.Header, t canalpb.EntryType, body proto.Message) []byte {
	tb.Helper()
	marshal := func(m proto.Message) []byte {
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		return b
	}
	e := marshal(&canalpb.Entry{Header: h, EntryType: &t, StoreValue: marshal(body)})
	return append(binary.AppendUvarint([]byte{0x12}, uint64(len(e))), e...)
}

// lengths are where a varint grows a byte, and the usual.
var lengths = []int{0, 1, 5, 30, 90, 100, 110, 120, 126, 127, 128, 129, 200, 255}

var longLengths = []int{16200, 16300, 16383, 16384, 16385, 20000}

func randomRaw(r *rand.Rand, k *kind) []byte {
	n := k.fixed
	switch {
	case k.prefix == 1:
		n = lengths[r.IntN(len(lengths))]
	case k.prefix > 1 && r.IntN(8) == 0:
		n = longLengths[r.IntN(len(longLengths))]
	case k.prefix > 1:
		n = lengths[r.IntN(len(lengths))]
	}
	raw := make([]byte, n)
	for i := range raw {
		switch {
		case k.code == 245 || k.prefix == 0, k.sql == 2004:
			raw[i] = byte(r.Uint32())
		default:
			raw[i] = byte(' ' + r.IntN(95))
		}
	}
	if k.code == 245 { // an opaque scalar of any length is a whole document
		raw = append([]byte{12}, lenPrefixed(raw)...)
	}
	if k.name == "bit(13)" {
		raw[0] &= 0x1f
	}
	return raw
}

// lenPrefixed is a JSON string: its length in groups of 7 bits, and ASCII.
func lenPrefixed(raw []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(len(raw)))
	for _, c := range raw {
		b = append(b, ' '+c%95)
	}
	return b
}
