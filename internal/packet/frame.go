package packet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// HeaderBytes is the size of the length in front of a frame. The length does
// not count itself.
const HeaderBytes = 4

// firstChunkBytes is what a frame gets before its bytes have come, whatever
// length it announces; from there its buffer doubles.
const firstChunkBytes = 4 << 10

// What a frame can have wrong before a byte of its body is read.
var (
	ErrFrameNegative = errors.New("negative frame length")
	ErrFrameTooLarge = errors.New("frame too large")
	ErrFrameMemory   = errors.New("no memory left for frames")
)

// ReadHeader reads the length of a frame. It returns io.EOF when the stream
// ends between two frames, io.ErrUnexpectedEOF inside the length,
// ErrFrameNegative, or ErrFrameTooLarge for more than limit bytes.
func ReadHeader(r io.Reader, limit int) (int, error) {
	var h [HeaderBytes]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, err
	}
	n := int32(binary.BigEndian.Uint32(h[:]))
	if n < 0 {
		return 0, ErrFrameNegative
	}
	if int64(n) > int64(limit) {
		return 0, fmt.Errorf("%w: %d bytes, limit is %d", ErrFrameTooLarge, n, limit)
	}
	return int(n), nil
}

// ReadBody reads the n bytes of a frame. Memory grows with what has come, not
// with what was announced. reserve, which may be nil, is asked before each
// growth beyond the first 4 KiB for that many bytes more; when it refuses,
// ErrFrameMemory is returned. What it granted stays granted, also on an error.
func ReadBody(r io.Reader, n int, reserve func(bytes int) bool) ([]byte, error) {
	b := make([]byte, min(n, firstChunkBytes))
	for done := 0; ; {
		got, err := io.ReadFull(r, b[done:])
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		done += got
		if done == n {
			return b, nil
		}
		size := min(n, 2*len(b))
		if reserve != nil && !reserve(size-len(b)) {
			return nil, ErrFrameMemory
		}
		b = append(make([]byte, 0, size), b...)[:size]
	}
}

// Reserved is what ReadBody asks its reserve for in a frame of n bytes.
func Reserved(n int) int { return max(0, n-firstChunkBytes) }

// ReadFrame reads one whole frame of at most limit bytes, see ReadHeader and ReadBody.
func ReadFrame(r io.Reader, limit int) ([]byte, error) {
	n, err := ReadHeader(r, limit)
	if err != nil {
		return nil, err
	}
	return ReadBody(r, n, nil)
}

// AppendReply writes m as the frame a server sends. It carries the version,
// without which clients refuse a handshake.
func AppendReply(dst []byte, m Message) []byte {
	return appendFrame(dst, Packet{Version: Some[int32](Version), Type: m.Type(), Body: m.Append(nil)})
}

// AppendRequest writes m as the frame a client sends, which carries no version.
func AppendRequest(dst []byte, m Message) []byte {
	return appendFrame(dst, Packet{Type: m.Type(), Body: m.Append(nil)})
}

func appendFrame(dst []byte, p Packet) []byte {
	at := len(dst)
	dst = p.Append(append(dst, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-HeaderBytes))
	return dst
}

// AppendMessagesHeader writes all of a MESSAGES frame that stands before its
// items, which are itemBytes long and already framed as Messages.messages. It
// is the form a Canal server has for stored entries: no version. ok is false,
// and dst unchanged, when the frame would not fit into a signed 32-bit length.
func AppendMessagesHeader(dst []byte, batchID, itemBytes int64) (_ []byte, ok bool) {
	const tags = 3 // 18 07, and 2a before the length of the body
	id := appendVarint(nil, 1<<3|wireVarint, uint64(batchID))
	if itemBytes < 0 || itemBytes > math.MaxInt32 {
		return dst, false
	}
	body := int64(len(id)) + itemBytes
	frame := tags + int64(protowire.SizeVarint(uint64(body))) + body
	if frame > math.MaxInt32 {
		return dst, false
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(frame))
	dst = appendVarint(dst, 3<<3|wireVarint, uint64(TypeMessages))
	dst = appendVarint(dst, 5<<3|wireBytes, uint64(body))
	return append(dst, id...), true
}
