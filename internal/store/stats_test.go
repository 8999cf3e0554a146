package store_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/canald/canald/internal/store"
)

// rowsOf gives the entries rows, and times from the first number on.
func rowsOf(slots []store.Slot, rows, seconds uint32) []store.Slot {
	for i, s := range slots {
		s.Item().Rows, s.Item().Time = rows, seconds+uint32(i)
	}
	return slots
}

// TestStatsCountRows follows rows and marks from put to ack; a rollback takes
// nothing away, and what comes again counts again.
func TestStatsCountRows(t *testing.T) {
	began := time.Now().UnixMilli()
	st := open(t, store.Config{ItemMode: true}, 7, 8)
	if m := st.Stats().Marks; m.Put < began || m.Get != m.Put || m.Ack != m.Put {
		t.Errorf("marks begin at %+v, want the time at which the store was made", m)
	}
	src := newSource(t)
	slots := rowsOf(src.make("ddd", 1), 2, 500)
	slots[0].Item().Time = 0 // does not count: the mark is that of the first with a time
	put(t, st, slots)
	check := func(step string, want store.Rows, marks store.Marks) {
		t.Helper()
		s := st.Stats()
		if s.Rows != want {
			t.Errorf("%s: rows %+v, want %+v", step, s.Rows, want)
		}
		for _, m := range []struct {
			name      string
			got, want int64
		}{{"put", s.Marks.Put, marks.Put}, {"get", s.Marks.Get, marks.Get}, {"ack", s.Marks.Ack, marks.Ack}} {
			if m.got != m.want && (m.want != 0 || m.got < began) {
				t.Errorf("%s: mark of %s %d, want %d", step, m.name, m.got, m.want)
			}
		}
	}
	check("put", store.Rows{Put: 6}, store.Marks{Put: 501_000})
	id, _ := get(t, st, 7, 3)
	check("get", store.Rows{Put: 6, Get: 6}, store.Marks{Put: 501_000, Get: 501_000})
	if err := st.Rollback(7, id); err != nil {
		t.Fatal(err)
	}
	if err := st.Rollback(7, 0); err != nil { // nothing to give back: not counted
		t.Fatal(err)
	}
	id, _ = get(t, st, 7, 2)
	check("again", store.Rows{Put: 6, Get: 10}, store.Marks{Put: 501_000, Get: 501_000})
	if _, _, err := st.Ack(7, id); err != nil {
		t.Fatal(err)
	}
	check("ack", store.Rows{Put: 6, Get: 10, Ack: 4}, store.Marks{Put: 501_000, Get: 501_000, Ack: 501_000})
	c := st.Stats().Clients
	if got := c[7]; got.Rollbacks != 1 || got.AgainRows != 6 || got.AckedRows != 4 || got.OldestTime != 502_000 || got.Outstanding != 0 || got.Unread != 1 {
		t.Errorf("client 7: %+v", got)
	}
	if s := st.Stats(); s.Freed != 0 || s.Put != 3 {
		t.Errorf("client 8 has not acknowledged, but %d of %d are freed", s.Freed, s.Put)
	}
	id, _ = get(t, st, 8, 3)
	if _, _, err := st.Ack(8, id); err != nil {
		t.Fatal(err)
	}
	if got := st.Stats().Clients[8].OldestTime; got != 0 {
		t.Errorf("client 8 has acknowledged all, but its oldest is of %d", got)
	}
	if s := st.Stats(); s.Freed != 2 || s.FreedBytes == 0 || s.PutBytes-s.FreedBytes != s.Bytes {
		t.Errorf("%+v", s)
	}
}

// TestStatsBlocked counts the wait for room while it goes on and after it.
func TestStatsBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t, store.Config{Slots: 64, ItemMode: true}, 7)
		src := newSource(t)
		full := src.make("dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd", 1)
		put(t, st, full)
		if b := st.Stats().Blocked; b != 0 {
			t.Errorf("blocked for %s before it was full", b)
		}
		more := src.make("d", 1)
		done := make(chan error)
		go func() {
			_, err := st.Put(t.Context(), more, []int{1})
			done <- err
		}()
		time.Sleep(3 * time.Second)
		if b := st.Stats().Blocked; b != 3*time.Second {
			t.Errorf("blocked for %s while it waits, want 3s", b)
		}
		id, _ := get(t, st, 7, 1)
		if _, _, err := st.Ack(7, id); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if b := st.Stats().Blocked; b != 3*time.Second {
			t.Errorf("blocked for %s afterwards, want 3s", b)
		}
	})
}

// TestRoomForWhatWasRefused: a place for one is no room for a group of three.
func TestRoomForWhatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := open(t, store.Config{Slots: 4, ItemMode: true}, 7)
		src := newSource(t)
		put(t, st, src.make("bde", 1))
		if !st.HasRoom() {
			t.Error("no room before anything was refused")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		more := src.make("bde", 1)
		if n, err := st.Put(ctx, more, []int{3}); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%d, %v", n, err)
		}
		if st.HasRoom() {
			t.Error("room for a group that was refused a moment ago")
		}
		id, _ := get(t, st, 7, 3)
		if _, _, err := st.Ack(7, id); err != nil {
			t.Fatal(err)
		}
		if !st.HasRoom() {
			t.Error("no room in an empty store")
		}
		put(t, st, more)
	})
}
