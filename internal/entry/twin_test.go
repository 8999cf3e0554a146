package entry_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
)

var (
	plainContext = entry.NewContext("mysql-bin.000003", "")
	gtidContext  = entry.NewContext("mysql-bin.000003", "08b4f78b-e71c-11f1-a7f3-02fc00000001:1-4",
		[2]string{"curtGtid", "08b4f78b-e71c-11f1-a7f3-02fc00000001:4"}, [2]string{"curtGtidSn", "7"}, [2]string{"curtGtidLct", "6"})
	gtidProps = []*canalpb.Pair{
		{Key: new("curtGtid"), Value: new("08b4f78b-e71c-11f1-a7f3-02fc00000001:4")},
		{Key: new("curtGtidSn"), Value: new("7")},
		{Key: new("curtGtidLct"), Value: new("6")},
	}
)

func randomTable(r *rand.Rand) *table {
	t := &table{id: 1 + r.Uint64N(1<<48-1)>>r.IntN(48), schema: "d", name: strings.Repeat("t", 1+r.IntN(255))}
	for i := range 1 + r.IntN(40) {
		name := fmt.Sprintf("c%d", i)
		if r.IntN(6) == 0 {
			name = strings.Repeat("n", []int{64, 100, 127, 128, 300}[r.IntN(5)])
		}
		t.add(name, kinds[r.IntN(len(kinds))].name, r.IntN(4) == 0)
	}
	return t
}

func (t *table) randomImage(r *rand.Rand, absent []bool) image {
	im := make(image, len(t.kinds))
	for i, k := range t.kinds {
		switch {
		case absent[i]:
			im[i].absent = true
		case r.IntN(5) == 0:
			im[i].null = true
		default:
			im[i].raw = randomRaw(r, k)
		}
	}
	return im
}

// absences is one of full, MINIMAL, NOBLOB or any other image; at least one column stays.
func (t *table) absences(r *rand.Rand) []bool {
	a := make([]bool, len(t.kinds))
	switch r.IntN(4) {
	case 0:
		for i := range a {
			a[i] = r.IntN(2) == 0
		}
	case 1:
		for i, k := range t.kinds {
			a[i] = k.code == 252 || k.code == 245 || k.code == 255
		}
	}
	a[r.IntN(len(a))] = false
	return a
}

func (t *table) randomRows(r *rand.Rand, op event.RowsKind) []row {
	first, second := t.absences(r), t.absences(r)
	rows := make([]row, 1+r.IntN(5))
	for i := range rows {
		rows[i] = row{t.randomImage(r, first)}
		if op != event.Update {
			continue
		}
		after := t.randomImage(r, second)
		for c := range after {
			if before := rows[i][0][c]; !before.absent && !after[c].absent && r.IntN(2) == 0 {
				after[c] = before
			}
		}
		rows[i] = append(rows[i], after)
	}
	return rows
}

func diffBytes(got, want []byte) string {
	i := 0
	for i < len(got) && i < len(want) && got[i] == want[i] {
		i++
	}
	from := max(0, i-40)
	return fmt.Sprintf("%d and %d bytes, other from %d on:\n got …%x\nwant …%x", len(got), len(want), i,
		got[from:min(len(got), i+60)], want[from:min(len(want), i+60)])
}

// Random tables and rows in chunks of several events: every entry must be, byte
// for byte, what the slow twin builds from objects.
func TestRowsAgainstSlowTwin(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	defer w.Close()
	types := []event.Type{23, 24, 25, 30, 31, 32, 39}
	for range 150 {
		tab := randomTable(r)
		codec := tab.codec(t, entry.Options{})
		ctx, props := plainContext, []*canalpb.Pair(nil)
		if r.IntN(2) == 0 {
			ctx, props = gtidContext, gtidProps
		}
		c := &entry.Chunk{}
		var want [][]byte
		var counts []int
		for range 1 + r.IntN(4) {
			typ := types[r.IntN(len(types))]
			op, _, _ := typ.Rows()
			rows := tab.randomRows(r, op)
			raw := tab.rowEvent(typ, rows)
			add(c, ctx, codec, entry.KindRows, raw)
			want = append(want, tab.slow(t, ctx, slices.Clone(props), typ, raw, rows))
			counts = append(counts, len(rows))
		}
		seg, err := w.Transcode(c)
		if err != nil {
			t.Fatal(err)
		}
		checkSegment(t, seg, want)
		for i := range seg.Items {
			it := &seg.Items[i]
			if int(it.Rows) != counts[i] || it.Table != codec.Name || it.Table.Table != tab.name {
				t.Fatalf("item %+v", it)
			}
		}
		seg.Release(1)
	}
}

