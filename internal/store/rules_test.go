package store_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source makes entries whose offsets are 100, 200, …; an entry's number is its offset / 100.
type source struct {
	t    testing.TB
	w    *entry.Worker
	pool entry.Pool
	ctx  *entry.Context
	next uint64
}

func newSource(t testing.TB) *source {
	s := &source{t: t, ctx: entry.NewContext("mysql-bin.000001", "")}
	s.w = entry.NewWorker(&s.pool, time.UTC, nil)
	t.Cleanup(s.w.Close)
	return s
}

// make returns one slot for each letter: b begin, e end, d a statement, with pad bytes of text.
func (s *source) make(kinds string, pad int) []store.Slot {
	s.t.Helper()
	c := new(entry.Chunk)
	for _, k := range kinds {
		raw := append([]byte(nil), make([]byte, event.HeaderLen)...)
		s.next++
		e := entry.Event{Context: s.ctx, Offset: s.next * 100, Length: 50, Off: uint32(len(c.Buf)), Header: event.Header{Type: event.TypeQuery, Timestamp: uint32(1000 + s.next)}}
		switch k {
		case 'b':
			e.Kind = entry.KindBegin
			raw = append(raw, make([]byte, 14)...)
		case 'e':
			e.Kind = entry.KindXID
			raw = binary.LittleEndian.AppendUint64(raw, s.next)
		case 'd':
			e.Kind = entry.KindStatement
			raw = append(append(raw, make([]byte, 14)...), make([]byte, pad)...)
			for i := range pad {
				raw[event.HeaderLen+14+i] = 'x'
			}
		}
		e.Len = uint32(len(raw))
		c.Buf = append(c.Buf, raw...)
		c.Events = append(c.Events, e)
	}
	seg, err := s.w.Transcode(c)
	if err != nil {
		s.t.Fatal(err)
	}
	slots := make([]store.Slot, len(seg.Items))
	for i := range slots {
		slots[i] = store.Slot{Segment: seg, Index: int32(i)}
	}
	seg.Retain(len(slots) - 1)
	return slots
}

func put(t testing.TB, st *store.Store, slots []store.Slot) {
	t.Helper()
	n, err := st.Put(t.Context(), slots, []int{len(slots)})
	if err != nil || n != len(slots) {
		t.Fatalf("put: %d, %v", n, err)
	}
}

// numbers are the entries of a batch.
func numbers(t testing.TB, b *store.Batch) []int {
	t.Helper()
	var list []int
	for _, run := range b.Runs {
		for len(run) > 0 {
			num, _, n := protowire.ConsumeTag(run)
			body, m := protowire.ConsumeBytes(run[n:])
			if num != 2 || m < 0 {
				t.Fatalf("run does not hold framed entries: % x", run[:min(len(run), 20)])
			}
			run = run[n+m:]
			_, _, n = protowire.ConsumeTag(body)
			header, _ := protowire.ConsumeBytes(body[n:])
			for len(header) > 0 {
				num, typ, n := protowire.ConsumeTag(header)
				header = header[n:]
				if num == 3 {
					v, _ := protowire.ConsumeVarint(header)
					list = append(list, int(v/100))
				}
				header = header[protowire.ConsumeFieldValue(num, typ, header):]
			}
		}
	}
	if len(list) != b.Items {
		t.Fatalf("batch says %d entries and holds %v", b.Items, list)
	}
	return list
}

