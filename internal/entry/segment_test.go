package entry_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func statementChunk(sizes ...int) *entry.Chunk {
	var events [][]byte
	for i, n := range sizes {
		events = append(events, queryBytes(event.TypeQuery, 1, "d", string(bytes.Repeat([]byte{byte('a' + i%26)}, n))))
	}
	return chunkOf(plainContext, nil, entry.KindStatement, events...)
}

// Segments that one arena holds behind each other are one run; what outgrew its
// arena is a run of its own.
func TestJoinsAndRuns(t *testing.T) {
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	var segs []*entry.Segment
	for _, sizes := range [][]int{{10, 20}, {30}, {200_000}, {40, 50}, {3_000_000, 10}, {60}} {
		seg, err := w.Transcode(statementChunk(sizes...))
		if err != nil {
			t.Fatal(err)
		}
		segs = append(segs, seg)
	}
	type place struct{ seg, item int }
	var all []place
	for s, seg := range segs {
		for i := range seg.Items {
			all = append(all, place{s, i})
		}
	}
	joined := 0
	for k, p := range all[:len(all)-1] {
		q := all[k+1]
		a, b := segs[p.seg], segs[q.seg]
		if !a.Joins(p.item, b, q.item) {
			if p.seg == q.seg {
				t.Errorf("entries %d and %d of one segment do not join", p.item, q.item)
			}
			continue
		}
		joined++
		if got, want := a.Run(p.item, b, q.item), append(bytes.Clone(a.Bytes(p.item)), b.Bytes(q.item)...); !bytes.Equal(got, want) {
			t.Errorf("run of %v and %v differs from its entries", p, q)
		}
		if b.Joins(q.item, a, p.item) {
			t.Errorf("%v joins before %v", q, p)
		}
	}
	if joined < 4 {
		t.Errorf("only %d neighbours are joined", joined)
	}
	w.Close()
	for _, seg := range segs {
		seg.Release(1)
	}
	if n := pool.Bytes(); n < 0 || n > 8*512<<10 {
		t.Errorf("%d bytes are held", n)
	}
}

func TestReleasedTooOften(t *testing.T) {
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	defer w.Close()
	seg, err := w.Transcode(statementChunk(1))
	if err != nil {
		t.Fatal(err)
	}
	seg.Retain(2)
	seg.Release(3)
	defer func() {
		if recover() == nil {
			t.Error("a release too many goes unnoticed")
		}
	}()
	seg.Release(1)
}

// Workers fill arenas while others read the segments and let go of them: bytes
// must stay what they were until the last holder is gone, and none may be lost.
func TestSegmentsAreHeldByMany(t *testing.T) {
	var pool entry.Pool
	var all sync.WaitGroup
	for n := range 3 {
		all.Go(func() {
			w := entry.NewWorker(&pool, time.UTC, nil)
			defer w.Close()
			var readers sync.WaitGroup
			for i := range 300 {
				size := (i*37)%3000 + 1
				if i%50 == 0 {
					size = 700_000
				}
				chunk := statementChunk(size, i%5, 100+n)
				seg, err := w.Transcode(chunk)
				if err != nil {
					t.Error(err)
					return
				}
				want := bytes.Clone(seg.Buf)
				const holders = 3
				seg.Retain(holders)
				for range holders {
					readers.Go(func() {
						defer seg.Release(1)
						if !bytes.Equal(seg.Buf, want) {
							t.Error("bytes of a held segment changed")
						}
					})
				}
				seg.Release(1)
			}
			readers.Wait()
		})
	}
	all.Wait()
	if n := pool.Bytes(); n < 0 || n > 8*512<<10 || n%(512<<10) != 0 {
		t.Errorf("%d bytes are held, want only free arenas", n)
	}
}

// A quiet instance holds little, and a busy one takes its arenas again.
func TestArenasGrowAndAreUsedAgain(t *testing.T) {
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	seg, err := w.Transcode(statementChunk(10))
	if err != nil {
		t.Fatal(err)
	}
	seg.Release(1)
	if n := pool.Bytes(); n > 16<<10 {
		t.Errorf("one small entry holds %d bytes", n)
	}
	for range 2000 {
		seg, err := w.Transcode(statementChunk(3000, 3000, 3000))
		if err != nil {
			t.Fatal(err)
		}
		seg.Release(1)
	}
	if n := pool.Bytes(); n > 2*512<<10 {
		t.Errorf("%d bytes are held while each segment is let go at once", n)
	}
	w.Close()
}

// What a chunk of one event costs must not depend on its rows.
func TestNoAllocationPerRow(t *testing.T) {
	tab := &table{id: 7, schema: "d", name: "t"}
	for i, name := range []string{"int", "varchar(50)", "datetime", "decimal(10,2)", "bigint unsigned", "text", "timestamp(6)", "double", "json", "varbinary(500)"} {
		tab.add(fmt.Sprintf("column%d", i), name, i == 0)
	}
	codec := tab.codec(t, entry.Options{})
	im := make(image, len(tab.kinds))
	for i, k := range tab.kinds {
		n := k.fixed
		if k.prefix > 0 {
			n = 20
		}
		im[i].raw = bytes.Repeat([]byte{'a'}, n)
		if k.code == 245 {
			im[i].raw = []byte{12, 2, 'a', 'b'}
		}
	}
	other := append(image(nil), im...)
	other[1].raw, other[2].raw = []byte("changed"), bytes.Repeat([]byte{'b'}, 5)
	for _, typ := range []event.Type{30, 31, 32} {
		one := row{im}
		if typ == 31 {
			one = row{im, other}
		}
		cost := func(rows int) float64 {
			var pool entry.Pool
			w := entry.NewWorker(&pool, time.UTC, nil)
			defer w.Close()
			all := make([]row, rows)
			for i := range all {
				all[i] = one
			}
			chunk := chunkOf(plainContext, codec, entry.KindRows, tab.rowEvent(typ, all))
			return testing.AllocsPerRun(200, func() {
				seg, err := w.Transcode(chunk)
				if err != nil {
					t.Fatal(err)
				}
				seg.Release(1)
			})
		}
		if one, many := cost(1), cost(40); one > 1 || many > one {
			t.Errorf("type %d: %.0f allocations for one row, %.0f for 40; want one for the segment", typ, one, many)
		}
	}
}
