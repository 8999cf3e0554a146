package packet_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/canald/canald/internal/packet"
)

func TestTypeNames(t *testing.T) {
	for typ, want := range map[packet.Type]string{
		0: "PACKAGETYPECOMPATIBLEPROTO2", 1: "HANDSHAKE", 2: "CLIENTAUTHENTICATION", 9: "SHUTDOWN", 10: "DUMP",
		11: "HEARTBEAT", 12: "CLIENTROLLBACK", 13: "UNRECOGNIZED", -1: "UNRECOGNIZED", math.MinInt32: "UNRECOGNIZED",
	} {
		if got := typ.String(); got != want {
			t.Errorf("%d is %s, want %s", int32(typ), got, want)
		}
	}
}

func TestWait(t *testing.T) {
	type opt64 = packet.Optional[int64]
	type opt32 = packet.Optional[int32]
	some := packet.Some[int64]
	for _, c := range []struct {
		name    string
		timeout opt64
		unit    opt32
		want    time.Duration
	}{
		{"-1 does not wait", some(-1), packet.Some[int32](2), 0},
		{"-1 does not wait in any unit", some(-1), packet.Some[int32](6), 0},
		{"absent has no limit", opt64{}, packet.Some[int32](2), packet.Forever},
		{"0 has no limit", some(0), packet.Some[int32](2), packet.Forever},
		{"-2 has no limit", some(-2), packet.Some[int32](2), packet.Forever},
		{"unit absent is nanoseconds", some(5), opt32{}, 5},
		{"microseconds", some(5), packet.Some[int32](1), 5 * time.Microsecond},
		{"milliseconds", some(5), packet.Some[int32](2), 5 * time.Millisecond},
		{"seconds", some(5), packet.Some[int32](3), 5 * time.Second},
		{"minutes", some(5), packet.Some[int32](4), 5 * time.Minute},
		{"hours", some(5), packet.Some[int32](5), 5 * time.Hour},
		{"days", some(5), packet.Some[int32](6), 120 * time.Hour},
		{"unit -1 is milliseconds", some(5), packet.Some[int32](-1), 5 * time.Millisecond},
		{"unit 7 is milliseconds", some(5), packet.Some[int32](7), 5 * time.Millisecond},
		{"too long to count", some(math.MaxInt64), packet.Some[int32](6), math.MaxInt64},
		{"just too long to count", some(math.MaxInt64/int64(time.Hour) + 1), packet.Some[int32](5), math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := packet.Get{Timeout: c.timeout, Unit: c.unit}
			if got := m.Wait(); got != c.want {
				t.Errorf("wait is %d, want %d", got, c.want)
			}
		})
	}
}

func TestText(t *testing.T) {
	get := &packet.Get{
		ClientID: "a\"b\\\n\x01é", FetchSize: -3, Timeout: packet.Some[int64](0), Unit: packet.Some[int32](2), AutoAck: packet.Some(false),
	}
	const want = `client_id: "a\"b\\\n\001\303\251"
fetch_size: -3
timeout: 0
unit: 2
auto_ack: false
`
	if got := get.Text(); got != want {
		t.Errorf("text is\n%s, want\n%s", got, want)
	}
	if got := (&packet.Sub{}).Text(); got != "" {
		t.Errorf("empty message has text %q", got)
	}
}

func TestToken(t *testing.T) {
	seed := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	for _, c := range []struct{ password, stored, token string }{
		{"canal", "e3619321c1a937c46a0d8bd1dac39f93b27d4458", "7de44690d8e53782cb61804a2455c284a3bbfb06"},
		{"admin", "4acfe3202a5ff5cf467898fc58aab1d615029441", "7442e41a86c87ea818a7b90f671b334eeea8be84"},
		{"", "be1bdec0aa74b4dcb079943e70528096cca985f8", "ed26d729f84a104ddef91f5ba7b5174f537fad40"},
	} {
		t.Run("password "+c.password, func(t *testing.T) {
			token := packet.Token(c.password, seed)
			if string(token) != c.token {
				t.Errorf("token %s, want %s", token, c.token)
			}
			var stored [20]byte
			copy(stored[:], unhex(t, c.stored))
			for name, ok := range map[string]bool{
				string(token): true, strings.ToUpper(string(token)): true, string(token[:39]): false,
				string(token) + "00": false, "": false, "zz" + string(token[2:]): false, "00" + string(token[2:]): false,
			} {
				if got := packet.CheckToken([]byte(name), seed, stored); got != ok {
					t.Errorf("token %q accepted: %t", name, got)
				}
			}
			if packet.CheckToken(token, []byte{1, 2, 3, 4, 5, 6, 7, 9}, stored) {
				t.Error("token accepted with another seed")
			}
		})
	}
}

