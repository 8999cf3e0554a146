package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/server"
)

func TestSeedsDiffer(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{}, newWorld(), nil)
	if a, b := s.dial(t), s.dial(t); bytes.Equal(a.seed, b.seed) {
		t.Errorf("two connections have the seed %x", a.seed)
	}
}

func TestAuthentication(t *testing.T) {
	t.Parallel()
	set := server.Config{User: "canal", PasswordHash: canalHash}
	anyUser := server.Config{PasswordHash: strings.ToUpper(canalHash)}
	for _, c := range []struct {
		name, user, password string
		cfg                  server.Config
		upper, ok            bool
	}{
		{"nothing configured, nothing sent", "", "", server.Config{}, false, true},
		{"nothing configured, token sent", "x", "y", server.Config{}, false, true},
		{"password configured, any user", "whoever", "canal", anyUser, false, true},
		{"password configured, wrong one", "whoever", "other", anyUser, false, false},
		{"both configured", "canal", "canal", set, false, true},
		{"token in upper case", "canal", "canal", set, true, true},
		{"other user", "other", "canal", set, false, false},
		{"wrong password", "canal", "other", set, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, c.cfg, newWorld(), nil)
			p := s.dial(t)
			token := packet.Token(c.password, p.seed)
			if c.upper {
				token = bytes.ToUpper(token)
			}
			p.ask(&packet.ClientAuth{Username: c.user, Password: token})
			if c.ok {
				p.wantOK()
				return
			}
			p.wantError(400, "auth failed for user:"+c.user)
			p.ask(&packet.ClientAuth{Username: "canal", Password: packet.Token("canal", p.seed)})
			p.wantOK()
		})
	}
}

func TestListenRefuses(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		name, text string
		cfg        server.Config
	}{
		{"user without password", "no password", server.Config{User: "canal"}},
		{"star", "without a star", server.Config{PasswordHash: "*" + canalHash}},
		{"not hex", "not hex", server.Config{PasswordHash: "zz" + canalHash[2:]}},
		{"short", "40 hex digits", server.Config{PasswordHash: canalHash[2:]}},
		{"port in use", "address already in use", server.Config{Addr: taken.Addr().String()}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.cfg.Addr == "" {
				c.cfg.Addr = "127.0.0.1:0"
			}
			s := server.New(c.cfg, newWorld().open, zap.NewNop(), nil)
			err := s.Listen()
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want one with %q", err, c.text)
			}
			if err != nil && strings.Contains(err.Error(), canalHash[2:]) {
				t.Errorf("the hash is shown: %v", err)
			}
			if s.Addr() != nil {
				t.Errorf("listens on %v", s.Addr())
			}
			if err := s.Run(t.Context()); err == nil {
				t.Error("runs without a listener")
			}
		})
	}
}

// The order of calls of the Java client 1.1.8, with its bytes.
func TestJavaClientFrames(t *testing.T) {
	const identity = "0a 07 65 78 61 6d 70 6c 65 12 04 31 30 30 31"
	in := [][]byte{
		unhex("00 00 00 0e 18 02 2a 0a 18 80 dd db 01 20 80 dd db 01"),                                                                // authentication
		unhex("00 00 00 13 18 0c 2a 0f" + identity),                                                                                   // rollback of all
		unhex("00 00 00 1d 18 04 2a 19" + identity + "3a 08 74 65 73 74 5c 2e 2e 2a"),                                                 // subscription
		unhex("00 00 00 25 18 06 2a 21" + identity + "18 e8 07 20 ff ff ff ff ff ff ff ff ff 01 28 02 30 00"),                         // get
		unhex("00 00 00 15 18 08 2a 11" + identity + "18 01"),                                                                         // ack 1
		unhex("00 00 00 2d 18 06 2a 29" + identity + "18 64 20 ff ff ff ff ff ff ff ff ff 01 28 ff ff ff ff ff ff ff ff ff 01 30 00"), // canal-go's get
		unhex("00 00 00 1e 18 08 2a 1a" + identity + "18 ff ff ff ff ff ff ff ff ff 01"),                                              // ack of the empty batch
		unhex("00 00 00 13 18 0c 2a 0f" + identity),                                                                                   // rollback of all
		unhex("00 00 00 13 18 05 2a 0f" + identity),                                                                                   // unsubscription
	}
	out := slices.Concat(okFrame, okFrame, unhex("00 00 00 0c 18 07 2a 08 08 01 12 01 61 12 01 62"), emptyFrame, okFrame)
	ways := map[string]func(p *peer){
		"one segment": func(p *peer) { p.send(in...) },
		"byte by byte": func(p *peer) {
			for _, b := range slices.Concat(in...) {
				p.send([]byte{b})
			}
		},
	}
	for name, send := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, server.Config{}, newWorld("example"), nil)
			s.w.put("example", "a", "b")
			p := s.dial(t)
			send(p)
			var got []byte
			for len(got) < len(out) {
				got = append(got, p.read()...)
			}
			if !bytes.Equal(got, out) {
				t.Errorf("answers are\n%x, want\n%x", got, out)
			}
			p.wantAlive()
			if f := s.w.filter("example"); f != `test\..*` {
				t.Errorf("filter is %q", f)
			}
		})
	}
}

