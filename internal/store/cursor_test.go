package store_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// A batch id is never given twice in a run: a late ack from before must not hit
// another batch.
func TestIDsAreNotUsedAgain(t *testing.T) {
	st := open(t, items, 1, 2)
	put(t, st, newSource(t).make("bdebde", 0))
	old, _ := get(t, st, 1, 3)
	st.Detach(1)
	if err := st.Attach(1, nil); err != nil {
		t.Fatal(err)
	}
	again, _ := get(t, st, 1, 3)
	if again <= old {
		t.Errorf("batch %d after batch %d", again, old)
	}
	if _, _, err := st.Ack(1, old); !errors.Is(err, store.ErrUnknownBatch) {
		t.Errorf("late ack: %v", err)
	}
	st.Reset(position.Position{})
	put(t, st, newSource(t).make("bde", 0))
	if id, _ := get(t, st, 1, 3); id <= again {
		t.Errorf("batch %d after a reset and batch %d", id, again)
	}
	if id, _ := get(t, st, 2, 3); id != 1 {
		t.Errorf("the first batch of client 2 is %d", id)
	}
}

// A client whose cursor is the last entry that was freed has had all that is
// gone only if that entry ended a transaction; anything else may never have been
// handed to it.
func TestCursorAtAnEntryThatIsGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		freed  int
		cursor uint64
		behind bool
	}{
		{"nothing freed, at the start", 0, 100, false},
		{"before the freed one", 2, 100, true},
		{"a begin", 1, 100, true},
		{"a row", 2, 200, true},
		{"an end", 3, 300, false},
		{"behind the freed one", 2, 300, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := open(t, items, 1)
			put(t, st, newSource(t).make("bdebde", 0))
			if c.freed > 0 {
				id, _ := get(t, st, 1, c.freed)
				if _, _, err := st.Ack(1, id); err != nil {
					t.Fatal(err)
				}
			}
			err := st.Attach(2, &position.Position{File: "mysql-bin.000001", Offset: c.cursor})
			if errors.Is(err, store.ErrBehind) != c.behind {
				t.Fatalf("attach: %v", err)
			}
			if c.behind {
				if st.Attached(2) {
					t.Error("attached all the same")
				}
				return
			}
			if _, got := get(t, st, 2, 100); !slices.Equal(got, count(max(c.freed+1, int(c.cursor/100)), 6)) {
				t.Errorf("got %v", got)
			}
		})
	}
}

// The events of a payload share one place; a cursor there wants all of them.
func TestCursorInsideAPayload(t *testing.T) {
	src := newSource(t)
	slots := src.make("bdde", 0)
	for i, s := range slots {
		s.Item().Offset, s.Item().Sub = 100, uint32(i+1)
	}
	st := open(t, items, 1)
	put(t, st, slots)
	at := &position.Position{File: "mysql-bin.000001", Offset: 100}
	if err := st.Attach(2, at); err != nil {
		t.Fatal(err)
	}
	if b, err := st.Get(t.Context(), 2, 100, 0); err != nil || b.Items != 4 {
		t.Errorf("%d entries, %v", b.Items, err)
	} else {
		b.Release()
	}
	st.Detach(2)
	id, _ := get(t, st, 1, 2)
	if _, _, err := st.Ack(1, id); err != nil {
		t.Fatal(err)
	}
	if err := st.Attach(2, at); !errors.Is(err, store.ErrBehind) {
		t.Errorf("half of the payload is gone: %v", err)
	}
}

// What a rollback brings back is there for a get that waits.
func TestRollbackWakesAGet(t *testing.T) {
	for name, cfg := range map[string]store.Config{"items": items, "memory": {Unit: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := store.New(cfg, position.Position{}, 1)
				defer st.Close()
				if err := st.Attach(1, nil); err != nil {
					t.Fatal(err)
				}
				put(t, st, newSource(t).make("bde", 0))
				if id, got := get(t, st, 1, 1000); id != 1 || len(got) != 3 {
					t.Fatalf("batch %d holds %v", id, got)
				}
				done := make(chan *store.Batch, 1)
				go func() {
					b, err := st.Get(t.Context(), 1, 3, store.Forever)
					if err != nil {
						t.Error(err)
					}
					done <- b
				}()
				synctest.Wait()
				if len(done) != 0 {
					t.Fatal("a get was answered with nothing there")
				}
				if err := st.Rollback(1, 0); err != nil {
					t.Fatal(err)
				}
				b := <-done
				defer b.Release()
				if got := numbers(t, b); b.ID != 2 || got[0] != 1 {
					t.Errorf("batch %d holds %v", b.ID, got)
				}
			})
		})
	}
}
