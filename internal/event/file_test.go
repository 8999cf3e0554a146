package event_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/canald/canald/internal/event"
)

// recorded reads the events, with checksum, of a binlog file that a server wrote.
func recorded(tb testing.TB, name string) [][]byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	var events [][]byte
	for b = b[4:]; len(b) > 0; {
		n := binary.LittleEndian.Uint32(b[9:])
		events = append(events, b[:n:n])
		b = b[n:]
	}
	return events
}

var files = []string{"mysql-9.7.binlog", "mariadb-10.11.binlog"}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// whole puts a header with the right length before a body.
func whole(t event.Type, body []byte) []byte {
	b := make([]byte, event.HeaderLen, event.HeaderLen+len(body))
	b[4] = byte(t)
	binary.LittleEndian.PutUint32(b[9:], uint32(event.HeaderLen+len(body)))
	return append(b, body...)
}

func TestRecordedHeaders(t *testing.T) {
	for _, name := range files {
		at := uint32(4)
		for _, b := range recorded(t, name) {
			h, err := event.ParseHeader(b)
			if err != nil {
				t.Fatal(err)
			}
			if h.Start() != at || int(h.Length) != len(b) || h.LogPos != at+h.Length {
				t.Errorf("%s at %d: header %+v, start %d", name, at, h, h.Start())
			}
			if h.Timestamp < 1_795_000_000 || h.Timestamp > 1_796_000_000 {
				t.Errorf("%s at %d: timestamp %d", name, at, h.Timestamp)
			}
			at = h.LogPos
			n := len(b) - event.ChecksumLen
			if h.Type == event.TypeFormatDescription {
				b[17] &^= 1 // "in use", which the open file's checksum does not count
			}
			if binary.LittleEndian.Uint32(b[n:]) != crc32.ChecksumIEEE(b[:n]) {
				t.Errorf("%s at %d: checksum", name, at)
			}
		}
	}
}

// The whole story of each file, read with every parser there is.
func TestRecordedEvents(t *testing.T) {
	want := map[string]string{
		"mysql-9.7.binlog": `format 9.7.4-2 checksum 1
query rows1 "DROP DATABASE IF EXISTS rows1" thread 9
query rows1 "CREATE DATABASE rows1" thread 9
query  "CREATE TABLE rows1.t (id INT PRIMARY KEY, a VARCHAR(20), b DECIMAL(10,2))" thread 9
query  "BEGIN" thread 11
map 85 rows1.t 3/0 15/80 246/2562 optional 0101000203fcff00
rows 1/2 85 flags 17 columns 3 before ff after  images 0001000000036f6e65800000013202020000007ffffffdff
xid 5
query  "BEGIN" thread 11
map 85 rows1.t 3/0 15/80 246/2562 optional 0101000203fcff00
rows 2/2 85 flags 17 columns 3 before ff after ff images 02020000007ffffffdff00020000000374776f7ffffffdff
xid 6
query  "BEGIN" thread 11
map 85 rows1.t 3/0 15/80 246/2562 optional 0101000203fcff00
rows 3/2 85 flags 17 columns 3 before ff after  images 0001000000036f6e658000000132
xid 7
`,
		"mariadb-10.11.binlog": `format 10.11.18-MariaDB-0+deb12u1-log checksum 1
query rows1 "DROP DATABASE IF EXISTS rows1" thread 5
query rows1 "CREATE DATABASE rows1" thread 5
query  "CREATE TABLE rows1.t (id INT PRIMARY KEY, a VARCHAR(20), b DECIMAL(10,2))" thread 5
annotate "INSERT INTO rows1.t VALUES (1,'one',1.5),(2,NULL,-2)"
map 18 rows1.t 3/0 15/80 246/2562 optional 
rows 1/1 18 flags 1 columns 3 before 07 after  images f801000000036f6e658000000132fa020000007ffffffdff
xid 9
annotate "UPDATE rows1.t SET a='two' WHERE id=2"
map 18 rows1.t 3/0 15/80 246/2562 optional 
rows 2/1 18 flags 1 columns 3 before 07 after 07 images fa020000007ffffffdfff8020000000374776f7ffffffdff
xid 24
`,
	}
	for _, name := range files {
		var got strings.Builder
		for _, b := range recorded(t, name) {
			if b[4] != byte(event.TypeFormatDescription) {
				b = b[:len(b)-event.ChecksumLen]
			}
			describe(t, &got, b)
		}
		w := want[name]
		if g := got.String(); g != w {
			t.Errorf("%s:\n%s\nwant\n%s", name, g, w)
		}
	}
}