func TestGetIsWoken(t *testing.T) {
	for _, c := range []struct {
		name string
		wake func(s *setup)
		want func(p *peer)
	}{
		{"by data", func(s *setup) { s.w.put("example", "a", "b") }, func(p *peer) { p.wantBatch(1, "a", "b") }},
		{"by the instance's stop", func(s *setup) { s.w.setRunning("example", false) }, func(p *peer) { p.wantNotRunning("example") }},
		{"by the server's stop", func(s *setup) { s.stop() }, func(p *peer) { p.wantClosed() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, server.Config{}, newWorld("example"), nil)
			p := s.subscribed(t)
			p.ask(get("example", "1001", 2, 0))
			q := s.login(t)
			q.wantAlive() // by now the get most likely waits; it must end either way
			c.wake(s)
			c.want(p)
		})
	}
}

func TestGetWithTimeoutReturnsWhatThereIs(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{}, newWorld("example"), nil)
	p := s.subscribed(t)
	s.w.put("example", "a")
	begin := time.Now()
	p.ask(get("example", "1001", 1000, 150))
	p.wantBatch(1, "a")
	if d := time.Since(begin); d < 140*time.Millisecond {
		t.Errorf("get returned after %s", d)
	}
	p.ask(&packet.Get{ // a timeout without unit is in nanoseconds
		Destination: "example", ClientID: "1001", FetchSize: 1000, Timeout: packet.Some[int64](1000_000_000),
		Unit: packet.Some[int32](0),
	})
	begin = time.Now()
	p.wantEmpty()
	if d := time.Since(begin); d < 900*time.Millisecond {
		t.Errorf("get returned after %s", d)
	}
}

// A peer that goes away while its get waits must not be handed a batch.
func TestPeerGoneDuringGet(t *testing.T) {
	for name, end := range map[string]func(p *peer){
		"closed":      func(p *peer) { p.nc.Close() },
		"half-closed": func(p *peer) { p.nc.CloseWrite() },
		"reset":       func(p *peer) { p.nc.SetLinger(0); p.nc.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := make(chan struct{})
			s := startServer(t, server.Config{}, newWorld("example"), &server.Observer{
				Closed: sync.OnceFunc(func() { close(closed) }),
			})
			p := s.subscribed(t)
			p.ask(get("example", "1001", 1, 0))
			end(p)
			select {
			case <-closed:
			case <-time.After(patience):
				t.Fatal("the get still waits")
			}
			s.w.put("example", "a")
			if n := s.w.batches("example", 1001); n != 0 {
				t.Errorf("%d batches for a peer that is gone", n)
			}
		})
	}
}

