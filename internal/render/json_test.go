package render_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/canald/canald/internal/render"
)

// The tree that documents of the tests are built from. A node is nil, bool,
// int16, uint16, int32, uint32, int64, uint64, float64, string, array, object
// or opaque.
type (
	array  []any
	member struct {
		key   string
		value any
	}
	object []member
	opaque struct {
		kind byte
		data []byte
		text string // what Canal shows
	}
)

// encodeDocument writes MySQL's binary JSON; large takes the four-byte form of
// all containers.
func encodeDocument(node any, large bool) []byte {
	kind, data := encodeNode(node, large)
	return append([]byte{kind}, data...)
}

func varint(n int) []byte {
	var out []byte
	for ; n >= 0x80; n >>= 7 {
		out = append(out, byte(n)|0x80)
	}
	return append(out, byte(n))
}

func encodeNode(node any, large bool) (kind byte, data []byte) {
	le := binary.LittleEndian
	switch v := node.(type) {
	case nil:
		return 4, []byte{0}
	case bool:
		if v {
			return 4, []byte{1}
		}
		return 4, []byte{2}
	case int16:
		return 5, le.AppendUint16(nil, uint16(v))
	case uint16:
		return 6, le.AppendUint16(nil, v)
	case int32:
		return 7, le.AppendUint32(nil, uint32(v))
	case uint32:
		return 8, le.AppendUint32(nil, v)
	case int64:
		return 9, le.AppendUint64(nil, uint64(v))
	case uint64:
		return 10, le.AppendUint64(nil, v)
	case float64:
		return 11, le.AppendUint64(nil, math.Float64bits(v))
	case string:
		return 12, append(varint(len(v)), v...)
	case opaque:
		return 15, append(append([]byte{v.kind}, varint(len(v.data))...), v.data...)
	case array:
		return containerKind(2, large), encodeContainer(nil, v, large)
	case object:
		var keys []string
		var values array
		for _, m := range v {
			keys = append(keys, m.key)
			values = append(values, m.value)
		}
		if keys == nil {
			keys = []string{}
		}
		return containerKind(0, large), encodeContainer(keys, values, large)
	}
	panic(fmt.Sprintf("no such node: %T", node))
}

func containerKind(small byte, large bool) byte {
	if large {
		return small + 1
	}
	return small
}

// encodeContainer writes an object, or an array when keys is nil.
func encodeContainer(keys []string, values array, large bool) []byte {
	width := 2
	if large {
		width = 4
	}
	number := func(out []byte, v int) []byte {
		if large {
			return binary.LittleEndian.AppendUint32(out, uint32(v))
		}
		if v > math.MaxUint16 {
			panic("document too large for the small form")
		}
		return binary.LittleEndian.AppendUint16(out, uint16(v))
	}
	head := 2*width + len(keys)*(width+2)
	at := head + len(values)*(1+width)
	var keyEntries, entries, keyData, data []byte
	for _, k := range keys {
		keyEntries = binary.LittleEndian.AppendUint16(number(keyEntries, at+len(keyData)), uint16(len(k)))
		keyData = append(keyData, k...)
	}
	at += len(keyData)
	for _, v := range values {
		kind, bytes := encodeNode(v, large)
		entries = append(entries, kind)
		if kind >= 4 && len(bytes) <= width && kind <= 8 {
			entries = append(entries, bytes...)
			entries = append(entries, make([]byte, width-len(bytes))...)
			continue
		}
		entries = number(entries, at+len(data))
		data = append(data, bytes...)
	}
	out := number(number(nil, len(values)), at+len(data))
	for _, part := range [][]byte{keyEntries, entries, keyData, data} {
		out = append(out, part...)
	}
	return out
}

