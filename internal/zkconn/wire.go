package zkconn

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

// Bounds of what a server may send. The library takes any length.
const (
	maxHandshakeBytes = 1 << 10
	minReplyBytes     = 16 // xid, zxid, error
	maxReplyBytes     = 64 << 20
	maxInFlight       = 4096 // requests whose time of sending is remembered
)

const pingXID = -2

// handshake is a server's answer to a connect request.
type handshake struct {
	session  int64 // 0: the session that was asked for is gone
	timeout  time.Duration
	password []byte
}

// wire is a connection to a server as the library uses it: every Write is one
// whole packet. It sees the session's password in the handshake, keeps the time
// at which the server must have been in touch with the session, and bounds what
// the library would read without a bound.
//
// ZooKeeper ends a session when it has not heard from it for the timeout. So
// the time that counts is not when a reply came, but when the request was sent
// that it answers.
type wire struct {
	net.Conn
	r      *bufio.Reader
	forget func() forgetting // asked when the connect request is sent
	shaken func(h handshake, sent time.Time)
	alive  func(sent time.Time)

	left int // unread bytes of the packet that is being read

	mu      sync.Mutex
	started bool // the connect request was sent
	ready   bool // the handshake was read; the library's deadlines count from here
	asked   time.Time
	sent    []sentRequest
}

type sentRequest struct {
	xid int32
	at  time.Time
}

// forgetting is what a connect request leaves out.
type forgetting int

const (
	nothing    forgetting = iota
	newest                // the last transaction seen: a server that has seen less than we have must not mind
	everything            // the session too: a new one is asked for
)

// A connect request: length, version, last transaction seen, timeout, session,
// and the password with its length.
const (
	seenAt, seenEnd       = 8, 16
	sessionAt, sessionEnd = 20, 28
	passwordAt            = 32
	connectBytes          = 48
)

// from takes it out of a connect request.
func (f forgetting) from(p []byte) []byte {
	if f == nothing {
		return p
	}
	p = append([]byte(nil), p...)
	clear(p[seenAt:seenEnd])
	if f == everything {
		clear(p[sessionAt:sessionEnd])
		clear(p[passwordAt:connectBytes])
	}
	return p
}

func newWire(conn net.Conn, limit time.Duration) (*wire, error) {
	if err := conn.SetDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	return &wire{Conn: conn, r: bufio.NewReaderSize(conn, 4<<10)}, nil
}

// Write sends one packet.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	switch {
	case !w.started:
		w.started, w.asked = true, time.Now()
		if len(p) >= connectBytes {
			p = w.forget().from(p)
		}
	case len(p) >= 8:
		if len(w.sent) == maxInFlight {
			w.sent = w.sent[1:]
		}
		w.sent = append(w.sent, sentRequest{int32(binary.BigEndian.Uint32(p[4:])), time.Now()})
	}
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// Read reads on in the packet that has begun, or begins one.
func (w *wire) Read(p []byte) (int, error) {
	if w.left == 0 {
		n, err := w.begin()
		if err != nil {
			return 0, err
		}
		w.left = n
	}
	n, err := w.r.Read(p[:min(len(p), w.left)])
	w.left -= n
	return n, err
}

// begin looks at the head of the next packet and returns its length with the
// four bytes that tell it.
func (w *wire) begin() (int, error) {
	head, err := w.r.Peek(4)
	if err != nil {
		return 0, err
	}
	n := int64(binary.BigEndian.Uint32(head))
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ready {
		if n > maxHandshakeBytes {
			return 0, fmt.Errorf("handshake of %d bytes", n)
		}
		w.mu.Unlock()
		raw, err := w.r.Peek(int(4 + n))
		w.mu.Lock()
		if err != nil {
			return 0, err
		}
		h, err := parseHandshake(raw[4:])
		if err != nil {
			return 0, err
		}
		w.ready = true
		if err := w.SetDeadline(time.Time{}); err != nil {
			return 0, err
		}
		w.shaken(h, w.asked)
		return int(4 + n), nil
	}
	if n < minReplyBytes || n > maxReplyBytes {
		return 0, fmt.Errorf("reply of %d bytes", n)
	}
	w.mu.Unlock()
	head, err = w.r.Peek(8)
	w.mu.Lock()
	if err != nil {
		return 0, err
	}
	xid := int32(binary.BigEndian.Uint32(head[4:]))
	for i, s := range w.sent {
		if s.xid == xid {
			w.sent = w.sent[i+1:] // replies come in the order of requests
			w.alive(s.at)
			break
		}
	}
	return int(4 + n), nil
}

// parseHandshake reads the answer to a connect request.
func parseHandshake(b []byte) (handshake, error) {
	const fixed = 4 + 4 + 8 + 4 // version, timeout, session, length of the password
	if len(b) < fixed {
		return handshake{}, fmt.Errorf("handshake of %d bytes", len(b))
	}
	h := handshake{
		timeout: time.Duration(int32(binary.BigEndian.Uint32(b[4:]))) * time.Millisecond,
		session: int64(binary.BigEndian.Uint64(b[8:])),
	}
	size := int32(binary.BigEndian.Uint32(b[16:]))
	if size > int32(len(b)-fixed) {
		return handshake{}, fmt.Errorf("handshake with a password of %d bytes", size)
	}
	if size > 0 {
		h.password = append([]byte(nil), b[fixed:fixed+int(size)]...)
	}
	if h.session != 0 && h.timeout <= 0 {
		return handshake{}, fmt.Errorf("session with a timeout of %s", h.timeout)
	}
	return h, nil
}

// SetDeadline and its like are the library's from the end of the handshake on;
// before, the limit of the dialer holds.
func (w *wire) SetReadDeadline(t time.Time) error {
	if !w.isReady() {
		return nil
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is SetReadDeadline's twin.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if !w.isReady() {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}

func (w *wire) isReady() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ready
}
