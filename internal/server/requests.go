package server

import (
	"errors"
	"strings"
	"time"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/packet"
	"github.com/canald/canald/internal/store"
)

// success is the failure that is none.
var success failure

// request serves a packet of an authenticated connection.
func (c *conn) request(p *packet.Packet) {
	r := Request{Type: p.Type, Bytes: packet.HeaderBytes}
	begin := time.Now()
	switch p.Type {
	case packet.TypeSub, packet.TypeUnsub, packet.TypeGet:
		if f := c.deferred; f != success {
			c.deferred = success
			r.Deferred = true
			c.answer(&r, begin, f)
			return
		}
	}
	switch p.Type {
	case packet.TypeSub:
		var m packet.Sub
		f := c.decoded(m.Decode(p.Body))
		if f == success {
			f = c.subscribe(&m)
		}
		r.Destination = m.Destination
		c.answer(&r, begin, f)
	case packet.TypeUnsub:
		var m packet.Unsub
		f := c.decoded(m.Decode(p.Body))
		if f == success {
			f = c.unsubscribe(&m)
		}
		r.Destination = m.Destination
		c.answer(&r, begin, f)
	case packet.TypeGet:
		var m packet.Get
		f := c.decoded(m.Decode(p.Body))
		r.Destination = m.Destination
		if f != success {
			c.answer(&r, begin, f)
			return
		}
		c.get(&m, &r, begin)
	case packet.TypeClientAck:
		var m packet.ClientAck
		f := c.decoded(m.Decode(p.Body))
		r.Destination = m.Destination
		if f == success {
			if m.BatchID == store.NoBatch && m.Destination != "" && m.ClientID != "" {
				return // what clients send after an empty get; Canal does not even count it
			}
			f = c.ack(&m)
		}
		c.later(&r, begin, f)
	case packet.TypeClientRollback:
		var m packet.ClientRollback
		f := c.decoded(m.Decode(p.Body))
		r.Destination = m.Destination
		if f == success {
			f = c.rollback(&m)
		}
		c.later(&r, begin, f)
	default:
		c.answer(&r, begin, unsupported(p.Type))
	}
}

func (c *conn) decoded(err error) failure {
	if err != nil {
		return c.exception(classInvalidPacket, err.Error())
	}
	return success
}

// answer sends the success or the error of a request.
func (c *conn) answer(r *Request, begin time.Time, f failure) {
	r.Latency = time.Since(begin)
	r.Code = f.code
	if f == success {
		r.Bytes = int64(len(successFrame))
		c.write(successFrame)
	} else {
		r.Bytes = int64(c.writeError(f))
	}
	c.observe(r)
}

// later keeps the error of a request that has no answer. A client never reads
// after an ack or a rollback: an error sent at once would be taken for the
// answer to its next request, and shift all that follow. So it becomes the
// answer of the next request that has one, which is not executed. The first
// error is kept.
func (c *conn) later(r *Request, begin time.Time, f failure) {
	r.Latency = time.Since(begin)
	r.Code = f.code
	if c.deferred == success {
		c.deferred = f
	}
	c.observe(r)
}

func (c *conn) observe(r *Request) {
	if c.s.obs.Request != nil {
		c.s.obs.Request(*r)
	}
}

// identify reads whom a request is about.
func (c *conn) identify(destination, clientID string) (identity, failure) {
	client, message := parseClientID(clientID)
	if message != "" {
		return identity{}, c.exception(classNumber, message)
	}
	return identity{destination, client}, success
}

func (c *conn) subscribe(m *packet.Sub) failure {
	if m.Destination == "" || m.ClientID == "" {
		return noIdentity("Sub", m.Text())
	}
	id, f := c.identify(m.Destination, m.ClientID)
	if f != success {
		return f
	}
	if wake := c.s.cfg.Wake; wake != nil {
		wake(c.base, id.destination)
	}
	session, err := c.s.open(id.destination, id.client)
	if err == nil {
		filter := m.Filter
		if strings.TrimSpace(filter) == "" {
			filter = "" // blanks would match no table at all
		}
		err = session.Subscribe(c.base, filter)
	}
	if err != nil {
		return c.failed(operation{id: id}, err)
	}
	return success
}