func checkSegment(t *testing.T, seg *entry.Segment, want [][]byte) {
	t.Helper()
	if len(seg.Items) != len(want) {
		t.Fatalf("%d items, want %d", len(seg.Items), len(want))
	}
	for i, w := range want {
		if got := seg.Bytes(i); !bytes.Equal(got, w) {
			t.Fatalf("entry %d: %s", i, diffBytes(got, w))
		}
		if got, wantLen := seg.Items[i].Len(), frameBody(w); got != wantLen {
			t.Fatalf("entry %d: Len %d, want %d", i, got, wantLen)
		}
		if seg.Items[i].FramedLen() != len(w) {
			t.Fatalf("entry %d: FramedLen %d", i, seg.Items[i].FramedLen())
		}
	}
}

// frameBody is the length that a frame states.
func frameBody(b []byte) int {
	n, shift := 0, 0
	for _, c := range b[1:] {
		n |= int(c&0x7f) << shift
		shift += 7
		if c < 0x80 {
			break
		}
	}
	return n
}

// Values, columns, rows and entries whose lengths stand just before and behind
// where a varint takes another byte, up to four bytes.
func TestVarintBorders(t *testing.T) {
	tab := (&table{id: 7, schema: "d", name: "t"}).add("c", "longtext", false)
	codec := tab.codec(t, entry.Options{})
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	defer w.Close()
	sizes := map[int]bool{}
	for _, border := range []int{1 << 7, 1 << 14, 1 << 21} {
		for d := -160; d <= 3; d++ {
			if n := border + d; n >= 0 && (border < 1<<21 || d > -6) {
				sizes[n] = true
			}
		}
	}
	for n := range sizes {
		for _, typ := range []event.Type{30, 31} {
			if typ == 31 && n > 1<<20 && n%4 != 0 {
				continue
			}
			v := value{raw: bytes.Repeat([]byte{'x'}, n)}
			rows := []row{{image{v}}}
			if typ == 31 {
				rows = []row{{image{v}, image{value{raw: bytes.Repeat([]byte{'y'}, n)}}}, {image{v}, image{v}}}
			}
			raw := tab.rowEvent(typ, rows)
			seg, err := w.Transcode(chunkOf(plainContext, codec, entry.KindRows, raw))
			if err != nil {
				t.Fatal(err)
			}
			checkSegment(t, seg, [][]byte{tab.slow(t, plainContext, nil, typ, raw, rows)})
			seg.Release(1)
		}
	}
}

// Binary text takes two bytes a byte above 0x7f, so the guess of its length is wrong.
func TestLengthGuessMissed(t *testing.T) {
	tab := (&table{id: 7, schema: "d", name: "t"}).add("a", "mediumblob", false).add("b", "int", true)
	codec := tab.codec(t, entry.Options{})
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	defer w.Close()
	for n := 0; n < 300; n += 3 {
		for _, size := range []int{n, 8192 - 100 + n, 16384 - 100 + n} {
			for _, fill := range []byte{0xff, 'x'} {
				before := image{{raw: bytes.Repeat([]byte{fill}, size)}, {raw: []byte{1, 0, 0, 0}}}
				after := image{{raw: bytes.Repeat([]byte{fill}, size+1)}, {raw: []byte{1, 0, 0, 0}}}
				rows := []row{{before, after}}
				raw := tab.rowEvent(31, rows)
				seg, err := w.Transcode(chunkOf(plainContext, codec, entry.KindRows, raw))
				if err != nil {
					t.Fatal(err)
				}
				checkSegment(t, seg, [][]byte{tab.slow(t, plainContext, nil, 31, raw, rows)})
				seg.Release(1)
			}
		}
	}
}

// One column in every relation that its two images can have.
func TestUpdatedFlag(t *testing.T) {
	minusZero, zero := []byte{0, 0, 0, 0, 0, 0, 0, 0x80}, make([]byte, 8)
	for _, c := range []struct {
		name, kind    string
		before, after value
		want          bool
	}{
		{"equal", "int", value{raw: []byte{1, 0, 0, 0}}, value{raw: []byte{1, 0, 0, 0}}, false},
		{"other", "int", value{raw: []byte{1, 0, 0, 0}}, value{raw: []byte{2, 0, 0, 0}}, true},
		{"both NULL", "int", value{null: true}, value{null: true}, false},
		{"to NULL", "varchar(50)", value{raw: []byte{}}, value{null: true}, true},
		{"from NULL", "varchar(50)", value{null: true}, value{raw: []byte{}}, true},
		{"both empty", "varchar(50)", value{raw: []byte{}}, value{raw: []byte{}}, false},
		{"not in the before image", "varchar(50)", value{absent: true}, value{raw: []byte("a")}, true},
		{"NULL, not in the before image", "varchar(50)", value{absent: true}, value{null: true}, true},
		{"other bytes, same text", "text", value{raw: []byte{'a', 0xff}}, value{raw: []byte{'a', 0xfe}}, false},
		{"other bytes, same text, and longer", "text", value{raw: append(bytes.Repeat([]byte{'a'}, 130), 0xff)}, value{raw: append(bytes.Repeat([]byte{'a'}, 130), 0xfe)}, false},
		{"negative zero", "double", value{raw: minusZero}, value{raw: zero}, true},
		{"widened, equal", "tinyint unsigned", value{raw: []byte{200}}, value{raw: []byte{200}}, false},
		{"widened, other", "tinyint unsigned", value{raw: []byte{1}}, value{raw: []byte{200}}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := (&table{id: 7, schema: "d", name: "t"}).add("k", "int", true).add("c", c.kind, false)
			tab.kinds[1] = withText(tab.kinds[1])
			key := value{raw: []byte{5, 0, 0, 0}}
			rows := []row{{image{key, c.before}, image{key, c.after}}}
			raw := tab.rowEvent(31, rows)
			var pool entry.Pool
			w := entry.NewWorker(&pool, time.UTC, nil)
			defer w.Close()
			seg, err := w.Transcode(chunkOf(plainContext, tab.codec(t, entry.Options{}), entry.KindRows, raw))
			if err != nil {
				t.Fatal(err)
			}
			checkSegment(t, seg, [][]byte{tab.slow(t, plainContext, nil, 31, raw, rows)})
			after := decode(t, seg, 0).GetRowDatas()[0].GetAfterColumns()
			if got := after[1].GetUpdated(); got != c.want || after[0].GetUpdated() {
				t.Errorf("updated %v, want %v", got, c.want)
			}
		})
	}
}

