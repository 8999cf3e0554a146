package instance

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/schema"
	"github.com/canald/canald/internal/store"
)

// feeder makes segments; letters are events: b BEGIN, r rows, e XID, s a
// statement, q a ROWS_QUERY, h a heartbeat. Each is 100 bytes behind the last.
type feeder struct {
	t     *testing.T
	w     *entry.Worker
	pool  entry.Pool
	codec *entry.Codec
	next  uint64
	time  uint32
}

func newFeeder(t *testing.T) *feeder {
	t.Helper()
	f := &feeder{t: t, time: 1000}
	f.w = entry.NewWorker(&f.pool, time.UTC, nil)
	t.Cleanup(f.w.Close)
	f.codec = entry.Compile(
		&schema.Table{Schema: "s", Name: "t", Columns: []schema.Column{{Name: "a", Type: "tinyint"}}},
		&event.TableMap{TableID: 1, Columns: []event.Column{{Type: event.ColTiny}}}, entry.Options{})
	return f
}

func (f *feeder) segment(letters string) *entry.Segment {
	f.t.Helper()
	c := new(entry.Chunk)
	context := entry.NewContext("mysql-bin.000001", "")
	for _, l := range letters {
		f.next += 100
		e := entry.Event{Context: context, Offset: f.next, Length: 100, Off: uint32(len(c.Buf)), Header: event.Header{Timestamp: f.time}}
		raw := make([]byte, event.HeaderLen, 100)
		switch l {
		case 'b':
			e.Kind, raw = entry.KindBegin, append(raw, make([]byte, 14)...)
		case 'r':
			e.Kind, e.Codec, e.Header.Type = entry.KindRows, f.codec, event.TypeWriteRowsV2
			raw = append(raw, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 0, 5)
		case 'e':
			e.Kind, e.Resume, raw = entry.KindXID, true, binary.LittleEndian.AppendUint64(raw, 1)
		case 's':
			e.Kind, e.Resume, raw = entry.KindStatement, true, append(raw, make([]byte, 14)...)
		case 'q':
			e.Kind, raw = entry.KindRowsQuery, append(raw, "\x06insert"...)
		case 'h':
			e.Kind, raw = entry.KindHeartbeat, nil
		}
		e.Len = uint32(len(raw))
		c.Buf = append(c.Buf, raw...)
		c.Events = append(c.Events, e)
	}
	seg, err := f.w.Transcode(c)
	if err != nil {
		f.t.Fatal(err)
	}
	return seg
}

func newCommitter(t *testing.T, size int) *committer {
	t.Helper()
	s := store.New(store.Config{ItemMode: true}, position.Position{}, 1)
	t.Cleanup(s.Close)
	if err := s.Attach(1, nil); err != nil {
		t.Fatal(err)
	}
	return &committer{store: s, counters: newCounters(), transactionSize: size, emptyTime: 1000_000}
}

// stored are the letters of what the store holds and has not handed out.
func stored(t *testing.T, c *committer) string {
	t.Helper()
	n := int(c.store.Stats().Clients[1].Unread)
	b, err := c.store.Get(t.Context(), 1, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	if b.Items != n {
		t.Fatalf("%d entries in the batch, %d in the store", b.Items, n)
	}
	if b.ID == store.NoBatch {
		return ""
	}
	var letters []byte
	for _, run := range b.Runs {
		letters = append(letters, lettersOf(run)...)
	}
	return string(letters)
}

// lettersOf reads entryType and, of a ROWDATA, whether it has rows.
func lettersOf(run []byte) []byte {
	var letters []byte
	for len(run) > 0 {
		n, w := binary.Uvarint(run[1:])
		body := run[1+w : 1+w+int(n)]
		run = run[1+w+int(n):]
		h, w := binary.Uvarint(body[1:])
		body = body[1+w+int(h):]
		switch entry.Type(body[1]) {
		case entry.TransactionBegin:
			letters = append(letters, 'b')
		case entry.TransactionEnd:
			letters = append(letters, 'e')
		default:
			letters = append(letters, 'r')
		}
	}
	return letters
}

func TestFlushGroups(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int
		segments []string
		want     string
		resume   uint64
	}{
		{"a transaction", 1024, []string{"bre"}, "bre", 400},
		{"one in pieces of chunks", 1024, []string{"b", "r", "r", "e"}, "brre", 500},
		{"nothing of one that is open", 1024, []string{"brr"}, "", 0},
		{"a begin flushes what is there", 1024, []string{"rb"}, "r", 0},
		{"a heartbeat flushes", 1024, []string{"brh"}, "br", 0},
		{"a full buffer flushes", 2, []string{"brrrr"}, "brrr", 0},
		{"a statement flushes", 1024, []string{"s"}, "r", 200},
		{"a query inside flushes", 1024, []string{"bqre"}, "brre", 500},
		{"an empty transaction is dropped", 1024, []string{"be"}, "", 300},
		{"and so are many", 1024, []string{"bebebe", "be"}, "", 900},
		{"an end behind a stored piece is kept", 2, []string{"bre"}, "bre", 400},
		{"and behind a query whose rows are filtered", 1024, []string{"bqe"}, "bre", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, cm := newFeeder(t), newCommitter(t, c.size)
			for _, letters := range c.segments {
				if err := cm.commit(t.Context(), f.segment(letters)); err != nil {
					t.Fatal(err)
				}
			}
			if got := stored(t, cm); got != c.want {
				t.Errorf("stored %q, want %q", got, c.want)
			}
			if p := cm.Resume(); p.Offset != c.resume {
				t.Errorf("resumes at %s, want %d", p, c.resume)
			}
		})
	}
}

