package history_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
)

const source = "3e11fa47-71ca-11e1-9e33-c80aa9429562"

func open(t *testing.T, path string, keep history.Keep) *history.History {
	t.Helper()
	h, err := history.Open(path, keep)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

func name(table string) schema.Name { return schema.Name{Schema: "d", Table: table} }

// table has columns of the given names.
func table(name string, columns ...string) *schema.Table {
	t := &schema.Table{Schema: "d", Name: name}
	for _, c := range columns {
		t.Columns = append(t.Columns, schema.Column{Name: c, Type: "int"})
	}
	return t
}

// at is a place; time goes on with the offset.
func at(file, offset int) position.Position {
	return position.Position{File: fmt.Sprintf("bin.%06d", file), Offset: uint64(offset), Timestamp: int64(1_700_000_000+file*100_000+offset) * 1000}
}

// becomes is a statement that gives a table other columns; none drops it.
func becomes(where position.Position, name string, columns ...string) history.Record {
	c := history.Change{Name: schema.Name{Schema: "d", Table: name}}
	if len(columns) > 0 {
		c.After = &history.Known{Table: table(name, columns...)}
	}
	return history.Record{At: where, Statement: "alter table " + name, Changes: []history.Change{c}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// has checks the columns of a table; "" is a table that is not known.
func has(t *testing.T, h *history.History, name, want string) {
	t.Helper()
	got := ""
	if k := h.Get(schema.Name{Schema: "d", Table: name}); k != nil {
		var names []string
		for _, c := range k.Table.Columns {
			names = append(names, c.Name)
		}
		got = strings.Join(names, ",")
	}
	if got != want {
		t.Errorf("%s has %q, want %q", name, got, want)
	}
}

// TestRewind: a start further back finds the structures of its time.
func TestRewind(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x", history.FileName)
	h := open(t, path, history.Keep{})
	_, err := h.Begin(source, at(1, 100))
	must(t, err)
	must(t, h.Learn([]*schema.Table{table("a", "x"), table("b", "y")}, at(1, 100)))
	must(t, h.Record(becomes(at(1, 200), "a", "x", "z")))
	must(t, h.Record(becomes(at(1, 300), "b")))
	must(t, h.See("bin.000002"))
	must(t, h.Record(becomes(at(2, 100), "a", "z")))
	must(t, h.Record(becomes(at(2, 200), "c", "n")))
	for _, c := range []struct {
		from       position.Position
		a, b, c    string
		statements int
	}{
		{at(2, 300), "z", "", "n", 0},
		{at(2, 200), "z", "", "", 1}, // the statement itself comes again
		{at(2, 150), "z", "", "", 0},
		{at(1, 300), "x,z", "y", "", 2},
		{at(1, 100), "x", "y", "", 1},
	} {
		h := open(t, path, history.Keep{}) // after a restart
		w, err := h.Begin(source, c.from)
		must(t, err)
		if w.Statements != c.statements || w.Gap || w.Moved {
			t.Errorf("from %s: %+v", c.from, w)
		}
		has(t, h, "a", c.a)
		has(t, h, "b", c.b)
		has(t, h, "c", c.c)
	}
	if k := open(t, path, history.Keep{}).Get(name("a")); k == nil || k.Until != at(1, 100) {
		t.Errorf("the first structure is %+v", k)
	}
}

// TestGap: statements that were never seen make all structures unknown.
func TestGap(t *testing.T) {
	h := open(t, "", history.Keep{})
	_, err := h.Begin(source, at(1, 100))
	must(t, err)
	must(t, h.Learn([]*schema.Table{table("a", "x")}, at(1, 100)))
	must(t, h.See("bin.000002"))
	w, err := h.Begin(source, at(2, 900))
	must(t, err)
	if w.Gap {
		t.Error("a file that was begun is no gap")
	}
	has(t, h, "a", "x")
	w, err = h.Begin(source, at(3, 4))
	must(t, err)
	if !w.Gap {
		t.Error("a gap is not seen")
	}
	has(t, h, "a", "")
	w, err = h.Begin(source, at(3, 4))
	must(t, err)
	if w.Gap {
		t.Error("a gap is seen twice")
	}
}

// TestOtherSource: where places cannot be compared, times are.
func TestOtherSource(t *testing.T) {
	h := open(t, "", history.Keep{})
	_, err := h.Begin(source, at(7, 100))
	must(t, err)
	must(t, h.Learn([]*schema.Table{table("a", "x")}, at(7, 100)))
	must(t, h.Record(becomes(at(7, 200), "a", "x", "y")))
	must(t, h.Record(becomes(at(7, 900), "a", "y")))
	from := position.Position{File: "other.000001", Offset: 4, Timestamp: at(7, 500).Timestamp}
	w, err := h.Begin("another", from)
	must(t, err)
	if !w.Moved || w.Statements != 1 || w.Gap {
		t.Errorf("%+v", w)
	}
	has(t, h, "a", "x,y")
}

// TestResetMaster: places that begin anew do not take back what is older.
func TestResetMaster(t *testing.T) {
	h := open(t, "", history.Keep{})
	_, err := h.Begin(source, at(7, 100))
	must(t, err)
	must(t, h.Learn([]*schema.Table{table("a", "x")}, at(7, 100)))
	must(t, h.Record(becomes(at(7, 200), "a", "x", "y")))
	from := position.Position{File: "bin.000001", Offset: 4, Timestamp: at(7, 200).Timestamp + 2*time.Hour.Milliseconds()}
	w, err := h.Begin(source, from)
	must(t, err)
	if w.Statements != 0 {
		t.Errorf("%+v", w)
	}
	has(t, h, "a", "x,y")
}

// TestNothingChanged: what changes nothing is not kept.
func TestNothingChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), history.FileName)
	h := open(t, path, history.Keep{})
	must(t, h.Record(history.Record{At: at(1, 1), Statement: "create database if not exists d"}))
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file was written: %v", err)
	}
	must(t, h.Learn(nil, at(1, 1)))
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("a file was written: %v", err)
	}
}

