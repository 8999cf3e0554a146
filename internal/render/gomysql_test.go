package render_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/canald/canald/internal/render"
)

const (
	eventFormat   = 15
	eventTableMap = 19
	eventWriteV2  = 30
)

// binlogEvent puts a common header before body.
func binlogEvent(kind byte, body []byte) []byte {
	le := binary.LittleEndian
	out := append(le32(1), kind)
	out = le.AppendUint32(out, 1)
	out = le.AppendUint32(out, uint32(19+len(body)))
	out = le.AppendUint32(out, 4)
	return append(le.AppendUint16(out, 0), body...)
}

func formatEvent() []byte {
	body := binary.LittleEndian.AppendUint16(nil, 4)
	version := make([]byte, 50)
	copy(version, "8.0.33")
	body = append(body, version...)
	body = append(body, 0, 0, 0, 0, 19)
	lengths := make([]byte, 40)
	lengths[eventTableMap-1], lengths[eventWriteV2-1] = 8, 10
	body = append(body, lengths...)
	return binlogEvent(eventFormat, append(body, 0, 0, 0, 0, 0)) // no checksum
}

// rowColumn is one column of the row that both decoders read.
type rowColumn struct {
	kind   byte
	meta   []byte
	prefix []byte // length before the value
	raw    []byte
	same   func(theirs any) bool
}

// decodeRow gives what go-mysql makes of one inserted row.
func decodeRow(t *testing.T, columns []rowColumn) []any {
	t.Helper()
	table := []byte{1, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0, byte(len(columns))}
	rows := []byte{1, 0, 0, 0, 0, 0, 1, 0, 2, 0, byte(len(columns))}
	var kinds, meta, data []byte
	bitmap := make([]byte, (len(columns)+7)/8)
	full := make([]byte, len(bitmap))
	for i, c := range columns {
		kinds, meta = append(kinds, c.kind), append(meta, c.meta...)
		data = append(append(data, c.prefix...), c.raw...)
		full[i/8] |= 1 << (i % 8)
	}
	table = append(append(table, kinds...), byte(len(meta)))
	table = append(append(table, meta...), bitmap...)
	rows = append(append(append(rows, full...), bitmap...), data...)
	p := replication.NewBinlogParser()
	p.SetVerifyChecksum(false)
	p.SetTimestampStringLocation(time.UTC)
	var values []any
	for _, e := range [][]byte{formatEvent(), binlogEvent(eventTableMap, table), binlogEvent(eventWriteV2, rows)} {
		event, err := p.Parse(e)
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := event.Event.(*replication.RowsEvent); ok {
			values = r.Rows[0]
		}
	}
	return values
}

// Random rows read by go-mysql's decoder, which is a stranger to this code.
func TestAgainstGoMySQL(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	zone := render.NewZone(time.UTC)
	for range 500 {
		columns := randomRow(r, zone)
		values := decodeRow(t, columns)
		if len(values) != len(columns) {
			t.Fatalf("%d values of %d columns", len(values), len(columns))
		}
		for i, c := range columns {
			if !c.same(values[i]) {
				t.Errorf("type %d meta %v raw % x: go-mysql says %v", c.kind, c.meta, c.raw, values[i])
			}
		}
	}
}

