package event

import (
	"encoding/binary"
	"fmt"
)

// ColumnType is the type code of a column in a table map.
type ColumnType uint8

// Column types as table maps write them.
const (
	ColDecimalOld        ColumnType = 0
	ColTiny              ColumnType = 1
	ColShort             ColumnType = 2
	ColLong              ColumnType = 3
	ColFloat             ColumnType = 4
	ColDouble            ColumnType = 5
	ColNull              ColumnType = 6
	ColTimestamp         ColumnType = 7
	ColLongLong          ColumnType = 8
	ColInt24             ColumnType = 9
	ColDate              ColumnType = 10
	ColTime              ColumnType = 11
	ColDatetime          ColumnType = 12
	ColYear              ColumnType = 13
	ColNewDate           ColumnType = 14
	ColVarchar           ColumnType = 15
	ColBit               ColumnType = 16
	ColTimestamp2        ColumnType = 17
	ColDatetime2         ColumnType = 18
	ColTime2             ColumnType = 19
	ColTypedArray        ColumnType = 20
	ColMariaBlobCompr    ColumnType = 140
	ColMariaVarcharCompr ColumnType = 141
	ColVector            ColumnType = 242
	ColJSON              ColumnType = 245
	ColNewDecimal        ColumnType = 246
	ColEnum              ColumnType = 247
	ColSet               ColumnType = 248
	ColTinyBlob          ColumnType = 249
	ColMediumBlob        ColumnType = 250
	ColLongBlob          ColumnType = 251
	ColBlob              ColumnType = 252
	ColVarString         ColumnType = 253
	ColString            ColumnType = 254
	ColGeometry          ColumnType = 255
)

// Column is one column of a table map.
type Column struct {
	Type ColumnType // ENUM and SET hidden in a STRING are resolved to ColEnum and ColSet
	// Meta is what the type needs: the byte length of a string, precision<<8|scale
	// of a decimal, the number of length bytes of a blob, the digits of a second's
	// fraction, the bits of a BIT, the pack length of ENUM and SET.
	Meta uint16
}

// TableMap binds a table id to a table for the row events that follow.
type TableMap struct {
	TableID  uint64
	Schema   []byte
	Table    []byte
	Columns  []Column
	Optional []byte // the optional metadata TLVs, unparsed
}

// MaxColumns is more than any MySQL or MariaDB table can have (4096).
const MaxColumns = 4096

// ParseTableMap reads a whole TABLE_MAP event without its checksum. The names
// and Optional point into b.
func ParseTableMap(b []byte) (TableMap, error) {
	var m TableMap
	p := HeaderLen
	if len(b) < p+8+2 {
		return m, fmt.Errorf("table map of %d bytes: %w", len(b), ErrShort)
	}
	m.TableID = uint48(b[p:])
	p += 8
	var ok bool
	if m.Schema, p, ok = shortName(b, p); !ok {
		return m, fmt.Errorf("table map schema name at %d: %w", p, ErrShort)
	}
	if m.Table, p, ok = shortName(b, p); !ok {
		return m, fmt.Errorf("table map table name at %d: %w", p, ErrShort)
	}
	count, n := lenenc(b[p:])
	p += n
	if n == 0 || count > MaxColumns || uint64(len(b)-p) < count {
		return m, fmt.Errorf("table map of %d columns at %d: %w", count, p, ErrShort)
	}
	types := b[p : p+int(count)]
	p += int(count)
	metaLen, n := lenenc(b[p:])
	p += n
	if n == 0 || uint64(len(b)-p) < metaLen {
		return m, fmt.Errorf("table map metadata of %d bytes at %d: %w", metaLen, p, ErrShort)
	}
	meta := b[p : p+int(metaLen)]
	p += int(metaLen)
	m.Columns = make([]Column, count)
	for i, t := range types {
		c, used, ok := columnMeta(ColumnType(t), meta)
		if !ok {
			return m, fmt.Errorf("table map metadata of column %d, type %d: %w", i, t, ErrShort)
		}
		m.Columns[i] = c
		meta = meta[used:]
	}
	nulls := (int(count) + 7) / 8
	if len(b)-p < nulls {
		return m, fmt.Errorf("table map null bits at %d: %w", p, ErrShort)
	}
	m.Optional = b[p+nulls:]
	return m, nil
}

func columnMeta(t ColumnType, meta []byte) (c Column, used int, ok bool) {
	c.Type = t
	switch t {
	case ColFloat, ColDouble, ColBlob, ColTinyBlob, ColMediumBlob, ColLongBlob, ColJSON, ColGeometry, ColVector,
		ColTimestamp2, ColDatetime2, ColTime2, ColMariaBlobCompr:
		if len(meta) < 1 {
			return c, 0, false
		}
		c.Meta = uint16(meta[0])
		return c, 1, true
	case ColVarchar, ColVarString, ColMariaVarcharCompr:
		if len(meta) < 2 {
			return c, 0, false
		}
		c.Meta = binary.LittleEndian.Uint16(meta)
		return c, 2, true
	case ColNewDecimal:
		if len(meta) < 2 {
			return c, 0, false
		}
		c.Meta = uint16(meta[0])<<8 | uint16(meta[1])
		return c, 2, true
	case ColBit:
		if len(meta) < 2 {
			return c, 0, false
		}
		c.Meta = uint16(meta[1])*8 + uint16(meta[0])
		return c, 2, true
	case ColEnum, ColSet:
		if len(meta) < 2 {
			return c, 0, false
		}
		c.Meta = uint16(meta[1])
		return c, 2, true
	case ColString:
		if len(meta) < 2 {
			return c, 0, false
		}
		c.Type, c.Meta = stringMeta(meta[0], meta[1])
		return c, 2, true
	}
	return c, 0, true
}

// stringMeta resolves the two bytes behind a STRING column. The first is the
// real type; for CHAR and BINARY longer than 255 bytes two bits of the length
// are folded, inverted, into it.
func stringMeta(kind, length byte) (ColumnType, uint16) {
	if kind&0x30 != 0x30 {
		return ColumnType(kind | 0x30), uint16(length) | uint16(kind&0x30^0x30)<<4
	}
	switch ColumnType(kind) {
	case ColEnum, ColSet:
		return ColumnType(kind), uint16(length)
	}
	return ColString, uint16(length)
}

func shortName(b []byte, p int) (name []byte, next int, ok bool) {
	if p >= len(b) {
		return nil, p, false
	}
	n := int(b[p])
	if p+1+n+1 > len(b) { // a NUL closes the name
		return nil, p, false
	}
	return b[p+1 : p+1+n], p + 1 + n + 1, true
}

func uint48(b []byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint16(b[4:]))<<32
}
