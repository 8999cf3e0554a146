// Package client is a client for canald, and for Alibaba Canal's TCP server.
//
// A consumer dials, subscribes, and then loops: get a batch, use it, ack it. A
// batch that was handed out and not acked stays with the server; after a
// reconnect Rollback(ctx, 0) makes the server hand it out again. In a cluster,
// Cluster finds the server and does all of that.
package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/canald/canald/client/canalpb"
	"github.com/canald/canald/internal/packet"
)

// DefaultClientID is the client id of all Canal clients that are not told another.
const DefaultClientID int16 = 1001

// Forever is a wait without limit.
const Forever = packet.Forever

// NoBatch is the id of a Message without entries.
const NoBatch int64 = -1

// ErrClosed is returned by calls on a connection that was closed, or that an
// earlier call left in a state from which it cannot go on.
var ErrClosed = errors.New("connection closed")

// ServerError is a refusal by the server. The connection remains usable.
type ServerError struct {
	Code    int32 // 400 for most, 401 and 402 for requests that lack something
	Message string
}

func (e *ServerError) Error() string {
	return "server error " + strconv.Itoa(int(e.Code)) + ": " + e.Message
}

// Options tells Dial where to go. Addr and Destination are required.
type Options struct {
	Addr        string // host:port
	Destination string
	ClientID    int16  // 0: DefaultClientID
	User        string // may be empty
	Password    string // plain text; only a token made from it is sent. Empty: none is sent

	IdleTimeout   time.Duration // 1 h; after it the server may close a connection without requests
	AnswerTimeout time.Duration // 60 s; a call that is not answered within it, or a get within it and its own wait, ends the connection
	MaxFrameBytes int           // 256 MiB; largest answer that is accepted
}

// Conn is one connection to a server. Its methods may be called by several
// goroutines; they take turns, so that an Ack waits for a GetWithoutAck in
// progress. When the context of a call ends while the call is on the wire, the
// connection is closed: an answer that nobody waits for cannot be told from
// the next one.
type Conn struct {
	nc       net.Conn
	r        *bufio.Reader
	o        Options
	clientID string
	turn     chan struct{} // holds a token while a call runs
	done     chan struct{} // closed by Close

	mu struct {
		sync.Mutex
		closed bool
		cause  error // why, if not by the caller
	}
}

// Dial connects and authenticates. The error is a *ServerError when the server
// refuses the user or the password.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if o.ClientID == 0 {
		o.ClientID = DefaultClientID
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = time.Hour
	}
	if o.AnswerTimeout <= 0 {
		o.AnswerTimeout = time.Minute
	}
	if o.MaxFrameBytes <= 0 {
		o.MaxFrameBytes = 256 << 20
	}
	if o.Destination == "" {
		return nil, errors.New("dial canal server: no destination")
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("dial canal server: %w", err)
	}
	c := &Conn{nc: nc, r: bufio.NewReader(nc), o: o, clientID: strconv.Itoa(int(o.ClientID)), turn: make(chan struct{}, 1), done: make(chan struct{})}
	if err := c.call(ctx, 0, c.authenticate); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	return c, nil
}

// Close closes the connection. Nothing is rolled back or unsubscribed by it.
func (c *Conn) Close() error { return c.end(nil) }

// end closes the connection for a reason that later calls return.
func (c *Conn) end(cause error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil
	}
	c.mu.closed, c.mu.cause = true, cause
	close(c.done)
	return c.nc.Close()
}

// closed is ErrClosed, or the reason, once the connection is closed; else nil.
func (c *Conn) closed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.mu.closed:
		return nil
	case c.mu.cause != nil:
		return c.mu.cause
	}
	return ErrClosed
}

// Subscribe subscribes the client id to the destination. A filter that is not
// empty replaces the one of the whole instance: a list of regular expressions
// for schema.table, separated by commas.
func (c *Conn) Subscribe(ctx context.Context, filter string) error {
	return wrap("subscribe", c.call(ctx, 0, func() error {
		return c.askAck(&packet.Sub{Destination: c.o.Destination, ClientID: c.clientID, Filter: filter})
	}))
}

// Unsubscribe ends the subscription and gives up the client's place in the stream.
func (c *Conn) Unsubscribe(ctx context.Context) error {
	return wrap("unsubscribe", c.call(ctx, 0, func() error {
		return c.askAck(&packet.Unsub{Destination: c.o.Destination, ClientID: c.clientID})
	}))
}

// GetWithoutAck asks for the next batch. size is in KiB of entries with the
// server's default settings. The server waits for a full batch: not at all for
// a wait of 0, at most the time given, or without limit for Forever; then it
// hands out what there is. The context has to allow for the wait.
//
// An error of an earlier Ack or Rollback may be returned here, as a
// *ServerError; no batch was handed out then.
func (c *Conn) GetWithoutAck(ctx context.Context, size int, wait time.Duration) (*Message, error) {
	get := &packet.Get{
		Destination: c.o.Destination, ClientID: c.clientID, FetchSize: int32(min(max(size, 0), 1<<30)),
		Timeout: packet.Some(timeoutMillis(wait)), Unit: packet.Some[int32](2), AutoAck: packet.Some(false),
	}
	var m *Message
	err := c.call(ctx, wait, func() error {
		var messages packet.Messages
		if err := c.ask(get, &messages); err != nil {
			return err
		}
		m = &Message{ID: messages.BatchID, Raw: messages.Items}
		return nil
	})
	if err != nil {
		return nil, wrap("get", err)
	}
	return m, nil
}

