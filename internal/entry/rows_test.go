package entry_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

// field is a column for tests: its declaration, and how a value lies in a row image.
type sampleField struct {
	column  schema.Column
	kind    event.ColumnType
	typ     byte // as the table map writes it
	meta    []byte
	sqlType int32
	wide    int32 // sqlType above the signed range; 0 is none
	value   func(r *rand.Rand) (raw []byte, text string, wide bool)
}

func sampleLE(v uint64, n int) []byte { return binary.LittleEndian.AppendUint64(nil, v)[:n] }

func sampleInt(name, typ string, size int, code byte, sqlType, wide int32) sampleField {
	unsigned := strings.Contains(typ, "unsigned")
	return sampleField{
		column: schema.Column{Name: name, Type: typ, Unsigned: unsigned, Key: name == "id"}, typ: code, kind: event.ColumnType(code), sqlType: sqlType, wide: wide,
		value: func(r *rand.Rand) ([]byte, string, bool) {
			v := r.Uint64() >> (64 - 8*size)
			if unsigned {
				return sampleLE(v, size), fmt.Sprint(v), v>>(8*size-1) != 0
			}
			shift := 64 - 8*size
			return sampleLE(v, size), fmt.Sprint(int64(v<<shift) >> shift), false
		},
	}
}

func sampleText(name, typ string, code byte, prefix int, meta []byte, sqlType int32, most int) sampleField {
	return sampleField{
		column: schema.Column{Name: name, Type: typ}, typ: code, kind: event.ColumnType(code), meta: meta, sqlType: sqlType,
		value: func(r *rand.Rand) ([]byte, string, bool) {
			n := r.IntN(most)
			if r.IntN(4) == 0 {
				n = []int{0, 1, 126, 127, 128, 129, most}[r.IntN(7)] // borders of varints
			}
			n = min(n, most)
			s := strings.Repeat("é中x", n)[:n]
			s = strings.ToValidUTF8(s, "?")
			return append(sampleLE(uint64(len(s)), prefix), s...), s, false
		},
	}
}

func sampleFields(long string) []sampleField {
	return []sampleField{
		sampleInt("id", "int", 4, 3, 4, 0),
		sampleInt("tiny", "tinyint unsigned", 1, 1, -6, 5),
		sampleInt("small", "smallint", 2, 2, 5, 0),
		sampleInt("big", "bigint unsigned", 8, 8, -5, 3),
		sampleText(long, "varchar(255)", 15, 1, []byte{0xff, 0}, 12, 255),
		sampleText("txt", "text", 252, 2, []byte{2}, 2005, 20000),
		{
			column: schema.Column{Name: "bin", Type: "varbinary(200)"}, typ: 15, kind: event.ColVarchar, meta: []byte{200, 0}, sqlType: 2004,
			value: func(r *rand.Rand) ([]byte, string, bool) {
				b := make([]byte, r.IntN(200))
				var text strings.Builder
				for i := range b {
					b[i] = byte(r.Uint32())
					text.WriteRune(rune(b[i]))
				}
				return append([]byte{byte(len(b))}, b...), text.String(), false
			},
		},
		{
			column: schema.Column{Name: "d", Type: "double"}, typ: 5, kind: event.ColDouble, meta: []byte{8}, sqlType: 8,
			value: func(r *rand.Rand) ([]byte, string, bool) {
				v := float64(r.IntN(1000)) + 0.5
				return sampleLE(math.Float64bits(v), 8), fmt.Sprintf("%.1f", v), false
			},
		},
		{
			column: schema.Column{Name: "y", Type: "year(4)"}, typ: 13, kind: event.ColYear, sqlType: 12,
			value: func(r *rand.Rand) ([]byte, string, bool) {
				v := 1 + r.IntN(250)
				return []byte{byte(v)}, fmt.Sprint(1900 + v), false
			},
		},
	}
}

// image is a row for tests.
type sampleRow struct {
	raw  [][]byte // nil is NULL
	text []string
	wide []bool
}

