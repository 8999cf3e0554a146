package event

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
)

// Query is a QUERY event.
type Query struct {
	ThreadID uint32
	Schema   []byte // default database, bytes as logged
	Status   []byte // status variables, unparsed
	SQL      []byte // the statement in the session's character set
}

// ParseQuery reads a whole QUERY event without checksum.
func ParseQuery(b []byte) (Query, error) {
	var q Query
	p := HeaderLen
	if len(b) < p+13 {
		return q, fmt.Errorf("query event of %d bytes: %w", len(b), ErrShort)
	}
	q.ThreadID = binary.LittleEndian.Uint32(b[p:])
	schemaLen := int(b[p+8])
	statusLen := int(binary.LittleEndian.Uint16(b[p+11:]))
	p += 13
	if len(b) < p+statusLen+schemaLen+1 {
		return q, fmt.Errorf("query event with %d+%d bytes of status and schema: %w", statusLen, schemaLen, ErrShort)
	}
	q.Status = b[p : p+statusLen]
	p += statusLen
	q.Schema = b[p : p+schemaLen]
	q.SQL = b[p+schemaLen+1:]
	return q, nil
}

// loadBytes is what an EXECUTE_LOAD_QUERY has more than a QUERY: the number of its
// data's file, where its name stands in the statement, and what to do with duplicates.
const loadBytes = 4 + 4 + 4 + 1

// LoadQuery is the QUERY event that a whole EXECUTE_LOAD_QUERY would be without its data.
func LoadQuery(b []byte) ([]byte, error) {
	const fixed = HeaderLen + 13
	if len(b) < fixed+loadBytes {
		return nil, fmt.Errorf("load query event of %d bytes: %w", len(b), ErrShort)
	}
	return append(b[:fixed:fixed], b[fixed+loadBytes:]...), nil
}

// XAPrepare is an XA_PREPARE event.
type XAPrepare struct {
	OnePhase      bool // it is a commit
	Format        uint32
	Global, Local []byte // the two parts of the transaction's id
}

// ParseXAPrepare reads a whole XA_PREPARE event without checksum.
func ParseXAPrepare(b []byte) (XAPrepare, error) {
	const fixed = HeaderLen + 1 + 4 + 4 + 4
	if len(b) < fixed {
		return XAPrepare{}, fmt.Errorf("xa prepare event of %d bytes: %w", len(b), ErrShort)
	}
	x := XAPrepare{OnePhase: b[HeaderLen] != 0, Format: binary.LittleEndian.Uint32(b[HeaderLen+1:])}
	global, local := uint64(binary.LittleEndian.Uint32(b[HeaderLen+5:])), uint64(binary.LittleEndian.Uint32(b[HeaderLen+9:]))
	rest := b[fixed:]
	if global > uint64(len(rest)) || local > uint64(len(rest))-global {
		return XAPrepare{}, fmt.Errorf("xa prepare event with an id of %d and %d bytes: %w", global, local, ErrShort)
	}
	x.Global, x.Local = rest[:global], rest[global:global+local]
	return x, nil
}

// ParseRotate reads a whole ROTATE event without checksum.
func ParseRotate(b []byte) (file string, offset uint64, err error) {
	if len(b) < HeaderLen+8+1 {
		return "", 0, fmt.Errorf("rotate event of %d bytes: %w", len(b), ErrShort)
	}
	return string(b[HeaderLen+8:]), binary.LittleEndian.Uint64(b[HeaderLen:]), nil
}

// ParseXID reads the transaction number of a whole XID event.
func ParseXID(b []byte) (uint64, error) {
	if len(b) < HeaderLen+8 {
		return 0, fmt.Errorf("xid event of %d bytes: %w", len(b), ErrShort)
	}
	return binary.LittleEndian.Uint64(b[HeaderLen:]), nil
}

// Format is a FORMAT_DESCRIPTION event.
type Format struct {
	ServerVersion string
	Created       uint32 // seconds; 0 in a file that is not the first after a server start
	Checksum      byte   // 0 none, 1 CRC-32; anything else is not known
}

// ParseFormat reads a whole FORMAT_DESCRIPTION event. Servers from MySQL 5.6.1
// and MariaDB 5.3 on end it with the checksum algorithm and always with a
// checksum, whatever the algorithm says; older ones have neither.
func ParseFormat(b []byte) (Format, error) {
	const fixed = HeaderLen + 2 + 50 + 4 + 1
	if len(b) < fixed {
		return Format{}, fmt.Errorf("format description of %d bytes: %w", len(b), ErrShort)
	}
	f := Format{
		ServerVersion: string(cutNUL(b[HeaderLen+2 : HeaderLen+52])),
		Created:       binary.LittleEndian.Uint32(b[HeaderLen+52:]),
	}
	if hasChecksumByte(f.ServerVersion) && len(b) >= fixed+1+ChecksumLen {
		f.Checksum = b[len(b)-ChecksumLen-1]
	}
	return f, nil
}

func hasChecksumByte(version string) bool {
	major, minor, patch := Version(version)
	if bytes.Contains([]byte(version), []byte("MariaDB")) {
		return major > 5 || major == 5 && minor >= 3
	}
	return major > 5 || major == 5 && (minor > 6 || minor == 6 && patch >= 1)
}

// Version splits the leading numbers of a server version such as "8.0.33-log".
func Version(s string) (major, minor, patch int) {
	var n [3]int
	i := 0
	for _, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9' && n[i] < 1_000_000:
			n[i] = n[i]*10 + int(c-'0')
		case c == '.' && i < 2:
			i++
		default:
			return n[0], n[1], n[2]
		}
	}
	return n[0], n[1], n[2]
}

