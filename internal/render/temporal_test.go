package render_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/render"
)

// bigEndian writes the low n bytes of v.
func bigEndian(v uint64, n int) []byte {
	return binary.BigEndian.AppendUint64(nil, v)[8-n:]
}

// clock is a time in the parts that MySQL knows; micros is 0 to 999999.
type clock struct {
	negative                                       bool
	year, month, day, hour, minute, second, micros int
}

func (c clock) fraction(fsp int) string {
	if fsp == 0 {
		return ""
	}
	return "." + fmt.Sprintf("%06d", c.micros)[:fsp]
}

func (c clock) time(fsp int) string {
	sign := ""
	if c.negative {
		sign = "-"
	}
	return fmt.Sprintf("%s%02d:%02d:%02d%s", sign, c.hour, c.minute, c.second, c.fraction(fsp))
}

func (c clock) datetime(fsp int) string {
	return fmt.Sprintf("%04d-%02d-%02d %02d:%02d:%02d%s", c.year, c.month, c.day, c.hour, c.minute, c.second, c.fraction(fsp))
}

// storedFraction gives the fraction in units of its bytes, with only the digits
// that fsp keeps.
func (c clock) storedFraction(fsp int) uint64 {
	keep := c.micros
	for range 6 - fsp {
		keep /= 10
	}
	if fsp%2 == 1 {
		keep *= 10
	}
	return uint64(keep)
}

func (c clock) packTime2(fsp int) []byte {
	n := (fsp + 1) / 2
	v := int64(c.hour<<12|c.minute<<6|c.second)<<(8*n) | int64(c.storedFraction(fsp))
	if c.negative {
		v = -v
	}
	return bigEndian(uint64(v+1<<(8*(3+n)-1)), 3+n)
}

func (c clock) packDatetime2(fsp int) []byte {
	v := uint64((c.year*13+c.month)<<5|c.day)<<17 | uint64(c.hour<<12|c.minute<<6|c.second)
	return append(bigEndian(v+1<<39, 5), bigEndian(c.storedFraction(fsp), (fsp+1)/2)...)
}

func TestTime2(t *testing.T) {
	cases := []struct {
		c    clock
		fsp  int
		want string
	}{
		{clock{}, 0, "00:00:00"},
		{clock{}, 3, "00:00:00.000"},
		{clock{negative: true, hour: 838, minute: 59, second: 59}, 0, "-838:59:59"},
		{clock{hour: 100}, 0, "100:00:00"},
		{clock{negative: true, micros: 100000}, 1, "-00:00:00.1"},
		{clock{negative: true, second: 59, micros: 999000}, 3, "-00:00:59.999"},
		{clock{negative: true, hour: 100, micros: 100}, 4, "-100:00:00.0001"},
		{clock{hour: 12, minute: 34, second: 56, micros: 700000}, 1, "12:34:56.7"},
		{clock{hour: 12, minute: 34, second: 56, micros: 789123}, 6, "12:34:56.789123"},
		{clock{hour: 12, minute: 34, second: 56, micros: 789120}, 5, "12:34:56.78912"},
	}
	for _, c := range cases {
		if got := string(render.Time2(nil, c.c.packTime2(c.fsp), c.fsp)); got != c.want {
			t.Errorf("time(%d) %+v = %s, want %s", c.fsp, c.c, got, c.want)
		}
	}
}

func TestDates(t *testing.T) {
	date := func(y, m, d int) []byte { return le32(uint32(y<<9 | m<<5 | d))[:3] }
	old := func(v int64) []byte { return le64(uint64(v)) }
	cases := []struct{ name, got, want string }{
		{"date", string(render.Date(nil, date(2024, 2, 29))), "2024-02-29"},
		{"date zero", string(render.Date(nil, date(0, 0, 0))), "0000-00-00"},
		{"date part zero", string(render.Date(nil, date(2024, 0, 0))), "2024-00-00"},
		{"date nothing", string(render.Date(nil, nil)), "0000-00-00"},
		{"date all ones", string(render.Date(nil, []byte{255, 255, 255})), "32767-15-31"},
		{"time old", string(render.TimeOld(nil, old(123456)[:3])), "12:34:56"},
		{"time old zero", string(render.TimeOld(nil, old(0)[:3])), "00:00:00"},
		{"time old negative", string(render.TimeOld(nil, old(-8385959)[:3])), "-838:59:59"},
		{"time old 100 h", string(render.TimeOld(nil, old(1000102)[:3])), "100:01:02"},
		{"datetime old", string(render.DatetimeOld(nil, old(20240229235958))), "2024-02-29 23:59:58"},
		{"datetime old zero", string(render.DatetimeOld(nil, old(0))), "0000-00-00 00:00:00"},
		{"datetime", string(render.Datetime2(nil, clock{year: 9999, month: 12, day: 31, hour: 23, minute: 59, second: 59, micros: 999999}.packDatetime2(6), 6)), "9999-12-31 23:59:59.999999"},
		{"datetime zero", string(render.Datetime2(nil, clock{}.packDatetime2(3), 3)), "0000-00-00 00:00:00.000"},
		{"datetime part zero", string(render.Datetime2(nil, clock{year: 2024}.packDatetime2(0), 0)), "2024-00-00 00:00:00"},
		{"datetime nothing", string(render.Datetime2(nil, nil, 2)), "0000-00-00 00:00:00.00"},
		{"time nothing", string(render.Time2(nil, nil, 2)), "00:00:00.00"},
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s = %s, want %s", c.name, c.got, c.want)
		}
	}
	for fsp, want := range []int{0, 1, 1, 2, 2, 3, 3, 3} {
		if got := render.TemporalFractionLen(fsp); got != want {
			t.Errorf("fraction of %d digits takes %d bytes, want %d", fsp, got, want)
		}
	}
}

