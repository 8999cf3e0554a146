package entry

// The few protobuf forms that entries need, appended by hand. Tags are given as
// the byte that stands on the wire; all field numbers of entries are below 16.

func appendVarint(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func varintLen(v uint64) int {
	n := 1
	for v >= 0x80 {
		v >>= 7
		n++
	}
	return n
}

// putVarint writes v at the start of b, which must have room.
func putVarint(b []byte, v uint64) {
	i := 0
	for v >= 0x80 {
		b[i] = byte(v) | 0x80
		v >>= 7
		i++
	}
	b[i] = byte(v)
}

func appendString(b []byte, tag byte, s string) []byte {
	b = appendVarint(append(b, tag), uint64(len(s)))
	return append(b, s...)
}

func appendBytes(b []byte, tag byte, s []byte) []byte {
	b = appendVarint(append(b, tag), uint64(len(s)))
	return append(b, s...)
}

// appendPair appends a Pair message as field tag.
func appendPair(b []byte, tag byte, key, value string) []byte {
	n := 1 + varintLen(uint64(len(key))) + len(key) + 1 + varintLen(uint64(len(value))) + len(value)
	b = appendVarint(append(b, tag), uint64(n))
	return appendString(appendString(b, 0x0a, key), 0x12, value)
}

// zeros is room for a length that is written later.
var zeros [10]byte

// settle writes the length of what was appended behind width reserved bytes at
// pos, moving it when the length needs another width.
func settle(b []byte, pos, width int) []byte {
	n := len(b) - pos - width
	need := varintLen(uint64(n))
	if need != width {
		b = shift(b, pos+width, need-width)
	}
	putVarint(b[pos:], uint64(n))
	return b
}

// shift moves b[pos:] by delta bytes, which may be negative.
func shift(b []byte, pos, delta int) []byte {
	if delta > 0 {
		n := len(b)
		b = reserve(b, delta)
		copy(b[pos+delta:], b[pos:n])
		return b
	}
	copy(b[pos+delta:], b[pos:])
	return b[:len(b)+delta]
}
