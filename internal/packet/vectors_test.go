package packet_test

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/canald/canald/internal/packet"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const (
	hour     = 3600000
	identity = "0a 07 65 78 61 6d 70 6c 65 12 04 31 30 30 31"
	batchOne = `12 32 0a 2a 08 01 12 10 6d 79 73 71 6c 2d 62 69 6e 2e 30 30 30
30 30 31 18 04 20 01 2a 05 55 54 46 2d 38 30 80 d0 95 ff bc 31 38 02 50 32 10 01 1a 02 20 07 12
5b 0a 35 08 01 12 10 6d 79 73 71 6c 2d 62 69 6e 2e 30 30 30 30 30 31 18 68 20 01 2a 05 55 54 46
2d 38 30 e8 d7 95 ff bc 31 38 02 42 04 74 65 73 74 4a 01 74 50 32 58 01 10 02 1a 20 08 01 10 01
50 00 62 18 12 16 08 00 10 04 1a 02 69 64 20 01 28 01 30 00 42 01 31 52 03 69 6e 74 12 35 0a 2b
08 01 12 10 6d 79 73 71 6c 2d 62 69 6e 2e 30 30 30 30 30 31 18 cc 01 20 01 2a 05 55 54 46 2d 38
30 d0 df 95 ff bc 31 38 02 50 32 10 03 1a 04 12 02 34 32`
)

type message interface {
	packet.Message
	Decode(b []byte) error
}

// Frames as the Java server, the Java client 1.1.8 and canal-go put them on the wire.
var vectors = []struct {
	name   string
	frame  string
	server bool
	want   message
}{
	{
		"handshake", "00 00 00 10 10 01 18 01 2a 0a 12 08 01 02 03 04 05 06 07 08", true,
		&packet.Handshake{Seed: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
	},
	{
		"authentication with token", `00 00 00 3f 18 02 2a 3b 0a 05 63 61 6e 61 6c 12 28 37 64 65 34 34 36 39 30 64 38 65 35 33 37 38
32 63 62 36 31 38 30 34 61 32 34 35 35 63 32 38 34 61 33 62 62 66 62 30 36 18 80 dd db 01 20 80 dd db 01`, false,
		&packet.ClientAuth{
			Username: "canal", Password: []byte("7de44690d8e53782cb61804a2455c284a3bbfb06"),
			NetReadTimeout: packet.Some[int32](hour), NetWriteTimeout: packet.Some[int32](hour),
		},
	},
	{
		"authentication without user", "00 00 00 0e 18 02 2a 0a 18 80 dd db 01 20 80 dd db 01", false,
		&packet.ClientAuth{NetReadTimeout: packet.Some[int32](hour), NetWriteTimeout: packet.Some[int32](hour)},
	},
	{"ack", "00 00 00 04 10 01 18 03", true, &packet.Ack{}},
	{
		"authentication failed", `00 00 00 25 10 01 18 03 2a 1f 08 90 03 12 1a 61 75 74 68 20 66 61 69 6c 65 64 20 66 6f 72 20 75
73 65 72 3a 63 61 6e 61 6c`, true,
		&packet.Ack{Code: packet.Some[int32](400), Message: "auth failed for user:canal"},
	},
	{
		"rollback of all", "00 00 00 13 18 0c 2a 0f " + identity, false,
		&packet.ClientRollback{Destination: "example", ClientID: "1001"},
	},
	{
		"subscription", "00 00 00 13 18 04 2a 0f " + identity, false,
		&packet.Sub{Destination: "example", ClientID: "1001"},
	},
	{
		"subscription with filter", "00 00 00 1d 18 04 2a 19 " + identity + " 3a 08 74 65 73 74 5c 2e 2e 2a", false,
		&packet.Sub{Destination: "example", ClientID: "1001", Filter: `test\..*`},
	},
	{
		"subscription to everything", "00 00 00 1b 18 04 2a 17 " + identity + " 3a 06 2e 2a 5c 2e 2e 2a", false,
		&packet.Sub{Destination: "example", ClientID: "1001", Filter: `.*\..*`},
	},
	{
		"get without wait", "00 00 00 25 18 06 2a 21 " + identity + " 18 e8 07 20 ff ff ff ff ff ff ff ff ff 01 28 02 30 00", false,
		&packet.Get{
			Destination: "example", ClientID: "1001", FetchSize: 1000, Timeout: packet.Some[int64](-1),
			Unit: packet.Some[int32](2), AutoAck: packet.Some(false),
		},
	},
	{
		"get with a second", "00 00 00 1d 18 06 2a 19 " + identity + " 18 e8 07 20 e8 07 28 02 30 00", false,
		&packet.Get{
			Destination: "example", ClientID: "1001", FetchSize: 1000, Timeout: packet.Some[int64](1000),
			Unit: packet.Some[int32](2), AutoAck: packet.Some(false),
		},
	},
	{
		"get of canal-go", "00 00 00 2d 18 06 2a 29 " + identity +
			" 18 64 20 ff ff ff ff ff ff ff ff ff 01 28 ff ff ff ff ff ff ff ff ff 01 30 00", false,
		&packet.Get{
			Destination: "example", ClientID: "1001", FetchSize: 100, Timeout: packet.Some[int64](-1),
			Unit: packet.Some[int32](-1), AutoAck: packet.Some(false),
		},
	},
	{"empty messages", "00 00 00 11 10 01 18 07 2a 0b 08 ff ff ff ff ff ff ff ff ff 01", true, &packet.Messages{BatchID: -1}},
	{
		"client ack", "00 00 00 15 18 08 2a 11 " + identity + " 18 01", false,
		&packet.ClientAck{Destination: "example", ClientID: "1001", BatchID: 1},
	},
	{
		"client ack of nothing", "00 00 00 1e 18 08 2a 1a " + identity + " 18 ff ff ff ff ff ff ff ff ff 01", false,
		&packet.ClientAck{Destination: "example", ClientID: "1001", BatchID: -1},
	},
	{
		"rollback of one", "00 00 00 15 18 0c 2a 11 " + identity + " 18 02", false,
		&packet.ClientRollback{Destination: "example", ClientID: "1001", BatchID: 2},
	},
	{
		"unsubscription", "00 00 00 13 18 05 2a 0f " + identity, false,
		&packet.Unsub{Destination: "example", ClientID: "1001"},
	},
	{
		"not running here", `00 00 00 d7 10 01 18 03 2a d0 01 08 90 03 12 ca 01 73 6f 6d 65 74 68 69 6e 67 20 67 6f 65 73 20
77 72 6f 6e 67 20 77 69 74 68 20 63 68 61 6e 6e 65 6c 3a 20 5b 69 64 3a 20 30 78 30 62 61 64 63
61 66 65 2c 20 2f 31 30 2e 30 2e 30 2e 39 3a 35 30 30 30 30 20 3d 3e 20 2f 31 30 2e 30 2e 30 2e
31 3a 31 31 31 31 31 5d 2c 20 65 78 63 65 70 74 69 6f 6e 3a 20 63 6f 6d 2e 61 6c 69 62 61 62 61
2e 6f 74 74 65 72 2e 63 61 6e 61 6c 2e 73 65 72 76 65 72 2e 65 78 63 65 70 74 69 6f 6e 2e 43 61
6e 61 6c 53 65 72 76 65 72 45 78 63 65 70 74 69 6f 6e 3a 20 64 65 73 74 69 6e 61 74 69 6f 6e 3a
65 78 61 6d 70 6c 65 20 73 68 6f 75 6c 64 20 73 74 61 72 74 20 66 69 72 73 74 0a`, true,
		&packet.Ack{
			Code: packet.Some[int32](400), Message: "something goes wrong with channel: [id: 0x0badcafe, /10.0.0.9:50000 => /10.0.0.1:11111], " +
				"exception: com.alibaba.otter.canal.server.exception.CanalServerException: destination:example should start first\n",
		},
	},
	{
		"heartbeat refused", `00 00 00 33 10 01 18 03 2a 2d 08 90 03 12 28 70 61 63 6b 65 74 20 74 79 70 65 3a 20 48 45 41 52
54 42 45 41 54 20 69 73 20 4e 4f 54 20 73 75 70 70 6f 72 74 65 64 21`, true,
		&packet.Ack{Code: packet.Some[int32](400), Message: "packet type: HEARTBEAT is NOT supported!"},
	},
	{
		"client ack without id", `00 00 00 56 10 01 18 03 2a 50 08 92 03 12 4b 62 61 74 63 68 49 64 20 73 68 6f 75 6c 64 20 61 73
73 69 67 6e 20 76 61 6c 75 65 2e 20 41 63 6b 3a 20 64 65 73 74 69 6e 61 74 69 6f 6e 3a 20 22 65
78 61 6d 70 6c 65 22 0a 63 6c 69 65 6e 74 5f 69 64 3a 20 22 31 30 30 31 22 0a`, true,
		&packet.Ack{
			Code: packet.Some[int32](402), Message: "batchId should assign value. Ack: " +
				(&packet.ClientAck{Destination: "example", ClientID: "1001"}).Text(),
		},
	},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			frame := unhex(t, v.frame)
			got := packet.AppendRequest(nil, v.want)
			if v.server {
				got = packet.AppendReply(nil, v.want)
			}
			if !bytes.Equal(got, frame) {
				t.Errorf("encodes as\n%x, want\n%x", got, frame)
			}
			body, err := packet.ReadFrame(bytes.NewReader(frame), 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			var p packet.Packet
			if err := p.Decode(body); err != nil {
				t.Fatal(err)
			}
			if p.Type != v.want.Type() || p.Version.Set != v.server || p.Compression.Set {
				t.Errorf("envelope: %+v", p)
			}
			m := reflect.New(reflect.TypeOf(v.want).Elem()).Interface().(message)
			if err := m.Decode(p.Body); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(m, v.want) {
				t.Errorf("decodes as %+v, want %+v", m, v.want)
			}
		})
	}
}