func get(t testing.TB, st *store.Store, id meta.ClientID, size int) (int64, []int) {
	t.Helper()
	b, err := st.Get(t.Context(), id, size, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	return b.ID, numbers(t, b)
}

func count(from, to int) []int {
	var list []int
	for n := from; n <= to; n++ {
		list = append(list, n)
	}
	return list
}

func open(t testing.TB, cfg store.Config, clients ...meta.ClientID) *store.Store {
	t.Helper()
	st := store.New(cfg, position.Position{}, 1)
	t.Cleanup(st.Close)
	for _, id := range clients {
		if err := st.Attach(id, nil); err != nil {
			t.Fatal(err)
		}
	}
	return st
}

var items = store.Config{ItemMode: true}

func TestSizeRules(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  store.Config
		size int
		want []int // entries of the first batch, of ten with 1000 bytes of text
	}{
		{"items", items, 3, count(1, 3)},
		{"all there is", items, 100, count(1, 10)},
		{"items 0 is one", items, 0, count(1, 1)},
		{"negative is one", items, -5, count(1, 1)},
		{"memory 0 is one", store.Config{}, 0, count(1, 1)},
		{"negative memory is one", store.Config{}, -1, count(1, 1)},
		{"memory overshoots by one", store.Config{Unit: 1000}, 2, count(1, 2)},
		{"memory adds while the sum is at most the size", store.Config{Unit: 1}, 1, count(1, 1)},
		{"no overflow at 2^21", store.Config{}, 1 << 21, count(1, 10)},
		{"no overflow at 2^31", store.Config{}, 1<<31 - 1, count(1, 10)},
		{"a reply has a limit", store.Config{MaxReply: 2500}, 1000, count(1, 2)},
		{"one entry in any case", store.Config{MaxReply: 10}, 1000, count(1, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := open(t, c.cfg, 1)
			put(t, st, newSource(t).make("dddddddddd", 1000))
			if _, got := get(t, st, 1, c.size); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// The table of what acks and rollbacks do, with batches 1, 2, 3 outstanding.
func TestBatchTable(t *testing.T) {
	type call struct {
		op  string
		id  int64
		err string // "", "unknown" or "first N"
	}
	for _, c := range []struct {
		name  string
		calls []call
		next  []int // what comes then
	}{
		{"acks in order", []call{{"ack", 1, ""}, {"ack", 2, ""}, {"ack", 3, ""}}, count(4, 9)},
		{"ack out of order changes nothing", []call{{"ack", 2, "first 1"}, {"ack", 1, ""}}, count(4, 9)},
		{"ack twice", []call{{"ack", 1, ""}, {"ack", 1, "unknown"}}, count(4, 9)},
		{"ack of an unknown id", []call{{"ack", 77, "unknown"}}, count(4, 9)},
		{"rollback of all", []call{{"rollback", 0, ""}}, count(1, 9)},
		{"rollback of all after an ack", []call{{"ack", 1, ""}, {"rollback", 0, ""}}, count(2, 9)},
		{"rollback not of the first", []call{{"rollback", 2, "first 1"}}, count(4, 9)},
		{"rollback of an unknown id", []call{{"rollback", 9, "unknown"}}, count(4, 9)},
		{"rollback of the first drops the later ones", []call{{"rollback", 1, ""}, {"ack", 2, "unknown"}, {"rollback", 3, "unknown"}}, count(1, 9)},
		{"ack after rollback", []call{{"rollback", 0, ""}, {"ack", 1, "unknown"}}, count(1, 9)},
		{"rollback with nothing outstanding", []call{{"rollback", 0, ""}, {"rollback", 0, ""}, {"rollback", 1, "unknown"}, {"ack", 1, "unknown"}}, count(1, 9)},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := open(t, items, 1)
			put(t, st, newSource(t).make("bdebdebde", 0))
			for n := 1; n <= 3; n++ {
				if id, got := get(t, st, 1, 1); id != int64(n) || !slices.Equal(got, []int{n}) {
					t.Fatalf("batch %d holds %v", id, got)
				}
			}
			for _, call := range c.calls {
				var err error
				if call.op == "ack" {
					_, _, err = st.Ack(1, call.id)
				} else {
					err = st.Rollback(1, call.id)
				}
				got := ""
				var first *store.NotFirstError
				switch {
				case errors.As(err, &first):
					got = fmt.Sprintf("first %d", first.First)
				case errors.Is(err, store.ErrUnknownBatch):
					got = "unknown"
				case err != nil:
					t.Fatal(err)
				}
				if got != call.err {
					t.Fatalf("%s %d: %q, want %q", call.op, call.id, got, call.err)
				}
			}
			id, got := get(t, st, 1, 100)
			if !slices.Equal(got, c.next) || id != 4 {
				t.Errorf("then batch %d holds %v, want 4 with %v", id, got, c.next)
			}
		})
	}
}

func TestAckPoint(t *testing.T) {
	for _, c := range []struct {
		kinds string
		size  int
		want  uint64 // offset; 0 means none
	}{
		{"bde", 3, 300}, {"bde", 2, 100}, {"d", 1, 0}, {"bdebd", 5, 400}, {"dd", 2, 0},
	} {
		st := open(t, items, 1)
		put(t, st, newSource(t).make(c.kinds, 0))
		id, _ := get(t, st, 1, c.size)
		p, ok, err := st.Ack(1, id)
		if err != nil || p.Offset != c.want || ok != (c.want > 0) {
			t.Errorf("%s, %d entries: %v %v %v, want %d", c.kinds, c.size, p, ok, err, c.want)
		}
		if ok && (p.File != "mysql-bin.000001" || p.Timestamp != int64(1000+c.want/100)*1000) {
			t.Errorf("position is %+v", p)
		}
	}
}

func TestTwoClientsAreIndependent(t *testing.T) {
	st := open(t, items, 1, 2)
	src := newSource(t)
	put(t, st, src.make("bdebde", 0))
	id1, all := get(t, st, 1, 100)
	if !slices.Equal(all, count(1, 6)) {
		t.Fatal(all)
	}
	if _, _, err := st.Ack(1, id1); err != nil {
		t.Fatal(err)
	}
	if s := st.Stats(); s.Entries != 6 {
		t.Errorf("%d entries held while client 2 has read none", s.Entries)
	}
	id2, first := get(t, st, 2, 3)
	if !slices.Equal(first, count(1, 3)) {
		t.Errorf("client 2 got %v", first)
	}
	if _, _, err := st.Ack(2, id2); err != nil {
		t.Fatal(err)
	}
	if s := st.Stats(); s.Entries != 3 {
		t.Errorf("%d entries held, want what client 2 has not acknowledged", s.Entries)
	}
	if err := st.Rollback(2, 0); err != nil {
		t.Fatal(err)
	}
	if _, rest := get(t, st, 2, 100); !slices.Equal(rest, count(4, 6)) {
		t.Errorf("client 2 goes on with %v", rest)
	}
}

func TestAttachAtCursor(t *testing.T) {
	st := open(t, items)
	src := newSource(t)
	put(t, st, src.make("bdebde", 0))
	if err := st.Attach(1, &position.Position{File: "mysql-bin.000001", Offset: 300}); err != nil {
		t.Fatal(err)
	}
	id, got := get(t, st, 1, 100)
	if !slices.Equal(got, count(3, 6)) { // the entry at the cursor may never have been delivered
		t.Errorf("got %v", got)
	}
	if _, _, err := st.Ack(1, id); err != nil {
		t.Fatal(err)
	}
	// A restart of the dump further back brings everything again; it gets none of it.
	st.Reset(position.Position{File: "mysql-bin.000001"})
	src.next = 0
	put(t, st, src.make("bdebdebde", 0))
	if _, got := get(t, st, 1, 100); !slices.Equal(got, count(7, 9)) {
		t.Errorf("after the reset got %v", got)
	}
	if err := st.Attach(2, &position.Position{File: "mysql-bin.000001", Offset: 800}); err != nil {
		t.Fatal(err)
	}
	if _, got := get(t, st, 2, 100); !slices.Equal(got, count(8, 9)) {
		t.Errorf("client 2 got %v", got)
	}
}

func TestCursorBeforeTheStore(t *testing.T) {
	st := open(t, items, 1)
	put(t, st, newSource(t).make("bdebde", 0))
	id, _ := get(t, st, 1, 3)
	if _, _, err := st.Ack(1, id); err != nil {
		t.Fatal(err)
	}
	if err := st.Attach(2, &position.Position{File: "mysql-bin.000001", Offset: 100}); !errors.Is(err, store.ErrBehind) {
		t.Errorf("attach behind: %v", err)
	}
	if err := st.Attach(2, &position.Position{File: "mysql-bin.000001", Offset: 300}); err != nil {
		t.Errorf("attach at the last entry that was freed: %v", err)
	}
}

func TestPutWaitsWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.New(store.Config{Slots: 6, ItemMode: true}, position.Position{}, 1)
		defer st.Close()
		if err := st.Attach(1, nil); err != nil {
			t.Fatal(err)
		}
		src := newSource(t)
		put(t, st, src.make("bdebde", 0))
		done := make(chan error, 1)
		go func() {
			_, err := st.Put(t.Context(), src.make("bde", 0), []int{3})
			done <- err
		}()
		synctest.Wait()
		if st.BlockedSince().IsZero() || st.HasRoom() {
			t.Fatal("put does not wait")
		}
		// A get that wants more than the store can hold must not wait for ever.
		b, err := st.Get(t.Context(), 1, 1000, store.Forever)
		if err != nil || b.Items != 6 {
			t.Fatalf("get while full: %v %v", b, err)
		}
		b.Release()
		if _, _, err := st.Ack(1, b.ID); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !st.BlockedSince().IsZero() {
			t.Error("put is said to wait")
		}
	})
}

func TestGroupLongerThanTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.New(store.Config{Slots: 4, ItemMode: true}, position.Position{}, 1)
		defer st.Close()
		if err := st.Attach(1, nil); err != nil {
			t.Fatal(err)
		}
		slots := newSource(t).make("bddddddddde", 0)
		done := make(chan error, 1)
		go func() {
			_, err := st.Put(t.Context(), slots, []int{len(slots)})
			done <- err
		}()
		var got []int
		for len(got) < len(slots) {
			b, err := st.Get(t.Context(), 1, 100, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, numbers(t, b)...)
			b.Release()
			if _, _, err := st.Ack(1, b.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-done; err != nil || !slices.Equal(got, count(1, 11)) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

func TestGetWaits(t *testing.T) {
	for _, c := range []struct {
		name  string
		wait  time.Duration
		put   int // entries put after a second; 3 fill the batch
		after time.Duration
		want  int
	}{
		{"not at all", 0, 3, 0, 0},
		{"until the batch is full", 10 * time.Second, 3, time.Second, 3},
		{"the whole time for less", 10 * time.Second, 2, 10 * time.Second, 2},
		{"without limit", store.Forever, 3, time.Second, 3},
		{"for nothing", 5 * time.Second, 0, 5 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := store.New(items, position.Position{}, 1)
				defer st.Close()
				if err := st.Attach(1, nil); err != nil {
					t.Fatal(err)
				}
				src := newSource(t)
				go func() {
					time.Sleep(time.Second)
					if c.put > 0 {
						put(t, st, src.make("ddd"[:c.put], 0))
					}
				}()
				begin := time.Now()
				b, err := st.Get(t.Context(), 1, 3, c.wait)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Release()
				if took := time.Since(begin); b.Items != c.want || took != c.after {
					t.Errorf("%d entries after %s, want %d after %s", b.Items, took, c.want, c.after)
				}
				if c.want == 0 && b.ID != store.NoBatch {
					t.Errorf("empty batch has id %d", b.ID)
				}
				time.Sleep(2 * time.Second)
			})
		})
	}
}

