package store_test

import (
	"slices"
	"testing"

	"github.com/canald/canald/internal/store"
)

// The rest of a transaction that a batch has cut is handed out, and no more.
func TestFinish(t *testing.T) {
	st := open(t, store.Config{Slots: 64, ItemMode: true}, 1)
	finish := func() (int64, []int) {
		t.Helper()
		b, err := st.Finish(1)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Release()
		if b.ID == store.NoBatch {
			return b.ID, nil
		}
		return b.ID, numbers(t, b)
	}
	src := newSource(t)
	if id, _ := finish(); id != store.NoBatch {
		t.Error("a batch of an empty store")
	}
	put(t, st, src.make("bdddebde", 0))
	if id, _ := finish(); id != store.NoBatch {
		t.Error("a batch though none was cut")
	}
	first, begun := get(t, st, 1, 2)
	if !st.Stats().Clients[1].Cut {
		t.Error("the first batch cuts nothing")
	}
	if _, _, err := st.Ack(1, first); err != nil {
		t.Fatal(err)
	}
	second, rest := finish()
	if whole := append(slices.Clone(begun), rest...); len(rest) != 3 || !slices.Equal(whole, count(whole[0], whole[0]+4)) {
		t.Errorf("%v and %v", begun, rest)
	}
	if id, _ := finish(); id != store.NoBatch || st.Stats().Clients[1].Cut {
		t.Error("the rest cuts another")
	}
	if err := st.Rollback(1, 0); err != nil {
		t.Fatal(err)
	}
	if !st.Stats().Clients[1].Cut {
		t.Error("what was given back is no longer to be finished")
	}
	third, again := finish()
	if third == second || !slices.Equal(again, rest) {
		t.Errorf("%v after %v", again, rest)
	}
	if p, ok, err := st.Ack(1, third); err != nil || !ok || p.IsZero() {
		t.Errorf("%v, %v, %v", p, ok, err)
	}
	if st.Stats().Clients[1].Cut {
		t.Error("acknowledged to the end, and cut")
	}
}