func TestStoredMessages(t *testing.T) {
	frame := unhex(t, "00 00 00 cf 18 07 2a ca 01 08 01"+batchOne)
	items := unhex(t, batchOne)
	header, ok := packet.AppendMessagesHeader(nil, 1, int64(len(items)))
	if got := slices.Concat(header, items); !ok || !bytes.Equal(got, frame) {
		t.Fatalf("frame is\n%x, want\n%x", got, frame)
	}
	var p packet.Packet
	if err := p.Decode(frame[packet.HeaderBytes:]); err != nil {
		t.Fatal(err)
	}
	var m packet.Messages
	if err := m.Decode(p.Body); err != nil {
		t.Fatal(err)
	}
	if m.BatchID != 1 || len(m.Items) != 3 || len(m.Items[0]) != 50 || len(m.Items[1]) != 91 || len(m.Items[2]) != 53 {
		t.Fatalf("batch %d with %d items", m.BatchID, len(m.Items))
	}
	if got := m.Append(nil); !bytes.Equal(got, p.Body) {
		t.Errorf("encodes as %x, want %x", got, p.Body)
	}
}

func TestMessagesHeaderRefusesWhatDoesNotFit(t *testing.T) {
	for _, size := range []int64{-1, 1<<31 - 1, 1 << 31, 1 << 40} {
		if h, ok := packet.AppendMessagesHeader(nil, 1, size); ok || len(h) != 0 {
			t.Errorf("%d bytes of items accepted", size)
		}
	}
	if h, ok := packet.AppendMessagesHeader(nil, 1, 1<<31-1-10); !ok || h[0] != 0x7f {
		t.Errorf("the largest frame is refused: %x", h)
	}
}