// withText makes a kind whose text follows Java for one bad byte at the end.
func withText(k *kind) *kind {
	if k.name != "text" {
		return k
	}
	c := *k
	c.text = func(raw []byte) string { return string(bytes.ToValidUTF8(raw, []byte("\uFFFD"))) }
	return &c
}

func decode(t testing.TB, seg *entry.Segment, i int) *canalpb.RowChange {
	t.Helper()
	b := seg.Bytes(i)
	var e canalpb.Entry
	if err := proto.Unmarshal(b[len(b)-frameBody(b):], &e); err != nil {
		t.Fatal(err)
	}
	var rc canalpb.RowChange
	if err := proto.Unmarshal(e.GetStoreValue(), &rc); err != nil {
		t.Fatal(err)
	}
	return &rc
}

// An update whose last row has no second image, as Canal reads it: the row is
// sent with its before columns and not counted.
func TestUpdateWithoutSecondImage(t *testing.T) {
	tab := (&table{id: 7, schema: "d", name: "t"}).add("a", "int", true)
	im := image{{raw: []byte{1, 0, 0, 0}}}
	rows := []row{{im, im}, {im}}
	raw := tab.rowEvent(31, rows)
	var pool entry.Pool
	w := entry.NewWorker(&pool, time.UTC, nil)
	defer w.Close()
	seg, err := w.Transcode(chunkOf(plainContext, tab.codec(t, entry.Options{}), entry.KindRows, raw))
	if err != nil {
		t.Fatal(err)
	}
	checkSegment(t, seg, [][]byte{tab.slow(t, plainContext, nil, 31, raw, rows)})
}

// The bits that tell diffs from documents: one for each JSON column of the
// table, whether the image has it or not.
func TestPartialJSON(t *testing.T) {
	diff := func(path, text string) value { // replace at path by a string
		d := append([]byte{0, byte(len(path))}, path...)
		v := append([]byte{12, byte(len(text))}, text...)
		d = append(append(d, byte(len(v))), v...)
		return value{raw: d, partial: true}
	}
	doc := value{raw: []byte{12, 1, 'a'}}
	absent := value{absent: true}
	for _, c := range []struct {
		name          string
		json          int
		before, after image
	}{
		{"one diff", 1, image{doc}, image{diff("$.a", "x")}},
		{"document beside a diff", 2, image{doc, doc}, image{doc, diff("$.b", "y")}},
		{"unchanged", 2, image{doc, doc}, image{diff("$.a", "x"), {raw: []byte{}, partial: true}}},
		{"NULL beside a diff", 2, image{doc, doc}, image{{null: true}, diff("$.a", "x")}},
		{"no diff at all", 1, image{doc}, image{doc}},
		{"a column left out before the diff", 2, image{doc, doc}, image{absent, diff("$.a", "x")}},
		{
			"nine columns, one in the image", 9,
			image{doc, doc, doc, doc, doc, doc, doc, doc, doc},
			image{absent, absent, absent, absent, absent, absent, absent, absent, diff("$.i", "z")},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := (&table{id: 7, schema: "d", name: "t"}).add("k", "int", true)
			for i := range c.json {
				tab.add(fmt.Sprintf("j%d", i), "json", false)
			}
			key := value{raw: []byte{5, 0, 0, 0}}
			one := row{append(image{key}, c.before...), append(image{key}, c.after...)}
			rows := []row{one, one}
			raw := tab.rowEvent(event.TypePartialUpdateRows, rows)
			var pool entry.Pool
			w := entry.NewWorker(&pool, time.UTC, nil)
			defer w.Close()
			seg, err := w.Transcode(chunkOf(plainContext, tab.codec(t, entry.Options{}), entry.KindRows, raw))
			if err != nil {
				t.Fatal(err)
			}
			checkSegment(t, seg, [][]byte{tab.slow(t, plainContext, nil, 39, raw, rows)})
		})
	}
}
