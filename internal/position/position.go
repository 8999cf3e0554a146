// Package position names a place in a source's binlog and orders two of them.
//
// It knows no socket and no file: the text and JSON forms that Canal keeps in
// meta.dat and ZooKeeper are here, reading and writing them is not.
package position

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Position is the start offset of one event in one binlog file, with what the
// event's header said about it.
type Position struct {
	File      string // binlog file name, without a folder
	Offset    uint64 // start of the event in the file, bytes
	ServerID  int64  // server that wrote the event; 0 when not known
	Timestamp int64  // event time in ms since 1970, whole seconds; 0 when not known
	GTID      string // executed set, including the event's own transaction; empty outside GTID mode
}

// IsZero reports whether p names no place at all.
func (p Position) IsZero() bool { return p.File == "" && p.Offset == 0 && p.GTID == "" }

// String is the form that logs show: file:offset.
func (p Position) String() string {
	if p.IsZero() {
		return "none"
	}
	return fmt.Sprintf("%s:%d", p.File, p.Offset)
}

// Compare orders two places of one source: by base name, then by the file's
// number, then by offset. Java compares the names as text, which is the same
// until the number of digits changes (mysql-bin.999999 to mysql-bin.1000000).
func Compare(a, b Position) int {
	if c := CompareFiles(a.File, b.File); c != 0 {
		return c
	}
	return cmp.Compare(a.Offset, b.Offset)
}

// CompareFiles orders two binlog file names of one source.
func CompareFiles(a, b string) int {
	if a == b {
		return 0
	}
	ab, an, aok := splitFile(a)
	bb, bn, bok := splitFile(b)
	if !aok || !bok || ab != bb {
		return strings.Compare(a, b)
	}
	return cmp.Compare(an, bn)
}

// NextFile is the name of the binlog file behind one: its number is one higher.
func NextFile(name string) string {
	base, number, ok := splitFile(name)
	if !ok {
		return name + ".000001"
	}
	return fmt.Sprintf("%s.%0*d", base, len(name)-len(base)-1, number+1)
}

func splitFile(name string) (base string, number uint64, ok bool) {
	i := strings.LastIndexByte(name, '.')
	if i < 0 {
		return name, 0, false
	}
	number, err := strconv.ParseUint(name[i+1:], 10, 64)
	return name[:i], number, err == nil
}
