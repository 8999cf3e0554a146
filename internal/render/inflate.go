package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zlib"
)

// Errors of Inflate and InflateEvent.
var (
	// ErrCompression says that the bytes are not what MariaDB writes: an
	// unknown method, a length that does not fit, a broken stream.
	ErrCompression = errors.New("bad compressed data")
	// ErrTooLarge says that the plain bytes would pass the caller's limit.
	ErrTooLarge = errors.New("compressed data larger than the limit")
)

const (
	deflateRatio = 1032 // the most that a deflate stream can grow
	deflateSpare = 1024

	columnPlain    = 0    // method of a column value: not compressed
	columnZlib     = 8    // method: zlib or raw deflate
	columnRaw      = 0x08 // no zlib frame around the stream
	lengthBits     = 0x07
	eventMark      = 0x80 // top three bits of a compressed event: mark, and method zlib
	eventMarkBits  = 0xf0
	maxEventLength = 4 // bytes of an event's length
)

// Inflate appends the plain bytes of a compressed column of MariaDB (types 140
// and 141). The value begins with a byte of method (high half; 0 is plain, 8 is
// zlib), a bit for a stream without zlib frame, and the width of the plain
// length, which follows big-endian. An empty value is empty. limit is the most
// bytes that may be appended. On an error dst comes back as it was.
func Inflate(dst, raw []byte, limit int) ([]byte, error) {
	if len(raw) == 0 {
		return dst, nil
	}
	switch raw[0] >> 4 {
	case columnPlain:
		if len(raw)-1 > limit {
			return dst, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(raw)-1)
		}
		return append(dst, raw[1:]...), nil
	case columnZlib:
		return inflate(dst, raw[1:], int(raw[0]&lengthBits), raw[0]&columnRaw != 0, limit)
	}
	return dst, fmt.Errorf("%w: method %d", ErrCompression, raw[0]>>4)
}

// InflateEvent appends the plain bytes of the compressed part of a MariaDB row
// or query event: a byte with the mark, the method and the width of the plain
// length, that length big-endian and unsigned (Java takes 128 to 255 as
// negative and stops), a zlib stream. limit is as with Inflate.
func InflateEvent(dst, raw []byte, limit int) ([]byte, error) {
	if len(raw) == 0 {
		return dst, fmt.Errorf("%w: empty", ErrCompression)
	}
	width := int(raw[0] & lengthBits)
	if raw[0]&eventMarkBits != eventMark || width == 0 || width > maxEventLength {
		return dst, fmt.Errorf("%w: header 0x%02x", ErrCompression, raw[0])
	}
	return inflate(dst, raw[1:], width, false, limit)
}

// inflate reads the plain length of width bytes, then the stream.
func inflate(dst, raw []byte, width int, frameless bool, limit int) ([]byte, error) {
	if len(raw) < width {
		return dst, fmt.Errorf("%w: cut in the length", ErrCompression)
	}
	length := big(raw, width)
	raw = raw[width:]
	if length > uint64(max(limit, 0)) {
		return dst, fmt.Errorf("%w: %d bytes", ErrTooLarge, length)
	}
	if length > uint64(len(raw))*deflateRatio+deflateSpare {
		return dst, fmt.Errorf("%w: %d bytes cannot come out of %d", ErrCompression, length, len(raw))
	}
	var in io.ReadCloser
	if frameless {
		in = flate.NewReader(bytes.NewReader(raw))
	} else {
		z, err := zlib.NewReader(bytes.NewReader(raw))
		if err != nil {
			return dst, fmt.Errorf("%w: %w", ErrCompression, err)
		}
		in = z
	}
	start := len(dst)
	end := start + int(length)
	dst = slices.Grow(dst, int(length)+1)
	_, err := io.ReadFull(in, dst[start:end])
	if err == nil { // the end of the stream, where its checksum is
		var one [1]byte
		var n int
		if n, err = io.ReadFull(in, one[:]); n == 0 && errors.Is(err, io.EOF) {
			err = in.Close()
		} else if err == nil {
			err = errors.New("longer than it says")
		}
	}
	if err != nil {
		return dst[:start], fmt.Errorf("%w: %w", ErrCompression, err)
	}
	return dst[:end], nil
}
