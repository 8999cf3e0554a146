package entry_test

import (
	"slices"
	"testing"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

// TestRebuild: a structure from the binlog's metadata alone, and with what was
// known of columns that may be the same.
func TestRebuild(t *testing.T) {
	m := columns(
		event.Column{Type: event.ColLong}, event.Column{Type: event.ColTiny}, event.Column{Type: event.ColVarchar, Meta: 40},
		event.Column{Type: event.ColVarchar, Meta: 7}, event.Column{Type: event.ColBlob, Meta: 2}, event.Column{Type: event.ColBlob, Meta: 4},
		event.Column{Type: event.ColEnum, Meta: 1}, event.Column{Type: event.ColNewDecimal, Meta: 10<<8 | 2}, event.Column{Type: event.ColDatetime2, Meta: 3},
		event.Column{Type: event.ColString, Meta: 9}, event.Column{Type: event.ColLongLong},
	)
	o := &event.Optional{
		Unsigned:   []bool{true, false, false, false, false, false, false, true, false, false, true},
		Names:      [][]byte{[]byte("id"), []byte("Flag"), []byte("v"), []byte("vb"), []byte("b"), []byte("lt"), []byte("e"), []byte("d"), []byte("dt"), []byte("c"), []byte("DB_ROW_HASH_1")},
		Collations: []uint64{0, 0, 45, 63, 63, 45, 0, 0, 0, 33, 0},
		Members:    [][][]byte{6: {[]byte("a"), []byte("it's")}, 10: nil},
		Key:        []bool{true, false, false, false, false, false, false, false, false, false, false},
	}
	cs := entry.Collations{Widths: map[uint64]int{45: 4, 33: 3}}
	got := entry.Rebuild(schema.Name{Schema: "d", Table: "t"}, nil, m, o, cs)
	var types []string
	for _, c := range got.Columns {
		types = append(types, c.Type)
	}
	want := []string{
		"int unsigned", "tinyint", "varchar(10)", "varbinary(7)", "blob", "longtext", "enum('a','it''s')", "decimal(10,2) unsigned", "datetime(3)", "char(3)",
	}
	if !slices.Equal(types, want) || got.HashKeys != 1 || !got.Columns[0].Key || got.Columns[1].Key || !got.Columns[0].Unsigned {
		t.Errorf("%+v, %q", got, types)
	}
	if err := entry.Fit(got, m, o, ""); err != nil {
		t.Error(err)
	}
	cs.MariaDB = true
	before := &schema.Table{Schema: "d", Name: "t", Columns: []schema.Column{{Name: "flag", Type: "BOOL"}, {Name: "v", Type: "int"}, {Name: "id", Type: "INTEGER unsigned", Unsigned: true}}}
	got = entry.Rebuild(schema.Name{Schema: "d", Table: "t"}, before, m, o, cs)
	if c := got.Columns; c[0].Type != "INTEGER unsigned" || c[1].Type != "BOOL" || c[1].Name != "Flag" || c[2].Type != "varchar(10)" || c[0].Key {
		t.Errorf("%+v", got.Columns)
	}
}

// Any table map gives a structure that fits it, or is refused.
func FuzzRebuild(f *testing.F) {
	f.Add([]byte{3, 1, 15, 252}, []byte{4, 0, 2}, []byte{1, 1, 0xd0, 4, 8, 1, 'a', 1, 'b', 1, 'c', 1, 'd', 8, 1, 0}, "int")
	f.Add([]byte{254, 247, 248, 246}, []byte{0xf7, 1, 3, 0xf8, 2, 10, 2}, []byte{2, 1, 63, 5, 3, 1, 1, 'x', 6, 3, 1, 1, 'y', 200}, "enum('a','b''c')")
	f.Fuzz(func(t *testing.T, types, meta, optional []byte, text string) {
		raw := make([]byte, event.HeaderLen, 200)
		raw = append(raw, 1, 0, 0, 0, 0, 0, 1, 0, 1, 'd', 0, 1, 't', 0)
		if len(types) > 200 || len(meta) > 200 {
			return
		}
		raw = append(append(raw, byte(len(types))), types...)
		raw = append(append(raw, byte(len(meta))), meta...)
		raw = append(raw, make([]byte, (len(types)+7)/8)...)
		m, err := event.ParseTableMap(append(raw, optional...))
		if err != nil {
			return
		}
		o, err := event.ParseOptional(&m)
		if err != nil {
			o = event.Optional{}
		}
		known := &schema.Table{Schema: "d", Name: "t"}
		for range m.Columns {
			known.Columns = append(known.Columns, schema.Column{Name: "x", Type: text})
		}
		_ = entry.Fit(known, &m, &o, "")
		all := entry.Options{MariaDB: len(types)%2 == 0, RowID: "id", Optional: &o, Form: entry.Form{
			FullDecimals: true, OldFloats: true, MemberNames: true, PaddedBinary: true, StableTypes: true, ServerTypes: true, ServerJSON: true,
		}}
		if c := entry.Compile(known, &m, all); c.Columns() != len(m.Columns) {
			t.Errorf("%d columns of %d", c.Columns(), len(m.Columns))
		}
		if o.Names == nil {
			return
		}
		rebuilt := entry.Rebuild(schema.Name{Schema: "d", Table: "t"}, known, &m, &o, entry.Collations{MariaDB: len(types)%2 == 0})
		entry.Compile(rebuilt, &m, entry.Options{})
	})
}
