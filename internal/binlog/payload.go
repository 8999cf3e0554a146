package binlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/canald/canald/internal/event"
)

// Bounds of an expanded payload: the window is what MySQL's own level needs and
// more; one inner event is bounded like any other.
const payloadWindowBytes = 128 << 20

// expand hands on the events inside a TRANSACTION_PAYLOAD one by one, as if they
// had come from the socket, so that a large transaction is never held expanded.
// Inner events have no checksum.
func (s *stream) expand(ctx context.Context, h event.Header, b []byte) error {
	p, err := event.ParsePayload(b)
	if err != nil {
		return err
	}
	if have := uint64(len(b) - p.Body); have < p.Size {
		return fmt.Errorf("payload of %d bytes, should be %d: %w", have, p.Size, event.ErrShort)
	}
	var in io.Reader = bytes.NewReader(b[p.Body:])
	switch p.Compression {
	case event.PayloadNone:
	case event.PayloadZstd:
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(payloadWindowBytes), zstd.WithDecoderLowmem(true))
		if err != nil {
			return fmt.Errorf("expand payload: %w", err)
		}
		defer z.Close()
		in = z
	default:
		return fmt.Errorf("payload of unknown compression %d", p.Compression)
	}
	s.payload = payloadPlace{active: true, offset: s.start(h), length: h.Length, next: 1}
	defer func() { s.payload = payloadPlace{} }()
	var head [event.HeaderLen]byte
	var buf []byte
	for {
		switch _, err := io.ReadFull(in, head[:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("expand payload: %w", err)
		}
		n := binary.LittleEndian.Uint32(head[9:])
		if n < event.HeaderLen || n > maxEventBytes {
			return fmt.Errorf("event of %d bytes in a payload", n)
		}
		if buf, err = readEvent(buf[:0], head[:], in, int(n)); err != nil {
			return fmt.Errorf("expand payload: %w", err)
		}
		inner, err := event.ParseHeader(buf)
		if err != nil {
			return err
		}
		if inner.Type == event.TypeTransactionPayload {
			return errors.New("payload inside a payload")
		}
		if err := s.event(ctx, inner, buf); err != nil {
			return fmt.Errorf("inner event type %d: %w", inner.Type, err)
		}
		if s.chunk != nil && s.chunk.Full() {
			if err := s.flush(ctx); err != nil {
				return err
			}
		}
	}
}

// readEvent reads an event of n bytes whose header is read already. Memory grows
// with what really arrives, not with what the header claims.
func readEvent(buf, head []byte, in io.Reader, n int) ([]byte, error) {
	const step = 1 << 20
	buf = append(buf, head...)
	for len(buf) < n {
		at := len(buf)
		more := min(n-at, step)
		if cap(buf) < at+more {
			buf = append(buf, make([]byte, more)...)
		} else {
			buf = buf[:at+more]
		}
		if _, err := io.ReadFull(in, buf[at:]); err != nil {
			return nil, err
		}
	}
	return buf, nil
}