// timeoutMillis is a wait as the protocol has it: -1 not to wait, 0 without limit.
func timeoutMillis(wait time.Duration) int64 {
	switch {
	case wait == 0:
		return -1
	case wait < 0:
		return 0
	default:
		return int64((wait-1)/time.Millisecond) + 1
	}
}

// Ack confirms a batch, which has to be the oldest one outstanding. The server
// does not answer: an error shows at the next call that has an answer. The id
// NoBatch is ignored.
func (c *Conn) Ack(ctx context.Context, id int64) error {
	return wrap("ack", c.call(ctx, 0, func() error {
		return c.send(&packet.ClientAck{Destination: c.o.Destination, ClientID: c.clientID, BatchID: id})
	}))
}

// Rollback gives back a batch and the younger ones, or all for id 0; they will
// be handed out again. The server does not answer, see Ack.
func (c *Conn) Rollback(ctx context.Context, id int64) error {
	return wrap("rollback", c.call(ctx, 0, func() error {
		return c.send(&packet.ClientRollback{Destination: c.o.Destination, ClientID: c.clientID, BatchID: id})
	}))
}

// Message is one batch.
type Message struct {
	ID  int64    // to be acked; NoBatch when there was nothing
	Raw [][]byte // serialized entries; the caller's
}

// Changes decodes all entries into what they say, in order. Begins and ends of
// transactions are left out.
func (m *Message) Changes() ([]Change, error) {
	entries, err := m.Decode()
	if err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(entries))
	for i, e := range entries {
		if e.GetEntryType() != canalpb.EntryType_ROWDATA {
			continue
		}
		c, err := NewChange(e)
		if err != nil {
			return nil, fmt.Errorf("entry %d of batch %d: %w", i, m.ID, err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// Decode decodes all entries.
func (m *Message) Decode() ([]*canalpb.Entry, error) {
	entries := make([]*canalpb.Entry, len(m.Raw))
	for i, raw := range m.Raw {
		entries[i] = new(canalpb.Entry)
		if err := proto.Unmarshal(raw, entries[i]); err != nil {
			return nil, fmt.Errorf("decode entry %d of batch %d: %w", i, m.ID, err)
		}
	}
	return entries, nil
}

func wrap(doing string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// call runs f as the only user of the connection, bounded by ctx and by the time
// that an answer may take beyond the wait that was asked for. Any error but the
// server's own closes the connection.
func (c *Conn) call(ctx context.Context, wait time.Duration, f func() error) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := c.closed(); err != nil {
		return err
	}
	late := time.Time{} // none for a wait without limit: an idle server says nothing
	if wait >= 0 {
		late = time.Now().Add(wait + c.o.AnswerTimeout)
	}
	if err := c.nc.SetDeadline(late); err != nil {
		return err
	}
	unwatch := context.AfterFunc(ctx, func() { _ = c.Close() })
	err := f()
	unwatch()
	var refused *ServerError
	if err == nil || errors.As(err, &refused) {
		return err
	}
	_ = c.Close()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, net.ErrClosed):
		return c.closed()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer within %s: %w", wait+c.o.AnswerTimeout, err)
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

func (c *Conn) authenticate() error {
	p, err := c.receive()
	if err != nil {
		return err
	}
	if p.Type != packet.TypeHandshake || p.Version.Value != packet.Version {
		return fmt.Errorf("server begins with a %s packet of version %d", p.Type, p.Version.Value)
	}
	var h packet.Handshake
	if err := h.Decode(p.Body); err != nil {
		return err
	}
	ms := packet.Some(int32(min(c.o.IdleTimeout.Milliseconds(), 1<<31-1)))
	auth := &packet.ClientAuth{Username: c.o.User, NetReadTimeout: ms, NetWriteTimeout: ms}
	if c.o.Password != "" {
		auth.Password = packet.Token(c.o.Password, h.Seed)
	}
	return c.askAck(auth)
}

func (c *Conn) send(m packet.Message) error {
	_, err := c.nc.Write(packet.AppendRequest(nil, m))
	return err
}

// askAck sends a request and waits for its success.
func (c *Conn) askAck(m packet.Message) error {
	if err := c.send(m); err != nil {
		return err
	}
	p, err := c.receive()
	if err != nil {
		return err
	}
	if p.Type != packet.TypeAck {
		return fmt.Errorf("unexpected %s packet", p.Type)
	}
	return refusal(p)
}

// ask sends a get and waits for its messages.
func (c *Conn) ask(m *packet.Get, answer *packet.Messages) error {
	if err := c.send(m); err != nil {
		return err
	}
	p, err := c.receive()
	if err != nil {
		return err
	}
	switch {
	case p.Type == packet.TypeAck:
		if err := refusal(p); err != nil {
			return err
		}
		return errors.New("success where messages were expected")
	case p.Type != packet.TypeMessages:
		return fmt.Errorf("unexpected %s packet", p.Type)
	case p.Compression.Value != packet.CompressionUnset && p.Compression.Value != packet.CompressionNone:
		return fmt.Errorf("unknown compression %d", p.Compression.Value)
	}
	return answer.Decode(p.Body)
}

func refusal(p *packet.Packet) error {
	var a packet.Ack
	if err := a.Decode(p.Body); err != nil {
		return err
	}
	if a.Code.Value > 0 {
		return &ServerError{Code: a.Code.Value, Message: a.Message}
	}
	return nil
}

func (c *Conn) receive() (*packet.Packet, error) {
	b, err := packet.ReadFrame(c.r, c.o.MaxFrameBytes)
	if err != nil {
		return nil, err
	}
	p := new(packet.Packet)
	if err := p.Decode(b); err != nil {
		return nil, err
	}
	return p, nil
}
