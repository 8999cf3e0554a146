package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/store"
)

// model is the store as it could be written in an afternoon: every entry ever
// put in one slice, and nothing is freed.
type model struct {
	cfg     store.Config
	items   []*entry.Item
	first   int // entries before it are gone
	clients map[meta.ClientID]*modelClient
	nextIDs map[meta.ClientID]int64
}

type modelClient struct {
	get, ack int
	batches  []modelBatch
}

type modelBatch struct {
	id  int64
	end int
}

func (m *model) trim() {
	if len(m.clients) == 0 {
		return
	}
	low := len(m.items)
	for _, c := range m.clients {
		low = min(low, c.ack)
	}
	m.first = max(m.first, low)
}

func (m *model) attach(id meta.ClientID, cursor int) (behind bool) { // cursor is an entry's number, 0 for none
	if m.clients[id] != nil {
		return false
	}
	at := m.first
	if cursor > 0 {
		if m.first > 0 && (cursor < m.first || cursor == m.first && m.items[m.first-1].Type != entry.TransactionEnd) {
			return true
		}
		at = max(at, min(cursor-1, len(m.items)))
	}
	m.clients[id] = &modelClient{get: at, ack: at}
	if cursor > 0 { // skipping frees what only it held
		m.trim()
	}
	return false
}

func (m *model) read(id meta.ClientID, size int) (int64, []int) {
	c := m.clients[id]
	var list []int
	var sum int64
	for n := c.get; n < len(m.items); n++ {
		if len(list) > 0 {
			if m.cfg.ItemMode && len(list) >= size || !m.cfg.ItemMode && sum > int64(size)*m.cfg.Unit {
				break
			}
		}
		sum += int64(m.items[n].Len())
		list = append(list, n+1)
	}
	if len(list) == 0 {
		return store.NoBatch, nil
	}
	c.get += len(list)
	m.nextIDs[id]++
	c.batches = append(c.batches, modelBatch{m.nextIDs[id], c.get})
	return m.nextIDs[id], list
}

func (m *model) check(id meta.ClientID, batch int64) string {
	c := m.clients[id]
	i := slices.IndexFunc(c.batches, func(b modelBatch) bool { return b.id == batch })
	switch {
	case i < 0:
		return store.ErrUnknownBatch.Error()
	case i > 0:
		return fmt.Sprintf("batchId:%d is not the firstly:%d", batch, c.batches[0].id)
	}
	return ""
}

func (m *model) ackBatch(id meta.ClientID, batch int64) (point int, err string) {
	if err := m.check(id, batch); err != "" {
		return 0, err
	}
	c := m.clients[id]
	end := c.batches[0].end
	for n := c.ack; n < end; n++ {
		if t := m.items[n].Type; t == entry.TransactionBegin || t == entry.TransactionEnd {
			point = n + 1
		}
	}
	c.ack, c.batches = end, c.batches[1:]
	m.trim()
	return point, ""
}

// Long random histories of three clients on the store and on the model.
func TestAgainstModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomHistory(t, seed) })
	}
}