// An empty transaction passes when its event time differs by more than 5 s from
// the last that passed, or after 8192 that did not.
func TestEmptyTransactions(t *testing.T) {
	f, cm := newFeeder(t), newCommitter(t, 1024)
	commit := func(letters string) string {
		t.Helper()
		if err := cm.commit(t.Context(), f.segment(letters)); err != nil {
			t.Fatal(err)
		}
		return stored(t, cm)
	}
	if got := commit("be"); got != "" {
		t.Errorf("stored %q", got)
	}
	f.time += 5
	if got := commit("be"); got != "" {
		t.Errorf("after exactly 5 s stored %q", got)
	}
	f.time++
	if got := commit("bebe"); got != "be" {
		t.Errorf("after 6 s stored %q", got)
	}
	passed := 0
	for range 8300 {
		if commit("be") != "" {
			passed++
		}
	}
	if passed != 1 {
		t.Errorf("%d of 8300 passed", passed)
	}
}

func TestMarkersFiltered(t *testing.T) {
	f, cm := newFeeder(t), newCommitter(t, 1024)
	cm.filterMarkers, cm.markerTime = true, 1000_000
	for _, c := range []struct {
		later uint32
		want  string
	}{{0, "r"}, {6, "bre"}, {0, "r"}} {
		f.time += c.later
		if err := cm.commit(t.Context(), f.segment("bre")); err != nil {
			t.Fatal(err)
		}
		if got := stored(t, cm); got != c.want {
			t.Errorf("stored %q, want %q", got, c.want)
		}
	}
}

// After a reconnect the transaction comes again from its begin; what was put is
// passed over, and nothing is lost.
func TestReconnectInsideATransaction(t *testing.T) {
	f, cm := newFeeder(t), newCommitter(t, 2)
	if err := cm.commit(t.Context(), f.segment("brebrrr")); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, cm); got != "brebrrr" {
		t.Fatalf("stored %q", got)
	}
	if p := cm.Resume(); p.Offset != 400 {
		t.Fatalf("resumes at %s", p)
	}
	cm.begin()
	f.next = 300 // so that the next event starts at 400
	if err := cm.commit(t.Context(), f.segment("brrrre")); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, cm); got != "re" {
		t.Errorf("after the reconnect stored %q, want what was missing", got)
	}
}

// Whatever happens, every entry's hold on its segment is given back.
func TestHoldsAreGivenBack(t *testing.T) {
	f := newFeeder(t)
	cm := newCommitter(t, 1024)
	var segments []*entry.Segment
	for _, letters := range []string{"bebe", "br", "rebr", "h", "bre"} {
		seg := f.segment(letters)
		seg.Retain(1) // to look at it in the end
		segments = append(segments, seg)
		if err := cm.commit(t.Context(), seg); err != nil {
			t.Fatal(err)
		}
	}
	cm.begin()
	cm.store.Close()
	// Put fails now; what it did not take must be given back as well.
	late := f.segment("bre")
	late.Retain(1)
	segments = append(segments, late)
	if err := cm.commit(t.Context(), late); err == nil {
		t.Fatal("no error from a closed store")
	}
	for i, seg := range segments {
		if !lastHolder(seg) {
			t.Errorf("segment %d is still held", i)
		}
	}
}

// lastHolder releases the caller's hold and tells whether it was the last: one
// release more is refused then.
func lastHolder(seg *entry.Segment) (last bool) {
	seg.Release(1)
	defer func() { last = recover() != nil }()
	seg.Release(1)
	return false
}

func TestPutThatIsInterrupted(t *testing.T) {
	f := newFeeder(t)
	s := store.New(store.Config{ItemMode: true, Slots: 4}, position.Position{}, 1)
	t.Cleanup(s.Close)
	if err := s.Attach(1, nil); err != nil {
		t.Fatal(err)
	}
	cm := &committer{store: s, counters: newCounters(), transactionSize: 1024}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- cm.commit(ctx, f.segment("brebrebre")) }()
	for s.BlockedSince().IsZero() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err == nil {
		t.Fatal("no error")
	}
	if got := stored(t, cm); got != "bre" {
		t.Fatalf("stored %q", got)
	}
	if p := cm.Resume(); !p.IsZero() {
		t.Errorf("resumes at %s though not all was put", p)
	}
	// The whole comes again from the start; only what is missing is put.
	cm.begin()
	f.next = 0
	if _, _, err := s.Ack(1, 1); err != nil {
		t.Fatal(err)
	}
	if err := cm.commit(t.Context(), f.segment("brebre")); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, cm); got != "bre" {
		t.Errorf("the second time stored %q", got)
	}
}
