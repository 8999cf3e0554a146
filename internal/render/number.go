package render

import (
	"bytes"
	"encoding/binary"
)

// Int renders a signed little-endian integer of 1, 2, 3, 4 or 8 bytes; the
// length of raw selects the width.
func Int(dst, raw []byte) []byte {
	switch len(raw) {
	case 1:
		return appendInt(dst, int64(int8(raw[0])))
	case 2:
		return appendInt(dst, int64(int16(binary.LittleEndian.Uint16(raw))))
	case 4:
		return appendInt(dst, int64(int32(binary.LittleEndian.Uint32(raw))))
	case 0:
		return append(dst, '0')
	}
	shift := 64 - 8*min(len(raw), 8)
	return appendInt(dst, int64(little(raw)<<shift)>>shift)
}

// Uint renders an unsigned little-endian integer of up to 8 bytes.
func Uint(dst, raw []byte) []byte { return appendUint(dst, little(raw)) }

// Negative reports whether the sign bit of a little-endian integer is set. Of
// an unsigned column it says that the value is at least 2^(8n-1), where Java
// widens the sqlType.
func Negative(raw []byte) bool {
	n := min(len(raw), 8)
	return n > 0 && raw[n-1]&0x80 != 0
}

// Enum renders the index of an ENUM value, 1 or 2 bytes little-endian; 0 is
// the invalid, empty value.
func Enum(dst, raw []byte) []byte { return Uint(dst, raw) }

// Set renders the member mask of a SET, up to 8 bytes little-endian, as an
// unsigned number; member 1 is bit 0.
func Set(dst, raw []byte) []byte { return Uint(dst, raw) }

// Bit renders BIT(n), up to 8 bytes big-endian, as an unsigned number. Java
// takes the byte of a BIT(1) as signed, which shows no difference, since such
// a byte is 0 or 1.
func Bit(dst, raw []byte) []byte { return appendUint(dst, big(raw, min(len(raw), 8))) }

// Year renders a YEAR byte: 0000 for 0, else 1900 and the byte.
func Year(dst, raw []byte) []byte {
	if len(raw) == 0 || raw[0] == 0 {
		return append(dst, "0000"...)
	}
	return append4(dst, 1900+uint64(raw[0]))
}

const (
	groupDigits      = 9
	groupBytes       = 4
	maxDecimalDigits = 255 // metadata gives precision and scale a byte each
	maxDecimalBytes  = maxDecimalDigits/groupDigits*groupBytes + 2*groupBytes
)

// partBytes is the number of bytes that a group of n digits takes.
var partBytes = [groupDigits]int{0, 1, 1, 2, 2, 3, 3, 4, 4}

var powers = [groupDigits + 1]uint32{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// decimalShape gives the digits before and after the point, within bounds.
func decimalShape(precision, scale int) (whole, frac int) {
	precision = min(max(precision, 0), maxDecimalDigits)
	scale = min(max(scale, 0), maxDecimalDigits)
	return max(precision-scale, 0), scale
}

// DecimalLen is the number of bytes of a DECIMAL(precision, scale) in a row
// image.
func DecimalLen(precision, scale int) int {
	whole, frac := decimalShape(precision, scale)
	return partBytes[whole%groupDigits] + whole/groupDigits*groupBytes +
		frac/groupDigits*groupBytes + partBytes[frac%groupDigits]
}

// DecimalFull renders a packed DECIMAL with all digits of its fraction.
func DecimalFull(dst, raw []byte, precision, scale int) []byte {
	from := len(dst)
	dst = Decimal(dst, raw, precision, scale)
	if scale <= 0 {
		return dst
	}
	for digits := len(dst) - from - 1 - bytes.IndexByte(dst[from:], '.'); digits < min(scale, maxDecimalDigits); digits++ {
		dst = append(dst, '0')
	}
	return dst
}

// Decimal renders a packed DECIMAL. As in Java (LogBuffer.getDecimal) the last
// fraction group, when it has fewer than nine digits and all are zero, is left
// out; if nothing would follow the point, one 0 does: DECIMAL(10,2) 1 is 1.0.
func Decimal(dst, raw []byte, precision, scale int) []byte {
	whole, frac := decimalShape(precision, scale)
	if need := DecimalLen(precision, scale); len(raw) < need {
		var padded [maxDecimalBytes]byte
		if len(raw) > 0 && raw[0]&0x80 == 0 { // zeros of a negative number
			for i := range padded {
				padded[i] = 0xff
			}
		} else {
			padded[0] = 0x80
		}
		copy(padded[:], raw)
		raw = padded[:need]
	}
	if len(raw) == 0 { // DECIMAL(0,0)
		return append(dst, '0')
	}
	start := len(dst)
	var mask uint32
	if raw[0]&0x80 == 0 {
		mask = ^uint32(0)
		dst = append(dst, '-')
	}
	pos, first, nonzero := 0, uint32(0x80), uint32(0)
	mark := len(dst)
	if n := whole % groupDigits; n > 0 {
		x := decimalGroup(raw[pos:], partBytes[n], mask, first)
		pos, first = pos+partBytes[n], 0
		x = min(x, powers[n]-1)
		if nonzero |= x; x != 0 {
			dst = appendUint(dst, uint64(x))
		}
	}
	for range whole / groupDigits {
		x := min(decimalGroup(raw[pos:], groupBytes, mask, first), powers[groupDigits]-1)
		pos, first = pos+groupBytes, 0
		nonzero |= x
		switch {
		case len(dst) > mark:
			dst = appendPadded(dst, x, groupDigits)
		case x != 0:
			dst = appendUint(dst, uint64(x))
		}
	}
	if len(dst) == mark {
		dst = append(dst, '0')
	}
	if frac > 0 {
		dst = append(dst, '.')
		mark = len(dst)
		for range frac / groupDigits {
			x := min(decimalGroup(raw[pos:], groupBytes, mask, first), powers[groupDigits]-1)
			pos, first = pos+groupBytes, 0
			nonzero |= x
			dst = appendPadded(dst, x, groupDigits)
		}
		if n := frac % groupDigits; n > 0 {
			x := min(decimalGroup(raw[pos:], partBytes[n], mask, first), powers[n]-1)
			if nonzero |= x; x != 0 {
				dst = appendPadded(dst, x, n)
			}
		}
		if len(dst) == mark {
			dst = append(dst, '0')
		}
	}
	if mask != 0 && nonzero == 0 { // no server writes -0; Java's BigDecimal has none
		dst = append(dst[:start], dst[start+1:]...)
	}
	return dst
}

// decimalGroup reads one group of size bytes. first is 0x80 for the group that
// holds the sign bit, which is stored inverted.
func decimalGroup(raw []byte, size int, mask, first uint32) uint32 {
	switch size {
	case 1:
		return (uint32(raw[0]) ^ first ^ mask) & 0xff
	case 2:
		return (uint32(raw[0])<<8 ^ uint32(raw[1]) ^ first<<8 ^ mask) & 0xffff
	case 3:
		return (uint32(raw[0])<<16 ^ uint32(raw[1])<<8 ^ uint32(raw[2]) ^ first<<16 ^ mask) & 0xffffff
	default:
		return binary.BigEndian.Uint32(raw) ^ first<<24 ^ mask
	}
}
