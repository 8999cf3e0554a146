package render

import "unicode/utf8"

const replacement = "\uFFFD"

// UTF8 appends raw as Java's UTF-8 decoder understands it: one U+FFFD for each
// longest ill-formed beginning of a character. An encoded surrogate (ED A0..BF
// xx) counts as one such beginning, whole or cut short; Go would give one
// U+FFFD for each of its bytes.
func UTF8(dst, raw []byte) []byte {
	if utf8.Valid(raw) {
		return append(dst, raw...)
	}
	for len(raw) > 0 {
		n, ok := javaSequence(raw)
		if ok {
			dst = append(dst, raw[:n]...)
		} else {
			dst = append(dst, replacement...)
		}
		raw = raw[n:]
	}
	return dst
}

// javaSequence gives the length of the character that raw (not empty) begins
// with, or of the ill-formed bytes that Java replaces together.
func javaSequence(raw []byte) (n int, ok bool) {
	b := raw[0]
	var size int
	low, high := byte(0x80), byte(0xbf) // bounds of the second byte
	switch {
	case b < 0x80:
		return 1, true
	case b < 0xc2 || b > 0xf4:
		return 1, false
	case b < 0xe0:
		size = 2
	case b < 0xf0:
		size = 3
		if b == 0xe0 {
			low = 0xa0
		}
	default:
		size = 4
		switch b {
		case 0xf0:
			low = 0x90
		case 0xf4:
			high = 0x8f
		}
	}
	for n = 1; n < size; n++ {
		if n >= len(raw) || raw[n] < low || raw[n] > high {
			return n, false
		}
		low, high = 0x80, 0xbf
	}
	surrogate := b == 0xed && raw[1] >= 0xa0
	return n, !surrogate
}

// Latin1 appends each byte of raw as the code point of its value. A client
// gets the bytes back by encoding the text as ISO-8859-1.
func Latin1(dst, raw []byte) []byte {
	for len(raw) > 0 {
		n := 0
		for n < len(raw) && raw[n] < 0x80 {
			n++
		}
		dst = append(dst, raw[:n]...)
		raw = raw[n:]
		for len(raw) > 0 && raw[0] >= 0x80 {
			dst = append(dst, 0xc0|raw[0]>>6, 0x80|raw[0]&0x3f)
			raw = raw[1:]
		}
	}
	return dst
}

// Latin1Len is the number of bytes that Latin1 appends.
func Latin1Len(raw []byte) int {
	n := len(raw)
	for _, b := range raw {
		n += int(b >> 7)
	}
	return n
}
