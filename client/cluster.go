package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/canald/canald/internal/zkconn"
)

// ClusterOptions tells NewCluster where to go. ZooKeeper and Destination are
// required; Addr is not used.
type ClusterOptions struct {
	ZooKeeper string // as in canal.zkServers: host:port,host:port, with a /chroot behind it if there is one
	Options

	Filter         string        // see Conn.Subscribe; empty leaves the instance's
	SessionTimeout time.Duration // of ZooKeeper; 10 s
	ZooKeeperTLS   *tls.Config   // nil speaks plain

	// Accept is asked before a server is connected to; nil takes any. Its errors are
	// tried again, as those of connections are, unless they wrap ErrRefused.
	Accept func(ctx context.Context, addr string) error
}

// Cluster is a client of a destination that servers of a cluster take over from
// each other: it finds the one that runs it through ZooKeeper, in the same nodes as
// Canal's Java client. Of several clients with one id, Java ones too, one is
// connected at a time; the others stand by.
type Cluster struct {
	o    ClusterOptions
	dir  string // of the destination
	lib  *zk.Conn
	once sync.Once
	made atomic.Bool // the client's own node is Connect's work: nobody had subscribed
}

// Bounds of waiting: for ZooKeeper's answers, between attempts, and how long a
// client keeps its place while no server can be reached.
const (
	defaultSessionTimeout = 10 * time.Second
	firstPause            = 50 * time.Millisecond
	longestPause          = 2 * time.Second
	keepPlace             = 10 * time.Second
)

// ErrPlaceLost is returned by calls on a connection whose client is not the one
// of its id any more: its ZooKeeper session has ended, or it was told to leave.
var ErrPlaceLost = errors.New("another client of this id may take over")

// ErrRefused ends Connect when an error of Accept wraps it.
var ErrRefused = errors.New("the server is not accepted")

// ErrServerLost is returned by calls on a connection whose server does not run the
// destination any more, as ZooKeeper tells: the connection itself may not know.
var ErrServerLost = errors.New("another server runs the destination now, or will")

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// NewCluster makes a client. It does not wait for ZooKeeper; calls do. Close ends it.
func NewCluster(o ClusterOptions) (*Cluster, error) {
	if o.Destination == "" || strings.ContainsAny(o.Destination, "/") {
		return nil, fmt.Errorf("canal cluster: destination %q", o.Destination)
	}
	if o.ClientID == 0 {
		o.ClientID = DefaultClientID
	}
	if o.SessionTimeout <= 0 {
		o.SessionTimeout = defaultSessionTimeout
	}
	servers, err := zkconn.ParseServers(o.ZooKeeper)
	if err != nil {
		return nil, fmt.Errorf("canal cluster: ZooKeeper: %w", err)
	}
	lib, _, err := zk.Connect(servers.Addrs, o.SessionTimeout, zk.WithHostProvider(servers.Hosts()), zk.WithDialer(zkconn.Dialer{TLS: o.ZooKeeperTLS}.Dial), zk.WithLogger(quiet{}), zk.WithLogInfo(false))
	if err != nil {
		return nil, fmt.Errorf("canal cluster: %w", err)
	}
	return &Cluster{o: o, dir: servers.Chroot + "/otter/canal/destinations/" + o.Destination, lib: lib}, nil
}

// Close ends the ZooKeeper session, and with it the client's place. Connections
// that were made are closed by it.
func (c *Cluster) Close() error {
	c.once.Do(c.lib.Close)
	return nil
}

// place is what stands in the running nodes of clients and of servers, with keys
// in Java's order.
type place struct {
	Active   *bool  `json:"active,omitempty"`
	Address  string `json:"address"`
	ClientID int16  `json:"clientId,omitempty"`
}

func (p place) released() bool { return p.Active != nil && !*p.Active }

func (c *Cluster) placeNode() string { return fmt.Sprintf("%s/%d/running", c.dir, c.o.ClientID) }

func (c *Cluster) placeData(address string) []byte {
	active := true
	data, err := json.Marshal(place{&active, address, c.o.ClientID})
	if err != nil { // texts and numbers can always be written
		return nil
	}
	return data
}

// asked runs a question to ZooKeeper; it does not outlast the context.
func asked[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type answer struct {
		v   T
		err error
	}
	done := make(chan answer, 1)
	go func() {
		v, err := f()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		return a.v, a.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Connect waits until no other client of this id is connected, then until a server
// runs the destination, and subscribes. What an earlier connection got and did not
// acknowledge comes again. The connection closes by itself when the client loses
// its place; the caller closes it in any case, and connects again.
func (c *Cluster) Connect(ctx context.Context) (*Conn, error) {
	pause := firstPause
	for {
		conn, err := c.connect(ctx)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, zk.ErrClosing), errors.Is(err, zk.ErrAuthFailed), errors.Is(err, zk.ErrNoAuth), errors.Is(err, ErrRefused):
			return nil, fmt.Errorf("canal cluster: %w", err)
		}
		var refused *ServerError
		if errors.As(err, &refused) && !strings.Contains(refused.Message, "start first") {
			return nil, err // a user, a password or a filter that is not right
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		pause = min(2*pause, longestPause)
	}
}

func (c *Cluster) connect(ctx context.Context) (*Conn, error) {
	session, err := c.take(ctx)
	if err != nil {
		return nil, err
	}
	var last error
	for began := time.Now(); time.Since(began) < keepPlace; {
		conn, err := c.dialOwner(ctx)
		if err == nil {
			return conn, c.guard(ctx, conn, session)
		}
		last = err
		if ctx.Err() != nil || errors.Is(err, ErrRefused) {
			break
		}
		select {
		case <-time.After(firstPause):
		case <-ctx.Done():
		}
	}
	c.leave(ctx)
	if c.made.Load() && errors.Is(last, ErrRefused) {
		_ = c.remove(ctx)
	}
	return nil, last
}

// take makes the client's running node, waiting for the one of another to vanish.
// It returns the session that owns it.
func (c *Cluster) take(ctx context.Context) (session int64, err error) {
	node := c.placeNode()
	for {
		_, err := asked(ctx, func() (string, error) {
			return c.lib.Create(node, c.placeData(localIP()), zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		})
		switch {
		case errors.Is(err, zk.ErrNoNode):
			if err := c.makeParents(ctx, node); err != nil {
				return 0, err
			}
			continue
		case err != nil && !errors.Is(err, zk.ErrNodeExists):
			return 0, err
		}
		now, err := c.look(ctx, node)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			continue
		case err != nil:
			return 0, err
		case now.owner == c.lib.SessionID():
			return now.owner, nil
		}
		select {
		case <-now.events:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// placed is a running node as it was seen, and what tells of its change.
type placed struct {
	data         []byte
	owner, epoch int64 // the session, and the transaction that made the node
	events       <-chan zk.Event
}

func (c *Cluster) look(ctx context.Context, node string) (placed, error) {
	return asked(ctx, func() (placed, error) {
		data, stat, events, err := c.lib.GetW(node)
		if err != nil {
			return placed{}, err
		}
		return placed{data, stat.EphemeralOwner, stat.Czxid, events}, nil
	})
}

func (c *Cluster) makeParents(ctx context.Context, node string) error {
	for i := 1; i < len(node); i++ {
		if node[i] != '/' {
			continue
		}
		_, err := asked(ctx, func() (string, error) { return c.lib.Create(node[:i], nil, 0, zk.WorldACL(zk.PermAll)) })
		if err == nil && node[:i] == path.Dir(c.placeNode()) {
			c.made.Store(true)
		}
		if err != nil && !errors.Is(err, zk.ErrNodeExists) && !errors.Is(err, zk.ErrNoAuth) {
			return err
		}
	}
	return nil
}

// leave gives the client's place away.
func (c *Cluster) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestPause)
	defer cancel()
	_, _ = asked(ctx, func() (struct{}, error) {
		_, stat, err := c.lib.Get(c.placeNode())
		if err == nil && stat.EphemeralOwner == c.lib.SessionID() {
			err = c.lib.Delete(c.placeNode(), stat.Version)
		}
		return struct{}{}, err
	})
}

// Unsubscribe ends the subscription of a connection that Connect made, over another
// one when that is closed, and gives the client's place away. Nothing of the client
// stays in ZooKeeper; one that connects again begins as a new one.
func (c *Cluster) Unsubscribe(ctx context.Context, conn *Conn) error {
	err := conn.Unsubscribe(ctx)
	if err != nil {
		_ = conn.Close()
		again, errAgain := c.Connect(ctx)
		if errAgain != nil {
			return errAgain
		}
		defer func() { _ = again.Close() }()
		err = again.Unsubscribe(ctx)
	}
	c.leave(ctx)
	// What the server still has to remove there, it removes with the node.
	if errRemove := c.remove(ctx); err == nil && errRemove != nil {
		err = fmt.Errorf("canal cluster: %w", errRemove)
	}
	return err
}

// remove removes the client's node if nothing is kept in it: servers take it for a
// subscription.
func (c *Cluster) remove(ctx context.Context) error {
	_, err := asked(ctx, func() (struct{}, error) {
		const anyVersion = -1
		return struct{}{}, c.lib.Delete(path.Dir(c.placeNode()), anyVersion)
	})
	if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrNotEmpty) {
		return nil
	}
	return err
}

// dialOwner connects to the server that runs the destination, or to any that could
// while none does, and subscribes.
func (c *Cluster) dialOwner(ctx context.Context) (*Conn, error) {
	addr, epoch, err := c.server(ctx)
	if err != nil {
		return nil, err
	}
	if c.o.Accept != nil {
		if err := c.o.Accept(ctx, addr); err != nil {
			return nil, err
		}
	}
	o := c.o.Options
	o.Addr = addr
	conn, err := Dial(ctx, o)
	if err != nil {
		return nil, err
	}
	go c.watchServer(ctx, conn, addr, epoch)
	if err := conn.Subscribe(ctx, c.o.Filter); err != nil {
		_ = conn.Close()
		return nil, err
	}
	if err := conn.Rollback(ctx, 0); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func (c *Cluster) serverNode() string { return c.dir + "/running" }

// server is where to connect to, and the epoch of its running node; 0 when no server
// runs the destination and this is one that could.
func (c *Cluster) server(ctx context.Context) (addr string, epoch int64, err error) {
	now, err := c.look(ctx, c.serverNode())
	var p place
	switch {
	case err == nil && json.Unmarshal(now.data, &p) == nil && p.Address != "":
		return p.Address, now.epoch, nil
	case err != nil && !errors.Is(err, zk.ErrNoNode):
		return "", 0, err
	}
	members, err := asked(ctx, func() ([]string, error) {
		names, _, err := c.lib.Children(c.dir + "/cluster")
		return names, err
	})
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return "", 0, err
	}
	if len(members) == 0 {
		return "", 0, fmt.Errorf("no server runs the destination %s, and none could", c.o.Destination)
	}
	return members[rand.IntN(len(members))], 0, nil
}

// watchServer ends the connection when another server runs the destination, or the
// same one anew. A machine that is gone, or a way that is cut, tells nobody.
func (c *Cluster) watchServer(ctx context.Context, conn *Conn, addr string, epoch int64) {
	ctx = context.WithoutCancel(ctx) // the caller's was for connecting
	for pause := firstPause; conn.closed() == nil; pause = min(2*pause, longestPause) {
		limited, cancel := context.WithTimeout(ctx, c.o.SessionTimeout)
		now, err := c.look(limited, c.serverNode())
		cancel()
		var p place
		switch {
		case errors.Is(err, zk.ErrClosing):
			return
		case err != nil || json.Unmarshal(now.data, &p) != nil: // nobody runs it now, or nobody knows
			select {
			case <-time.After(pause):
			case <-conn.done:
			}
			continue
		case p.Address != addr || epoch != 0 && now.epoch != epoch:
			_ = conn.end(ErrServerLost)
			return
		}
		epoch, pause = now.epoch, firstPause
		select {
		case <-now.events:
		case <-conn.done:
		}
	}
}

// guard writes the connection's own end into the client's node, and closes the
// connection when the node is not the client's any more, or orders it to leave.
func (c *Cluster) guard(ctx context.Context, conn *Conn, session int64) error {
	node, own := c.placeNode(), conn.nc.LocalAddr().String()
	_, err := asked(ctx, func() (*zk.Stat, error) { return c.lib.Set(node, c.placeData(own), -1) })
	if err != nil {
		_ = conn.Close()
		return err
	}
	go c.watch(ctx, conn, session)
	return nil
}

// watch ends the connection when the client's place is lost, or may be: without
// word from ZooKeeper for two thirds of the session timeout somebody else could
// have it soon.
func (c *Cluster) watch(ctx context.Context, conn *Conn, session int64) {
	ctx = context.WithoutCancel(ctx) // the caller's was for connecting
	every := c.o.SessionTimeout / 6
	for heard := time.Now(); conn.closed() == nil; {
		limited, cancel := context.WithTimeout(ctx, 2*every)
		now, err := c.look(limited, c.placeNode())
		cancel()
		var p place
		switch {
		case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrClosing), errors.Is(err, zk.ErrSessionExpired), err == nil && now.owner != session:
			_ = conn.end(ErrPlaceLost)
		case err == nil && json.Unmarshal(now.data, &p) == nil && p.released():
			_ = conn.end(ErrPlaceLost)
			c.leave(ctx)
		case err != nil && time.Since(heard) > 4*every:
			_ = conn.end(ErrPlaceLost)
		case err == nil:
			heard = time.Now()
		}
		for waiting := err == nil; waiting && conn.closed() == nil; {
			select {
			case <-now.events:
				waiting = false
			case <-conn.done:
			case <-time.After(every):
				waiting = c.answers(ctx, every) // the watch stands as long as the session does
				if waiting {
					heard = time.Now()
				}
			}
		}
		if err != nil {
			select {
			case <-time.After(firstPause):
			case <-conn.done:
			}
		}
	}
}