func TestWaitingGetEnds(t *testing.T) {
	for name, end := range map[string]func(*store.Store, context.CancelFunc){
		"with the store":  func(st *store.Store, _ context.CancelFunc) { st.Close() },
		"with its caller": func(_ *store.Store, cancel context.CancelFunc) { cancel() },
		"when detached":   func(st *store.Store, _ context.CancelFunc) { st.Detach(1) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := store.New(items, position.Position{}, 1)
				defer st.Close()
				if err := st.Attach(1, nil); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				done := make(chan error, 1)
				go func() {
					_, err := st.Get(ctx, 1, 3, store.Forever)
					done <- err
				}()
				synctest.Wait()
				end(st, cancel)
				if err := <-done; err == nil {
					t.Error("no error")
				}
				if s := st.Stats(); s.Clients[1].Outstanding != 0 {
					t.Error("a batch was made")
				}
			})
		})
	}
}

func TestAbsentClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := store.New(store.Config{Slots: 4, ItemMode: true}, position.Position{}, 1)
		defer st.Close()
		for _, id := range []meta.ClientID{1, 2} {
			if err := st.Attach(id, nil); err != nil {
				t.Fatal(err)
			}
		}
		src := newSource(t)
		put(t, st, src.make("bdde", 0))
		done := make(chan error, 1)
		go func() {
			_, err := st.Put(t.Context(), src.make("bde", 0), []int{3})
			done <- err
		}()
		time.Sleep(2 * time.Minute)
		if _, ok := st.DetachAbsent(time.Minute); ok {
			t.Fatal("nobody is active, yet a client is to be detached")
		}
		id, _ := get(t, st, 1, 100)
		if _, _, err := st.Ack(1, id); err != nil {
			t.Fatal(err)
		}
		away, ok := st.DetachAbsent(time.Minute)
		if !ok || away != 2 {
			t.Fatalf("absent is %d, %v", away, ok)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if _, err := st.Get(t.Context(), 2, 1, 0); !errors.Is(err, store.ErrNoClient) {
			t.Errorf("get of a detached client: %v", err)
		}
	})
}

// Every byte is given back in the end, whatever happened to it.
func TestNothingIsHeld(t *testing.T) {
	st := open(t, items, 1)
	src := newSource(t)
	slots := src.make("bdebde", 100)
	seg := slots[0].Segment
	put(t, st, slots)
	b, err := st.Get(t.Context(), 1, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := st.Ack(1, b.ID); err != nil {
		t.Fatal(err)
	}
	st.Reset(position.Position{File: "mysql-bin.000001"})
	if got := numbers(t, b); !slices.Equal(got, count(1, 3)) {
		t.Errorf("bytes of a batch that is being written changed: %v", got)
	}
	b.Release()
	b.Release()
	defer func() {
		if recover() == nil {
			t.Error("the segment is still held")
		}
	}()
	seg.Release(1) // one too many
}