func TestTokenWithoutLeadingZero(t *testing.T) {
	var stored [20]byte
	copy(stored[:], unhex(t, "e3619321c1a937c46a0d8bd1dac39f93b27d4458"))
	for i := range 1 << 12 {
		seed := []byte{byte(i), byte(i >> 8)}
		token := packet.Token("canal", seed)
		if token[0] != '0' {
			continue
		}
		if !packet.CheckToken(token[1:], seed, stored) {
			t.Errorf("token %s refused without its leading zero", token)
		}
		return
	}
	t.Fatal("no token with a leading zero found")
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		m    interface{ Decode([]byte) error }
		body string
		text string
	}{
		{"destination not UTF-8", &packet.Get{}, "0a 02 c3 28", "get: field at byte 0: invalid UTF-8"},
		{"filter not UTF-8", &packet.Sub{}, identity + "3a 01 ff", "subscription: field at byte 15: invalid UTF-8"},
		{"user not UTF-8", &packet.ClientAuth{}, "0a 01 ff", "client authentication: field at byte 0: invalid UTF-8"},
		{"truncated string", &packet.Unsub{}, "0a 05 61", "unsubscription: field at byte 0: unexpected EOF"},
		{"truncated number", &packet.ClientAck{}, "18 ff", "client ack: field at byte 0: unexpected EOF"},
		{"endless number", &packet.ClientRollback{}, "18 ff ff ff ff ff ff ff ff ff ff 01", "client rollback: field at byte 0: variable length integer overflow"},
		{"field number 0", &packet.Packet{}, "00 01", "packet: field at byte 0: invalid field number"},
		{"end of a group that never began", &packet.Packet{}, "18 06 0c", "packet: field at byte 2: mismatching end group marker"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.m.Decode(unhex(t, c.body))
			if err == nil {
				t.Fatal("accepted")
			}
			// protobuf puts a no-break space into some of its texts
			if got := strings.ReplaceAll(err.Error(), "\u00a0", " "); !strings.HasPrefix(got, strings.SplitN(c.text, ": ", 3)[0]) || !strings.HasSuffix(got, c.text[strings.LastIndex(c.text, ": ")+2:]) {
				t.Errorf("error %q, want %q", got, c.text)
			}
		})
	}
}

