package event_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/canald/canald/internal/event"
)

func TestTableMapColumns(t *testing.T) {
	for _, c := range []struct {
		name string
		kind byte
		meta string
		want event.Column
	}{
		{"tinyint", 1, "", event.Column{Type: event.ColTiny}},
		{"float", 4, "04", event.Column{Type: event.ColFloat, Meta: 4}},
		{"varchar(80)", 15, "5000", event.Column{Type: event.ColVarchar, Meta: 80}},
		{"varchar(65535)", 15, "ffff", event.Column{Type: event.ColVarchar, Meta: 65535}},
		{"decimal(65,30)", 246, "411e", event.Column{Type: event.ColNewDecimal, Meta: 65<<8 | 30}},
		{"bit(1)", 16, "0100", event.Column{Type: event.ColBit, Meta: 1}},
		{"bit(64)", 16, "0008", event.Column{Type: event.ColBit, Meta: 64}},
		{"bit(11)", 16, "0301", event.Column{Type: event.ColBit, Meta: 11}},
		{"char(10)", 254, "fe0a", event.Column{Type: event.ColString, Meta: 10}},
		{"char(255) of 4 bytes each", 254, "cefc", event.Column{Type: event.ColString, Meta: 1020}},
		{"binary(255)", 254, "feff", event.Column{Type: event.ColString, Meta: 255}},
		{"char of 256 bytes", 254, "ee00", event.Column{Type: event.ColString, Meta: 256}},
		{"enum", 254, "f701", event.Column{Type: event.ColEnum, Meta: 1}},
		{"set", 254, "f808", event.Column{Type: event.ColSet, Meta: 8}},
		{"blob", 252, "02", event.Column{Type: event.ColBlob, Meta: 2}},
		{"json", 245, "04", event.Column{Type: event.ColJSON, Meta: 4}},
		{"geometry", 255, "04", event.Column{Type: event.ColGeometry, Meta: 4}},
		{"vector", 242, "04", event.Column{Type: event.ColVector, Meta: 4}},
		{"timestamp(3)", 17, "03", event.Column{Type: event.ColTimestamp2, Meta: 3}},
		{"datetime(6)", 18, "06", event.Column{Type: event.ColDatetime2, Meta: 6}},
		{"time", 19, "00", event.Column{Type: event.ColTime2}},
		{"mariadb compressed varchar", 141, "2c01", event.Column{Type: event.ColMariaVarcharCompr, Meta: 300}},
		{"mariadb compressed blob", 140, "02", event.Column{Type: event.ColMariaBlobCompr, Meta: 2}},
		{"date", 10, "", event.Column{Type: event.ColDate}},
		{"year", 13, "", event.Column{Type: event.ColYear}},
	} {
		t.Run(c.name, func(t *testing.T) {
			meta := unhex(t, c.meta)
			body := unhex(t, "0102030405060100 0164 00 0174 00 02")
			body = append(body, c.kind, 1, byte(len(meta)))
			body = append(append(body, meta...), 0x03)
			m, err := event.ParseTableMap(whole(event.TypeTableMap, body))
			if err != nil {
				t.Fatal(err)
			}
			want := []event.Column{c.want, {Type: event.ColTiny}}
			if m.TableID != 0x060504030201 || string(m.Schema) != "d" || string(m.Table) != "t" || !slices.Equal(m.Columns, want) || len(m.Optional) != 0 {
				t.Errorf("%+v", m)
			}
			if len(meta) == 0 {
				return
			}
			short := bytes.Clone(body[:len(body)-len(meta)-2])
			short = append(append(short, byte(len(meta)-1)), meta[:len(meta)-1]...)
			if _, err := event.ParseTableMap(whole(event.TypeTableMap, append(short, 0x03))); !errors.Is(err, event.ErrShort) {
				t.Errorf("metadata a byte short: %v", err)
			}
		})
	}
}

func TestTableMapWide(t *testing.T) {
	for _, c := range []struct {
		columns string // lenenc
		n       int
		ok      bool
	}{{"fa", 250, true}, {"fcfb00", 251, true}, {"fc0010", 4096, true}, {"fc0110", 4097, false}, {"fb", 0, false}, {"feffffffffffffffff", 0, false}, {"ff", 0, false}} {
		body := append(unhex(t, "0100000000000100 0164 00 0174 00"), unhex(t, c.columns)...)
		body = append(body, bytes.Repeat([]byte{3}, c.n)...)
		body = append(append(body, 0), make([]byte, (c.n+7)/8)...)
		m, err := event.ParseTableMap(whole(event.TypeTableMap, body))
		if c.ok != (err == nil) || c.ok && len(m.Columns) != c.n {
			t.Errorf("%s: %d columns, %v", c.columns, len(m.Columns), err)
		}
	}
}