// canal-go and canal-php roll back and close at once.
func TestFramesBeforeTheEndAreExecuted(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{}, newWorld("example"), nil)
	s.w.put("example", "a", "b", "c")
	p := s.subscribed(t)
	for i := range 3 {
		p.get(1)
		p.wantBatch(int64(i+1), string(rune('a'+i)))
	}
	p.send(
		packet.AppendRequest(nil, ack("example", "1001", 1)),
		packet.AppendRequest(nil, rollback("example", "1001", 0)),
		packet.AppendRequest(nil, get("example", "1001", 1, -1)),
		packet.AppendRequest(nil, unsub("example", "1001")),
	)
	p.nc.Close()
	q := s.login(t)
	eventually(t, s.w, "rollback", func() bool { return s.w.batches("example", 1001) <= 1 })
	eventually(t, s.w, "unsubscription", func() bool {
		q.get(1)
		b := q.read()
		return bytes.Contains(b, []byte("should subscribe first"))
	})
}

func TestBatchesSurviveTheConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{}, newWorld("example"), nil)
	s.w.put("example", "a", "b")
	p := s.subscribed(t)
	p.get(1)
	p.wantBatch(1, "a")
	p.nc.Close()
	q := s.login(t)
	q.ask(ack("example", "1001", 1))
	q.get(1)
	q.wantBatch(2, "b")
}

func TestSeveralClients(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{}, newWorld("example", "other"), nil)
	s.w.put("example", "a", "b")
	p := s.subscribed(t)
	p.ask(sub("example", "7", "")) // identity belongs to the request
	p.wantOK()
	p.get(2)
	p.wantBatch(1, "a", "b")
	p.ask(get("example", "7", 1, -1))
	p.wantBatch(1, "a")
	p.ask(sub("other", "1001", ""))
	p.wantOK()
	p.ask(get("other", "1001", 1, -1))
	p.wantEmpty()

	// A second connection of the same client takes its batches away.
	q := s.subscribed(t)
	q.ask(rollback("example", "1001", 0))
	q.get(2)
	q.wantBatch(2, "a", "b")
	p.ask(ack("example", "1001", 1))
	p.get(1)
	p.wantException(serverException, "ack error , clientId:1001 batchId:1 is not exist , please check")
}

// A client that loops through a reload of the instance keeps its connection.
func TestReloadUnderALoopingClient(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{}, newWorld("example"), nil)
	p := s.subscribed(t)
	for range 3 {
		s.w.setRunning("example", false)
		p.get(1)
		p.wantNotRunning("example")
		p.ask(rollback("example", "1001", 0))
		s.w.setRunning("example", true)
		p.get(1)
		p.wantEmpty()
	}
}

func TestIdle(t *testing.T) {
	for _, c := range []struct {
		name        string
		read, write int32
		acks        bool
	}{
		{"nothing received", 150, 0, false},
		{"nothing written", 0, 150, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, server.Config{}, newWorld("example"), nil)
			p := s.dial(t)
			p.ask(&packet.ClientAuth{NetReadTimeout: packet.Some(c.read), NetWriteTimeout: packet.Some(c.write)})
			p.wantOK()
			begin := time.Now()
			if c.acks { // they have no answer, so nothing is written
				ctx, cancel := context.WithCancel(t.Context())
				var acks sync.WaitGroup
				defer acks.Wait()
				defer cancel()
				acks.Go(func() {
					for ctx.Err() == nil {
						if _, err := p.nc.Write(packet.AppendRequest(nil, ack("example", "1001", -1))); err != nil {
							return
						}
						time.Sleep(10 * time.Millisecond)
					}
				})
			}
			p.wantClosed()
			if d := time.Since(begin); d < 140*time.Millisecond {
				t.Errorf("closed after %s", d)
			}
		})
	}
}

func TestPanicEndsOneConnection(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{}, newWorld("example"), nil)
	good, p := s.subscribed(t), s.login(t)
	p.ask(sub("panics", "1001", ""))
	p.wantClosed()
	good.wantAlive()
}

func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{MaxConnections: 2}, newWorld("example"), nil)
	a, b := s.login(t), s.login(t)
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	(&peer{t: t, nc: nc.(*net.TCPConn)}).wantClosed()
	a.wantAlive()
	b.nc.Close()
	eventually(t, s.w, "a free place", func() bool {
		nc, err := net.Dial("tcp", s.addr)
		if err != nil {
			return false
		}
		defer nc.Close()
		n, _ := nc.Read(make([]byte, 20))
		return n == 20
	})
}

