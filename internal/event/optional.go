package event

import (
	"fmt"
)

// Optional is what a source may say about the columns of a table map beside
// their types: binlog_row_metadata=MINIMAL gives signedness and the character
// sets, FULL names, key and members too. A part that is nil was not said.
type Optional struct {
	Unsigned   []bool     // per column; false for one that is no number
	Names      [][]byte   // per column, in UTF-8
	Collations []uint64   // per column; 0 for one without a character set
	Members    [][][]byte // per column, of ENUM and SET, in the column's character set
	Key        []bool     // per column: part of the primary key
}

// Tags of the optional metadata.
const (
	optSignedness      = 1
	optDefaultCharset  = 2
	optColumnCharset   = 3
	optColumnName      = 4
	optSetMembers      = 5
	optEnumMembers     = 6
	optPrimaryKey      = 8
	optPrimaryKeyParts = 9 // with the lengths of prefixes
)

// ParseOptional reads the optional metadata of a table map. Names and members
// point into the map's bytes. Parts of unknown kinds are passed over.
func ParseOptional(m *TableMap) (Optional, error) {
	var o Optional
	for rest := m.Optional; len(rest) > 0; {
		tag := rest[0]
		value, behind, ok := lenencString(rest[1:])
		if !ok {
			return o, fmt.Errorf("optional metadata %d of a table map: %w", tag, ErrShort)
		}
		rest = behind
		var err error
		switch tag {
		case optSignedness:
			err = o.signedness(m.Columns, value)
		case optDefaultCharset:
			err = o.defaultCharset(m.Columns, value)
		case optColumnCharset:
			err = o.columnCharset(m.Columns, value)
		case optColumnName:
			err = o.names(len(m.Columns), value)
		case optSetMembers:
			err = o.members(m.Columns, ColSet, value)
		case optEnumMembers:
			err = o.members(m.Columns, ColEnum, value)
		case optPrimaryKey:
			err = o.key(len(m.Columns), value, false)
		case optPrimaryKeyParts:
			err = o.key(len(m.Columns), value, true)
		}
		if err != nil {
			return o, fmt.Errorf("optional metadata %d of a table map: %w", tag, err)
		}
	}
	if o.Names != nil && o.Key == nil {
		o.Key = make([]bool, len(m.Columns)) // FULL, and the table has no key
	}
	return o, nil
}

// IsNumber tells whether the type may be UNSIGNED.
func (t ColumnType) IsNumber() bool {
	switch t {
	case ColTiny, ColShort, ColInt24, ColLong, ColLongLong, ColNewDecimal, ColFloat, ColDouble:
		return true
	}
	return false
}

// isCharacter tells whether the type has a collation in the metadata.
func (t ColumnType) isCharacter() bool {
	switch t {
	case ColString, ColVarString, ColVarchar, ColBlob, ColTinyBlob, ColMediumBlob, ColLongBlob, ColMariaBlobCompr, ColMariaVarcharCompr:
		return true
	}
	return false
}

func (o *Optional) signedness(columns []Column, bits []byte) error {
	o.Unsigned = make([]bool, len(columns))
	at := 0
	for i, c := range columns {
		if !c.Type.IsNumber() && c.Type != ColYear { // a YEAR has a bit, which says nothing
			continue
		}
		if at/8 >= len(bits) {
			return ErrShort
		}
		o.Unsigned[i] = c.Type != ColYear && bits[at/8]&(0x80>>(at%8)) != 0
		at++
	}
	return nil
}

func (o *Optional) defaultCharset(columns []Column, b []byte) error {
	def, b, ok := takeLenenc(b)
	if !ok {
		return ErrShort
	}
	other := map[uint64]uint64{}
	for len(b) > 0 {
		var at, collation uint64
		if at, b, ok = takeLenenc(b); !ok {
			return ErrShort
		}
		if collation, b, ok = takeLenenc(b); !ok {
			return ErrShort
		}
		other[at] = collation
	}
	o.Collations = make([]uint64, len(columns))
	at := uint64(0)
	for i, c := range columns {
		if !c.Type.isCharacter() {
			continue
		}
		o.Collations[i] = def
		if v, ok := other[at]; ok {
			o.Collations[i] = v
		}
		at++
	}
	return nil
}

func (o *Optional) columnCharset(columns []Column, b []byte) error {
	o.Collations = make([]uint64, len(columns))
	for i, c := range columns {
		if !c.Type.isCharacter() {
			continue
		}
		var ok bool
		if o.Collations[i], b, ok = takeLenenc(b); !ok {
			return ErrShort
		}
	}
	return nil
}

func (o *Optional) names(columns int, b []byte) error {
	names := make([][]byte, 0, columns)
	for range columns {
		s, rest, ok := lenencString(b)
		if !ok {
			return ErrShort
		}
		names, b = append(names, s), rest
	}
	o.Names = names
	return nil
}

func (o *Optional) members(columns []Column, t ColumnType, b []byte) error {
	if o.Members == nil {
		o.Members = make([][][]byte, len(columns))
	}
	for i, c := range columns {
		if c.Type != t {
			continue
		}
		count, rest, ok := takeLenenc(b)
		if !ok || count > uint64(len(b)) { // a member takes a byte at least
			return ErrShort
		}
		b = rest
		list := make([][]byte, 0, count)
		for range count {
			s, rest, ok := lenencString(b)
			if !ok {
				return ErrShort
			}
			list, b = append(list, s), rest
		}
		o.Members[i] = list
	}
	return nil
}

func (o *Optional) key(columns int, b []byte, prefixes bool) error {
	o.Key = make([]bool, columns)
	for len(b) > 0 {
		at, rest, ok := takeLenenc(b)
		if !ok || at >= uint64(columns) {
			return ErrShort
		}
		b = rest
		o.Key[at] = true
		if !prefixes {
			continue
		}
		if _, b, ok = takeLenenc(b); !ok {
			return ErrShort
		}
	}
	return nil
}

// takeLenenc reads a number and returns what stands behind it.
func takeLenenc(b []byte) (v uint64, rest []byte, ok bool) {
	v, n := lenenc(b)
	return v, b[n:], n > 0
}

func lenencString(b []byte) (s, rest []byte, ok bool) {
	size, rest, ok := takeLenenc(b)
	if !ok || uint64(len(rest)) < size {
		return nil, b, false
	}
	return rest[:size], rest[size:], true
}
