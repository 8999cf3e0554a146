package tail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/internal/packet"
)

// CanalOptions are what Canal needs beside its server.
type CanalOptions struct {
	// ZooKeeper, as in canal.zkServers, finds the server that runs the destination
	// at any time; empty leaves it to the address.
	ZooKeeper string
	// NoAck gives everything back in the end instead of acknowledging it, for
	// servers whose clients share one store.
	NoAck bool
	Say   func(string) // told what a user should know beside the rows; never nil
}

// ErrSharedStore is returned for a server that hands each entry to one client
// only, unless NoAck is set.
var ErrSharedStore = fmt.Errorf("%w: it has one store for all clients of a destination, as Canal's own in Java: what tail acknowledged there its client would never get.\n"+
	"  repair: look at the source itself (canald tail mysql://…), or --no-ack, with which the client waits for what tail was shown until tail ends, and gets it then, some of it twice", client.ErrRefused)

// ErrClientsOwn is returned for the client id that all clients have which are not told another.
var ErrClientsOwn = errors.New("client id 1001 is the usual client's own: tail would take its entries and end its subscription; choose another one")

// Times of Canal. The server answers within a get's wait.
const (
	probeWithin = 10 * time.Second
	endWithin   = 2 * time.Second
	againAfter  = time.Second
	sayAfter    = 3 * time.Second
)

// Canal shows what a Canal server delivers to a client id of its own, until the
// context is done, which is no error, or the printer is full. It acknowledges
// what it showed, as that client, or gives it back, and unsubscribes in the end.
func Canal(ctx context.Context, o client.Options, co CanalOptions, p *Printer) error {
	if err := canal(ctx, o, co, p); ctx.Err() == nil {
		return err
	}
	return nil
}

func canal(ctx context.Context, o client.Options, co CanalOptions, p *Printer) error {
	if o.ClientID == client.DefaultClientID {
		return ErrClientsOwn
	}
	v := &canalView{o: o, co: co, p: p}
	if co.ZooKeeper == "" {
		if err := v.accept(ctx, o.Addr); err != nil {
			return err
		}
	} else {
		cluster, err := client.NewCluster(client.ClusterOptions{ZooKeeper: co.ZooKeeper, Options: o, Accept: v.accept})
		if err != nil {
			return err
		}
		defer func() { _ = cluster.Close() }()
		v.cluster = cluster
	}
	return buffered(p, co.Say, func(flush func() error) error {
		if err := p.begin(false); err != nil {
			return err
		}
		v.flush = flush
		return v.again(ctx)
	})
}

// canalView is one look at what a server, or a cluster, delivers.
type canalView struct {
	o       client.Options
	co      CanalOptions
	p       *Printer
	cluster *client.Cluster // nil: there is one server, at the address
	flush   func() error
}

// accept refuses servers that must not be looked at in this way.
func (v *canalView) accept(ctx context.Context, addr string) error {
	o := v.o
	o.Addr = addr
	shared, err := sharesStore(ctx, o)
	if err == nil && shared && !v.co.NoAck {
		err = ErrSharedStore
	}
	return err
}

// again goes on over broken connections, once one worked.
func (v *canalView) again(ctx context.Context) error {
	worked, lost := false, false
	for {
		err := v.once(ctx, func() {
			if lost {
				v.co.Say("server is back, going on where it was")
			}
			worked, lost = true, false
		})
		var network net.Error
		var refused *client.ServerError
		// A code of the system is a net.Error too, and may be the output's.
		broken := !isOutput(err) && (errors.Is(err, errUnreachable) || errors.As(err, &network) || errors.As(err, &refused))
		// What was shown without an acknowledgement would be shown again.
		if !broken || !worked || v.co.NoAck || ctx.Err() != nil {
			return err
		}
		if !lost {
			v.co.Say("server lost, trying again: " + err.Error())
			lost = true
		}
		select {
		case <-time.After(againAfter):
		case <-ctx.Done():
			return nil
		}
	}
}

// errUnreachable is wrapped by errors of a connection rather than of its use.
var errUnreachable = errors.New("no connection")

// connect makes a connection that has subscribed; what one before it left is
// handed out again.
func (v *canalView) connect(ctx context.Context) (*client.Conn, error) {
	if v.cluster != nil {
		late := time.AfterFunc(sayAfter, func() {
			v.co.Say(fmt.Sprintf("waiting for ZooKeeper, for a server that runs %s, or for another client with the id %d to end", v.o.Destination, v.o.ClientID))
		})
		defer late.Stop()
		return v.cluster.Connect(ctx)
	}
	c, err := client.Dial(ctx, v.o)
	if err != nil {
		return nil, err
	}
	// An empty filter leaves the one of the instance as it is.
	if err = c.Subscribe(ctx, ""); err == nil {
		if err = c.Rollback(ctx, 0); err == nil {
			return c, nil
		}
	}
	_ = c.Close()
	return nil, err
}

