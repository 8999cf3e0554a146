package history_test

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/canald/canald/internal/history"
	"github.com/canald/canald/internal/schema"
)

// board is what servers share.
type board struct {
	records map[string][]byte
	err     error
}

func (b *board) Put(key string, raw []byte) error {
	if b.err == nil {
		b.records[key] = raw
	}
	return b.err
}

func (b *board) All() ([][]byte, error) { return slices.Collect(maps.Values(b.records)), b.err }

// TestAdopt: the next server decodes from an older cursor with what the one
// before it recorded.
func TestAdopt(t *testing.T) {
	b := &board{records: map[string][]byte{}}
	first := open(t, "", history.Keep{})
	first.Share(b)
	_, err := first.Begin(source, at(9, 100))
	must(t, err)
	must(t, first.Learn([]*schema.Table{table("a", "x"), table("b", "y")}, at(9, 100)))
	must(t, first.Record(becomes(at(9, 200), "a", "x", "z")))
	must(t, first.Record(becomes(at(9, 300), "b")))
	must(t, first.Record(becomes(at(10, 100), "c", "n")))
	must(t, first.Record(becomes(at(10, 200), "a", "z")))
	b.records["noise"] = []byte("{")
	for _, c := range []struct {
		from    int
		file    int
		a, b, c string
		n       int
	}{
		{250, 9, "x,z", "y", "", 3},
		{100, 9, "x", "y", "", 4},
		{150, 10, "x,z", "", "n", 1},
		{300, 10, "z", "", "n", 0},
	} {
		next := open(t, "", history.Keep{})
		next.Share(b)
		_, err := next.Begin(source, at(c.file, c.from))
		must(t, err)
		must(t, next.Learn([]*schema.Table{table("a", "z"), table("c", "n")}, at(11, 4)))
		n, err := next.Adopt(at(c.file, c.from))
		must(t, err)
		if n != c.n {
			t.Errorf("%d:%d: %d statements, want %d", c.file, c.from, n, c.n)
		}
		has(t, next, "a", c.a)
		has(t, next, "b", c.b)
		has(t, next, "c", c.c)
	}
	other := open(t, "", history.Keep{})
	other.Share(b)
	_, err = other.Begin("another source", at(9, 100))
	must(t, err)
	if n, err := other.Adopt(at(9, 100)); n != 0 || err != nil {
		t.Errorf("records of another source: %d, %v", n, err)
	}
	b.err = errors.New("not reachable")
	if err := first.Record(becomes(at(10, 300), "a", "q")); !errors.Is(err, b.err) {
		t.Errorf("a record that nobody else has: %v", err)
	}
}