func newSampleRow(r *rand.Rand, fs []sampleField) sampleRow {
	im := sampleRow{make([][]byte, len(fs)), make([]string, len(fs)), make([]bool, len(fs))}
	for i, f := range fs {
		if r.IntN(6) == 0 {
			continue
		}
		im.raw[i], im.text[i], im.wide[i] = f.value(r)
	}
	return im
}

func sampleBits(columns int, set func(i int) bool) []byte {
	b := make([]byte, (columns+7)/8)
	for i := range columns {
		if set(i) {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

func (im sampleRow) bytes(present []bool) []byte {
	var nulls []bool
	var values []byte
	for i, p := range present {
		if p {
			nulls = append(nulls, im.raw[i] == nil)
			values = append(values, im.raw[i]...)
		}
	}
	return append(sampleBits(len(nulls), func(i int) bool { return nulls[i] }), values...)
}

// slowColumns is the obvious way to make a row's columns.
func slowColumns(fs []sampleField, im sampleRow, present []bool, updated func(i int) bool) []*canalpb.Column {
	var list []*canalpb.Column
	for i, f := range fs {
		if !present[i] {
			continue
		}
		c := &canalpb.Column{
			Index: new(int32(i)), SqlType: new(f.sqlType), Name: new(f.column.Name), IsKey: new(f.column.Key),
			Updated: new(updated(i)), IsNull: new(im.raw[i] == nil), MysqlType: new(f.column.Type),
		}
		if im.raw[i] != nil {
			c.Value = new(im.text[i])
			if im.wide[i] {
				c.SqlType = new(f.wide)
			}
		}
		list = append(list, c)
	}
	return list
}

// Whole entries of random row events are equal, byte for byte, to those made the
// slow way, and their values to what go-mysql's decoder sees.
func TestRowsEqualTheSlowTwin(t *testing.T) {
	const file, tableID = "mysql-bin.000007", 4711
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		fs := sampleFields(strings.Repeat("n", 1+r.IntN(200)))
		table := &schema.Table{Schema: "s", Name: "t"}
		m := &event.TableMap{TableID: tableID}
		for _, f := range fs {
			table.Columns = append(table.Columns, f.column)
			col := event.Column{Type: f.kind}
			switch len(f.meta) {
			case 1:
				col.Meta = uint16(f.meta[0])
			case 2:
				col.Meta = binary.LittleEndian.Uint16(f.meta)
			}
			m.Columns = append(m.Columns, col)
		}
		codec := entry.Compile(table, m, entry.Options{})
		kind := []event.Type{event.TypeWriteRowsV2, event.TypeUpdateRowsV2, event.TypeDeleteRowsV2, event.TypeWriteRowsV1, event.TypeUpdateRowsV1}[r.IntN(5)]
		what, version, _ := kind.Rows()
		first, second := make([]bool, len(fs)), make([]bool, len(fs))
		for i := range fs {
			first[i] = seed%3 == 0 || r.IntN(3) > 0
			second[i] = seed%3 == 0 || r.IntN(3) > 0
		}
		first[0], second[0] = true, true
		raw := append([]byte(nil), emptyHeader[:]...)
		raw = append(raw, sampleLE(tableID, 6)...)
		raw = append(raw, 1, 0)
		if version == 2 {
			raw = append(raw, 2, 0)
		}
		raw = append(raw, byte(len(fs)))
		raw = append(raw, sampleBits(len(fs), func(i int) bool { return first[i] })...)
		if what == event.Update {
			raw = append(raw, sampleBits(len(fs), func(i int) bool { return second[i] })...)
		}
		change := &canalpb.RowChange{TableId: new(int64(tableID)), IsDdl: new(false)}
		rows := r.IntN(5)
		for range rows {
			before := newSampleRow(r, fs)
			raw = append(raw, before.bytes(first)...)
			switch what {
			case event.Insert:
				change.EventType = canalpb.EventType_INSERT.Enum()
				change.RowDatas = append(change.RowDatas, &canalpb.RowData{AfterColumns: slowColumns(fs, before, first, func(int) bool { return true })})
			case event.Delete:
				change.EventType = canalpb.EventType_DELETE.Enum()
				change.RowDatas = append(change.RowDatas, &canalpb.RowData{BeforeColumns: slowColumns(fs, before, first, func(int) bool { return false })})
			default:
				after := newSampleRow(r, fs)
				for i := range fs { // most columns do not change
					if r.IntN(3) > 0 {
						after.raw[i], after.text[i], after.wide[i] = before.raw[i], before.text[i], before.wide[i]
					}
				}
				raw = append(raw, after.bytes(second)...)
				change.RowDatas = append(change.RowDatas, &canalpb.RowData{
					BeforeColumns: slowColumns(fs, before, first, func(int) bool { return false }),
					AfterColumns: slowColumns(fs, after, second, func(i int) bool {
						return !first[i] || (before.raw[i] == nil) != (after.raw[i] == nil) || before.text[i] != after.text[i]
					}),
				})
			}
		}
		et := canalpb.EventType(what)
		change.EventType = &et
		store, err := proto.MarshalOptions{Deterministic: true}.Marshal(change)
		if err != nil {
			t.Fatal(err)
		}
		header := &canalpb.Header{
			Version: new(int32(1)), LogfileName: new(file), LogfileOffset: new(int64(9000)), ServerId: new(int64(12)),
			ServerenCode: new("UTF-8"), ExecuteTime: new(int64(1700000000000)), SourceType: canalpb.Type_MYSQL.Enum(),
			SchemaName: new("s"), TableName: new("t"), EventLength: new(int64(len(raw))), EventType: &et,
		}
		if rows > 0 {
			header.Props = []*canalpb.Pair{{Key: new("rowsCount"), Value: new(fmt.Sprint(rows))}}
		}
		want, err := proto.MarshalOptions{Deterministic: true}.Marshal(&canalpb.Entry{Header: header, EntryType: canalpb.EntryType_ROWDATA.Enum(), StoreValue: store})
		if err != nil {
			t.Fatal(err)
		}
		seg, err := transcode(t, entry.Event{
			Kind: entry.KindRows, Codec: codec, Context: entry.NewContext(file, ""), Offset: 9000, Length: uint32(len(raw)),
			Header: event.Header{Type: kind, ServerID: 12, Timestamp: 1700000000},
		}, raw)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		want = append(binary.AppendUvarint([]byte{0x12}, uint64(len(want))), want...)
		if got := seg.Bytes(0); !bytes.Equal(got, want) {
			t.Fatalf("seed %d, %d rows: got\n%x\nwant\n%x", seed, rows, got, want)
		}
		compareWithGoMySQL(t, seed, fs, kind, raw, change)
	}
}

// compareWithGoMySQL decodes the same event with another decoder.
func compareWithGoMySQL(t *testing.T, seed uint64, fs []sampleField, kind event.Type, raw []byte, change *canalpb.RowChange) {
	t.Helper()
	types := make([]byte, len(fs))
	var meta []byte
	for i, f := range fs {
		types[i] = f.typ
		meta = append(meta, f.meta...)
	}
	head := func(typ event.Type, body []byte) []byte {
		b := binary.LittleEndian.AppendUint32(nil, 1)
		b = append(b, byte(typ), 1, 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(event.HeaderLen+len(body)))
		b = append(b, 0, 0, 0, 0, 0, 0)
		return append(b, body...)
	}
	p := replication.NewBinlogParser()
	format := append([]byte{4, 0}, append([]byte("8.0.33"), make([]byte, 44)...)...)
	format = append(format, 0, 0, 0, 0, 19)
	format = append(format, bytes.Repeat([]byte{8}, 41)...)
	format[2+50+5+int(event.TypeWriteRowsV2)-1], format[2+50+5+int(event.TypeUpdateRowsV2)-1], format[2+50+5+int(event.TypeDeleteRowsV2)-1] = 10, 10, 10
	format = append(format, 0, 0, 0, 0, 0)
	if _, err := p.Parse(head(event.TypeFormatDescription, format)); err != nil {
		t.Fatal(err)
	}
	tm := append(sampleLE(4711, 6), 1, 0, 1, 's', 0, 1, 't', 0, byte(len(types)))
	tm = append(append(append(tm, types...), byte(len(meta))), meta...)
	tm = append(tm, make([]byte, (len(types)+7)/8)...)
	if _, err := p.Parse(head(event.TypeTableMap, tm)); err != nil {
		t.Fatal(err)
	}
	e, err := p.Parse(head(kind, raw[event.HeaderLen:]))
	if err != nil {
		t.Fatalf("seed %d: go-mysql: %v", seed, err)
	}
	var images [][]*canalpb.Column
	for _, row := range change.GetRowDatas() {
		if c := row.GetBeforeColumns(); len(c) > 0 {
			images = append(images, c)
		}
		if c := row.GetAfterColumns(); len(c) > 0 {
			images = append(images, c)
		}
	}
	theirs := e.Event.(*replication.RowsEvent).Rows
	if len(theirs) != len(images) {
		t.Fatalf("seed %d: go-mysql sees %d images, the entry has %d", seed, len(theirs), len(images))
	}
	for n, image := range images {
		for _, c := range image {
			v := theirs[n][c.GetIndex()]
			if (v == nil) != c.GetIsNull() {
				t.Fatalf("seed %d: image %d column %d: go-mysql sees %v", seed, n, c.GetIndex(), v)
			}
			// Integers are the same up to the sign, which go-mysql does not know here.
			if s, ok := v.(string); ok && c.GetSqlType() != 2004 && s != c.GetValue() {
				t.Fatalf("seed %d: image %d column %d: go-mysql sees %q, the entry has %q", seed, n, c.GetIndex(), s, c.GetValue())
			}
		}
	}
}

// Any image bytes give a segment or an error.
func FuzzRows(f *testing.F) {
	f.Add([]byte{3, 15, 252, 246, 245, 17, 254, 16}, []byte{0xff, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{11, 12, 7, 18, 19, 13, 10, 247}, bytes.Repeat([]byte{0}, 60))
	f.Add([]byte{140, 141, 242, 255, 20, 6, 14, 250}, bytes.Repeat([]byte{0xff}, 60))
	f.Fuzz(func(t *testing.T, types, images []byte) {
		if len(types) == 0 || len(types) > 60 || len(images) > 1<<16 {
			return
		}
		table := &schema.Table{Schema: "s", Name: "t"}
		m := &event.TableMap{TableID: 1}
		for i, typ := range types {
			declared := []string{"int unsigned", "text", "varbinary(10)", "datetime(3)", "json", "time(6)"}[(int(typ)+i)%6]
			table.Columns = append(table.Columns, schema.Column{Name: "c", Type: declared, Unsigned: i%2 == 0})
			meta := uint16(typ) * uint16(i+1)
			if event.ColumnType(typ) == event.ColNewDecimal {
				meta = uint16(typ%66)<<8 | uint16(i%31)
			}
			m.Columns = append(m.Columns, event.Column{Type: event.ColumnType(typ), Meta: meta})
		}
		codec := entry.Compile(table, m, entry.Options{MariaDB: len(types)%2 == 0})
		for _, kind := range []event.Type{event.TypeWriteRowsV2, event.TypeUpdateRowsV1, event.TypePartialUpdateRows, event.TypeMariaWriteRowsCompressed1} {
			what, version, _ := kind.Rows()
			raw := append([]byte(nil), emptyHeader[:]...)
			raw = append(raw, 1, 0, 0, 0, 0, 0, 1, 0)
			if version == 2 {
				raw = append(raw, 2, 0)
			}
			raw = append(raw, byte(len(types)))
			raw = append(raw, bytes.Repeat([]byte{0xff}, (len(types)+7)/8)...)
			if what == event.Update {
				raw = append(raw, bytes.Repeat([]byte{0xff}, (len(types)+7)/8)...)
			}
			seg, err := transcode(t, entry.Event{Kind: entry.KindRows, Codec: codec, Context: entry.NewContext("f.1", ""), Header: event.Header{Type: kind}}, append(raw, images...))
			if err != nil {
				continue
			}
			var e canalpb.Entry
			body := seg.Bytes(0)
			_, n := binary.Uvarint(body[1:])
			if err := proto.Unmarshal(body[1+n:], &e); err != nil {
				t.Fatalf("entry cannot be read: %v", err)
			}
			if err := proto.Unmarshal(e.GetStoreValue(), new(canalpb.RowChange)); err != nil {
				t.Fatalf("row change cannot be read: %v", err)
			}
		}
	})
}

func benchmarkRows(b *testing.B, kind event.Type, columns, rows int) {
	table := &schema.Table{Schema: "s", Name: "t"}
	m := &event.TableMap{TableID: 1}
	var one []byte
	for i := range columns {
		typ, meta, raw := event.ColLong, uint16(0), sampleLE(uint64(i*7919), 4)
		declared := "int"
		switch i % 4 {
		case 1:
			typ, meta, declared = event.ColVarchar, 100, "varchar(100)"
			raw = append([]byte{20}, "twenty letters long!"...)
		case 2:
			typ, declared, raw = event.ColDatetime2, "datetime", []byte{0x99, 0xb4, 0x0c, 0x72, 0x09}
		case 3:
			typ, meta, declared, raw = event.ColNewDecimal, 10<<8|2, "decimal(10,2)", []byte{0x80, 0x00, 0x30, 0x39, 0x43}
		}
		table.Columns = append(table.Columns, schema.Column{Name: fmt.Sprintf("column%d", i), Type: declared})
		m.Columns = append(m.Columns, event.Column{Type: typ, Meta: meta})
		one = append(one, raw...)
	}
	codec := entry.Compile(table, m, entry.Options{})
	bits := bytes.Repeat([]byte{0xff}, (columns+7)/8)
	raw := append([]byte(nil), emptyHeader[:]...)
	raw = append(raw, 1, 0, 0, 0, 0, 0, 1, 0, 2, 0, byte(columns))
	raw = append(raw, bits...)
	images := 1
	if kind == event.TypeUpdateRowsV2 {
		raw = append(raw, bits...)
		images = 2
	}
	nulls := make([]byte, (columns+7)/8)
	for range rows * images {
		raw = append(append(raw, nulls...), one...)
	}
	w := entry.NewWorker(new(entry.Pool), time.UTC, nil)
	defer w.Close()
	c := &entry.Chunk{Buf: raw, Events: []entry.Event{{
		Kind: entry.KindRows, Codec: codec, Context: entry.NewContext("mysql-bin.000001", ""), Offset: 1000, Length: uint32(len(raw)),
		Len: uint32(len(raw)), Header: event.Header{Type: kind, Timestamp: 1700000000},
	}}}
	b.ReportAllocs()
	for b.Loop() {
		seg, err := w.Transcode(c)
		if err != nil {
			b.Fatal(err)
		}
		seg.Release(1)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
}

func BenchmarkNarrowRow(b *testing.B)  { benchmarkRows(b, event.TypeWriteRowsV2, 4, 48) }
func BenchmarkWideRow(b *testing.B)    { benchmarkRows(b, event.TypeWriteRowsV2, 20, 48) }
func BenchmarkOneRow(b *testing.B)     { benchmarkRows(b, event.TypeWriteRowsV2, 4, 1) }
func BenchmarkWideUpdate(b *testing.B) { benchmarkRows(b, event.TypeUpdateRowsV2, 20, 48) }
