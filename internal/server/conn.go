package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/packet"
)

const (
	// readBufferBytes takes a few ordinary requests at once; a larger frame is
	// read past the buffer.
	readBufferBytes = 512
	// longestWrite bounds a write that makes some progress all the time.
	longestWrite = time.Hour
)

var (
	successFrame = packet.AppendReply(nil, &packet.Ack{})
	emptyFrame   = packet.AppendReply(nil, &packet.Messages{BatchID: -1})
)

// conn is one connection. Unless noted, its fields belong to the executor.
type conn struct {
	s      *Server
	nc     net.Conn
	remote string
	id     uint32
	seed   [packet.SeedBytes]byte

	base    context.Context // of requests that are executed whether the peer is there or not
	ctx     context.Context // ends when the peer is gone or the server stops
	cancel  context.CancelFunc
	inbox   *inbox
	idle    *idle
	trusted atomic.Bool // authenticated, as the reader needs to know it

	authTimer     *time.Timer
	authenticated bool
	preAuthFrames int
	failedAuths   int
	stall         time.Duration // for a write without progress
	deaf          bool          // a write failed: no answer reaches the peer any more
	wrote         bool          // something was written for the request in hand
	deferred      failure       // of an ack or rollback, see later
	buffers       [][]byte      // reused by writes
	header        []byte
}

func newConn(base context.Context, s *Server, nc net.Conn) *conn {
	c := &conn{s: s, nc: nc, remote: nc.RemoteAddr().String(), id: s.nextID.Add(1), base: base, inbox: newInbox(), stall: s.cfg.WriteTimeout}
	c.ctx, c.cancel = context.WithCancel(base)
	c.idle = newIdle(func(reason string) {
		s.log.Info("client connection closed", zap.String(keyReason, reason), zap.String(keyRemote, c.remote))
		c.close()
	})
	return c
}

// channel is how Java prints a connection in its error texts.
func (c *conn) channel() string {
	return fmt.Sprintf("[id: 0x%08x, /%s => /%s]", c.id, c.remote, c.nc.LocalAddr())
}

// close ends the connection under the hands of its goroutines.
func (c *conn) close() { _ = c.nc.Close() }

// stop wakes a waiting get and lets the reader see the end of the stream;
// frames that were taken before are still executed.
func (c *conn) stop() {
	c.cancel()
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		_ = tcp.CloseRead()
	}
}

// run serves the connection until its end.
func (c *conn) run() {
	var reader sync.WaitGroup
	defer func() {
		c.cancel()
		c.inbox.close()
		c.idle.stop()
		if c.authTimer != nil {
			c.authTimer.Stop()
		}
		c.close()
		reader.Wait()
	}()
	defer c.recovered()

	c.authTimer = time.AfterFunc(c.s.cfg.PreAuthTimeout, func() {
		c.s.refuse("not authenticated in time", c.remote, nil)
		c.close()
	})
	_, _ = rand.Read(c.seed[:]) // never fails
	c.write(packet.AppendReply(nil, &packet.Handshake{Seed: c.seed[:]}))
	reader.Go(c.read)

	for {
		f, ok := c.inbox.take()
		if !ok {
			return
		}
		if !c.execute(&f) {
			return
		}
	}
}

// execute serves one frame; ok is false when the connection is to be closed.
func (c *conn) execute(f *frame) (ok bool) {
	defer f.release()
	c.idle.received()
	c.wrote = false
	defer func() { c.idle.served(c.wrote) }()

	var p packet.Packet
	if err := p.Decode(f.body); err != nil {
		c.s.refuse("not a packet", c.remote, err)
		return false
	}
	if !c.authenticated {
		return c.authenticate(&p)
	}
	c.request(&p)
	return true
}

// read takes frames from the socket until the peer's end, or until one is not
// acceptable. What it took before is executed in either case, except gets.
func (c *conn) read() {
	defer c.inbox.end()
	defer c.cancel()
	defer c.recovered()
	r := bufio.NewReaderSize(c.nc, readBufferBytes)
	for c.inbox.room() && c.ctx.Err() == nil {
		f, err := c.readFrame(r)
		if err != nil {
			c.readFailed(err)
			return
		}
		c.inbox.put(f)
	}
}

func (c *conn) readFrame(r *bufio.Reader) (f frame, err error) {
	// Between frames the timers of authentication and idleness watch; within
	// one the deadline for completing it.
	if _, err := r.Peek(1); err != nil {
		return frame{}, err
	}
	if !wholeFrame(r) {
		_ = c.nc.SetReadDeadline(time.Now().Add(c.s.cfg.FrameTimeout))
		defer func() { _ = c.nc.SetReadDeadline(time.Time{}) }()
	}
	limit, budget := c.s.cfg.PreAuthFrameBytes, &c.s.preAuth
	if c.trusted.Load() {
		limit, budget = c.s.cfg.FrameBytes, &c.s.frames
	}
	f.budget = budget
	n, err := packet.ReadHeader(r, limit)
	if err == nil {
		f.body, err = packet.ReadBody(r, n, func(bytes int) bool {
			ok := budget.take(int64(bytes))
			if ok {
				f.reserved += int64(bytes)
			}
			return ok
		})
	}
	if err != nil {
		f.release()
	}
	return f, err
}

// wholeFrame tells whether a frame is buffered already.
func wholeFrame(r *bufio.Reader) bool {
	b, _ := r.Peek(r.Buffered())
	if len(b) < packet.HeaderBytes {
		return false
	}
	n := int64(b[0])<<24 | int64(b[1])<<16 | int64(b[2])<<8 | int64(b[3])
	return int64(len(b)-packet.HeaderBytes) >= n
}

func (c *conn) readFailed(err error) {
	switch {
	case errors.Is(err, packet.ErrFrameNegative):
		c.s.refuse("negative frame length", c.remote, nil)
	case errors.Is(err, packet.ErrFrameTooLarge):
		c.s.refuse("frame too large", c.remote, err)
	case errors.Is(err, packet.ErrFrameMemory):
		c.s.refuse("no memory left for frames", c.remote, nil)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.s.refuse("frame not completed in time", c.remote, nil)
	default:
		c.s.log.Debug("client connection ended", zap.String(keyRemote, c.remote), zap.Error(err))
	}
}

// write sends one frame, given in pieces, with one call. When the peer takes
// nothing for too long, or is gone, the connection is closed and no answer is
// written any more; frames that came before are still executed.
func (c *conn) write(pieces ...[]byte) {
	if c.deaf {
		return
	}
	c.wrote = true
	c.buffers = append(c.buffers[:0], pieces...)
	c.writeBuffers()
}

func (c *conn) writeBuffers() {
	begin := time.Now()
	rest := net.Buffers(c.buffers)
	for {
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.stall))
		n, err := rest.WriteTo(c.nc)
		if err == nil {
			break
		}
		timeout := errors.Is(err, os.ErrDeadlineExceeded)
		if timeout && n > 0 && time.Since(begin) < longestWrite {
			continue
		}
		if timeout {
			c.s.refuse("peer does not read", c.remote, nil)
		}
		c.deaf = true
		c.close()
		break
	}
	clear(c.buffers)
	const keepBuffers = 64 // for a batch of many runs a larger one is made again
	if cap(c.buffers) > keepBuffers {
		c.buffers = nil
	}
}

// writeError sends an error answer and returns the size of its frame.
func (c *conn) writeError(f failure) int {
	b := packet.AppendReply(nil, &packet.Ack{Code: packet.Some(f.code), Message: cut(f.text, c.s.cfg.ErrorTextBytes)})
	c.write(b)
	return len(b)
}
