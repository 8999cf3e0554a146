// Package server speaks Canal's client protocol over TCP: it accepts
// connections, authenticates them, and turns their packets into calls on the
// sessions that the program opens for it. It knows neither instances nor what
// lies behind a session.
//
// Goroutines: Run owns the accept loop. Each connection has two: a reader that
// takes frames from the socket, a bounded number ahead, and so notices the
// peer's end while a request is served; and one that executes the frames in
// their order and writes the answers. All of them are gone when Run returns.
package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/store"
)

// ErrNotRunning is returned by the open function of New and by the calls of a
// Session when this server does not run the destination, for whatever reason:
// unknown, standby, stopped. Clients are told to try elsewhere.
var ErrNotRunning = errors.New("destination is not running here")

// Forever is the wait of a Get without limit.
const Forever = packet.Forever

// Session is one client id's view of one running destination. It is asked for
// anew by each request and may be used by several connections at a time. Its
// errors are ErrNotRunning, store.ErrClosed, store.ErrUnknownBatch,
// *store.NotFirstError, meta.ErrNotSubscribed, and any other, whose text is
// shown to the client.
type Session interface {
	// Subscribe records the subscription; a filter that is not empty replaces
	// the instance's. Nothing is recorded when it returns an error.
	Subscribe(ctx context.Context, filter string) error
	// Unsubscribe removes the subscription; it is no error if there was none.
	Unsubscribe(ctx context.Context) error
	// Get hands out the next batch, or one with id store.NoBatch. A size of 0
	// or less asks for one entry. It waits for a full batch: 0 not at all, a
	// positive time at most, Forever without limit. When ctx ends it returns
	// without having made a batch.
	Get(ctx context.Context, size int, wait time.Duration) (*store.Batch, error)
	// Ack confirms the oldest outstanding batch.
	Ack(batchID int64) error
	// Rollback gives back a batch and all younger ones; 0 all of them.
	Rollback(batchID int64) error
}

// Config is what a Server needs to know. Zero values stand for the defaults named.
type Config struct {
	Addr         string // host:port to listen on; no host: all interfaces
	User         string // empty: any user name is accepted
	PasswordHash string // hex of SHA1(SHA1(password)) without a star; empty: no password is asked for

	// Wake is told which destination a client is about to subscribe to, before a
	// session is opened, and may take its time. Nil does nothing.
	Wake func(ctx context.Context, destination string)

	MaxConnections int // 8192; further ones are closed at once

	PreAuthFrameBytes  int           // 1 MiB; largest frame before authentication
	PreAuthMemoryBytes int           // 32 MiB; all frames that unauthenticated connections may hold together
	PreAuthTimeout     time.Duration // 60 s; time to authenticate
	AuthAttempts       int           // 3; failed authentications until a connection is closed

	FrameBytes       int           // 64 MiB; largest frame after authentication
	FrameMemoryBytes int           // 256 MiB; all frames that authenticated connections may hold together
	FrameTimeout     time.Duration // 60 s; from the first to the last byte of a frame
	WriteTimeout     time.Duration // 60 s; for a peer that takes no byte of an answer
	IdleTimeout      time.Duration // 1 h; for clients that name no timeouts of their own
	ErrorTextBytes   int           // 8 KiB; longest error text sent to a client
	ShutdownTimeout  time.Duration // 5 s; for running requests when the server stops
}

