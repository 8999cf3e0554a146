package render_test

import (
	"encoding/binary"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/canald/canald/internal/render"
)

func reversed(raw []byte) []byte {
	out := slices.Clone(raw)
	slices.Reverse(out)
	return out
}

// slowInt reads little-endian bytes with math/big.
func slowInt(raw []byte, signed bool) string {
	raw = raw[:min(len(raw), 8)]
	v := new(big.Int).SetBytes(reversed(raw))
	if signed && len(raw) > 0 && raw[len(raw)-1] >= 0x80 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
	}
	return v.String()
}

func TestIntegers(t *testing.T) {
	cases := []struct {
		raw              string
		signed, unsigned string
		negative         bool
	}{
		{"", "0", "0", false},
		{"\x00", "0", "0", false},
		{"\x7f", "127", "127", false},
		{"\x80", "-128", "128", true},
		{"\xff", "-1", "255", true},
		{"\x00\x80", "-32768", "32768", true},
		{"\xff\x7f", "32767", "32767", false},
		{"\x00\x00\x80", "-8388608", "8388608", true},
		{"\xff\xff\x7f", "8388607", "8388607", false},
		{"\x00\x00\x00\x80", "-2147483648", "2147483648", true},
		{"\xff\xff\xff\xff", "-1", "4294967295", true},
		{"\x00\x00\x00\x00\x00\x00\x00\x80", "-9223372036854775808", "9223372036854775808", true},
		{"\xff\xff\xff\xff\xff\xff\xff\xff", "-1", "18446744073709551615", true},
		{"\xff\xff\xff\xff\xff\xff\xff\x7f", "9223372036854775807", "9223372036854775807", false},
	}
	for _, c := range cases {
		raw := []byte(c.raw)
		if got := string(render.Int([]byte("n="), raw)); got != "n="+c.signed {
			t.Errorf("signed % x = %s, want n=%s", raw, got, c.signed)
		}
		if got := string(render.Uint(nil, raw)); got != c.unsigned {
			t.Errorf("unsigned % x = %s, want %s", raw, got, c.unsigned)
		}
		if got := render.Negative(raw); got != c.negative {
			t.Errorf("negative % x = %v", raw, got)
		}
	}
}

func TestBitYearEnumSet(t *testing.T) {
	cases := []struct {
		name, got, want string
	}{
		{"bit(1) set", string(render.Bit(nil, []byte{1})), "1"},
		{"bit(8) full", string(render.Bit(nil, []byte{0xff})), "255"},
		{"bit(10)", string(render.Bit(nil, []byte{0x02, 0x01})), "513"},
		{"bit(64) full", string(render.Bit(nil, []byte("\xff\xff\xff\xff\xff\xff\xff\xff"))), "18446744073709551615"},
		{"bit of nothing", string(render.Bit(nil, nil)), "0"},
		{"year zero", string(render.Year(nil, []byte{0})), "0000"},
		{"year 1901", string(render.Year(nil, []byte{1})), "1901"},
		{"year 2155", string(render.Year(nil, []byte{255})), "2155"},
		{"year of nothing", string(render.Year(nil, nil)), "0000"},
		{"enum invalid", string(render.Enum(nil, []byte{0})), "0"},
		{"enum of 300", string(render.Enum(nil, []byte{0x2c, 0x01})), "300"},
		{"set empty", string(render.Set(nil, []byte{0})), "0"},
		{"set of members 1 and 3", string(render.Set(nil, []byte{5})), "5"},
		{"set of 64 members", string(render.Set(nil, []byte("\x00\x00\x00\x00\x00\x00\x00\x80"))), "9223372036854775808"},
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s = %s, want %s", c.name, c.got, c.want)
		}
	}
}

