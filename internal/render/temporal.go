package render

// fractionScale is what one step of a stored fraction is worth in µs: MySQL
// keeps fractions in 1, 2 or 3 bytes of 2, 4 or 6 digits.
var fractionScale = [4]uint64{0, 10000, 100, 1}

const maxFSP = 6

func clampFSP(fsp int) int { return min(max(fsp, 0), maxFSP) }

// TemporalFractionLen is the number of bytes of the fraction of TIME,
// DATETIME and TIMESTAMP (types 17, 18, 19) with fsp digits. The whole part
// before it takes 3, 5 and 4 bytes.
func TemporalFractionLen(fsp int) int { return (clampFSP(fsp) + 1) / 2 }

// appendFraction writes the point and the first fsp of six digits.
func appendFraction(dst []byte, micros uint64, fsp int) []byte {
	if fsp == 0 {
		return dst
	}
	m := uint32(micros % 1e6)
	a, b, c := m/10000, m/100%100, m%100
	six := [7]byte{'.', pairs[2*a], pairs[2*a+1], pairs[2*b], pairs[2*b+1], pairs[2*c], pairs[2*c+1]}
	return append(dst, six[:fsp+1]...)
}

func appendDate(dst []byte, year, month, day uint64) []byte {
	if year < 10000 && month < 100 && day < 100 {
		c, y := year/100, year%100
		return append(dst, pairs[2*c], pairs[2*c+1], pairs[2*y], pairs[2*y+1], '-',
			pairs[2*month], pairs[2*month+1], '-', pairs[2*day], pairs[2*day+1])
	}
	dst = append(append4(dst, year), '-')
	dst = append(append2(dst, month), '-')
	return append2(dst, day)
}

func appendClock(dst []byte, hour, minute, second uint64) []byte {
	if hour < 100 && minute < 100 && second < 100 {
		return append(dst, pairs[2*hour], pairs[2*hour+1], ':',
			pairs[2*minute], pairs[2*minute+1], ':', pairs[2*second], pairs[2*second+1])
	}
	dst = append(append2(dst, hour), ':')
	dst = append(append2(dst, minute), ':')
	return append2(dst, second)
}

// Date renders the 3 bytes of a DATE.
func Date(dst, raw []byte) []byte {
	v := little(raw[:min(len(raw), 3)])
	return appendDate(dst, v>>9, v>>5&15, v&31)
}

// TimeOld renders type 11: 3 bytes little-endian, signed, hhmmss as decimal
// digits. Java prints 00 for exactly 100 hours, by an off-by-one that the new
// TIME does not have; here it is 100.
func TimeOld(dst, raw []byte) []byte {
	v := int64(little(raw[:min(len(raw), 3)])<<40) >> 40
	if v < 0 {
		v = -v
		dst = append(dst, '-')
	}
	u := uint64(v)
	return appendClock(dst, u/10000, u/100%100, u%100)
}

// Time2 renders type 19: 3 bytes big-endian and the fraction, together one
// number around a bias, so that negative values have their fraction reversed.
func Time2(dst, raw []byte, fsp int) []byte {
	fsp = clampFSP(fsp)
	n := TemporalFractionLen(fsp)
	v := int64(big(raw, 3+n))
	if len(raw) > 0 { // no byte at all is zero, not the lowest value
		v -= 1 << (8*(3+n) - 1)
	}
	if v < 0 {
		v = -v
		dst = append(dst, '-')
	}
	whole, fraction := uint64(v)>>(8*n), uint64(v)&(1<<(8*n)-1)
	dst = appendClock(dst, whole>>12&1023, whole>>6&63, whole&63)
	return appendFraction(dst, fraction*fractionScale[n], fsp)
}

// DatetimeOld renders type 12: 8 bytes little-endian, YYYYMMDDhhmmss as
// decimal digits.
func DatetimeOld(dst, raw []byte) []byte {
	v := little(raw)
	d, t := v/1e6, v%1e6
	dst = append(appendDate(dst, d/10000, d/100%100, d%100), ' ')
	return appendClock(dst, t/10000, t/100%100, t%100)
}

const datetimeBias = 1 << 39 // sign bit of the 5 bytes, set for all valid values

// Datetime2 renders type 18: 5 bytes big-endian and the fraction.
func Datetime2(dst, raw []byte, fsp int) []byte {
	fsp = clampFSP(fsp)
	n := TemporalFractionLen(fsp)
	v := int64(big(raw, 5))
	if len(raw) > 0 {
		v -= datetimeBias
	}
	if v < 0 { // never written by a server
		v = -v
	}
	dst = appendPackedDatetime(dst, uint64(v))
	return appendFraction(dst, fractionAt(raw, 5, n), fsp)
}

// appendPackedDatetime writes MySQL's packed date and time without fraction:
// 17 bits of hms below (year*13+month) and 5 bits of day.
func appendPackedDatetime(dst []byte, v uint64) []byte {
	ymd, hms := v>>17, v&(1<<17-1)
	ym := ymd >> 5
	year := ym / 13
	dst = append(appendDate(dst, year, ym-year*13, ymd&31), ' ')
	return appendClock(dst, hms>>12, hms>>6&63, hms&63)
}

// fractionAt gives the µs of the n fraction bytes at offset at.
func fractionAt(raw []byte, at, n int) uint64 {
	if n == 0 || len(raw) <= at {
		return 0
	}
	return big(raw[at:], n) * fractionScale[n]
}
