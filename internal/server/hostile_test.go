package server_test

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/canald/canald/internal/server"
)

// Two thousand connections that do what is bad for a server, beside a client
// that consumes.
func TestHostileConnections(t *testing.T) {
	const hostile = 2000
	core, logs := observer.New(zapcore.WarnLevel)
	w := newWorld("example")
	s := server.New(server.Config{Addr: "127.0.0.1:0", PreAuthTimeout: 20 * time.Second}, w.open, zap.New(core), nil)
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	set := &setup{w: w, addr: s.Addr().String()}

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)

	attacks := [][]byte{
		nil,                           // says nothing
		unhex("00 0f ff ff 18 02"),    // announces a MiB
		unhex("00 00"),                // stops within a length
		unhex("7f ff ff ff"),          // two GiB
		unhex("ff ff ff ff"),          // negative
		unhex("00 00 00 03 18 06 0c"), // no packet
		bytes.Repeat(unhex("00 00 00 02 18 06"), 8),         // not authenticated
		append(unhex("00 00 20 00"), make([]byte, 6000)...), // most of a frame
	}
	stop := make(chan struct{})
	var worst time.Duration
	var rounds int
	var good sync.WaitGroup
	p := set.subscribed(t)
	good.Go(func() {
		for id := int64(1); ; id++ {
			select {
			case <-stop:
				return
			default:
			}
			begin := time.Now()
			w.put("example", "a")
			p.get(1)
			p.wantBatch(id, "a")
			p.ask(ack("example", "1001", id))
			worst = max(worst, time.Since(begin))
			rounds++
			time.Sleep(time.Millisecond)
		}
	})
	conns := make([]net.Conn, 0, hostile)
	for i := range hostile {
		nc, err := net.Dial("tcp", set.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, nc)
		nc.Write(attacks[i%len(attacks)])
	}
	set.dial(t) // all before it are accepted
	runtime.GC()
	runtime.ReadMemStats(&after)
	close(stop)
	good.Wait()
	for _, nc := range conns {
		nc.Close()
	}
	used := (int64(after.HeapInuse+after.StackInuse) - int64(before.HeapInuse+before.StackInuse)) >> 20
	t.Logf("%d hostile connections: %d MiB, %d rounds of the good client, longest %s, %d log lines", hostile, used, rounds, worst, logs.Len())
	if worst > 2*time.Second {
		t.Errorf("the good client stalled for %s", worst)
	}
	if used > 100 {
		t.Errorf("memory grew by %d MiB", used)
	}
	if n := logs.Len(); n == 0 || n > 100 {
		t.Errorf("%d log lines", n)
	}
}