// answers tells whether ZooKeeper answers at all.
func (c *Cluster) answers(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	_, err := asked(ctx, func() (bool, error) {
		there, _, err := c.lib.Exists(c.dir)
		return there, err
	})
	return err == nil
}

// Consume connects, gives each batch to handle, and acknowledges it when that
// returns without an error. It connects again when a connection or a server is
// lost, and never returns nil: the error is that of handle, whose batch is rolled
// back, or of the context. Size and wait are those of Conn.GetWithoutAck.
func (c *Cluster) Consume(ctx context.Context, size int, wait time.Duration, handle func(ctx context.Context, m *Message) error) error {
	for {
		conn, err := c.Connect(ctx)
		if err != nil {
			return err
		}
		err = consume(ctx, conn, size, wait, handle)
		_ = conn.Close()
		var failed *handleError
		switch {
		case errors.As(err, &failed):
			return failed.error
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
	}
}

// handleError is the caller's own, and ends the work.
type handleError struct{ error }

func consume(ctx context.Context, conn *Conn, size int, wait time.Duration, handle func(ctx context.Context, m *Message) error) error {
	for {
		m, err := conn.GetWithoutAck(ctx, size, wait)
		if err != nil {
			return err
		}
		if m.ID == NoBatch {
			continue
		}
		if err := handle(ctx, m); err != nil {
			_ = conn.Rollback(ctx, m.ID)
			return &handleError{err}
		}
		if err := conn.Ack(ctx, m.ID); err != nil {
			return err
		}
	}
}

// localIP is the first address of this host that others may know.
func localIP() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}
