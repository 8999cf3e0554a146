package event

import (
	"encoding/binary"
	"fmt"
)

// FlagStmtEnd is set on the last row event of a statement.
const FlagStmtEnd uint16 = 0x01

// RowsHeader is what stands before the row images of a row event.
type RowsHeader struct {
	TableID uint64
	Flags   uint16
	Columns int    // columns of the images' bitmaps
	Before  []byte // bitmap of the columns of the first image
	After   []byte // bitmap of the columns of the second image of an update; else nil
	Images  int    // offset of the first row image in the event
}

// ParseRowsHeader reads the fixed part of a whole row event without checksum.
func ParseRowsHeader(b []byte, version int, update bool) (RowsHeader, error) {
	var r RowsHeader
	p := HeaderLen
	if len(b) < p+8 {
		return r, fmt.Errorf("row event of %d bytes: %w", len(b), ErrShort)
	}
	r.TableID = uint48(b[p:])
	r.Flags = binary.LittleEndian.Uint16(b[p+6:])
	p += 8
	if version == 2 {
		if len(b) < p+2 {
			return r, fmt.Errorf("row event extra data at %d: %w", p, ErrShort)
		}
		n := int(binary.LittleEndian.Uint16(b[p:]))
		if n < 2 || len(b) < p+n {
			return r, fmt.Errorf("row event extra data of %d bytes at %d: %w", n, p, ErrShort)
		}
		p += n
	}
	count, n := lenenc(b[p:])
	p += n
	if n == 0 || count > MaxColumns {
		return r, fmt.Errorf("row event of %d columns at %d: %w", count, p, ErrShort)
	}
	r.Columns = int(count)
	bits := (r.Columns + 7) / 8
	if len(b) < p+bits {
		return r, fmt.Errorf("row event column bits at %d: %w", p, ErrShort)
	}
	r.Before = b[p : p+bits]
	p += bits
	if update {
		if len(b) < p+bits {
			return r, fmt.Errorf("row event second column bits at %d: %w", p, ErrShort)
		}
		r.After = b[p : p+bits]
		p += bits
	}
	r.Images = p
	return r, nil
}

// RowsTableID reads the table id of a row event; ok is false when it is too short.
func RowsTableID(b []byte) (id uint64, flags uint16, ok bool) {
	if len(b) < HeaderLen+8 {
		return 0, 0, false
	}
	return uint48(b[HeaderLen:]), binary.LittleEndian.Uint16(b[HeaderLen+6:]), true
}