func orDefault[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

func (c *Config) setDefaults() {
	orDefault(&c.MaxConnections, 8192)
	orDefault(&c.PreAuthFrameBytes, 1<<20)
	orDefault(&c.PreAuthMemoryBytes, 32<<20)
	orDefault(&c.PreAuthTimeout, time.Minute)
	orDefault(&c.AuthAttempts, 3)
	orDefault(&c.FrameBytes, 64<<20)
	orDefault(&c.FrameMemoryBytes, 256<<20)
	orDefault(&c.FrameTimeout, time.Minute)
	orDefault(&c.WriteTimeout, time.Minute)
	orDefault(&c.IdleTimeout, time.Hour)
	orDefault(&c.ErrorTextBytes, 8<<10)
	orDefault(&c.ShutdownTimeout, 5*time.Second)
}

// Observer is told what happens; each func may be nil and must not block.
type Observer struct {
	Request    func(Request)
	Opened     func()
	Closed     func()
	AuthFailed func()
	Refused    func(reason string) // a connection was ended for what it did
}

// Request describes one request that was served.
type Request struct {
	Destination string // as the client wrote it; may name nothing that exists
	Type        packet.Type
	Code        int32         // error code, 0 for success; also of an error that is answered later
	Deferred    bool          // not executed: it got the error of an earlier ack or rollback
	Empty       bool          // a get that had nothing to hand out
	Bytes       int64         // of the answer's frame; 4 for a request without answer, as Canal counts
	Latency     time.Duration // from the request to its answer, without writing it
}

// Server is the TCP server.
type Server struct {
	cfg  Config
	auth authenticator
	open func(destination string, client meta.ClientID) (Session, error)
	log  *zap.Logger
	obs  Observer

	refusals *refusals
	preAuth  budget
	frames   budget
	nextID   atomic.Uint32
	listener net.Listener

	mu struct {
		sync.Mutex
		conns map[*conn]struct{}
	}
}

// New makes a server. open gives the session for a destination and client id,
// or ErrNotRunning; it is called once per request and must not block for long.
func New(cfg Config, open func(destination string, client meta.ClientID) (Session, error), log *zap.Logger, observe *Observer) *Server {
	cfg.setDefaults()
	s := &Server{cfg: cfg, open: open, log: log, refusals: newRefusals(log)}
	if observe != nil {
		s.obs = *observe
	}
	s.preAuth.limit = int64(cfg.PreAuthMemoryBytes)
	s.frames.limit = int64(cfg.FrameMemoryBytes)
	s.mu.conns = make(map[*conn]struct{})
	var id [4]byte
	_, _ = rand.Read(id[:]) // never fails; channel ids need not be secret
	s.nextID.Store(binary.BigEndian.Uint32(id[:]))
	return s
}

// Listen checks the user and password hash and opens the port, so that what is
// wrong with either is found before anything else starts.
func (s *Server) Listen() error {
	auth, err := newAuthenticator(s.cfg.User, s.cfg.PasswordHash)
	if err != nil {
		return err
	}
	s.auth = auth
	// Keep-alive and no-delay are Go's defaults for accepted connections.
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listen for clients: %w", err)
	}
	s.listener = l
	return nil
}

// Addr is the address the server listens on; nil before Listen.
func (s *Server) Addr() net.Addr {
	if s.listener == nil {
		return nil
	}
	return s.listener.Addr()
}

// Close closes the port of a server whose Run was never called.
func (s *Server) Close() error {
	if s.listener == nil {
		return nil
	}
	return s.listener.Close()
}

// Run accepts connections until ctx ends. Then it closes the port, wakes gets
// that wait, lets other running requests end within ShutdownTimeout, and
// closes all connections. It returns nil after such an end; a listener that
// fails for another reason is an error. Listen must have succeeded before.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		return errors.New("run of a server that does not listen")
	}
	// Requests outlive ctx by the shutdown's bound.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	unwatch := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer unwatch()

	var conns sync.WaitGroup
	err := s.accept(ctx, base, &conns)
	_ = s.listener.Close()
	s.shutdown(&conns, cancel)
	return err
}

func (s *Server) accept(ctx, base context.Context, conns *sync.WaitGroup) error {
	const firstPause, lastPause = 5 * time.Millisecond, time.Second
	pause := firstPause
	for {
		c, err := s.listener.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = c.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept clients: %w", err)
		case err != nil:
			// Out of file descriptors, or the peer was gone already: the
			// connections that are open must not suffer from it.
			s.refusals.add("accept failed", "", err)
			select {
			case <-ctx.Done():
			case <-time.After(pause):
			}
			pause = min(2*pause, lastPause)
			continue
		}
		pause = firstPause
		s.start(base, c, conns)
	}
}

func (s *Server) start(base context.Context, nc net.Conn, conns *sync.WaitGroup) {
	c := newConn(base, s, nc)
	s.mu.Lock()
	full := len(s.mu.conns) >= s.cfg.MaxConnections
	if !full {
		s.mu.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if full {
		c.cancel()
		_ = nc.Close()
		s.refuse("too many connections", nc.RemoteAddr().String(), nil)
		return
	}
	if s.obs.Opened != nil {
		s.obs.Opened()
	}
	conns.Go(func() {
		defer s.forget(c)
		c.run()
	})
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.mu.conns, c)
	s.mu.Unlock()
	if s.obs.Closed != nil {
		s.obs.Closed()
	}
}

func (s *Server) shutdown(conns *sync.WaitGroup, cancel context.CancelFunc) {
	s.each((*conn).stop)
	done := make(chan struct{})
	go func() { conns.Wait(); close(done) }()
	bound := time.NewTimer(s.cfg.ShutdownTimeout)
	defer bound.Stop()
	select {
	case <-done:
		return
	case <-bound.C:
	}
	cancel()
	s.each((*conn).close)
	<-done
}

func (s *Server) each(f func(*conn)) {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}

func (s *Server) refuse(reason, remote string, err error) {
	s.refusals.add(reason, remote, err)
	if s.obs.Refused != nil {
		s.obs.Refused(reason)
	}
}

// recovered keeps a panic to the connection it happened in. It is to be deferred.
func (c *conn) recovered() {
	if p := recover(); p != nil {
		c.s.log.Error("connection panicked", zap.String(keyRemote, c.remote), zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
		c.close()
	}
}

// budget bounds what frames of many connections hold together.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }
