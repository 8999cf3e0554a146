package entry

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

// A NULL takes one bit of an image and a hundred bytes of an entry: an event of
// a gigabyte must not become more than what offsets and messages can hold.
func TestEntryTooLarge(t *testing.T) {
	table := &schema.Table{Schema: "d", Name: "t", Columns: make([]schema.Column, 8)}
	codec := Compile(table, &event.TableMap{Columns: make([]event.Column, 8)}, Options{})
	raw := append(make([]byte, event.HeaderLen), 0, 0, 0, 0, 0, 0, 0, 0, 8, 0xff)
	raw = append(raw, bytes.Repeat([]byte{0xff}, 1000)...)
	var pool Pool
	w := NewWorker(&pool, time.UTC, nil)
	w.most = 100_000
	chunk := &Chunk{Buf: raw, Events: []Event{{Codec: codec, Context: NewContext("f", ""), Len: uint32(len(raw)), Header: event.Header{Type: event.TypeWriteRowsV1}}}}
	if _, err := w.Transcode(chunk); !errors.Is(err, errTooLarge) {
		t.Fatalf("error %v", err)
	}
	w.most = maxSegmentBytes
	seg, err := w.Transcode(chunk)
	if err != nil || seg.Items[0].Rows != 1000 {
		t.Fatalf("%v", err)
	}
	seg.Release(1)
	w.Close()
	if n := pool.Bytes(); n != 0 {
		t.Errorf("%d bytes are held", n)
	}
}
