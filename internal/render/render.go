// Package render turns the bytes of one column in a row image into the text
// that Canal's Java server puts into Column.value.
//
// Every function is pure, appends to dst and returns it. They are total: any
// bit pattern, and any input that is cut short, gives text (missing bytes count
// as zero); nothing panics, and nothing but inflation can fail. Digits are
// printed as stored and never validated, as Java does not validate them either.
//
// The package owns no goroutine and keeps no state, but for Zone, which
// belongs to one worker at a time.
package render

import "encoding/binary"

// pairs holds the two digits of every number below 100.
const pairs = "00010203040506070809" +
	"10111213141516171819" +
	"20212223242526272829" +
	"30313233343536373839" +
	"40414243444546474849" +
	"50515253545556575859" +
	"60616263646566676869" +
	"70717273747576777879" +
	"80818283848586878889" +
	"90919293949596979899"

// maxUintDigits is the length of 2^64-1 in decimal.
const maxUintDigits = 20

func appendUint(dst []byte, v uint64) []byte {
	switch {
	case v < 10:
		return append(dst, byte('0'+v))
	case v < 100:
		return append(dst, pairs[2*v], pairs[2*v+1])
	}
	var buf [maxUintDigits]byte
	i := len(buf)
	for v >= 1<<32 {
		q := v / 100
		r := v - q*100
		i -= 2
		buf[i], buf[i+1] = pairs[2*r], pairs[2*r+1]
		v = q
	}
	w := uint32(v) // divisions of 32 bits are cheaper
	for w >= 100 {
		q := w / 100
		r := w - q*100
		i -= 2
		buf[i], buf[i+1] = pairs[2*r], pairs[2*r+1]
		w = q
	}
	if w >= 10 {
		i -= 2
		buf[i], buf[i+1] = pairs[2*w], pairs[2*w+1]
	} else if w > 0 || i == len(buf) {
		i--
		buf[i] = byte('0' + w)
	}
	return append(dst, buf[i:]...)
}

func appendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return appendUint(append(dst, '-'), -uint64(v))
	}
	return appendUint(dst, uint64(v))
}

// append2 writes at least two digits.
func append2(dst []byte, v uint64) []byte {
	if v < 100 {
		return append(dst, pairs[2*v], pairs[2*v+1])
	}
	return appendUint(dst, v)
}

// append4 writes at least four digits.
func append4(dst []byte, v uint64) []byte {
	if v < 10000 {
		h, l := v/100, v%100
		return append(dst, pairs[2*h], pairs[2*h+1], pairs[2*l], pairs[2*l+1])
	}
	return appendUint(dst, v)
}

// appendPadded writes the low n (at most 9) decimal digits of v.
func appendPadded(dst []byte, v uint32, n int) []byte {
	var buf [10]byte
	i := len(buf)
	for k := 0; k < n; k += 2 {
		q := v / 100
		r := v - q*100
		i -= 2
		buf[i], buf[i+1] = pairs[2*r], pairs[2*r+1]
		v = q
	}
	return append(dst, buf[len(buf)-n:]...)
}

// little reads up to eight bytes, the lowest first.
func little(raw []byte) uint64 {
	if len(raw) >= 8 {
		return binary.LittleEndian.Uint64(raw)
	}
	var v uint64
	for i, b := range raw {
		v |= uint64(b) << (8 * i)
	}
	return v
}

// big reads n (at most eight) bytes, the highest first; bytes that are not
// there count as zero.
func big(raw []byte, n int) uint64 {
	if len(raw) > n {
		raw = raw[:n]
	}
	var v uint64
	for _, b := range raw {
		v = v<<8 | uint64(b)
	}
	return v << (8 * (n - len(raw)))
}
