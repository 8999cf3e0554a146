package tail_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client"
	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/tail"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeCanal answers as a Canal server does. It notes what it is asked.
type fakeCanal struct {
	addr   string
	shared bool     // answers a rollback for a destination that it does not run
	items  [][]byte // of the first batch; the others are empty
	drop   bool     // the connection of the first get

	mu    sync.Mutex
	asked []string
}

func startFake(t *testing.T, f *fakeCanal) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				f.serve(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
}

func (f *fakeCanal) note(s string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, s)
	n := 0
	for _, a := range f.asked {
		if a == s {
			n++
		}
	}
	return n
}

func (f *fakeCanal) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeCanal) serve(c net.Conn) {
	r := bufio.NewReader(c)
	reply := func(m packet.Message) { _, _ = c.Write(packet.AppendReply(nil, m)) }
	refuse := func(code int32) { reply(&packet.Ack{Code: packet.Some(code), Message: "no"}) }
	reply(&packet.Handshake{Seed: []byte("12345678")})
	for {
		raw, err := packet.ReadFrame(r, 1<<20)
		if err != nil {
			return
		}
		var p packet.Packet
		if p.Decode(raw) != nil {
			return
		}
		switch p.Type {
		case packet.TypeClientAuth, packet.TypeSub:
			if p.Type == packet.TypeSub {
				f.note("sub")
			}
			reply(&packet.Ack{})
		case packet.TypeClientRollback:
			var m packet.ClientRollback
			if m.Decode(p.Body) != nil {
				return
			}
			switch {
			case m.Destination == "example":
				f.note("rollback")
			case f.shared:
				refuse(400)
			}
		case packet.TypeUnsub:
			var m packet.Unsub
			if m.Decode(p.Body) != nil {
				return
			}
			if m.Destination == "" {
				refuse(401)
				continue
			}
			f.note("unsub")
			reply(&packet.Ack{})
		case packet.TypeGet:
			if n := f.note("get"); f.drop && n == 1 {
				return
			} else if !f.drop && n == 1 || f.drop && n == 2 {
				reply(&packet.Messages{BatchID: 1, Items: f.items})
				continue
			}
			time.Sleep(time.Millisecond)
			reply(&packet.Messages{BatchID: -1})
		case packet.TypeClientAck:
			f.note("ack")
		default:
			return
		}
	}
}

func items(t *testing.T, n int) [][]byte {
	t.Helper()
	r := &canalpb.RowData{AfterColumns: []*canalpb.Column{column(0, "id", "int", "7")}}
	raw, err := proto.Marshal(entry(t, canalpb.EventType_INSERT, r))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Repeat([][]byte{raw}, n)
}

// brokenPipe is an output whose reader has gone.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestCanal(t *testing.T) {
	for _, c := range []struct {
		name   string
		fake   *fakeCanal
		id     int16
		noAck  bool
		out    io.Writer
		err    error
		asked  string // without the gets
		spoken string
		rows   int
	}{
		{name: "own place", fake: &fakeCanal{}, id: 1002, rows: 2, asked: "sub rollback ack unsub"},
		{name: "shared", fake: &fakeCanal{shared: true}, id: 1002, err: tail.ErrSharedStore},
		{name: "shared, nothing acknowledged", fake: &fakeCanal{shared: true}, id: 1002, noAck: true, rows: 2, asked: "sub rollback rollback unsub"},
		{name: "the client's own id", fake: &fakeCanal{}, id: 1001, err: tail.ErrClientsOwn},
		{name: "reader gone", fake: &fakeCanal{}, id: 1002, out: brokenPipe{}, err: syscall.EPIPE, rows: 2, asked: "sub rollback unsub"},
		{name: "connection lost", fake: &fakeCanal{drop: true}, id: 1002, rows: 2, asked: "sub rollback sub rollback ack unsub", spoken: "server is back"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.fake.items = items(t, 3)
			startFake(t, c.fake)
			var b bytes.Buffer
			if c.out == nil {
				c.out = &b
			}
			var spoken strings.Builder
			p := &tail.Printer{W: c.out, Most: 2}
			err := tail.Canal(t.Context(), client.Options{Addr: c.fake.addr, Destination: "example", ClientID: c.id},
				tail.CanalOptions{NoAck: c.noAck, Say: func(s string) { spoken.WriteString(s + "\n") }}, p)
			if !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
			asked := slices.DeleteFunc(c.fake.log(), func(s string) bool { return s == "get" })
			if got := strings.Join(asked, " "); got != c.asked {
				t.Errorf("asked %q, want %q", got, c.asked)
			}
			if p.Rows != c.rows || !strings.Contains(spoken.String(), c.spoken) {
				t.Errorf("%d rows, said %q", p.Rows, &spoken)
			}
			if c.out == &b && strings.Count(b.String(), "\n") != c.rows {
				t.Errorf("printed %q", &b)
			}
		})
	}
}

// TestCanalEnds: the end of the context is no error, and holds nothing at the
// server although it cuts a get short.
func TestCanalEnds(t *testing.T) {
	f := &fakeCanal{items: items(t, 1)}
	startFake(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	p := &tail.Printer{W: writer(func([]byte) { cancel() })}
	if err := tail.Canal(ctx, client.Options{Addr: f.addr, Destination: "example", ClientID: 7}, tail.CanalOptions{Say: func(string) {}}, p); err != nil {
		t.Error(err)
	}
	if asked := f.log(); asked[len(asked)-1] != "unsub" {
		t.Errorf("asked %q", asked)
	}
}

type writer func(b []byte)

func (w writer) Write(b []byte) (int, error) {
	w(b)
	return len(b), nil
}

// TestCanalNobody: a server that is none is an error at once.
func TestCanalNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	err = tail.Canal(t.Context(), client.Options{Addr: addr, Destination: "example", ClientID: 7}, tail.CanalOptions{Say: func(string) {}}, &tail.Printer{W: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}
