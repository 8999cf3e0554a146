package entry_test

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/canald/canald/internal/entry"
	"github.com/canald/canald/internal/event"
	"github.com/canald/canald/internal/schema"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var emptyHeader [event.HeaderLen]byte

// queryEvent is the body of a QUERY event behind an empty header.
func queryEvent(thread uint32, schemaName, sql string) []byte {
	b := append([]byte(nil), emptyHeader[:]...)
	b = binary.LittleEndian.AppendUint32(b, thread)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = append(b, byte(len(schemaName)), 0, 0, 0, 0)
	b = append(append(b, schemaName...), 0)
	return append(b, sql...)
}

// transcode makes one entry of one event.
func transcode(t testing.TB, e entry.Event, raw []byte) (*entry.Segment, error) {
	t.Helper()
	w := entry.NewWorker(new(entry.Pool), time.UTC, nil)
	defer w.Close()
	e.Len = uint32(len(raw))
	return w.Transcode(&entry.Chunk{Buf: raw, Events: []entry.Event{e}})
}

// The bytes that the Java server was seen to send.
func TestGoldenVectors(t *testing.T) {
	const at = 1795425621 // 30 a8e9…: ms of the event
	nopk := &schema.Table{Schema: "d1", Name: "nopk", Columns: []schema.Column{{Name: "a", Type: "int"}, {Name: "b", Type: "int"}}}
	codec := entry.Compile(nopk, &event.TableMap{TableID: 119, Columns: []event.Column{{Type: event.ColLong}, {Type: event.ColLong}}}, entry.Options{})
	insert := append(emptyHeader[:len(emptyHeader):len(emptyHeader)], 119, 0, 0, 0, 0, 0, 1, 0, 2, 0, 2, 0x03, 0x02, 1, 0, 0, 0) // (1, NULL)
	for _, c := range []struct {
		name   string
		e      entry.Event
		raw    []byte
		millis uint64
		want   string
	}{
		{
			"begin",
			entry.Event{Kind: entry.KindBegin, Context: entry.NewContext("mysql-bin.000011", ""), Offset: 1296, Length: 109, Header: event.Header{Type: event.TypeQuery, ServerID: 197}},
			queryEvent(115, "d1", "BEGIN"), 1795425621000,
			`0a30 0801 12106d7973716c2d62696e2e303030303131 18900a 20c501 2a055554462d38
			 30T 3802 4200 4a00 506d 1001 1a02 2073`,
		},
		{
			"end from a COMMIT query",
			entry.Event{Kind: entry.KindCommit, Context: entry.NewContext("mysql-bin.000011", ""), Offset: 1669, Length: 115, Header: event.Header{Type: event.TypeQuery, ServerID: 197}},
			queryEvent(115, "d1", "COMMIT"), 1795425621000,
			`0a30 0801 12106d7973716c2d62696e2e303030303131 18850d 20c501 2a055554462d38
			 30T 3802 4200 4a00 5073 1003 1a03 120130`,
		},
		{
			"insert with NULL",
			entry.Event{Kind: entry.KindRows, Codec: codec, Context: entry.NewContext("mysql-bin.000033", ""), Offset: 11457, Length: 40, Header: event.Header{Type: event.TypeWriteRowsV2, ServerID: 197}},
			insert, 1795425621000,
			`0a48 0801 12106d7973716c2d62696e2e303030303333 18c159 20c501 2a055554462d38
			 30T 3802 42026431 4a046e6f706b 5028 5801
			 620e 0a09726f7773436f756e74 120131
			 1002 1a33 0877 1001 5000 622b
			 1215 0800 1004 1a0161 2000 2801 3000 420131 5203696e74
			 1212 0801 1004 1a0162 2000 2801 3001        5203696e74`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.e.Header.Timestamp = at
			seg, err := transcode(t, c.e, c.raw)
			if err != nil {
				t.Fatal(err)
			}
			millis := hex.EncodeToString(binary.AppendUvarint(nil, c.millis))
			want := unhex(t, strings.ReplaceAll(c.want, "T", millis))
			framed := append(binary.AppendUvarint([]byte{0x12}, uint64(len(want))), want...)
			if got := seg.Bytes(0); hex.EncodeToString(got) != hex.EncodeToString(framed) {
				t.Errorf("got\n%x, want\n%x", got, framed)
			}
			if seg.Items[0].Len() != len(want) {
				t.Errorf("item of %d bytes, want %d", seg.Items[0].Len(), len(want))
			}
		})
	}
}