func mustLoad(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

var zoneNames = []string{
	"UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kathmandu",
	"Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Pyongyang",
}

func TestTimestamp(t *testing.T) {
	berlin := render.NewZone(mustLoad(t, "Europe/Berlin"))
	cases := []struct {
		sec  uint32
		want string
	}{
		{0, "0000-00-00 00:00:00"},
		{1, "1970-01-01 01:00:01"},
		{1711846799, "2024-03-31 01:59:59"},
		{1711846800, "2024-03-31 03:00:00"},
		{1729990799, "2024-10-27 02:59:59"},
		{1729990800, "2024-10-27 02:00:00"},
		{1<<31 - 1, "2038-01-19 04:14:07"},
		{1<<32 - 1, "2106-02-07 07:28:15"},
	}
	for _, c := range cases {
		if got := string(berlin.Timestamp2(nil, bigEndian(uint64(c.sec), 4), 0)); got != c.want {
			t.Errorf("timestamp %d = %s, want %s", c.sec, got, c.want)
		}
		if got := string(berlin.TimestampOld(nil, le32(c.sec))); got != c.want {
			t.Errorf("old timestamp %d = %s, want %s", c.sec, got, c.want)
		}
	}
	if got := string(berlin.Timestamp2(nil, append(bigEndian(1711846800, 4), 0x03, 0xe7), 3)); got != "2024-03-31 03:00:00.099" {
		t.Errorf("with fraction: %s", got)
	}
	if got := string(berlin.Timestamp2(nil, bigEndian(0, 5), 1)); got != "0000-00-00 00:00:00.0" {
		t.Errorf("zero with fraction: %s", got)
	}
	if got, want := string(render.NewZone(nil).Timestamp2(nil, bigEndian(1e9, 4), 0)), time.Unix(1e9, 0).Format(time.DateTime); got != want {
		t.Errorf("process zone: %s, want %s", got, want)
	}
}

// Every change of offset, and both sides of it, in zones of odd habits.
func TestTimestampAroundChanges(t *testing.T) {
	for _, name := range zoneNames {
		loc := mustLoad(t, name)
		z := render.NewZone(loc).Clone()
		for sec := int64(1); sec < 1<<32; sec += 86400*3 + 7919 {
			checkTimestamp(t, z, loc, sec)
			if _, end := time.Unix(sec, 0).In(loc).ZoneBounds(); !end.IsZero() && end.Unix() < 1<<32-1800 {
				for _, d := range []int64{-1801, -1800, -1, 0, 1, 1799, 1800} {
					checkTimestamp(t, z, loc, end.Unix()+d)
				}
			}
		}
		checkTimestamp(t, z, loc, 1<<32-1)
	}
}

func checkTimestamp(t *testing.T, z *render.Zone, loc *time.Location, sec int64) {
	t.Helper()
	want := time.Unix(sec, 0).In(loc).Format(time.DateTime)
	if sec == 0 {
		want = "0000-00-00 00:00:00"
	}
	if got := string(z.Timestamp2(nil, bigEndian(uint64(sec), 4), 0)); got != want {
		t.Errorf("%s %d = %s, want %s", loc, sec, got, want)
	}
}

// Values as MariaDB packs them with mysql56_temporal_format=OFF.
func TestHires(t *testing.T) {
	scale := func(micros uint64, fsp int) uint64 {
		for range 6 - fsp {
			micros /= 10
		}
		return micros
	}
	utc := render.NewZone(time.UTC)
	c := clock{year: 2024, month: 2, day: 29, hour: 23, minute: 59, second: 58, micros: 123456}
	lengths := [][3]int{{3, 8, 4}, {4, 6, 5}, {4, 6, 5}, {5, 7, 6}, {5, 7, 6}, {5, 7, 7}, {6, 8, 7}}
	for fsp := 1; fsp <= 6; fsp++ {
		want := lengths[fsp]
		if got := [3]int{render.TimeHiresLen(fsp), render.DatetimeHiresLen(fsp), render.TimestampHiresLen(fsp)}; got != want {
			t.Errorf("lengths for %d digits: %v, want %v", fsp, got, want)
		}
		for _, negative := range []bool{false, true} {
			k := c
			k.negative, k.hour = negative, 838
			micros := int64((k.hour*60+k.minute)*60+k.second)*1e6 + int64(k.micros)
			packed := int64(scale(uint64(micros), fsp))
			if negative {
				packed = -packed
			}
			zero := int64(scale((838*3600+3600)*1e6, fsp))
			if got := string(render.TimeHires(nil, bigEndian(uint64(packed+zero), want[0]), fsp)); got != k.time(fsp) {
				t.Errorf("time(%d) = %s, want %s", fsp, got, k.time(fsp))
			}
		}
		packed := uint64(((((c.year*13+c.month)*32+c.day)*24+c.hour)*60+c.minute)*60+c.second)*1e6 + uint64(c.micros)
		if got := string(render.DatetimeHires(nil, bigEndian(scale(packed, fsp), want[1]), fsp)); got != c.datetime(fsp) {
			t.Errorf("datetime(%d) = %s, want %s", fsp, got, c.datetime(fsp))
		}
		raw := append(bigEndian(uint64(time.Date(2024, 2, 29, 23, 59, 58, 0, time.UTC).Unix()), 4), bigEndian(scale(uint64(c.micros), fsp), want[2]-4)...)
		if got := string(utc.TimestampHires(nil, raw, fsp)); got != c.datetime(fsp) {
			t.Errorf("timestamp(%d) = %s, want %s", fsp, got, c.datetime(fsp))
		}
	}
	if got := string(render.TimeHires(nil, le32(10203)[:3], 0)); got != "01:02:03" {
		t.Errorf("time(0) = %s", got)
	}
	if got := string(render.DatetimeHires(nil, le64(20240229235958), 0)); got != "2024-02-29 23:59:58" {
		t.Errorf("datetime(0) = %s", got)
	}
	if got := string(utc.TimestampHires(nil, le32(1e9), 0)); got != "2001-09-09 01:46:40" {
		t.Errorf("timestamp(0) = %s", got)
	}
}

func FuzzTemporal(f *testing.F) {
	f.Add(uint64(0), int8(0), []byte{})
	f.Add(uint64(1<<63|123456789), int8(6), []byte("\x80\x00\x01\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, seed uint64, digits int8, junk []byte) {
		take := func(n uint64) int { v := seed % n; seed /= n; return int(v) }
		fsp := int(uint8(digits) % 7)
		c := clock{hour: take(839), minute: take(60), second: take(60), micros: take(1e6), negative: take(2) == 1}
		if zero := c.storedFraction(fsp) == 0 && c.hour+c.minute+c.second == 0; zero {
			c.negative = false
		}
		if got := string(render.Time2(nil, c.packTime2(fsp), fsp)); got != c.time(fsp) {
			t.Errorf("time(%d) %+v = %s", fsp, c, got)
		}
		c.hour %= 24
		c.year, c.month, c.day = take(10000), take(13), take(32)
		if got := string(render.Datetime2(nil, c.packDatetime2(fsp), fsp)); got != c.datetime(fsp) {
			t.Errorf("datetime(%d) %+v = %s", fsp, c, got)
		}
		z := render.NewZone(time.UTC)
		for _, out := range [][]byte{
			render.Date(nil, junk), render.TimeOld(nil, junk), render.DatetimeOld(nil, junk),
			render.Time2(nil, junk, int(digits)), render.Datetime2(nil, junk, int(digits)),
			render.TimeHires(nil, junk, int(digits)), render.DatetimeHires(nil, junk, int(digits)),
			z.TimestampOld(nil, junk), z.Timestamp2(nil, junk, int(digits)), z.TimestampHires(nil, junk, int(digits)),
		} {
			if len(out) < 8 || len(out) > 40 || strings.Trim(string(out), "-:. 0123456789") != "" {
				t.Errorf("% x (%d) = %q", junk, digits, out)
			}
		}
	})
}