func TestHeaderStart(t *testing.T) {
	for _, c := range []struct {
		name        string
		pos, length uint32
		want        uint32
	}{
		{"usual", 1000, 100, 900},
		{"first event of a file", 127, 123, 4},
		{"artificial rotate", 0, 44, 0},
		{"end beyond 4 GiB", 10, 100, 0},
	} {
		if got := (event.Header{LogPos: c.pos, Length: c.length}).Start(); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestRowsKinds(t *testing.T) {
	type answer struct {
		kind       event.RowsKind
		version    int
		compressed bool
	}
	want := map[event.Type]answer{
		23: {event.Insert, 1, false}, 24: {event.Update, 1, false}, 25: {event.Delete, 1, false},
		30: {event.Insert, 2, false}, 31: {event.Update, 2, false}, 32: {event.Delete, 2, false}, 39: {event.Update, 2, false},
		166: {event.Insert, 1, true}, 167: {event.Update, 1, true}, 168: {event.Delete, 1, true},
		169: {event.Insert, 2, true}, 170: {event.Update, 2, true}, 171: {event.Delete, 2, true},
	}
	for i := range 256 {
		var got answer
		got.kind, got.version, got.compressed = event.Type(i).Rows()
		if got != want[event.Type(i)] {
			t.Errorf("type %d: %+v, want %+v", i, got, want[event.Type(i)])
		}
	}
}

// Every event cut at every byte is an error that says so, or a shorter text.
func TestCutShort(t *testing.T) {
	for _, name := range files {
		for _, b := range recorded(t, name) {
			b = b[:len(b)-event.ChecksumLen]
			for n := range b {
				if err := parse(b[:n:n]); err != nil && !errors.Is(err, event.ErrShort) {
					t.Errorf("%s type %d cut at %d: %v", name, b[4], n, err)
				}
			}
		}
	}
}

// parse reads a whole event by the parser of its type.
func parse(b []byte) error {
	h, err := event.ParseHeader(b)
	if err != nil {
		return err
	}
	if kind, version, compressed := h.Type.Rows(); kind != event.NotRows && !compressed {
		_, err = event.ParseRowsHeader(b, version, kind == event.Update)
		return err
	}
	switch h.Type {
	case event.TypeQuery:
		_, err = event.ParseQuery(b)
	case event.TypeTableMap:
		_, err = event.ParseTableMap(b)
	case event.TypeFormatDescription:
		_, err = event.ParseFormat(b)
	case event.TypeXID:
		_, err = event.ParseXID(b)
	case event.TypeRotate:
		_, _, err = event.ParseRotate(b)
	case event.TypeIntVar:
		_, err = event.IntVar(b)
	case event.TypeRand:
		_, _, err = event.Rand(b)
	case event.TypeUserVar:
		_, err = event.ParseUserVar(b)
	case event.TypeTransactionPayload:
		_, err = event.ParsePayload(b)
	case event.TypeGTID, event.TypeGTIDTagged:
		_, err = event.ParseGTID(b, h.Type)
	case event.TypeMariaGTID:
		_, err = event.ParseMariaGTID(h, b)
	case event.TypeMariaGTIDList:
		_, err = event.ParseMariaGTIDList(b)
	case event.TypeXAPrepare:
		_, err = event.ParseXAPrepare(b)
	case event.TypeExecuteLoadQuery:
		_, err = event.LoadQuery(b)
	case event.TypeMariaAnnotateRows:
		event.AnnotateText(b)
	case event.TypeRowsQuery:
		event.RowsQueryText(b)
	}
	return err
}

func TestTextEvents(t *testing.T) {
	if got := event.RowsQueryText(whole(event.TypeRowsQuery, []byte("\x05hello, longer than its length byte"))); string(got) != "hello, longer than its length byte" {
		t.Errorf("rows query %q", got)
	}
	if got := event.RowsQueryText(whole(event.TypeRowsQuery, nil)); got != nil {
		t.Errorf("empty rows query %q", got)
	}
	if got := event.AnnotateText(whole(event.TypeMariaAnnotateRows, []byte("x"))); !bytes.Equal(got, []byte("x")) {
		t.Errorf("annotate %q", got)
	}
}
