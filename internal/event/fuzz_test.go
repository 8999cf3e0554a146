package event_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/canald/canald/internal/event"
)

// tableMap is a TABLE_MAP event: schema s, table t, the columns' types and metadata.
func tableMap(types, meta []byte) []byte {
	b := append([]byte(nil), make([]byte, event.HeaderLen)...)
	b = append(b, 7, 0, 0, 0, 0, 0, 1, 0, 1, 's', 0, 1, 't', 0, byte(len(types)))
	b = append(b, types...)
	b = append(b, byte(len(meta)))
	b = append(b, meta...)
	return append(b, make([]byte, (len(types)+7)/8)...)
}

func TestTableMap(t *testing.T) {
	m, err := event.ParseTableMap(tableMap(
		[]byte{3, 15, 246, 254, 254, 254, 16, 252, 17, 245},
		[]byte{0x2c, 0x01, 10, 2, 0xfe, 30, 0xf7, 1, 0xee, 0x58, 4, 1, 2, 6, 4}))
	if err != nil {
		t.Fatal(err)
	}
	if m.TableID != 7 || string(m.Schema) != "s" || string(m.Table) != "t" {
		t.Errorf("map is %+v", m)
	}
	want := []event.Column{
		{Type: event.ColLong},
		{Type: event.ColVarchar, Meta: 300},
		{Type: event.ColNewDecimal, Meta: 10<<8 | 2},
		{Type: event.ColString, Meta: 30},
		{Type: event.ColEnum, Meta: 1},
		{Type: event.ColString, Meta: 0x158}, // CHAR of more than 255 bytes: bits of the length hide in the type
		{Type: event.ColBit, Meta: 12},
		{Type: event.ColBlob, Meta: 2},
		{Type: event.ColTimestamp2, Meta: 6},
		{Type: event.ColJSON, Meta: 4},
	}
	for i, c := range want {
		if m.Columns[i] != c {
			t.Errorf("column %d is %+v, want %+v", i, m.Columns[i], c)
		}
	}
}

func TestFormat(t *testing.T) {
	for version, c := range map[string]struct{ checksum byte }{
		"8.0.33": {1}, "5.6.1": {1}, "5.5.9-log": {0}, "10.11.18-MariaDB-log": {1}, "5.6.0": {0},
	} {
		b := append([]byte(nil), make([]byte, event.HeaderLen+2)...)
		name := make([]byte, 50)
		copy(name, version)
		b = append(append(b, name...), 1, 2, 3, 4, 19)
		b = append(b, make([]byte, 40)...)
		b = append(b, 1, 9, 9, 9, 9)
		f, err := event.ParseFormat(b)
		if err != nil || f.Checksum != c.checksum || f.ServerVersion != version || f.Created != 0x04030201 {
			t.Errorf("%s: %+v, %v", version, f, err)
		}
	}
}

func TestStart(t *testing.T) {
	h := event.Header{LogPos: 500, Length: 100}
	if h.Start() != 400 {
		t.Error(h.Start())
	}
	if (event.Header{Length: 100}).Start() != 0 {
		t.Error("an event in no file starts nowhere")
	}
}

// Whatever the bytes are, parsing ends with a value or an error.
func FuzzEvents(f *testing.F) {
	header := make([]byte, event.HeaderLen)
	f.Add(tableMap([]byte{3, 15, 252}, []byte{10, 0, 2}))
	f.Add(append(append([]byte(nil), header...), 7, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0xff, 0xff, 1, 2, 3))
	f.Add(append(append([]byte(nil), header...), 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 'd', 0, 'B', 'E', 'G', 'I', 'N'))
	f.Add(append(append([]byte(nil), header...), 1, 1, 5, 2, 1, 0, 3, 1, 9, 0, 1, 2, 3, 4, 5))
	f.Add(binary.LittleEndian.AppendUint64(append([]byte(nil), header...), 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := event.ParseHeader(b)
		if err != nil {
			if !errors.Is(err, event.ErrShort) {
				t.Fatal(err)
			}
			return
		}
		h.Type.Rows()
		h.Start()
		if m, err := event.ParseTableMap(b); err == nil && len(m.Columns) > event.MaxColumns {
			t.Fatalf("%d columns", len(m.Columns))
		}
		for _, version := range []int{1, 2} {
			for _, update := range []bool{false, true} {
				r, err := event.ParseRowsHeader(b, version, update)
				if err == nil && (r.Images > len(b) || len(r.Before) != (r.Columns+7)/8 || update && len(r.After) != len(r.Before)) {
					t.Fatalf("rows header %+v of %d bytes", r, len(b))
				}
			}
		}
		_, _ = event.ParseQuery(b)
		_, _, _ = event.ParseRotate(b)
		_, _ = event.ParseXID(b)
		_, _ = event.ParseFormat(b)
		event.RowsQueryText(b)
		event.AnnotateText(b)
		_, _ = event.IntVar(b)
		_, _, _ = event.Rand(b)
		if v, err := event.ParseUserVar(b); err == nil {
			_ = v.Integer()
		}
		if p, err := event.ParsePayload(b); err == nil && p.Body > len(b) {
			t.Fatalf("payload begins at %d of %d", p.Body, len(b))
		}
		_, _, _ = event.RowsTableID(b)
	})
}
