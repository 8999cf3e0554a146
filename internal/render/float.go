package render

import (
	"encoding/binary"
	"math"
	"strconv"
)

// Float renders 4 bytes little-endian as Java's Float.toString does.
func Float(dst, raw []byte) []byte {
	return AppendJavaFloat(dst, math.Float32frombits(uint32(little(raw[:min(len(raw), 4)]))))
}

// Double renders 8 bytes little-endian as Java's Double.toString does.
func Double(dst, raw []byte) []byte {
	return AppendJavaDouble(dst, math.Float64frombits(little(raw)))
}

const (
	plainMin = 1e-3 // smallest magnitude without an exponent
	plainMax = 1e7  // smallest magnitude with one again
	centimil = 10000
)

// AppendJavaDouble appends v in the notation of Double.toString of JDK 19 and
// later: the shortest digits that read back as v, but two where one would do
// (4.9E-324). Older JDKs print more digits for about 0.3 % of all values.
func AppendJavaDouble(dst []byte, v float64) []byte {
	a := math.Abs(v)
	if math.Signbit(v) && a == a {
		dst = append(dst, '-')
	}
	if a >= plainMin && a < plainMax {
		// A decimal of at most 15 digits that reads back as v is the only
		// one, so its digits are the shortest. Both operands of the division
		// are exact, so it rounds as reading the decimal would.
		if m := uint64(a*centimil + 0.5); float64(m)/centimil == a {
			return appendCentimils(dst, m)
		}
	}
	if dst, ok := appendSpecial(dst, a); ok {
		return dst
	}
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], a, 'e', -1, 64)
	if e[1] == 'e' && a < 0x1p-1022 {
		e = strconv.AppendFloat(buf[:0], a, 'e', 1, 64)
	}
	return appendJavaDigits(dst, e)
}

// AppendJavaFloat is AppendJavaDouble for Float.toString. On older JDKs about
// 11 % of all bit patterns, most of them above 2^24, have other digits.
func AppendJavaFloat(dst []byte, v float32) []byte {
	a := math.Abs(float64(v))
	if math.Signbit(float64(v)) && a == a {
		dst = append(dst, '-')
	}
	if a >= plainMin && a < plainMax {
		// As above with 6 digits; the quotient of two such numbers is rounded
		// right by way of 53 bits. A whole number below 2^24 is the only
		// decimal of its length that reads back as v.
		m := uint64(a*centimil + 0.5)
		if (m < 1e6 || m%centimil == 0) && float64(float32(float64(m)/centimil)) == a {
			return appendCentimils(dst, m)
		}
	}
	if dst, ok := appendSpecial(dst, a); ok {
		return dst
	}
	if a == 0x1p-12 { // a tie between two shortest decimals: Java takes the even one, strconv does not
		return append(dst, "2.4414062E-4"...)
	}
	var buf [32]byte
	e := strconv.AppendFloat(buf[:0], a, 'e', -1, 32)
	if e[1] == 'e' && a < 0x1p-126 {
		e = strconv.AppendFloat(buf[:0], a, 'e', 1, 32)
	}
	return appendJavaDigits(dst, e)
}

func appendSpecial(dst []byte, a float64) ([]byte, bool) {
	switch {
	case a != a:
		return append(dst, "NaN"...), true
	case a > math.MaxFloat64:
		return append(dst, "Infinity"...), true
	case a == 0:
		return append(dst, "0.0"...), true
	}
	return dst, false
}

// appendCentimils writes m/10000 with one to four fraction digits.
func appendCentimils(dst []byte, m uint64) []byte {
	dst = append(appendUint(dst, m/centimil), '.')
	f := m % centimil
	dst = append4(dst, f)
	for n := 0; n < 3 && dst[len(dst)-1] == '0'; n++ {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendJavaDigits lays out e, a number as strconv writes it (d[.ddd]e±xx).
func appendJavaDigits(dst, e []byte) []byte {
	var digits [24]byte
	n, i := 0, 0
	for ; e[i] != 'e'; i++ {
		if e[i] != '.' {
			digits[n] = e[i]
			n++
		}
	}
	exp := 0
	for _, c := range e[i+2:] {
		exp = exp*10 + int(c-'0')
	}
	if e[i+1] == '-' {
		exp = -exp
	}
	return appendLaidOut(dst, digits[:n], exp)
}

// appendLaidOut writes digits, the first of which stands at ten to the power of exp.
func appendLaidOut(dst, digits []byte, exp int) []byte {
	switch {
	case exp >= 7 || exp < -3:
		dst = append(dst, digits[0], '.')
		if len(digits) == 1 {
			dst = append(dst, '0')
		}
		dst = append(dst, digits[1:]...)
		return appendInt(append(dst, 'E'), int64(exp))
	case exp < 0:
		dst = append(dst, "0.000"[:1-exp]...)
		return append(dst, digits...)
	}
	whole := min(len(digits), exp+1)
	dst = append(dst, digits[:whole]...)
	for i := whole; i <= exp; i++ {
		dst = append(dst, '0')
	}
	dst = append(dst, '.')
	if whole == len(digits) { // at least one digit after the point
		return append(dst, '0')
	}
	return append(dst, digits[whole:]...)
}

// float64At reads a little-endian double.
func float64At(raw []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(raw)) }
