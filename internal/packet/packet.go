// Package packet holds the frames and packets of Canal's client protocol: a
// four-byte length, a Packet envelope, and one message per packet kind.
//
// It is pure: bytes in, values out. Decode methods take bytes from outside and
// answer an error for whatever they cannot read; they never panic and never
// keep more than they were given. Append methods write to the caller's buffer.
package packet

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// Type is the kind of a packet.
type Type int32

// The packet types. A server sends TypeHandshake, TypeAck and TypeMessages; a
// client may send TypeClientAuth, TypeSub, TypeUnsub, TypeGet, TypeClientAck
// and TypeClientRollback. The others have numbers but no use.
const (
	TypeNone           Type = 0
	TypeHandshake      Type = 1
	TypeClientAuth     Type = 2
	TypeAck            Type = 3
	TypeSub            Type = 4
	TypeUnsub          Type = 5
	TypeGet            Type = 6
	TypeMessages       Type = 7
	TypeClientAck      Type = 8
	TypeShutdown       Type = 9
	TypeDump           Type = 10
	TypeHeartbeat      Type = 11
	TypeClientRollback Type = 12
)

var typeNames = [...]string{
	"PACKAGETYPECOMPATIBLEPROTO2", "HANDSHAKE", "CLIENTAUTHENTICATION", "ACK", "SUBSCRIPTION", "UNSUBSCRIPTION",
	"GET", "MESSAGES", "CLIENTACK", "SHUTDOWN", "DUMP", "HEARTBEAT", "CLIENTROLLBACK",
}

// String gives the name Canal has for the type, UNRECOGNIZED for a number it does not know.
func (t Type) String() string {
	if t < 0 || int(t) >= len(typeNames) {
		return "UNRECOGNIZED"
	}
	return typeNames[t]
}

// Version is the protocol version that a handshake has to carry.
const Version = 1

// Compression numbers a reader accepts; both mean that a body is plain.
const (
	CompressionUnset int32 = 0
	CompressionNone  int32 = 1
)

// Optional is a field whose presence travels on the wire: a set zero is not an absent one.
type Optional[T any] struct {
	Value T
	Set   bool
}

// Some is a present value.
func Some[T any](v T) Optional[T] { return Optional[T]{Value: v, Set: true} }

// Packet is the envelope of every message.
type Packet struct {
	Version     Optional[int32]
	Type        Type
	Compression Optional[int32]
	Body        []byte
}

// Decode reads an envelope. Body is a part of b, not a copy.
func (p *Packet) Decode(b []byte) error {
	*p = Packet{}
	s := scanner{kind: "packet", rest: b}
	for s.next() {
		switch s.key {
		case 2<<3 | wireVarint:
			p.Version = Some(int32(s.num))
		case 3<<3 | wireVarint:
			p.Type = Type(int32(s.num))
		case 4<<3 | wireVarint:
			p.Compression = Some(int32(s.num))
		case 5<<3 | wireBytes:
			p.Body = s.bytes
		}
	}
	return s.err
}

// Append writes the envelope without the length of a frame.
func (p *Packet) Append(dst []byte) []byte {
	if p.Version.Set {
		dst = appendVarint(dst, 2<<3|wireVarint, uint64(int64(p.Version.Value)))
	}
	if p.Type != 0 {
		dst = appendVarint(dst, 3<<3|wireVarint, uint64(int64(p.Type)))
	}
	if p.Compression.Set {
		dst = appendVarint(dst, 4<<3|wireVarint, uint64(int64(p.Compression.Value)))
	}
	if len(p.Body) > 0 {
		dst = appendBytes(dst, 5<<3|wireBytes, p.Body)
	}
	return dst
}

// Message is the body of a packet.
type Message interface {
	Type() Type
	Append(dst []byte) []byte
}

// Wire types in a field key.
const (
	wireVarint = uint64(protowire.VarintType)
	wireBytes  = uint64(protowire.BytesType)
)

var errUTF8 = errors.New("invalid UTF-8")

// scanner walks over the fields of one message. A field that no case of the
// caller names is skipped, also a known number with another wire type, as
// protobuf readers do.
type scanner struct {
	kind  string // for error texts
	rest  []byte
	at    int // offset of the field just read
	pos   int // offset of rest
	key   uint64
	num   uint64 // value when the wire type is varint
	bytes []byte // value when the wire type is bytes; part of the input
	err   error
}

func (s *scanner) next() bool {
	if s.err != nil || len(s.rest) == 0 {
		return false
	}
	s.at = s.pos
	number, kind, n := protowire.ConsumeTag(s.rest)
	if n < 0 {
		return s.fail(protowire.ParseError(n))
	}
	value := s.rest[n:]
	var size int
	switch kind {
	case protowire.VarintType:
		s.num, size = protowire.ConsumeVarint(value)
	case protowire.BytesType:
		s.bytes, size = protowire.ConsumeBytes(value)
	default:
		size = protowire.ConsumeFieldValue(number, kind, value)
	}
	if size < 0 {
		return s.fail(protowire.ParseError(size))
	}
	s.key = uint64(number)<<3 | uint64(kind)
	s.rest = value[size:]
	s.pos += n + size
	return true
}

func (s *scanner) fail(err error) bool {
	s.err = fmt.Errorf("%s: field at byte %d: %w", s.kind, s.at, err)
	return false
}

// text is the value as a string; one that is not UTF-8 ends the scan.
func (s *scanner) text() string {
	if !utf8.Valid(s.bytes) {
		s.fail(errUTF8)
		return ""
	}
	return string(s.bytes)
}

func appendVarint(dst []byte, key, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendVarint(dst, key), v)
}

func appendBytes(dst []byte, key uint64, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendVarint(dst, key), v)
}

// appendText writes a string that is absent when it is empty.
func appendText(dst []byte, key uint64, v string) []byte {
	if v == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendVarint(dst, key), v)
}
