package event

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// GTID is what a GTID event of MySQL says: the transaction's name, and its place
// among those that were committed together, 0 where the event does not tell.
type GTID struct {
	UUID           [16]byte
	Tag            string // of MySQL 8.3 and later, usually empty
	Number         int64
	LastCommitted  int64
	SequenceNumber int64
}

// logicalClock is the type code in front of a GTID event's two numbers of commits.
const logicalClock = 2

// ParseGTID reads a whole GTID or GTID_TAGGED event without checksum.
func ParseGTID(b []byte, t Type) (GTID, error) {
	if t == TypeGTIDTagged {
		return parseTagged(b)
	}
	const fixed = HeaderLen + 1 + 16 + 8
	if len(b) < fixed {
		return GTID{}, fmt.Errorf("gtid event of %d bytes: %w", len(b), ErrShort)
	}
	g := GTID{UUID: [16]byte(b[HeaderLen+1:]), Number: int64(binary.LittleEndian.Uint64(b[HeaderLen+17:]))}
	if len(b) >= fixed+17 && b[fixed] == logicalClock {
		g.LastCommitted = int64(binary.LittleEndian.Uint64(b[fixed+1:]))
		g.SequenceNumber = int64(binary.LittleEndian.Uint64(b[fixed+9:]))
	}
	if g.Number < 1 {
		return GTID{}, fmt.Errorf("gtid event with the number %d", g.Number)
	}
	return g, nil
}

// Fields of a tagged event, by their numbers. Each may be left out.
const (
	tagFieldFlags = iota
	tagFieldUUID
	tagFieldNumber
	tagFieldTag
	tagFieldLastCommitted
	tagFieldSequenceNumber
)

var errTagged = errors.New("tagged gtid event is damaged")

// parseTagged reads the message of MySQL's own serialization: a version, the
// size, the last field that must be known, then fields by rising numbers, all of
// them numbers of a length that their first byte tells.
func parseTagged(b []byte) (GTID, error) {
	r := taggedReader{rest: b[min(HeaderLen, len(b)):]}
	r.number() // version
	r.number() // size
	r.number() // last field that must be known
	var g GTID
	for len(r.rest) > 0 && !r.bad {
		switch field := r.number(); field {
		case tagFieldFlags:
			r.number()
		case tagFieldUUID:
			for i := range g.UUID {
				v := r.number()
				g.UUID[i] = byte(v)
				r.bad = r.bad || v > 255
			}
		case tagFieldNumber:
			g.Number = r.signed()
		case tagFieldTag:
			g.Tag = string(r.bytes(r.number()))
		case tagFieldLastCommitted:
			g.LastCommitted = r.signed()
		case tagFieldSequenceNumber:
			g.SequenceNumber = r.signed()
		default:
			r.rest = nil // nothing behind them is of interest
		}
	}
	if r.bad || g.Number < 1 {
		return GTID{}, errTagged
	}
	return g, nil
}

type taggedReader struct {
	rest []byte
	bad  bool
}

func (r *taggedReader) bytes(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// number reads an unsigned number: as many bytes more as the first one has low
// bits set, which are not part of the number, nor is the zero behind them.
func (r *taggedReader) number() uint64 {
	if len(r.rest) == 0 {
		r.bad = true
		return 0
	}
	size := bits.TrailingZeros8(^r.rest[0]) + 1
	var wide [8]byte
	raw := r.bytes(uint64(size))
	if size == len(wide)+1 { // all of the first byte is taken
		raw = raw[min(1, len(raw)):]
	}
	copy(wide[:], raw)
	v := binary.LittleEndian.Uint64(wide[:])
	if size <= len(wide) {
		v >>= size
	}
	return v
}

// signed reads a number whose lowest bit says that it is negative, less one.
func (r *taggedReader) signed() int64 {
	v := r.number()
	if v&1 != 0 {
		return -int64(v>>1) - 1
	}
	return int64(v >> 1)
}

// MariaGTID is the name of a transaction of a MariaDB.
type MariaGTID struct {
	Domain, Server uint32
	Sequence       uint64
}

// ParseMariaGTID reads a whole GTID event of a MariaDB without checksum; the
// server is the header's.
func ParseMariaGTID(h Header, b []byte) (MariaGTID, error) {
	if len(b) < HeaderLen+12 {
		return MariaGTID{}, fmt.Errorf("gtid event of %d bytes: %w", len(b), ErrShort)
	}
	return MariaGTID{
		Domain: binary.LittleEndian.Uint32(b[HeaderLen+8:]), Server: h.ServerID, Sequence: binary.LittleEndian.Uint64(b[HeaderLen:]),
	}, nil
}

// ParseMariaGTIDList reads a whole GTID_LIST event without checksum: what the
// files before this one hold. Of a domain there may be several servers; its last
// transaction comes last.
func ParseMariaGTIDList(b []byte) ([]MariaGTID, error) {
	const size = 4 + 4 + 8
	if len(b) < HeaderLen+4 {
		return nil, fmt.Errorf("gtid list event of %d bytes: %w", len(b), ErrShort)
	}
	n := int(binary.LittleEndian.Uint32(b[HeaderLen:]) & (1<<28 - 1))
	rest := b[HeaderLen+4:]
	if n > len(rest)/size {
		return nil, fmt.Errorf("gtid list event of %d bytes for %d transactions: %w", len(b), n, ErrShort)
	}
	list := make([]MariaGTID, n)
	for i := range list {
		g := rest[size*i:]
		list[i] = MariaGTID{Domain: binary.LittleEndian.Uint32(g), Server: binary.LittleEndian.Uint32(g[4:]), Sequence: binary.LittleEndian.Uint64(g[8:])}
	}
	return list, nil
}
