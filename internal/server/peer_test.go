package server_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/server"
)

const patience = 10 * time.Second

type setup struct {
	w    *world
	addr string
	stop func() error // ends the server and waits for it
}

func startServer(t *testing.T, cfg server.Config, w *world, obs *server.Observer) *setup {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	s := server.New(cfg, w.open, zap.NewNop(), obs)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("run: %v", err)
		}
		if n := w.unreleased(); n != 0 {
			t.Errorf("%d batches were not released", n)
		}
	})
	return &setup{w, s.Addr().String(), stop}
}

// peer is a client that sends what it is told.
type peer struct {
	t    *testing.T
	nc   *net.TCPConn
	seed []byte
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		panic(err)
	}
	return b
}

// dial connects and reads the handshake.
func (s *setup) dial(t *testing.T) *peer {
	t.Helper()
	nc, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, nc: nc.(*net.TCPConn)}
	t.Cleanup(func() { nc.Close() })
	h := p.read()
	if len(h) != 20 || !bytes.Equal(h[:12], unhex("00 00 00 10 10 01 18 01 2a 0a 12 08")) {
		t.Fatalf("handshake is %x", h)
	}
	p.seed = h[12:]
	return p
}

// login connects and authenticates with timeouts of an hour.
func (s *setup) login(t *testing.T) *peer {
	t.Helper()
	p := s.dial(t)
	p.send(unhex("00 00 00 0e 18 02 2a 0a 18 80 dd db 01 20 80 dd db 01"))
	p.wantOK()
	return p
}

// subscribed is a login of client 1001 that has subscribed to example.
func (s *setup) subscribed(t *testing.T) *peer {
	t.Helper()
	p := s.login(t)
	p.ask(sub("example", "1001", ""))
	p.wantOK()
	return p
}

func (p *peer) send(b ...[]byte) {
	p.t.Helper()
	if _, err := p.nc.Write(bytes.Join(b, nil)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) ask(m packet.Message) {
	p.t.Helper()
	p.send(packet.AppendRequest(nil, m))
}

// read returns a whole frame with its length.
func (p *peer) read() []byte {
	p.t.Helper()
	p.nc.SetReadDeadline(time.Now().Add(patience))
	b, err := packet.ReadFrame(p.nc, 1<<30)
	if err != nil {
		p.t.Fatalf("no answer: %v", err)
	}
	n := len(b)
	return append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, b...)
}

var okFrame = unhex("00 00 00 04 10 01 18 03")

func (p *peer) wantOK() {
	p.t.Helper()
	if b := p.read(); !bytes.Equal(b, okFrame) {
		p.t.Fatalf("answer is %q, want success", b)
	}
}

func (p *peer) wantError(code int32, text string) {
	p.t.Helper()
	want := packet.AppendReply(nil, &packet.Ack{Code: packet.Some(code), Message: text})
	if b := p.read(); !bytes.Equal(b, want) {
		p.t.Fatalf("answer is\n%q, want\n%q", b, want)
	}
}

// wantException expects the text of a Java exception.
func (p *peer) wantException(class, message string) {
	p.t.Helper()
	if got, want := p.exception(), class+": "+message+"\n"; got != want {
		p.t.Fatalf("exception is\n%q, want\n%q", got, want)
	}
}

const serverException = "com.alibaba.otter.canal.server.exception.CanalServerException"

// exception reads an exception's text, without what names the connection.
func (p *peer) exception() string {
	p.t.Helper()
	var env packet.Packet
	var a packet.Ack
	if err := env.Decode(p.read()[packet.HeaderBytes:]); err != nil {
		p.t.Fatal(err)
	}
	if err := a.Decode(env.Body); err != nil || env.Type != packet.TypeAck || a.Code.Value != 400 {
		p.t.Fatalf("answer is %s %+v (%v), want an ack with code 400", env.Type, a, err)
	}
	const begin = "something goes wrong with channel: [id: 0x"
	text, ok := strings.CutPrefix(a.Message, begin)
	if !ok || len(text) < 8 || strings.Trim(text[:8], "0123456789abcdef") != "" {
		p.t.Fatalf("text is %q", a.Message)
	}
	text, ok = strings.CutPrefix(text[8:], ", /"+p.nc.LocalAddr().String()+" => /"+p.nc.RemoteAddr().String()+"], exception: ")
	if !ok {
		p.t.Fatalf("text is %q", a.Message)
	}
	return text
}

func (p *peer) wantNotRunning(destination string) {
	p.t.Helper()
	p.wantException(serverException, "destination:"+destination+" should start first")
}

var emptyFrame = unhex("00 00 00 11 10 01 18 07 2a 0b 08 ff ff ff ff ff ff ff ff ff 01")

func (p *peer) wantEmpty() {
	p.t.Helper()
	if b := p.read(); !bytes.Equal(b, emptyFrame) {
		p.t.Fatalf("answer is %q, want an empty batch", b)
	}
}

func (p *peer) wantBatch(id int64, entries ...string) {
	p.t.Helper()
	m := &packet.Messages{BatchID: id}
	for _, e := range entries {
		m.Items = append(m.Items, []byte(e))
	}
	if b, want := p.read(), packet.AppendRequest(nil, m); !bytes.Equal(b, want) {
		p.t.Fatalf("answer is\n%q, want\n%q", b, want)
	}
}

// wantClosed expects the end of the connection and no byte before it.
func (p *peer) wantClosed() {
	p.t.Helper()
	p.nc.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(p.nc)
	if len(b) != 0 {
		p.t.Fatalf("answer is %q, want the end", b)
	}
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("connection is open: %v", err)
	}
}

// wantAlive checks that the stream is in step: an unsupported packet gets its answer.
func (p *peer) wantAlive() {
	p.t.Helper()
	p.send(unhex("00 00 00 02 18 0b"))
	p.wantError(400, "packet type: HEARTBEAT is NOT supported!")
}

func sub(d, id, filter string) *packet.Sub {
	return &packet.Sub{Destination: d, ClientID: id, Filter: filter}
}
func unsub(d, id string) *packet.Unsub { return &packet.Unsub{Destination: d, ClientID: id} }
func ack(d, id string, n int64) *packet.ClientAck {
	return &packet.ClientAck{Destination: d, ClientID: id, BatchID: n}
}

func rollback(d, id string, n int64) *packet.ClientRollback {
	return &packet.ClientRollback{Destination: d, ClientID: id, BatchID: n}
}

// get asks with a timeout in milliseconds, -1 not to wait, 0 without limit.
func get(d, id string, size int32, timeout int64) *packet.Get {
	return &packet.Get{
		Destination: d, ClientID: id, FetchSize: size, Timeout: packet.Some(timeout), Unit: packet.Some[int32](2), AutoAck: packet.Some(false),
	}
}

func (p *peer) get(size int32) { p.t.Helper(); p.ask(get("example", "1001", size, -1)) }

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, w *world, what string, cond func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := w.until(ctx, cond); err != nil {
		t.Fatalf("%s did not happen", what)
	}
}
