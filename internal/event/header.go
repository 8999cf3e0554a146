// Package event reads the bytes of MySQL and MariaDB binlog events: headers,
// table maps, queries, GTIDs, rotations, compressed payloads.
//
// It is pure parsing without meaning: no socket, no state between events but
// what the caller passes in. Every length is checked; a short or contradictory
// event is an error that names the offset in the event, never a panic.
// Returned slices point into the event.
package event

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Type is the type code of an event, as in its header.
type Type uint8

// The types that canald looks at.
const (
	TypeQuery              Type = 2
	TypeStop               Type = 3
	TypeRotate             Type = 4
	TypeIntVar             Type = 5
	TypeRand               Type = 13
	TypeUserVar            Type = 14
	TypeFormatDescription  Type = 15
	TypeXID                Type = 16
	TypeTableMap           Type = 19
	TypeWriteRowsV1        Type = 23
	TypeUpdateRowsV1       Type = 24
	TypeDeleteRowsV1       Type = 25
	TypeIncident           Type = 26
	TypeHeartbeat          Type = 27
	TypeIgnorable          Type = 28
	TypeRowsQuery          Type = 29
	TypeWriteRowsV2        Type = 30
	TypeUpdateRowsV2       Type = 31
	TypeDeleteRowsV2       Type = 32
	TypeGTID               Type = 33
	TypeAnonymousGTID      Type = 34
	TypePreviousGTIDs      Type = 35
	TypeXAPrepare          Type = 38
	TypePartialUpdateRows  Type = 39
	TypeTransactionPayload Type = 40
	TypeHeartbeatV2        Type = 41
	TypeGTIDTagged         Type = 42

	TypeMariaAnnotateRows         Type = 160
	TypeMariaBinlogCheckpoint     Type = 161
	TypeMariaGTID                 Type = 162
	TypeMariaGTIDList             Type = 163
	TypeMariaStartEncryption      Type = 164
	TypeMariaQueryCompressed      Type = 165
	TypeMariaWriteRowsCompressed1 Type = 166
	TypeMariaUpdateRowsCompressed Type = 167
	TypeMariaDeleteRowsCompressed Type = 168
	TypeMariaWriteRowsCompressed2 Type = 169
	TypeMariaUpdateCompressed2    Type = 170
	TypeMariaDeleteCompressed2    Type = 171
)

// Flags of an event header.
const (
	FlagArtificial uint16 = 0x20 // made by the server for this dump, not in the file
	FlagIgnorable  uint16 = 0x80 // a reader that does not know the type may pass it over
)

// HeaderLen is the size of the common header of every event since MySQL 5.0, bytes.
const HeaderLen = 19

// ChecksumLen is the size of the CRC-32 at the end of an event, bytes.
const ChecksumLen = 4

// ErrShort is wrapped by every error that means: the event ends before the field.
var ErrShort = errors.New("event too short")

// Header is the common header of an event.
type Header struct {
	Timestamp uint32 // seconds since 1970
	Type      Type
	ServerID  uint32 // server that wrote the event first
	Length    uint32 // whole event, checksum included, bytes
	LogPos    uint32 // end offset in the file, modulo 2^32
	Flags     uint16
}

// ParseHeader reads the first 19 bytes of an event.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("header of %d bytes: %w", len(b), ErrShort)
	}
	return Header{
		Timestamp: binary.LittleEndian.Uint32(b),
		Type:      Type(b[4]),
		ServerID:  binary.LittleEndian.Uint32(b[5:]),
		Length:    binary.LittleEndian.Uint32(b[9:]),
		LogPos:    binary.LittleEndian.Uint32(b[13:]),
		Flags:     binary.LittleEndian.Uint16(b[17:]),
	}, nil
}

// Start is the offset at which the event starts in its file, or 0 for an
// event that is in no file. The header has 32 bits only; past 4 GiB it wraps.
func (h Header) Start() uint32 {
	if h.LogPos < h.Length {
		return 0
	}
	return h.LogPos - h.Length
}

// RowsKind says what a row event does.
type RowsKind uint8

// The kinds of row events.
const (
	NotRows RowsKind = iota
	Insert
	Update
	Delete
)

// Rows tells whether t is a row event, what it does, its version (1 or 2), and
// whether its body is MariaDB-compressed.
func (t Type) Rows() (kind RowsKind, version int, compressed bool) {
	switch t {
	case TypeWriteRowsV1:
		return Insert, 1, false
	case TypeUpdateRowsV1:
		return Update, 1, false
	case TypeDeleteRowsV1:
		return Delete, 1, false
	case TypeWriteRowsV2:
		return Insert, 2, false
	case TypeUpdateRowsV2, TypePartialUpdateRows:
		return Update, 2, false
	case TypeDeleteRowsV2:
		return Delete, 2, false
	case TypeMariaWriteRowsCompressed1:
		return Insert, 1, true
	case TypeMariaUpdateRowsCompressed:
		return Update, 1, true
	case TypeMariaDeleteRowsCompressed:
		return Delete, 1, true
	case TypeMariaWriteRowsCompressed2:
		return Insert, 2, true
	case TypeMariaUpdateCompressed2:
		return Update, 2, true
	case TypeMariaDeleteCompressed2:
		return Delete, 2, true
	}
	return NotRows, 0, false
}

// lenenc reads a length-encoded integer; n is the number of bytes it took, 0 when b is too short.
func lenenc(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	switch c := b[0]; {
	case c < 0xfb:
		return uint64(c), 1
	case c == 0xfc && len(b) >= 3:
		return uint64(binary.LittleEndian.Uint16(b[1:])), 3
	case c == 0xfd && len(b) >= 4:
		return uint64(b[1]) | uint64(b[2])<<8 | uint64(b[3])<<16, 4
	case c == 0xfe && len(b) >= 9:
		return binary.LittleEndian.Uint64(b[1:]), 9
	}
	return 0, 0
}

// Types of events that carry no rows and are of no use here: old loads of files,
// which servers long replaced, and the group's own.
const (
	typeStartV3            Type = 1
	typeLoad               Type = 6
	typeSlave              Type = 7
	typeCreateFile         Type = 8
	typeAppendBlock        Type = 9
	typeExecLoad           Type = 10
	typeDeleteFile         Type = 11
	typeNewLoad            Type = 12
	typeBeginLoadQuery     Type = 17
	TypeExecuteLoadQuery   Type = 18
	typeTransactionContext Type = 36
	typeViewChange         Type = 37
)

// Harmless tells whether an event may be passed over though the source does not say so.
func (t Type) Harmless() bool {
	switch t {
	case typeStartV3, typeLoad, typeSlave, typeCreateFile, typeAppendBlock, typeExecLoad, typeDeleteFile, typeNewLoad,
		typeBeginLoadQuery, TypeExecuteLoadQuery, typeTransactionContext, typeViewChange:
		return true
	}
	return false
}