func FuzzIntegers(f *testing.F) {
	f.Add([]byte{0x80, 0x01})
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\x80\x01"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if got, want := string(render.Int(nil, raw)), slowInt(raw, true); got != want {
			t.Errorf("signed % x = %s, want %s", raw, got, want)
		}
		if got, want := string(render.Uint(nil, raw)), slowInt(raw, false); got != want {
			t.Errorf("unsigned % x = %s, want %s", raw, got, want)
		}
		if got, want := render.Negative(raw), slowInt(raw, true) != slowInt(raw, false); got != want {
			t.Errorf("negative % x = %v, want %v", raw, got, want)
		}
		short := raw[:min(len(raw), 8)]
		if got, want := string(render.Bit(nil, raw)), slowInt(reversed(short), false); got != want {
			t.Errorf("bit % x = %s, want %s", raw, got, want)
		}
	})
}

var partBytes = []int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}

// packDecimal writes a decimal text (as -12.50, all digits of the scale
// given) as MySQL stores DECIMAL(precision, scale).
func packDecimal(text string, precision, scale int) []byte {
	digits, negative := strings.CutPrefix(text, "-")
	whole, frac, _ := strings.Cut(digits, ".")
	whole = strings.Repeat("0", precision-scale-len(whole)+100) + whole
	whole = whole[len(whole)-(precision-scale):]
	frac += strings.Repeat("0", scale-len(frac))
	var out []byte
	group := func(s string) {
		v, _ := new(big.Int).SetString("0"+s, 10)
		out = append(out, v.FillBytes(make([]byte, partBytes[len(s)]))...)
	}
	group(whole[:len(whole)%9])
	for whole = whole[len(whole)%9:]; whole != ""; whole = whole[9:] {
		group(whole[:9])
	}
	for ; len(frac) >= 9; frac = frac[9:] {
		group(frac[:9])
	}
	group(frac)
	if negative {
		for i := range out {
			out[i] = ^out[i]
		}
	}
	out[0] ^= 0x80
	return out
}