func TestFrameMemoryIsShared(t *testing.T) {
	t.Parallel()
	s := startServer(t, server.Config{PreAuthMemoryBytes: 1 << 20, FrameTimeout: time.Minute}, newWorld("example"), nil)
	good := s.login(t)
	var closed atomic.Int32
	var peers sync.WaitGroup
	for range 8 {
		p := s.dial(t)
		peers.Go(func() {
			p.nc.Write(unhex("00 0f ff ff"))
			p.nc.Write(make([]byte, 600<<10)) // needs a buffer of most of a MiB
			p.nc.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			if _, err := p.nc.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
				closed.Add(1)
			}
		})
	}
	peers.Wait()
	if n := closed.Load(); n < 7 {
		t.Errorf("%d of 8 were closed", n)
	}
	good.wantAlive()
	s.login(t).wantAlive()
}

func isTimeout(err error) bool {
	var ne net.Error
	ok := errors.As(err, &ne)
	return ok && ne.Timeout()
}

func TestShutdownBoundsARequest(t *testing.T) {
	t.Parallel()
	w := newWorld("example")
	stuck := make(chan struct{})
	s := startServer(t, server.Config{ShutdownTimeout: 100 * time.Millisecond, WriteTimeout: time.Hour}, w, &server.Observer{
		Request: func(r server.Request) {
			if r.Type == packet.TypeSub {
				close(stuck)
			}
		},
	})
	p := s.subscribed(t)
	<-stuck
	w.put("example", strings.Repeat("x", 24<<20))
	p.get(1)
	eventually(t, w, "a batch", func() bool { return w.batches("example", 1001) == 1 })
	begin := time.Now()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("stopping took %s", d)
	}
}

func TestObserver(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	s := startServer(t, server.Config{}, newWorld("example"), &server.Observer{Request: func(r server.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf("%s %s %d %d empty=%t deferred=%t", r.Type, r.Destination, r.Code, r.Bytes, r.Empty, r.Deferred))
	}})
	p := s.subscribed(t)
	s.w.put("example", "abc")
	p.get(1)
	p.wantBatch(1, "abc")
	p.ask(ack("example", "1001", 1))
	p.ask(ack("example", "1001", -1))
	p.get(1)
	p.wantEmpty()
	p.ask(ack("example", "1001", 0))
	p.get(1)
	b := p.read()
	p.ask(rollback("example", "1001", 0))
	p.wantAlive()
	want := []string{
		"SUBSCRIPTION example 0 8 empty=false deferred=false",
		"GET example 0 15 empty=false deferred=false",
		"CLIENTACK example 0 4 empty=false deferred=false",
		"GET example 0 21 empty=true deferred=false",
		"CLIENTACK example 402 4 empty=false deferred=false",
		fmt.Sprintf("GET  402 %d empty=false deferred=true", len(b)),
		"CLIENTROLLBACK example 0 4 empty=false deferred=false",
		"HEARTBEAT  400 55 empty=false deferred=false",
	}
	mu.Lock()
	defer mu.Unlock()
	// the last one is noted after its answer was written
	if !slices.Equal(got, want) && !slices.Equal(got, want[:len(want)-1]) {
		t.Errorf("observed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A destination that starts when it is asked for answers the first subscription;
// no other request asks.
func TestWake(t *testing.T) {
	t.Parallel()
	w := newWorld("example")
	var woken atomic.Int64
	s := startServer(t, server.Config{Wake: func(_ context.Context, destination string) {
		if destination == "example" {
			woken.Add(1)
			w.setRunning("example", true)
		}
	}}, w, nil)
	w.setRunning("example", false)
	p := s.login(t)
	p.get(1)
	p.wantNotRunning("example")
	if n := woken.Load(); n != 0 {
		t.Errorf("a get asked for it %d times", n)
	}
	p.ask(sub("example", "1001", ""))
	p.wantOK()
	if n := woken.Load(); n != 1 {
		t.Errorf("it was asked for %d times", n)
	}
}