func TestDecodeIgnores(t *testing.T) {
	for _, c := range []struct{ name, extra string }{
		{"unknown number", "78 05"},
		{"unknown bytes", "7a 01 ff"},
		{"unknown fixed", "79 01 02 03 04 05 06 07 08 7d 01 02 03 04"},
		{"unknown group", "7b 08 01 7c"},
		{"known number with another type", "08 05"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m packet.ClientAck
			if err := m.Decode(unhex(t, c.extra+identity+c.extra+"18 07")); err != nil {
				t.Fatal(err)
			}
			if m != (packet.ClientAck{Destination: "example", ClientID: "1001", BatchID: 7}) {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func TestReadFrame(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 10_000)
	frame := func(b []byte) []byte {
		return append([]byte{byte(len(b) >> 24), byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
	}
	for _, c := range []struct {
		name string
		in   []byte
		want []byte
		err  error
	}{
		{"empty", frame(nil), nil, nil},
		{"small", frame([]byte("abc")), []byte("abc"), nil},
		{"larger than a chunk", frame(big), big, nil},
		{"at the limit", frame(append(big, make([]byte, 1<<18-len(big))...)), append(big, make([]byte, 1<<18-len(big))...), nil},
		{"beyond the limit", []byte{0, 4, 0, 1}, nil, packet.ErrFrameTooLarge},
		{"2 GiB", []byte{0x7f, 0xff, 0xff, 0xff}, nil, packet.ErrFrameTooLarge},
		{"negative", []byte{0x80, 0, 0, 0}, nil, packet.ErrFrameNegative},
		{"minus one", []byte{0xff, 0xff, 0xff, 0xff}, nil, packet.ErrFrameNegative},
		{"nothing", nil, nil, io.EOF},
		{"half a length", []byte{0, 0}, nil, io.ErrUnexpectedEOF},
		{"no body", []byte{0, 0, 0, 5}, nil, io.ErrUnexpectedEOF},
		{"half a body", []byte{0, 0, 0, 5, 1}, nil, io.ErrUnexpectedEOF},
		{"half a large body", frame(big)[:5000], nil, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			for way, r := range map[string]io.Reader{
				"at once": bytes.NewReader(c.in), "byte by byte": iotest.OneByteReader(bytes.NewReader(c.in)),
			} {
				got, err := packet.ReadFrame(r, 1<<18)
				if !errors.Is(err, c.err) || !bytes.Equal(got, c.want) {
					t.Errorf("%s: %d bytes, error %v; want %d bytes, error %v", way, len(got), err, len(c.want), c.err)
				}
			}
		})
	}
}

func TestAnnouncedSizeIsNotAllocated(t *testing.T) {
	reserved := 0
	n := testing.AllocsPerRun(1, func() {
		_, err := packet.ReadBody(bytes.NewReader(make([]byte, 5000)), 1<<30, func(n int) bool {
			reserved += n
			return reserved < 1<<20
		})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("error %v", err)
		}
	})
	if reserved > 2*4096 {
		t.Errorf("5000 bytes of a frame reserved %d (%v allocations)", reserved, n)
	}
	_, err := packet.ReadBody(bytes.NewReader(make([]byte, 5000)), 1<<30, func(int) bool { return false })
	if !errors.Is(err, packet.ErrFrameMemory) {
		t.Errorf("refused memory gives %v", err)
	}
	total := 0
	if _, err := packet.ReadBody(bytes.NewReader(make([]byte, 70_000)), 70_000, func(n int) bool { total += n; return true }); err != nil || total != packet.Reserved(70_000) {
		t.Errorf("reserved %d of %d, error %v", total, packet.Reserved(70_000), err)
	}
}

// fuzzDecoder checks that whatever decodes, encodes to something that decodes to the same.
func fuzzDecoder(f *testing.F, fresh func() message) {
	for _, v := range vectors {
		var p packet.Packet
		if err := p.Decode(unhex(f, v.frame)[packet.HeaderBytes:]); err != nil {
			f.Fatal(err)
		}
		f.Add(p.Body)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := fresh()
		if m.Decode(b) != nil {
			return
		}
		if x, ok := m.(interface{ Text() string }); ok {
			_ = x.Text()
		}
		enc := m.Append(nil)
		again := fresh()
		if err := again.Decode(enc); err != nil {
			t.Fatalf("%+v encodes to %s, which does not decode: %v", m, hex.EncodeToString(enc), err)
		}
		if !bytes.Equal(again.Append(nil), enc) {
			t.Fatalf("%+v became %+v", m, again)
		}
	})
}

func FuzzHandshake(f *testing.F)  { fuzzDecoder(f, func() message { return &packet.Handshake{} }) }
func FuzzClientAuth(f *testing.F) { fuzzDecoder(f, func() message { return &packet.ClientAuth{} }) }
func FuzzAck(f *testing.F)        { fuzzDecoder(f, func() message { return &packet.Ack{} }) }
func FuzzSub(f *testing.F)        { fuzzDecoder(f, func() message { return &packet.Sub{} }) }
func FuzzUnsub(f *testing.F)      { fuzzDecoder(f, func() message { return &packet.Unsub{} }) }
func FuzzGet(f *testing.F)        { fuzzDecoder(f, func() message { return &packet.Get{} }) }
func FuzzMessages(f *testing.F)   { fuzzDecoder(f, func() message { return &packet.Messages{} }) }
func FuzzClientAck(f *testing.F)  { fuzzDecoder(f, func() message { return &packet.ClientAck{} }) }
func FuzzClientRollback(f *testing.F) {
	fuzzDecoder(f, func() message { return &packet.ClientRollback{} })
}

func FuzzFrame(f *testing.F) {
	for _, v := range vectors {
		f.Add(unhex(f, v.frame))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		body, err := packet.ReadFrame(bytes.NewReader(b), 1<<16)
		if err != nil {
			return
		}
		if !bytes.Equal(body, b[packet.HeaderBytes:packet.HeaderBytes+len(body)]) {
			t.Fatal("body is not what was sent")
		}
		var p packet.Packet
		if p.Decode(body) != nil {
			return
		}
		var again packet.Packet
		if err := again.Decode(p.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if again.Type != p.Type || again.Version != p.Version || again.Compression != p.Compression || !bytes.Equal(again.Body, p.Body) {
			t.Fatalf("%+v became %+v", p, again)
		}
	})
}