// javaDecimal cuts a full decimal text as Java's LogBuffer does.
func javaDecimal(text string, scale int) string {
	sign := ""
	if strings.HasPrefix(text, "-") {
		sign, text = "-", text[1:]
	}
	whole, frac, _ := strings.Cut(text, ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	frac += strings.Repeat("0", scale-len(frac))
	if strings.Trim(whole+frac, "0") == "" {
		sign = ""
	}
	if scale == 0 {
		return sign + whole
	}
	full := scale / 9 * 9
	if strings.Trim(frac[full:], "0") == "" {
		frac = frac[:full]
	}
	if frac == "" {
		frac = "0"
	}
	return sign + whole + "." + frac
}

func TestDecimal(t *testing.T) {
	cases := []struct {
		precision, scale int
		value, want      string
	}{
		{10, 2, "0", "0.0"},
		{10, 2, "1", "1.0"},
		{10, 2, "1.1", "1.10"},
		{10, 2, "-12345678.9", "-12345678.90"},
		{5, 0, "-42", "-42"},
		{5, 0, "0", "0"},
		{9, 9, "0", "0.000000000"},
		{9, 9, "0.1", "0.100000000"},
		{65, 30, "1", "1.000000000000000000000000000"},
		{65, 30, "-1.000000000000000000000000000001", "-1.000000000000000000000000000001"},
		{65, 0, strings.Repeat("9", 65), strings.Repeat("9", 65)},
		{30, 2, "1000000000000000000.05", "1000000000000000000.05"},
		{4, 4, "-0.0001", "-0.0001"},
		{12, 3, "12.500", "12.500"},
	}
	for _, c := range cases {
		raw := packDecimal(c.value, c.precision, c.scale)
		if n := render.DecimalLen(c.precision, c.scale); n != len(raw) {
			t.Errorf("decimal(%d,%d) takes %d bytes, want %d", c.precision, c.scale, n, len(raw))
		}
		if got := string(render.Decimal(nil, raw, c.precision, c.scale)); got != c.want {
			t.Errorf("decimal(%d,%d) %s = %s, want %s", c.precision, c.scale, c.value, got, c.want)
		}
		if twin := javaDecimal(c.value, c.scale); twin != c.want {
			t.Errorf("the twin says %s of %s, want %s", twin, c.value, c.want)
		}
	}
}

func TestDecimalOdd(t *testing.T) {
	cases := []struct {
		name             string
		raw              string
		precision, scale int
		want             string
	}{
		{"nothing", "", 10, 2, "0.0"},
		{"no digits", "", 0, 0, "0"},
		{"cut positive", "\x80\x00\x00\x05", 12, 2, "1280.0"},
		{"cut negative", "\x7f\xff\xff\xfa", 12, 2, "-1280.0"},
		{"minus zero", "\x7f\xff\xff\xff\xff", 10, 2, "0.0"},
		{"group too large", "\xff\xff\xff\xff", 9, 0, "999999999"},
		{"scale above precision", "\x83", 1, 2, "0.03"},
		{"negative metadata", "\x83", -1, -2, "0"},
	}
	for _, c := range cases {
		if got := string(render.Decimal(nil, []byte(c.raw), c.precision, c.scale)); got != c.want {
			t.Errorf("%s = %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzDecimal(f *testing.F) {
	f.Add("123", "45", true, uint8(10), uint8(2), []byte("\x80\x01"))
	f.Add("", "000000001", false, uint8(65), uint8(30), []byte{})
	f.Add("99999999999", "000", false, uint8(38), uint8(38), []byte{0xff})
	f.Fuzz(func(t *testing.T, whole, frac string, negative bool, p, s uint8, junk []byte) {
		precision := int(p)%65 + 1
		scale := int(s) % (min(precision, 38) + 1)
		onlyDigits := func(s string, n int) string {
			var b strings.Builder
			for _, c := range []byte(s[:min(len(s), n)]) {
				b.WriteByte('0' + c%10)
			}
			return b.String()
		}
		text := onlyDigits(whole, precision-scale) + "." + onlyDigits(frac, scale)
		if negative && strings.Trim(text, "0.") != "" {
			text = "-" + text
		}
		raw := packDecimal(text, precision, scale)
		if got, want := string(render.Decimal(nil, raw, precision, scale)), javaDecimal(text, scale); got != want {
			t.Errorf("decimal(%d,%d) %s % x = %s, want %s", precision, scale, text, raw, got, want)
		}
		got := render.Decimal(nil, junk, int(p), int(s))
		if len(got) == 0 || len(got) > 600 || strings.Trim(string(got), "-.0123456789") != "" {
			t.Errorf("junk decimal(%d,%d) % x = %q", p, s, junk, got)
		}
	})
}

func TestMariaDBTypes(t *testing.T) {
	v6 := func(words ...uint16) []byte {
		var b []byte
		for _, w := range words {
			b = binary.BigEndian.AppendUint16(b, w)
		}
		return b
	}
	cases := []struct{ name, got, want string }{
		{"uuid", string(render.UUID(nil, []byte("\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x55\x44\x00\x00"))), "123e4567-e89b-12d3-a456-426655440000"},
		{"uuid without its zeros", string(render.UUID(nil, []byte("\x12\x3e\x45\x67\xe8\x9b\x12\xd3\xa4\x56\x42\x66\x55\x44"))), "123e4567-e89b-12d3-a456-426655440000"},
		{"inet4", string(render.INET4(nil, []byte{10, 0, 0, 1})), "10.0.0.1"},
		{"inet4 cut", string(render.INET4(nil, []byte{10})), "10.0.0.0"},
		{"inet6", string(render.INET6(nil, v6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))), "2001:db8::1"},
		{"inet6 nothing", string(render.INET6(nil, nil)), "::"},
		{"inet6 loopback", string(render.INET6(nil, v6(0, 0, 0, 0, 0, 0, 0, 1))), "::1"},
		{"inet6 mapped", string(render.INET6(nil, v6(0, 0, 0, 0, 0, 0xffff, 0x0102, 0x0304))), "::ffff:1.2.3.4"},
		{"inet6 compatible", string(render.INET6(nil, v6(0, 0, 0, 0, 0, 0, 0x0102, 0x0304))), "::1.2.3.4"},
	}
	for _, c := range cases {
		if c.got != c.want {
			t.Errorf("%s = %s, want %s", c.name, c.got, c.want)
		}
	}
}