// TestKeep: the past is bounded, what holds now is not touched by it.
func TestKeep(t *testing.T) {
	for _, c := range []struct {
		name string
		keep history.Keep
		most int
	}{
		{"by number", history.Keep{Records: 50}, 151},
		{"by time", history.Keep{For: 100 * time.Second}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := open(t, "", c.keep)
			must(t, h.Learn([]*schema.Table{table("a", "x")}, at(1, 1)))
			for i := range 1000 {
				must(t, h.Record(becomes(at(1, 100+i), "t", fmt.Sprintf("c%d", i))))
			}
			n := 0
			must(t, h.Records(func(history.Record) bool { n++; return true }))
			if n == 0 || n > c.most {
				t.Errorf("%d statements are kept, want up to %d", n, c.most)
			}
			has(t, h, "t", "c999")
			has(t, h, "a", "x")
		})
	}
}

// TestAt: what held when, and what ended it.
func TestAt(t *testing.T) {
	h := open(t, "", history.Keep{})
	must(t, h.Learn([]*schema.Table{table("a", "x")}, at(1, 100)))
	must(t, h.Record(becomes(at(1, 200), "a", "x", "y")))
	must(t, h.Record(becomes(at(1, 250), "b", "n")))
	must(t, h.Record(becomes(at(1, 300), "a", "y")))
	for _, c := range []struct {
		at      int
		columns int
		next    uint64
	}{{150, 1, 200}, {200, 2, 300}, {299, 2, 300}, {300, 1, 0}} {
		known, next, err := h.At(name("a"), func(p position.Position) bool { return position.Compare(p, at(1, c.at)) > 0 })
		must(t, err)
		if known == nil || len(known.Table.Columns) != c.columns {
			t.Errorf("at %d: %+v", c.at, known)
		}
		if next == nil && c.next != 0 || next != nil && next.At.Offset != c.next {
			t.Errorf("at %d: next is %+v", c.at, next)
		}
	}
	last, ok, err := h.Last(name("a"))
	must(t, err)
	if !ok || last.At.Offset != 300 {
		t.Errorf("last is %+v, %t", last, ok)
	}
	if _, ok, _ := h.Last(name("none")); ok {
		t.Error("a statement for a table that there never was")
	}
}

// TestFold: names of a source that does not tell upper from lower case.
func TestFold(t *testing.T) {
	h := open(t, "", history.Keep{})
	h.Fold(true)
	must(t, h.Learn([]*schema.Table{table("Orders", "x")}, at(1, 1)))
	has(t, h, "oRDERS", "x")
	if n := h.Tables("D"); len(n) != 1 {
		t.Errorf("%v", n)
	}
}

// TestDamaged: a file that is no history stops with its path, not with a panic.
func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, history.FileName)
	h := open(t, good, history.Keep{})
	must(t, h.Learn([]*schema.Table{table("a", "x")}, at(1, 1)))
	must(t, h.Record(becomes(at(1, 200), "a", "x", "y")))
	raw, err := os.ReadFile(good)
	must(t, err)
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"empty", []byte{}},
		{"text", []byte("not a database at all")},
		{"cut", raw[:len(raw)/3]},
		{"noise", noise(raw)},
	} {
		path := filepath.Join(dir, c.name)
		must(t, os.WriteFile(path, c.raw, 0o600))
		h, err := history.Open(path, history.Keep{})
		if err == nil {
			_ = h.Close()
			if c.name != "empty" {
				t.Errorf("%s: no error", c.name)
			}
			continue
		}
		if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func noise(raw []byte) []byte {
	out := append([]byte(nil), raw...)
	for i := range out {
		if i%3 == 0 {
			out[i] ^= 0x5a
		}
	}
	return out
}