func (c *conn) unsubscribe(m *packet.Unsub) failure {
	if m.Destination == "" || m.ClientID == "" {
		return noIdentity("Unsub", m.Text())
	}
	id, f := c.identify(m.Destination, m.ClientID)
	if f != success {
		return f
	}
	session, err := c.s.open(id.destination, id.client)
	if err == nil {
		err = session.Unsubscribe(c.base)
	}
	if err != nil {
		return c.failed(operation{id: id}, err)
	}
	return success
}

func (c *conn) get(m *packet.Get, r *Request, begin time.Time) {
	if m.Destination == "" || m.ClientID == "" {
		c.answer(r, begin, noIdentity("Get", m.Text()))
		return
	}
	id, f := c.identify(m.Destination, m.ClientID)
	if f != success {
		c.answer(r, begin, f)
		return
	}
	if c.ctx.Err() != nil {
		return // nobody is there to take a batch, so none is made
	}
	session, err := c.s.open(id.destination, id.client)
	if err != nil {
		c.answer(r, begin, c.failed(operation{id: id}, err))
		return
	}
	b, err := session.Get(c.ctx, int(m.FetchSize), m.Wait())
	defer b.Release()
	switch {
	case err != nil && c.ctx.Err() != nil:
		return
	case err != nil:
		c.answer(r, begin, c.failed(operation{id: id}, err))
		return
	case b == nil || b.ID == store.NoBatch:
		r.Latency = time.Since(begin)
		r.Empty = true
		r.Bytes = int64(len(emptyFrame))
		c.write(emptyFrame)
		c.observe(r)
		return
	}
	header, ok := packet.AppendMessagesHeader(c.header[:0], b.ID, b.Bytes)
	if !ok {
		// The store bounds its batches far below this; a client could never
		// acknowledge what it cannot be sent.
		_ = session.Rollback(b.ID)
		c.answer(r, begin, c.exception(classServer, "batch does not fit into a packet"))
		return
	}
	r.Latency = time.Since(begin)
	c.header = header
	c.writeBatch(header, b.Runs)
	r.Bytes = int64(len(header)) + b.Bytes
	c.observe(r)
}

func (c *conn) writeBatch(header []byte, runs [][]byte) {
	if c.deaf {
		return
	}
	c.wrote = true
	// The runs are copied, since a write takes its list of buffers apart.
	c.buffers = append(append(c.buffers[:0], header), runs...)
	c.writeBuffers()
}

func (c *conn) ack(m *packet.ClientAck) failure {
	switch {
	case m.Destination == "" || m.ClientID == "":
		return noIdentity("Ack", m.Text())
	case m.BatchID == 0:
		return failure{codeNoBatchID, "batchId should assign value. Ack: " + m.Text()}
	}
	id, f := c.identify(m.Destination, m.ClientID)
	if f != success {
		return f
	}
	session, err := c.s.open(id.destination, id.client)
	if err == nil {
		err = session.Ack(m.BatchID)
	}
	if err != nil {
		return c.failed(operation{"ack error ", id, m.BatchID}, err)
	}
	return success
}

// rollback is silent where there can be nothing to give back: clients send one
// right after connecting, before they subscribe.
func (c *conn) rollback(m *packet.ClientRollback) failure {
	if m.Destination == "" || m.ClientID == "" {
		return noIdentity("Rollback", m.Text())
	}
	id, f := c.identify(m.Destination, m.ClientID)
	if f != success {
		return f
	}
	session, err := c.s.open(id.destination, id.client)
	if err == nil {
		err = session.Rollback(m.BatchID)
	}
	switch {
	case err == nil, errors.Is(err, ErrNotRunning), errors.Is(err, store.ErrClosed), errors.Is(err, meta.ErrNotSubscribed):
		return success
	}
	return c.failed(operation{"rollback error", id, m.BatchID}, err)
}