func cutNUL(b []byte) []byte {
	if before, _, ok := bytes.Cut(b, []byte{0}); ok {
		return before
	}
	return b
}

// RowsQueryText is the statement of a ROWS_QUERY event. Its length byte is
// ignored, as it cannot hold a long statement's length.
func RowsQueryText(b []byte) []byte {
	if len(b) < HeaderLen+1 {
		return nil
	}
	return b[HeaderLen+1:]
}

// AnnotateText is the statement of a MariaDB ANNOTATE_ROWS event.
func AnnotateText(b []byte) []byte {
	if len(b) < HeaderLen {
		return nil
	}
	return b[HeaderLen:]
}

// IntVar reads an INTVAR event: the value that LAST_INSERT_ID or INSERT_ID gets.
func IntVar(b []byte) (value uint64, err error) {
	if len(b) < HeaderLen+9 {
		return 0, fmt.Errorf("intvar event of %d bytes: %w", len(b), ErrShort)
	}
	return binary.LittleEndian.Uint64(b[HeaderLen+1:]), nil
}

// Rand reads a RAND event.
func Rand(b []byte) (seed1, seed2 uint64, err error) {
	if len(b) < HeaderLen+16 {
		return 0, 0, fmt.Errorf("rand event of %d bytes: %w", len(b), ErrShort)
	}
	return binary.LittleEndian.Uint64(b[HeaderLen:]), binary.LittleEndian.Uint64(b[HeaderLen+8:]), nil
}

// UserVar is a USER_VAR event.
type UserVar struct {
	Name     []byte
	Null     bool
	Type     byte // 0 string, 1 real, 2 integer, 4 decimal
	Unsigned bool
	Value    []byte
}

// ParseUserVar reads a whole USER_VAR event without checksum.
func ParseUserVar(b []byte) (UserVar, error) {
	var v UserVar
	p := HeaderLen
	if len(b) < p+4 {
		return v, fmt.Errorf("user variable event of %d bytes: %w", len(b), ErrShort)
	}
	n := binary.LittleEndian.Uint32(b[p:])
	p += 4
	if n > math.MaxInt32 || len(b)-p < int(n)+1 {
		return v, fmt.Errorf("user variable name of %d bytes: %w", n, ErrShort)
	}
	v.Name = b[p : p+int(n)]
	p += int(n)
	v.Null = b[p] != 0
	p++
	if v.Null {
		return v, nil
	}
	if len(b) < p+9 {
		return v, fmt.Errorf("user variable value at %d: %w", p, ErrShort)
	}
	v.Type = b[p]
	n = binary.LittleEndian.Uint32(b[p+5:])
	p += 9
	if n > math.MaxInt32 || len(b)-p < int(n) {
		return v, fmt.Errorf("user variable value of %d bytes: %w", n, ErrShort)
	}
	v.Value = b[p : p+int(n)]
	if len(b) > p+int(n) {
		v.Unsigned = b[p+int(n)]&1 != 0
	}
	return v, nil
}

// Integer is the value of an integer user variable as text.
func (v UserVar) Integer() string {
	if len(v.Value) < 8 {
		return "0"
	}
	u := binary.LittleEndian.Uint64(v.Value)
	if v.Unsigned {
		return strconv.FormatUint(u, 10)
	}
	return strconv.FormatInt(int64(u), 10)
}

// Session is what a QUERY event's status variables say of the session that ran
// the statement.
type Session struct {
	SQLMode   uint64
	Collation uint16 // of the client; 0 when it was not noted
}

// Bits of the SQL mode that change how a statement is read.
const (
	ModeANSIQuotes         = 1 << 2
	ModeNoBackslashEscapes = 1 << 20
)

// Status variables that come before the client's character set, and it.
const (
	statusFlags         = 0
	statusSQLMode       = 1
	statusCatalogOld    = 2
	statusAutoIncrement = 3
	statusCharset       = 4
	statusCatalog       = 6
)

// ParseSession reads status variables as far as they are known: sources write
// those that count here before all others.
func ParseSession(status []byte) Session {
	var s Session
	for len(status) > 0 {
		code, rest := status[0], status[1:]
		var size int
		switch code {
		case statusFlags, statusAutoIncrement:
			size = 4
		case statusSQLMode:
			size = 8
		case statusCharset:
			size = 6
		case statusCatalog, statusCatalogOld:
			if len(rest) == 0 {
				return s
			}
			size = 1 + int(rest[0])
			if code == statusCatalogOld {
				size++ // a NUL ends it
			}
		default:
			return s
		}
		if len(rest) < size {
			return s
		}
		switch code {
		case statusSQLMode:
			s.SQLMode = binary.LittleEndian.Uint64(rest)
		case statusCharset:
			s.Collation = binary.LittleEndian.Uint16(rest)
			return s
		}
		status = rest[size:]
	}
	return s
}

// Bits of a MariaDB GTID event.
const (
	mariaGroupCommit = 2
	mariaXA          = 64 | 128
	mariaStartAlter  = 2 // of the extra flags
	mariaUndoAlter   = 8
)

// MariaAlterUnsettled tells whether a MariaDB GTID event stands before the begin
// of an ALTER in two phases (binlog_alter_two_phase), or before its undoing: the
// statement behind it has not changed anything.
func MariaAlterUnsettled(b []byte) bool {
	const flagsAt = HeaderLen + 12
	if len(b) <= flagsAt {
		return false
	}
	at := flagsAt + 1
	if b[flagsAt]&mariaGroupCommit != 0 {
		at += 8
	}
	if b[flagsAt]&mariaXA != 0 {
		if len(b) < at+6 {
			return false
		}
		at += 6 + int(b[at+4]) + int(b[at+5])
	}
	return at < len(b) && b[at]&(mariaStartAlter|mariaUndoAlter) != 0
}
