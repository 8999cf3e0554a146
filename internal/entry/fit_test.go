package entry_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

func declared(types ...string) *schema.Table {
	t := &schema.Table{Schema: "d", Name: "t"}
	for i, text := range types {
		t.Columns = append(t.Columns, schema.Column{Name: string(rune('a' + i)), Type: text, Unsigned: schema.Unsigned(text)})
	}
	return t
}

func columns(cs ...event.Column) *event.TableMap { return &event.TableMap{TableID: 1, Columns: cs} }

// TestFitTypes: what may be declared so, and what may not.
func TestFitTypes(t *testing.T) {
	for _, c := range []struct {
		text string
		yes  []event.Column
		no   []event.Column
	}{
		{"int(11)", []event.Column{{Type: event.ColLong}}, []event.Column{{Type: event.ColLongLong}, {Type: event.ColShort}}},
		{"INTEGER", []event.Column{{Type: event.ColLong}}, []event.Column{{Type: event.ColTiny}}},
		{"BOOL", []event.Column{{Type: event.ColTiny}}, []event.Column{{Type: event.ColBit, Meta: 1}}},
		{"SERIAL", []event.Column{{Type: event.ColLongLong}}, []event.Column{{Type: event.ColLong}}},
		{"decimal(10,2)", []event.Column{{Type: event.ColNewDecimal, Meta: 10<<8 | 2}}, []event.Column{{Type: event.ColNewDecimal, Meta: 10<<8 | 3}, {Type: event.ColDouble}}},
		{"DEC", []event.Column{{Type: event.ColNewDecimal, Meta: 10 << 8}}, []event.Column{{Type: event.ColNewDecimal, Meta: 11 << 8}}},
		{"DOUBLE PRECISION", []event.Column{{Type: event.ColDouble}}, []event.Column{{Type: event.ColFloat}}},
		{"bit(9)", []event.Column{{Type: event.ColBit, Meta: 9}}, []event.Column{{Type: event.ColBit, Meta: 8}}},
		{"datetime(3)", []event.Column{{Type: event.ColDatetime2, Meta: 3}, {Type: event.ColDatetime}}, []event.Column{{Type: event.ColDatetime2}, {Type: event.ColTimestamp2, Meta: 3}}},
		{"varchar(10)", []event.Column{{Type: event.ColVarchar, Meta: 10}, {Type: event.ColVarchar, Meta: 40}, {Type: event.ColMariaVarcharCompr, Meta: 41}}, []event.Column{{Type: event.ColVarchar, Meta: 41}, {Type: event.ColVarchar, Meta: 50}, {Type: event.ColString, Meta: 40}}},
		{"char(3)", []event.Column{{Type: event.ColString, Meta: 9}}, []event.Column{{Type: event.ColString, Meta: 8}}},
		{"char(0)", []event.Column{{Type: event.ColString}}, []event.Column{{Type: event.ColEnum, Meta: 1}}},
		{"varbinary(10)", []event.Column{{Type: event.ColVarchar, Meta: 10}}, []event.Column{{Type: event.ColVarchar, Meta: 40}}},
		{"text", []event.Column{{Type: event.ColBlob, Meta: 2}}, []event.Column{{Type: event.ColBlob, Meta: 3}, {Type: event.ColJSON, Meta: 4}}},
		{"TEXT(100)", []event.Column{{Type: event.ColBlob, Meta: 1}, {Type: event.ColBlob, Meta: 2}}, []event.Column{{Type: event.ColVarchar, Meta: 100}}},
		{"json", []event.Column{{Type: event.ColJSON, Meta: 4}, {Type: event.ColBlob, Meta: 4}}, []event.Column{{Type: event.ColVarchar, Meta: 4}}},
		{"enum('a','b''c','d\\'e')", []event.Column{{Type: event.ColEnum, Meta: 1}}, []event.Column{{Type: event.ColEnum, Meta: 2}, {Type: event.ColSet, Meta: 1}}},
		{"set('1','2','3','4','5','6','7','8','9')", []event.Column{{Type: event.ColSet, Meta: 2}}, []event.Column{{Type: event.ColSet, Meta: 1}}},
		{"point", []event.Column{{Type: event.ColGeometry, Meta: 4}}, []event.Column{{Type: event.ColBlob, Meta: 4}}},
		{"uuid", []event.Column{{Type: event.ColString, Meta: 16}}, []event.Column{{Type: event.ColLong}}},
		{"a type of tomorrow", []event.Column{{Type: 99}, {Type: event.ColLong}}, nil},
	} {
		for _, m := range c.yes {
			if err := entry.Fit(declared(c.text), columns(m), &event.Optional{}, ""); err != nil {
				t.Errorf("%s as %+v: %v", c.text, m, err)
			}
		}
		for _, m := range c.no {
			var mismatch *entry.MismatchError
			if err := entry.Fit(declared(c.text), columns(m), &event.Optional{}, ""); !errors.As(err, &mismatch) {
				t.Errorf("%s as %+v fits", c.text, m)
			}
		}
	}
}

// TestFitMismatch: the error has Canal's words, both lists and the reason.
func TestFitMismatch(t *testing.T) {
	known := declared("int", "int unsigned")
	long := event.Column{Type: event.ColLong}
	for _, c := range []struct {
		name string
		m    *event.TableMap
		o    event.Optional
		want string // empty: it fits
	}{
		{"fits", columns(long, long), event.Optional{}, ""},
		{"more in the binlog", columns(long, long, long), event.Optional{}, "column size is not match for table:d.t,3 vs 2"},
		{"fewer in the binlog", columns(long), event.Optional{}, "column size is not match for table:d.t,1 vs 2"},
		{"sign", columns(long, long), event.Optional{Unsigned: []bool{false, false}}, "differs in UNSIGNED"},
		{"same sign", columns(long, long), event.Optional{Unsigned: []bool{false, true}}, ""},
		{"name", columns(long, long), event.Optional{Names: [][]byte{[]byte("a"), []byte("c")}}, "column 1 is called c, not b"},
		{"name's case", columns(long, long), event.Optional{Names: [][]byte{[]byte("A"), []byte("b")}}, ""},
		{"unique key told as primary", columns(long, long), event.Optional{Key: []bool{true, false}}, ""},
	} {
		err := entry.Fit(known, c.m, &c.o, "")
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	known.Columns[0].Key = true
	if err := entry.Fit(known, columns(long, long), &event.Optional{Key: []bool{false, true}}, ""); err == nil {
		t.Error("another primary key fits")
	}
	big := event.Column{Type: event.ColLongLong}
	known.HashKeys = 1
	if err := entry.Fit(known, columns(long, long, big), &event.Optional{}, ""); err != nil {
		t.Errorf("hidden column of a hashed key: %v", err)
	}
	if err := entry.Fit(known, columns(long, long, big, big), &event.Optional{}, ""); err == nil {
		t.Error("two hidden columns for one hashed key")
	}
}