func randomRow(r *rand.Rand, zone *render.Zone) []rowColumn {
	bytesOf := func(n int) []byte { return le64(r.Uint64())[:n] }
	equal := func(text []byte) func(any) bool {
		return func(theirs any) bool { return fmt.Sprint(theirs) == string(text) }
	}
	column := func(kind byte, meta, raw []byte, text []byte) rowColumn {
		return rowColumn{kind: kind, meta: meta, raw: raw, same: equal(text)}
	}
	var out []rowColumn
	for i, kind := range []byte{1, 2, 9, 3, 8} {
		raw := bytesOf([]int{1, 2, 3, 4, 8}[i])
		out = append(out, column(kind, nil, raw, render.Int(nil, raw)))
	}
	float, double := le32(r.Uint32()&0xbfffffff), le64(r.Uint64()&^(1<<62))
	numeric := func(text []byte, bits int) func(any) bool {
		return func(theirs any) bool {
			v, err := strconv.ParseFloat(string(text), bits)
			return err == nil && (v == theirs || float32(v) == theirs)
		}
	}
	out = append(out,
		rowColumn{kind: 4, meta: []byte{4}, raw: float, same: numeric(render.Float(nil, float), 32)},
		rowColumn{kind: 5, meta: []byte{8}, raw: double, same: numeric(render.Double(nil, double), 64)})

	precision := 1 + r.IntN(65)
	scale := r.IntN(min(precision, 30) + 1)
	digits := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	value := new(big.Rat).SetFrac(new(big.Int).Mod(new(big.Int).SetUint64(r.Uint64()), digits), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	decimal := value.FloatString(scale)
	if r.IntN(2) == 0 && value.Sign() != 0 {
		decimal = "-" + decimal
	}
	raw := packDecimal(decimal, precision, scale)
	out = append(out, rowColumn{kind: 246, meta: []byte{byte(precision), byte(scale)}, raw: raw, same: func(theirs any) bool {
		a, ok := new(big.Rat).SetString(fmt.Sprint(theirs))
		b, ok2 := new(big.Rat).SetString(string(render.Decimal(nil, raw, precision, scale)))
		return ok && ok2 && a.Cmp(b) == 0
	}})

	bits := bytesOf(3)
	out = append(out, column(16, []byte{0, 3}, bits, render.Bit(nil, bits)))
	year := bytesOf(1)
	year[0] |= 1
	out = append(out, column(13, nil, year, render.Year(nil, year)))

	fsp := r.IntN(7)
	c := clock{year: 1 + r.IntN(9999), month: 1 + r.IntN(12), day: 1 + r.IntN(28), hour: r.IntN(24), minute: r.IntN(60), second: r.IntN(60), micros: 100000 + r.IntN(900000)} // go-mysql leaves out a zero fraction of TIME
	date := le32(uint32(c.year<<9 | c.month<<5 | c.day))[:3]
	out = append(out, column(10, nil, date, render.Date(nil, date)))
	datetime := c.packDatetime2(fsp)
	out = append(out, column(18, []byte{byte(fsp)}, datetime, render.Datetime2(nil, datetime, fsp)))
	stamp := append(bigEndian(uint64(1+r.Uint32N(1<<31-1)), 4), bigEndian(c.storedFraction(fsp), (fsp+1)/2)...)
	out = append(out, column(17, []byte{byte(fsp)}, stamp, zone.Timestamp2(nil, stamp, fsp)))
	c.hour, c.negative = r.IntN(839), r.IntN(2) == 0
	c.second |= 1
	clockRaw := c.packTime2(fsp)
	out = append(out, column(19, []byte{byte(fsp)}, clockRaw, render.Time2(nil, clockRaw, fsp)))

	enum, set := bytesOf(2), bytesOf(7)
	out = append(out, column(254, []byte{247, 2}, enum, render.Enum(nil, enum)), column(254, []byte{248, 7}, set, render.Set(nil, set)))

	node := randomNode(r, 0)
	for strings.Contains(text(node), "-") && strings.Contains(text(node), ":") { // no opaque values: their text differs
		node = randomNode(r, 0)
	}
	doc := encodeDocument(node, r.IntN(2) == 0)
	out = append(out, rowColumn{kind: 245, meta: []byte{4}, prefix: le32(uint32(len(doc))), raw: doc, same: func(theirs any) bool {
		var a, b any
		errA := json.Unmarshal(fmt.Appendf(nil, "%s", theirs), &a)
		errB := json.Unmarshal(render.JSON(nil, doc, render.JSONStyle{}), &b)
		return errA == nil && errB == nil && reflect.DeepEqual(a, b)
	}})
	return out
}