func randomHistory(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 7))
	cfg := store.Config{Slots: 200, ItemMode: seed%2 == 0, Unit: 100}
	st := open(t, cfg)
	src := newSource(t)
	m := &model{cfg: cfg, clients: map[meta.ClientID]*modelClient{}, nextIDs: map[meta.ClientID]int64{}}
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	var history []string
	fail := func(format string, a ...any) {
		t.Helper()
		t.Fatalf("after %v: %s", history[max(0, len(history)-12):], fmt.Sprintf(format, a...))
	}
	for range 600 {
		id := meta.ClientID(1 + r.IntN(3))
		c := m.clients[id]
		batch := int64(r.IntN(4))
		if c != nil && len(c.batches) > 0 && r.IntN(4) > 0 {
			batch = c.batches[0].id
		}
		switch op := r.IntN(12); {
		case op < 3:
			kinds := []string{"bde", "be", "d", "bdddd", "dde"}[r.IntN(5)]
			if !st.HasRoom() || len(m.items)-m.first+len(kinds) > cfg.Slots {
				continue
			}
			slots := src.make(kinds, r.IntN(300))
			history = append(history, "put "+kinds)
			for i := range slots {
				m.items = append(m.items, slots[i].Item())
			}
			put(t, st, slots)
			m.trim()
		case op == 3:
			cursor := r.IntN(len(m.items) + 2)
			history = append(history, fmt.Sprintf("attach %d at %d", id, cursor))
			var p *position.Position
			if cursor > 0 {
				p = &position.Position{File: "mysql-bin.000001", Offset: uint64(cursor) * 100}
			}
			want := m.attach(id, cursor)
			if err := st.Attach(id, p); errors.Is(err, store.ErrBehind) != want {
				fail("%v, want behind %v; first is %d", err, want, m.first)
			}
			// A cursor ahead of what was put skips what comes; the model does not do that.
			if cursor > len(m.items) && c == nil {
				st.Detach(id)
				m.drop(id)
			}
		case c == nil:
			if _, err := st.Get(t.Context(), id, 1, 0); !errors.Is(err, store.ErrNoClient) {
				fail("get of %d: %v", id, err)
			}
		case op < 7:
			size := r.IntN(20)
			history = append(history, fmt.Sprintf("get %d size %d", id, size))
			wantID, want := m.read(id, size)
			if gotID, got := get(t, st, id, size); gotID != wantID || !slices.Equal(got, want) {
				fail("batch %d holds %v, want %d with %v", gotID, got, wantID, want)
			}
		case op < 10:
			history = append(history, fmt.Sprintf("ack %d batch %d", id, batch))
			want, wantErr := m.ackBatch(id, batch)
			p, ok, err := st.Ack(id, batch)
			if text(err) != wantErr || ok != (want > 0) || int(p.Offset/100) != want {
				fail("%v %v %v, want %d %q", p, ok, err, want, wantErr)
			}
		case op == 10:
			if r.IntN(3) > 0 {
				batch = 0
			}
			history = append(history, fmt.Sprintf("rollback %d batch %d", id, batch))
			want := ""
			if batch != 0 {
				want = m.check(id, batch)
			}
			if err := st.Rollback(id, batch); text(err) != want {
				fail("%v, want %q", err, want)
			}
			if want == "" {
				c.batches, c.get = nil, c.ack
			}
		case r.IntN(8) == 0:
			history = append(history, fmt.Sprintf("detach %d", id))
			st.Detach(id)
			m.drop(id)
		}
		s := st.Stats()
		if int(s.Entries) != len(m.items)-m.first || int(s.Put) != len(m.items) {
			fail("%d entries of %d, want %d of %d", s.Entries, s.Put, len(m.items)-m.first, len(m.items))
		}
		var held int64
		for _, it := range m.items[m.first:] {
			held += int64(it.Len())
		}
		if s.Bytes != held {
			fail("%d bytes, want %d", s.Bytes, held)
		}
		for id, c := range m.clients {
			if cs := s.Clients[id]; int(cs.Unread) != len(m.items)-c.get || cs.Outstanding != len(c.batches) {
				fail("client %d: %+v, want %d unread and %d outstanding", id, cs, len(m.items)-c.get, len(c.batches))
			}
		}
	}
}

func (m *model) drop(id meta.ClientID) {
	delete(m.clients, id)
	m.trim()
}

// One put, three clients that get, acknowledge and roll back at will: each sees
// every entry in order, again only after a rollback, and every byte is let go.
func TestManyAtOnce(t *testing.T) {
	const entries = 3000
	st := store.New(store.Config{Slots: 64, Unit: 200}, position.Position{}, 1)
	src := newSource(t)
	var clients []meta.ClientID
	for id := range meta.ClientID(3) {
		if err := st.Attach(id, nil); err != nil {
			t.Fatal(err)
		}
		clients = append(clients, id)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; n < entries; n += 5 {
			slots := src.make("bddde", n%97)
			if _, err := st.Put(t.Context(), slots, []int{2, 5}); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for _, id := range clients {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(id), 3))
			next, acked := 1, 0
			for acked < entries {
				b, err := st.Get(t.Context(), id, r.IntN(30), time.Duration(r.IntN(2))*time.Millisecond)
				if err != nil {
					t.Error(err)
					return
				}
				got := numbers(t, b)
				b.Release()
				if b.ID == store.NoBatch {
					continue
				}
				if !slices.Equal(got, count(next, next+len(got)-1)) {
					t.Errorf("client %d got %v, want from %d on", id, got, next)
					return
				}
				next += len(got)
				if r.IntN(5) == 0 {
					if err := st.Rollback(id, 0); err != nil {
						t.Error(err)
						return
					}
					next = acked + 1
					continue
				}
				if _, _, err := st.Ack(id, b.ID); err != nil {
					t.Error(err)
					return
				}
				acked = next - 1
			}
		})
		wg.Go(func() {
			for range 200 {
				st.Stats()
				st.HasRoom()
				st.DetachAbsent(time.Hour)
				st.Oldest()
			}
		})
	}
	wg.Wait()
	if s := st.Stats(); s.Entries != 0 || s.Bytes != 0 {
		t.Errorf("%d entries of %d bytes are held", s.Entries, s.Bytes)
	}
	st.Close()
	src.w.Close()
	if n := src.pool.Bytes(); n < 0 || n%(512<<10) != 0 {
		t.Errorf("%d bytes of segments are held", n)
	}
}
