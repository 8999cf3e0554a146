package render_test

import (
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/render"
)

// usual lists one call per kind of column with values as tables hold them.
func usual(tb testing.TB) []struct {
	name string
	f    func(dst []byte) []byte
} {
	gbk, err := render.LookupCharset("GBK")
	if err != nil {
		tb.Fatal(err)
	}
	zone := render.NewZone(mustLoad(tb, "Asia/Shanghai"))
	c := clock{year: 2024, month: 2, day: 29, hour: 12, minute: 34, second: 56, micros: 789123}
	datetime0, datetime6, time2 := c.packDatetime2(0), c.packDatetime2(6), c.packTime2(0)
	datetimeOld := le64(20240229123456)
	timestamp, stamps := bigEndian(1709181296, 4), [2][]byte{bigEndian(1709181296, 4), bigEndian(1720181296, 4)}
	small, big, tiny := le32(123456), le64(1234567890123456789), []byte{7}
	money, wide := packDecimal("12345.67", 10, 2), packDecimal("1234567890123456.123456", 38, 10)
	amount, pi, huge := le64(0x40c81cd6e631f8a1), le64(0x400921fb54442d18), le64(0x7e37e43c8800759c)
	float := le32(0x42f6e979)
	ascii, chinese, bad := []byte(strings.Repeat("plain text ", 4)), []byte(strings.Repeat("中文字符", 4)), []byte("plain \xff text")
	blob := []byte(strings.Repeat("a\x80\xffb", 10))
	gbkText := []byte(strings.Repeat("\xd6\xd0\xce\xc4", 8))
	doc := encodeDocument(object{{"id", int16(17)}, {"name", "someone"}, {"tags", array{"a", "b", true, nil}}, {"price", 12.5}, {"at", int64(1709181296000)}}, false)
	diffs := encodeDiffs(diff{0, "$.a", int16(1)}, diff{2, "$.b", nil})
	flip := 0
	return []struct {
		name string
		f    func(dst []byte) []byte
	}{
		{"Int1", func(d []byte) []byte { return render.Int(d, tiny) }},
		{"Int4", func(d []byte) []byte { return render.Int(d, small) }},
		{"Int8", func(d []byte) []byte { return render.Int(d, big) }},
		{"Uint8", func(d []byte) []byte { return render.Uint(d, big) }},
		{"Decimal10_2", func(d []byte) []byte { return render.Decimal(d, money, 10, 2) }},
		{"Decimal38_10", func(d []byte) []byte { return render.Decimal(d, wide, 38, 10) }},
		{"DoubleAmount", func(d []byte) []byte { return render.Double(d, amount) }},
		{"DoublePi", func(d []byte) []byte { return render.Double(d, pi) }},
		{"DoubleHuge", func(d []byte) []byte { return render.Double(d, huge) }},
		{"Float", func(d []byte) []byte { return render.Float(d, float) }},
		{"Date", func(d []byte) []byte { return render.Date(d, tiny) }},
		{"Time2", func(d []byte) []byte { return render.Time2(d, time2, 0) }},
		{"DatetimeOld", func(d []byte) []byte { return render.DatetimeOld(d, datetimeOld) }},
		{"Datetime2", func(d []byte) []byte { return render.Datetime2(d, datetime0, 0) }},
		{"Datetime2_6", func(d []byte) []byte { return render.Datetime2(d, datetime6, 6) }},
		{"Timestamp2", func(d []byte) []byte { return zone.Timestamp2(d, timestamp, 0) }},
		{"Timestamp2OtherDays", func(d []byte) []byte { flip ^= 1; return zone.Timestamp2(d, stamps[flip], 0) }},
		{"UTF8Ascii44", func(d []byte) []byte { return render.UTF8(d, ascii) }},
		{"UTF8Chinese48", func(d []byte) []byte { return render.UTF8(d, chinese) }},
		{"UTF8IllFormed", func(d []byte) []byte { return render.UTF8(d, bad) }},
		{"Latin1Blob40", func(d []byte) []byte { return render.Latin1(d, blob) }},
		{"GBK32", func(d []byte) []byte { return gbk.Append(d, gbkText) }},
		{"JSON", func(d []byte) []byte { return render.JSON(d, doc, render.JSONStyle{}) }},
		{"JSONDiff", func(d []byte) []byte { out, _ := render.JSONDiff(d, diffs, "j", render.JSONStyle{}); return out }},
	}
}

// Nothing is allocated when dst has room.
func TestNoAllocation(t *testing.T) {
	dst := make([]byte, 0, 4096)
	for _, c := range usual(t) {
		if n := testing.AllocsPerRun(100, func() { dst = c.f(dst[:0]) }); n != 0 && c.name != "GBK32" {
			t.Errorf("%s allocates %v times", c.name, n)
		}
		if len(dst) == 0 {
			t.Errorf("%s gave no text", c.name)
		}
	}
}

func BenchmarkRender(b *testing.B) {
	dst := make([]byte, 0, 4096)
	for _, c := range usual(b) {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				dst = c.f(dst[:0])
			}
		})
	}
}

func BenchmarkNewZone(b *testing.B) {
	for b.Loop() {
		render.NewZone(time.UTC)
	}
}