func TestRowsHeader(t *testing.T) {
	for _, c := range []struct {
		name, body string
		version    int
		update     bool
		want       event.RowsHeader
		ok         bool
	}{
		{"v1", "010000000000 0100 09 ff01 aa", 1, false, event.RowsHeader{TableID: 1, Flags: 1, Columns: 9, Before: []byte{0xff, 1}, Images: 30}, true},
		{"v2 without extra data", "010000000000 0000 0200 02 03 aa", 2, false, event.RowsHeader{TableID: 1, Columns: 2, Before: []byte{3}, Images: 31}, true},
		{"v2 with extra data", "010000000000 0000 0500 010203 02 03 01", 2, true, event.RowsHeader{TableID: 1, Columns: 2, Before: []byte{3}, After: []byte{1}, Images: 35}, true},
		{"extra data shorter than its length", "010000000000 0000 0100 02 03", 2, false, event.RowsHeader{}, false},
		{"extra data beyond the event", "010000000000 0000 ff00 02 03", 2, false, event.RowsHeader{}, false},
		{"no second bitmap", "010000000000 0000 0200 02 03", 2, true, event.RowsHeader{}, false},
		{"too many columns", "010000000000 0000 fdffffff" + strings.Repeat("ff", 100), 1, false, event.RowsHeader{}, false},
		{"no column", "010000000000 0000 00", 1, false, event.RowsHeader{TableID: 1, Before: []byte{}, Images: 28}, true},
	} {
		got, err := event.ParseRowsHeader(whole(30, unhex(t, c.body)), c.version, c.update)
		if (err == nil) != c.ok || c.ok && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if err != nil && !errors.Is(err, event.ErrShort) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func format(version string, tail ...byte) []byte {
	body := make([]byte, 2+50+4+1)
	copy(body[2:], version)
	return whole(event.TypeFormatDescription, append(body, tail...))
}

func TestFormatChecksum(t *testing.T) {
	lengths := make([]byte, 40)
	for _, c := range []struct {
		version string
		tail    []byte
		want    byte
	}{
		{"5.5.62-log", append(lengths, 1, 9, 9, 9, 9), 0},
		{"5.6.0-m4", append(lengths, 1, 9, 9, 9, 9), 0},
		{"5.6.1", append(lengths, 1, 9, 9, 9, 9), 1},
		{"5.7.44-log", append(lengths, 0, 9, 9, 9, 9), 0},
		{"8.0.33", append(lengths, 1, 9, 9, 9, 9), 1},
		{"26.1.0", append(lengths, 7, 9, 9, 9, 9), 7},
		{"5.2.14-MariaDB", append(lengths, 1, 9, 9, 9, 9), 0},
		{"5.3.12-MariaDB", append(lengths, 1, 9, 9, 9, 9), 1},
		{"5.5.5-10.2.44-MariaDB-log", append(lengths, 1, 9, 9, 9, 9), 1},
		{"10.11.6-MariaDB", append(lengths, 0, 9, 9, 9, 9), 0},
		{"8.0.33", []byte{1, 9, 9, 9}, 0}, // too short to have one
		{strings.Repeat("8", 50), append(lengths, 1, 9, 9, 9, 9), 1},
		{"", append(lengths, 1, 9, 9, 9, 9), 0},
	} {
		f, err := event.ParseFormat(format(c.version, c.tail...))
		if err != nil || f.Checksum != c.want || f.ServerVersion != c.version {
			t.Errorf("%q: %+v, %v", c.version, f, err)
		}
	}
}

func TestVersion(t *testing.T) {
	for in, want := range map[string][3]int{
		"8.0.33-log": {8, 0, 33}, "5.5": {5, 5, 0}, "": {}, "x": {}, "1.2.3.4": {1, 2, 3}, "..7": {0, 0, 7},
		"8.0.": {8, 0, 0}, "8..1": {8, 0, 1}, "-8": {}, "100000000000.1": {1_000_000, 0, 0},
	} {
		a, b, c := event.Version(in)
		if [3]int{a, b, c} != want {
			t.Errorf("%q: %d.%d.%d, want %v", in, a, b, c, want)
		}
	}
}

func TestRotate(t *testing.T) {
	file, offset, err := event.ParseRotate(whole(event.TypeRotate, append(unhex(t, "0400000001000000"), "mysql-bin.000002"...)))
	if file != "mysql-bin.000002" || offset != 1<<32+4 || err != nil {
		t.Errorf("%q %d %v", file, offset, err)
	}
}

func TestUserVar(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       event.UserVar
		integer    string
		ok         bool
	}{
		{"null", "01000000 61 01", event.UserVar{Name: []byte("a"), Null: true}, "0", true},
		{"string", "01000000 61 00 00 2d000000 02000000 6869 00", event.UserVar{Name: []byte("a"), Value: []byte("hi")}, "0", true},
		{"negative", "01000000 61 00 02 2d000000 08000000 ffffffffffffffff 00", event.UserVar{Name: []byte("a"), Type: 2, Value: bytes.Repeat([]byte{255}, 8)}, "-1", true},
		{"unsigned", "01000000 61 00 02 2d000000 08000000 ffffffffffffffff 01", event.UserVar{Name: []byte("a"), Type: 2, Unsigned: true, Value: bytes.Repeat([]byte{255}, 8)}, "18446744073709551615", true},
		{"without flags, as old servers write it", "01000000 61 00 02 2d000000 08000000 0500000000000000", event.UserVar{Name: []byte("a"), Type: 2, Value: []byte{5, 0, 0, 0, 0, 0, 0, 0}}, "5", true},
		{"name beyond the event", "ffffffff 61 00", event.UserVar{}, "", false},
		{"name of 2 GiB", "ffffff7f 61 00", event.UserVar{}, "", false},
		{"value beyond the event", "01000000 61 00 00 2d000000 ffffff7f 68", event.UserVar{}, "", false},
	} {
		got, err := event.ParseUserVar(whole(event.TypeUserVar, unhex(t, c.body)))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.ok && (!reflect.DeepEqual(got, c.want) || got.Integer() != c.integer) {
			t.Errorf("%s: %+v %s", c.name, got, got.Integer())
		}
	}
}

func TestPayloadHead(t *testing.T) {
	for _, c := range []struct {
		name, body string
		want       event.Payload
		ok         bool
	}{
		{"as MySQL writes it", "02 01 00 03 03 fc2c01 01 01 05 00 aabbccddee", event.Payload{Compression: 0, Size: 5, Uncompressed: 300, Body: 31}, true},
		{"nothing said", "00 aa", event.Payload{Compression: event.PayloadNone, Body: 20}, true},
		{"none", "02 03 fcff00 00", event.Payload{Compression: 255, Body: 25}, true},
		{"a field of tomorrow", "09 04 ffffffff 02 01 00 00", event.Payload{Body: 29}, true},
		{"an empty field of tomorrow", "09 00 00", event.Payload{Compression: 255, Body: 22}, true},
		{"no end", "02 01 00", event.Payload{}, false},
		{"field beyond the event", "02 fe ffffffffffffffff 00", event.Payload{}, false},
		{"empty compression", "02 00 00", event.Payload{}, false},
		{"value cut short", "03 01 fc 00", event.Payload{}, false},
		{"nothing at all", "", event.Payload{}, false},
	} {
		got, err := event.ParsePayload(whole(event.TypeTransactionPayload, unhex(t, c.body)))
		if (err == nil) != c.ok || c.ok && got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if err != nil && !errors.Is(err, event.ErrShort) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := event.ParsePayload(nil); !errors.Is(err, event.ErrShort) {
		t.Errorf("no event: %v", err)
	}
}

func TestNumbers(t *testing.T) {
	if v, err := event.IntVar(whole(event.TypeIntVar, unhex(t, "02 0700000000000000"))); v != 7 || err != nil {
		t.Errorf("intvar %d %v", v, err)
	}
	a, b, err := event.Rand(whole(event.TypeRand, unhex(t, "0100000000000000 0200000000000000")))
	if fmt.Sprint(a, b, err) != "1 2 <nil>" {
		t.Errorf("rand %d %d %v", a, b, err)
	}
}

func TestXAPrepare(t *testing.T) {
	body := []byte{1, 7, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 'g', 'h', 'l'}
	x, err := event.ParseXAPrepare(whole(event.TypeXAPrepare, body))
	if err != nil || !x.OnePhase || x.Format != 7 || string(x.Global) != "gh" || string(x.Local) != "l" {
		t.Errorf("%+v, %v", x, err)
	}
	for n := range body {
		if _, err := event.ParseXAPrepare(whole(event.TypeXAPrepare, body[:n])); err == nil {
			t.Errorf("%d bytes are enough", n)
		}
	}
	copy(body[5:], []byte{255, 255, 255, 255})
	if _, err := event.ParseXAPrepare(whole(event.TypeXAPrepare, body)); err == nil {
		t.Error("an id longer than the event")
	}
}

func TestLoadQuery(t *testing.T) {
	fixed := []byte{1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}
	load := []byte{9, 9, 9, 9, 8, 8, 8, 8, 7, 7, 7, 7, 1}
	rest := []byte{'d', 0, 'L', 'O', 'A', 'D'}
	b := whole(event.TypeExecuteLoadQuery, slices.Concat(fixed, load, rest))
	keep := bytes.Clone(b)
	raw, err := event.LoadQuery(b)
	if err != nil || !bytes.Equal(b, keep) {
		t.Fatal(err)
	}
	q, err := event.ParseQuery(raw)
	if err != nil || string(q.SQL) != "LOAD" || string(q.Schema) != "d" {
		t.Errorf("%+v, %v", q, err)
	}
	if _, err := event.LoadQuery(b[:event.HeaderLen+20]); err == nil {
		t.Error("a part is enough")
	}
}