// text is the slow twin: what Canal shows for the tree.
func text(node any) string {
	switch v := node.(type) {
	case nil:
		return "null"
	case float64:
		return slowJava(v, 64)
	case string:
		return quote(v)
	case opaque:
		return v.text
	case array:
		var parts []string
		for _, e := range v {
			parts = append(parts, text(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case object:
		var parts []string
		for _, m := range v {
			parts = append(parts, quote(m.key)+": "+text(m.value))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	return fmt.Sprint(node)
}

func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range slowUTF8(s) {
		switch {
		case r == '"' || r == '\\':
			b.WriteString("\\" + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r >= 0x7f && r <= 0xa0:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// packedTime is the form of temporal values inside JSON: 8 bytes.
func (c clock) packedTime() []byte {
	v := int64(c.hour<<12|c.minute<<6|c.second)<<24 | int64(c.micros)
	if c.negative {
		v = -v
	}
	return le64(uint64(v))
}

func (c clock) packedDatetime() []byte {
	v := uint64((c.year*13+c.month)<<5|c.day)<<17 | uint64(c.hour<<12|c.minute<<6|c.second)
	return le64(v<<24 | uint64(c.micros))
}

func opaqueDecimal(value string, precision, scale int) opaque {
	data := append([]byte{byte(precision), byte(scale)}, packDecimal(value, precision, scale)...)
	return opaque{246, data, javaDecimal(value, scale)}
}

func TestJSON(t *testing.T) {
	day := clock{year: 2024, month: 2, day: 29}
	noon := clock{year: 2024, month: 2, day: 29, hour: 12, minute: 1, second: 2, micros: 3}
	cases := []struct {
		name string
		node any
		want string
	}{
		{
			"object",
			object{{"a", int16(1)}, {"b", array{true, false, nil, "x"}}, {"c", object{{"d", 1.5}, {"e", math.Copysign(0, -1)}, {"f", 1e100}}}},
			`{"a": 1, "b": [true, false, null, "x"], "c": {"d": 1.5, "e": -0.0, "f": 1.0E100}}`,
		},
		{"empty array", array{}, `[]`},
		{"empty object", object{}, `{}`},
		{"string", "text with \"quotes\" and \n newline 中 \x01", `"text with \"quotes\" and \n newline 中 \u0001"`},
		{"escapes", "\b\f\r\t\x1f\x7f\u0080\u00a0¡/\\", `"\u0008\u000c\r\t\u001f\u007f\u0080\u00a0¡/\\"`},
		{"null", nil, `null`},
		{"true", true, `true`},
		{"int16", int16(-32768), `-32768`},
		{"uint16", uint16(65535), `65535`},
		{"int32", int32(-2147483648), `-2147483648`},
		{"uint32", uint32(4294967295), `4294967295`},
		{"int64", int64(math.MinInt64), `-9223372036854775808`},
		{"uint64", uint64(math.MaxUint64), `18446744073709551615`},
		{"double", 3.141592653589793, `3.141592653589793`},
		{"doubles", array{1.0, 100.0, 1e20}, `[1.0, 100.0, 1.0E20]`},
		{"keys", object{{"", "empty key"}, {"a b", "c/d"}, {"中文", "🌍"}}, `{"": "empty key", "a b": "c/d", "中文": "🌍"}`},
		{"deep", array{int16(1), array{int16(2), array{int16(3), object{{"deep", array{}}}}}}, `[1, [2, [3, {"deep": []}]]]`},
		{"decimals", array{opaqueDecimal("12.500", 5, 3), opaqueDecimal("0", 10, 2), opaqueDecimal("-1", 10, 2)}, `[12.500, 0.0, -1.0]`},
		{"time", array{
			opaque{11, clock{hour: 1, minute: 2, second: 3, micros: 4}.packedTime(), ""},
			opaque{11, clock{negative: true, hour: 838, minute: 59, second: 59}.packedTime(), ""},
			opaque{11, clock{hour: 100}.packedTime(), ""},
			opaque{11, le64(0), ""},
		}, `["01:02:03.000004", "-838:59:59.000000", "100:00:00.000000", "00:00:00"]`},
		{"dates", array{
			opaque{10, day.packedDatetime(), ""}, opaque{12, noon.packedDatetime(), ""}, opaque{7, noon.packedDatetime(), ""}, opaque{12, le64(0), ""},
		}, `["2024-02-29 00:00:00.000000", "2024-02-29 12:01:02.000003", "2024-02-29 12:01:02.000003", "0000-00-00 00:00:00"]`},
		{"blob", array{opaque{252, []byte("ab\"\n"), ""}, opaque{16, []byte{0xff, 'x'}, ""}}, "[\"ab\\\"\\n\", \"\uFFFDx\"]"},
		{"invalid string", "a\xe6\x96b", "\"a\uFFFDb\""},
		{"long string", strings.Repeat("x", 40000), `"` + strings.Repeat("x", 40000) + `"`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, large := range []bool{false, true} {
				raw := encodeDocument(c.node, large)
				if got := string(render.JSON([]byte("> "), raw, render.JSONStyle{})); got != "> "+c.want {
					t.Errorf("large %v: got %s, want > %s", large, got, c.want)
				}
			}
		})
	}
	if got := render.JSON(nil, nil, render.JSONStyle{}); len(got) != 0 {
		t.Errorf("no bytes gave %q", got)
	}
}

func TestJSONCharset(t *testing.T) {
	gbk, err := render.LookupCharset("GBK")
	if err != nil {
		t.Fatal(err)
	}
	raw := encodeDocument(object{{"\xd6\xd0", "\xce\xc4\n"}}, false)
	if got := string(render.JSON(nil, raw, render.JSONStyle{Charset: gbk})); got != `{"中": "文\n"}` {
		t.Errorf("got %s", got)
	}
}

func TestJSONHostile(t *testing.T) {
	// An array whose entries all point to one place behind them.
	chain := func(levels, width int) []byte {
		var out []byte
		for level := range levels {
			head := 4 + 3*width
			out = binary.LittleEndian.AppendUint16(out, uint16(width))
			out = binary.LittleEndian.AppendUint16(out, uint16((levels-level)*head))
			for range width {
				out = append(out, 2)
				out = binary.LittleEndian.AppendUint16(out, uint16(head))
			}
		}
		return append([]byte{2}, append(out, 0, 0, 4, 0)...)
	}
	self := []byte{2, 2, 0, 10, 0, 2, 0, 0, 2, 0, 0} // an array of itself, twice
	nested := any(array{})
	for range 200 {
		nested = array{nested}
	}
	cases := []struct {
		name string
		raw  []byte
		max  int
	}{
		{"doubling", chain(40, 2), 10000},
		{"wide", chain(20, 300), 400000},
		{"self", self, 10000},
		{"too deep", encodeDocument(nested, false), 2000},
	}
	for _, c := range cases {
		got := render.JSON(nil, c.raw, render.JSONStyle{})
		if len(got) > c.max || !json.Valid(got) {
			t.Errorf("%s: %d bytes of text out of %d: %.60s", c.name, len(got), len(c.raw), got)
		}
	}
	if got := string(render.JSON(nil, self, render.JSONStyle{})); got != "null" {
		t.Errorf("an array of itself = %.60s, want null", got)
	}
	// MySQL's own limit of 100 levels is inside ours.
	legal := any("x")
	for range 99 {
		legal = array{legal}
	}
	if got, want := string(render.JSON(nil, encodeDocument(legal, false), render.JSONStyle{})), text(legal); got != want {
		t.Errorf("100 levels: %s", got)
	}
}

func TestJSONCutShort(t *testing.T) {
	raw := encodeDocument(object{{"a", int16(1)}, {"b", array{"x", int64(5), 1.5}}, {"c", opaqueDecimal("1.50", 5, 2)}}, false)
	for n := 1; n < len(raw); n++ {
		if got := render.JSON(nil, raw[:n], render.JSONStyle{}); !json.Valid(got) {
			t.Errorf("cut at %d: %s", n, got)
		}
	}
	if got := string(render.JSON(nil, raw[:1], render.JSONStyle{})); got != "null" {
		t.Errorf("type alone = %s, want null", got)
	}
}

func randomNode(r *rand.Rand, depth int) any {
	randomString := func() string {
		pool := []rune("ab\"\\\n\t\x01\x7f\u0080\u00a0é中🌍 /")
		var b strings.Builder
		for range r.IntN(20) {
			b.WriteRune(pool[r.IntN(len(pool))])
		}
		return b.String()
	}
	kinds := 13
	if depth > 4 {
		kinds = 11
	}
	switch r.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return int16(r.Uint32())
	case 3:
		return uint16(r.Uint32())
	case 4:
		return int32(r.Uint32())
	case 5:
		return r.Uint32()
	case 6:
		return int64(r.Uint64())
	case 7:
		return r.Uint64()
	case 8:
		return float64(int64(r.Uint64())>>uint(r.IntN(60))) / 1000
	case 9:
		return randomString()
	case 10:
		c := clock{year: r.IntN(9999) + 1, month: r.IntN(13), day: r.IntN(32), hour: r.IntN(24), minute: r.IntN(60), second: r.IntN(60), micros: r.IntN(1e6)}
		return opaque{12, c.packedDatetime(), `"` + c.datetime(6) + `"`}
	case 11:
		out := array{}
		for range r.IntN(6) {
			out = append(out, randomNode(r, depth+1))
		}
		return out
	default:
		out := object{}
		for range r.IntN(6) {
			out = append(out, member{randomString(), randomNode(r, depth+1)})
		}
		return out
	}
}

func FuzzJSONTree(f *testing.F) {
	for i := range uint64(50) {
		f.Add(i, i*7)
	}
	f.Fuzz(func(t *testing.T, a, b uint64) {
		r := rand.New(rand.NewPCG(a, b))
		node := randomNode(r, 0)
		if d, ok := node.(float64); ok && powerOfTwo(d) {
			return
		}
		want := text(node)
		for _, large := range []bool{false, true} {
			if got := string(render.JSON(nil, encodeDocument(node, large), render.JSONStyle{})); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
	})
}

func FuzzJSON(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20 {
		f.Add(encodeDocument(randomNode(r, 0), i%2 == 0))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got := render.JSON(nil, raw, render.JSONStyle{})
		if len(raw) == 0 {
			return
		}
		if !utf8.Valid(got) || len(got) > 40*len(raw)+4096 {
			t.Errorf("% x gave %d bytes: %.100q", raw, len(got), got)
		}
		if !json.Valid(got) && !strings.Contains(string(got), "NaN") && !strings.Contains(string(got), "Infinity") {
			t.Errorf("% x = %s", raw, got)
		}
	})
}