// once shows what one connection brings.
func (v *canalView) once(ctx context.Context, subscribed func()) error {
	c, err := v.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	subscribed()
	err = v.show(ctx, c)
	var refused *client.ServerError
	if err != nil && ctx.Err() == nil && !isOutput(err) && !errors.As(err, &refused) {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), endWithin)
	defer cancel()
	v.leave(late, c)
	return err
}

// leave holds nothing at the server any more. The end may have cut a call short,
// and the connection with it.
func (v *canalView) leave(ctx context.Context, c *client.Conn) {
	if v.cluster != nil {
		if v.co.NoAck {
			_ = c.Rollback(ctx, 0) // a new connection does it by itself
		}
		_ = v.cluster.Unsubscribe(ctx, c)
		return
	}
	if v.unsubscribe(ctx, c) == nil {
		return
	}
	if again, err := client.Dial(ctx, v.o); err == nil {
		_ = v.unsubscribe(ctx, again)
		_ = again.Close()
	}
}

func (v *canalView) unsubscribe(ctx context.Context, c *client.Conn) error {
	if v.co.NoAck {
		if err := c.Rollback(ctx, 0); err != nil {
			return err
		}
	}
	return c.Unsubscribe(ctx)
}

// outputError is an error of the printer's writer.
type outputError struct{ error }

func (e outputError) Unwrap() error { return e.error }

func isOutput(err error) bool {
	var e outputError
	return errors.As(err, &e)
}

func (v *canalView) show(ctx context.Context, c *client.Conn) error {
	for ctx.Err() == nil && !v.p.Full() {
		m, err := c.GetWithoutAck(ctx, fetchUnits, fetchWait)
		if err != nil {
			return err
		}
		if m.ID < 0 {
			if err := v.flush(); err != nil {
				return outputError{err}
			}
			continue
		}
		entries, err := m.Decode()
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := v.p.Print(e); err != nil {
				return outputError{err}
			}
		}
		if err := v.flush(); err != nil {
			return outputError{err}
		}
		if v.co.NoAck {
			continue
		}
		if err := c.Ack(ctx, m.ID); err != nil {
			return err
		}
	}
	return nil
}

// nowhere is a destination that no server has.
const nowhere = "canald-tail-asks"

// sharesStore finds out whether a server is one whose clients share a store.
// Nothing on the wire says so. But Canal's own answers a rollback for a
// destination that it does not run with an error, and canald, which has a store
// place for each client, with nothing; the request behind it, which is refused
// with another code by both, tells that no answer is missing.
func sharesStore(ctx context.Context, o client.Options) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", o.Addr)
	if err != nil {
		return false, err
	}
	defer func() { _ = nc.Close() }()
	defer context.AfterFunc(ctx, func() { _ = nc.Close() })()
	code, err := askNowhere(nc, o)
	if err != nil {
		return false, fmt.Errorf("ask %s what it is: %w", o.Addr, err)
	}
	return code != codeNoIdentity, nil
}

// codeNoIdentity is the answer to a request without a destination.
const codeNoIdentity = 401

// askNowhere returns the code of the first error.
func askNowhere(nc net.Conn, o client.Options) (int32, error) {
	r := bufio.NewReader(nc)
	receive := func(t packet.Type) (*packet.Packet, error) {
		const limitBytes = 1 << 20
		raw, err := packet.ReadFrame(r, limitBytes)
		if err != nil {
			return nil, err
		}
		p := new(packet.Packet)
		if err := p.Decode(raw); err != nil {
			return nil, err
		}
		if p.Type != t {
			return nil, fmt.Errorf("%s packet where %s was expected", p.Type, t)
		}
		return p, nil
	}
	ack := func() (*packet.Ack, error) {
		p, err := receive(packet.TypeAck)
		if err != nil {
			return nil, err
		}
		a := new(packet.Ack)
		return a, a.Decode(p.Body)
	}
	p, err := receive(packet.TypeHandshake)
	if err != nil {
		return 0, err
	}
	var h packet.Handshake
	if err := h.Decode(p.Body); err != nil {
		return 0, err
	}
	auth := &packet.ClientAuth{Username: o.User}
	if o.Password != "" {
		auth.Password = packet.Token(o.Password, h.Seed)
	}
	if _, err := nc.Write(packet.AppendRequest(nil, auth)); err != nil {
		return 0, err
	}
	a, err := ack()
	if err != nil {
		return 0, err
	}
	if a.Code.Value > 0 {
		return 0, &client.ServerError{Code: a.Code.Value, Message: a.Message}
	}
	id := strconv.Itoa(int(o.ClientID))
	both := packet.AppendRequest(nil, &packet.ClientRollback{Destination: nowhere, ClientID: id})
	both = packet.AppendRequest(both, &packet.Unsub{ClientID: id})
	if _, err := nc.Write(both); err != nil {
		return 0, err
	}
	if a, err = ack(); err != nil {
		return 0, err
	}
	return a.Code.Value, nil
}
