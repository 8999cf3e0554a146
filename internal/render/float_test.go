package render_test

import (
	"bufio"
	"encoding/binary"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/canald/canald/internal/render"
)

func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
func le32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

// forLines calls f with the fields of each line of a file of testdata.
func forLines(t *testing.T, name string, f func(t *testing.T, fields []string)) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := 0
	for s := bufio.NewScanner(file); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#") {
			continue
		}
		f(t, strings.Fields(s.Text()))
		lines++
	}
	if lines == 0 {
		t.Fatalf("%s is empty", name)
	}
}

// checkJavaNumber compares one line: d or f, the bits in hex, Java's text.
func checkJavaNumber(t *testing.T, fields []string) {
	t.Helper()
	checkNumber(t, fields, render.Double, render.Float)
}

func checkNumber(t *testing.T, fields []string, double, float func(dst, raw []byte) []byte) {
	t.Helper()
	bits, err := strconv.ParseUint(fields[1], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	if fields[0] == "d" {
		got = double(nil, le64(bits))
	} else {
		got = float(nil, le32(uint32(bits)))
	}
	if string(got) != fields[2] {
		t.Errorf("%s %s = %s, Java says %s", fields[0], fields[1], got, fields[2])
	}
}

// The file was written by Double.toString and Float.toString of JDK 17, which
// has the algorithm of JDK 8.
func TestNumbersAgainstOldJava(t *testing.T) {
	forLines(t, "testdata/java_old_numbers.txt", func(t *testing.T, fields []string) {
		t.Helper()
		checkNumber(t, fields, render.OldDouble, render.OldFloat)
	})
}

// What an old Java prints reads back as the same number.
func FuzzOldNumbers(f *testing.F) {
	f.Add(uint64(1), uint32(1))
	f.Add(uint64(0x44b52d02c7e14af6), uint32(0x69000000))
	f.Fuzz(func(t *testing.T, d uint64, g uint32) {
		if v := math.Float64frombits(d); v == v {
			if back, err := strconv.ParseFloat(string(render.OldDouble(nil, le64(d))), 64); err != nil || back != v {
				t.Errorf("%x: %v, %v", d, back, err)
			}
		}
		if v := math.Float32frombits(g); v == v {
			if back, err := strconv.ParseFloat(string(render.OldFloat(nil, le32(g))), 32); err != nil || float32(back) != v {
				t.Errorf("%x: %v, %v", g, back, err)
			}
		}
	})
}

// The file was written by Double.toString and Float.toString of JDK 25.
func TestNumbersAgainstJava(t *testing.T) {
	forLines(t, "testdata/java_numbers.txt", checkJavaNumber)
}

func TestJavaNotation(t *testing.T) {
	doubles := []struct {
		v    float64
		want string
	}{
		{0.001, "0.001"},
		{100, "100.0"},
		{9999999, "9999999.0"},
		{9999999.999, "9999999.999"},
		{1e7, "1.0E7"},
		{1e-4, "1.0E-4"},
		{4.9e-324, "4.9E-324"},
		{0, "0.0"},
		{math.Copysign(0, -1), "-0.0"},
		{2e23, "2.0E23"},
		{1e23, "1.0E23"},
		{8.41e21, "8.41E21"},
		{-1.5, "-1.5"},
		{1e20, "1.0E20"},
		{math.NaN(), "NaN"},
		{math.Copysign(math.NaN(), -1), "NaN"},
		{math.Inf(1), "Infinity"},
		{math.Inf(-1), "-Infinity"},
		{3.141592653589793, "3.141592653589793"},
		{-0.00099, "-9.9E-4"},
		{0.3, "0.3"},
	}
	for _, c := range doubles {
		if got := string(render.AppendJavaDouble([]byte("x"), c.v)); got != "x"+c.want {
			t.Errorf("double %g = %s, want x%s", c.v, got, c.want)
		}
	}
	floats := []struct {
		v    float32
		want string
	}{
		{3.4e38, "3.4E38"},
		{16777216, "1.6777216E7"},
		{1e-45, "1.4E-45"},
		{0.1, "0.1"},
		{9999999, "9999999.0"},
		{float32(math.Copysign(0, -1)), "-0.0"},
		{float32(math.NaN()), "NaN"},
		{float32(math.Inf(-1)), "-Infinity"},
		{123.45, "123.45"},
	}
	for _, c := range floats {
		if got := string(render.AppendJavaFloat(nil, c.v)); got != c.want {
			t.Errorf("float %g = %s, want %s", c.v, got, c.want)
		}
	}
}

// slowJava tries decimals of growing length, each the nearest one to v, until
// one reads back, and lays it out by the words of the specification.
func slowJava(v float64, bits int) string {
	a, sign := math.Abs(v), ""
	if math.Signbit(v) {
		sign = "-"
	}
	switch {
	case v != v:
		return "NaN"
	case math.IsInf(a, 0):
		return sign + "Infinity"
	case a == 0:
		return sign + "0.0"
	}
	var mantissa, exp string
	for n := 1; ; n++ { // two digits at least, of which the last may be a zero
		s := strconv.FormatFloat(a, 'e', n, bits)
		back, err := strconv.ParseFloat(s, bits)
		if err == nil && back == a {
			mantissa, exp, _ = strings.Cut(s, "e")
			break
		}
	}
	e, _ := strconv.Atoi(exp)
	if a < 1e-3 || a >= 1e7 {
		return sign + mantissa + "E" + strconv.Itoa(e)
	}
	digits := strings.Replace(mantissa, ".", "", 1) + strings.Repeat("0", 10)
	if e < 0 {
		digits, e = strings.Repeat("0", -e)+digits, 0
	}
	text := digits[:e+1] + "." + strings.TrimRight(digits[e+1:], "0")
	if strings.HasSuffix(text, ".") {
		text += "0"
	}
	return sign + text
}

// powerOfTwo reports whether v lies unevenly between its neighbours: there the
// nearest decimal of a length may miss where another one reads back. Those
// values are compared with Java's own.
func powerOfTwo(v float64) bool {
	m, _ := math.Frexp(math.Abs(v))
	return m == 0.5
}

func FuzzDouble(f *testing.F) {
	for _, v := range []float64{0.1, 1e7, 99.99, 5e-324, 123456.7891, 1e-3, 9999999.99995} {
		f.Add(math.Float64bits(v))
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		v := math.Float64frombits(bits)
		if got, want := string(render.Double(nil, le64(bits))), slowJava(v, 64); got != want && !powerOfTwo(v) {
			t.Errorf("%x = %s, want %s", bits, got, want)
		}
		b := uint32(bits >> 16)
		w := float64(math.Float32frombits(b))
		if got, want := string(render.Float(nil, le32(b))), slowJava(w, 32); got != want && !powerOfTwo(w) {
			t.Errorf("float %x = %s, want %s", b, got, want)
		}
		cents := float64(int64(bits)%1e9) / 100 // amounts take the short way
		if got, want := string(render.AppendJavaDouble(nil, cents)), slowJava(cents, 64); got != want {
			t.Errorf("%v = %s, want %s", cents, got, want)
		}
	})
}
