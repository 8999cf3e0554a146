// Package zkconn holds the one ZooKeeper session of a process: it connects,
// waits, reconnects, and tells everybody what became of the session. It also
// keeps what closes the session of a process that died, so that nobody has to
// wait for its end.
//
// A Conn may be used by several goroutines. Run owns the library's goroutines
// and those of calls whose context ended before the answer came; all of them are
// gone when it returns.
package zkconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/zap"
)

// Config says how to reach ZooKeeper. Zero values are the defaults.
type Config struct {
	Servers Servers
	Name    string        // of this server, for those who look at the tree
	Timeout time.Duration // of the session, to be asked for; 10 s
	// Digest is user:password of ZooKeeper's digest scheme; empty names nobody.
	Digest string
	// Private makes nodes that only Digest's user may touch. Java servers, which
	// name nobody, cannot share such a tree.
	Private bool
	TLS     *tls.Config // nil speaks plain
	// ReadOnly writes nothing, not even the node of the session: no change can be
	// made in it.
	ReadOnly bool
	// SessionFile keeps the session's id and password; empty keeps nothing.
	SessionFile string
	// WaitLog is the pause between two lines about waiting for ZooKeeper; 10 s.
	WaitLog time.Duration
}

// DefaultTimeout is the session timeout that is asked for.
const DefaultTimeout = 10 * time.Second

const (
	dialTimeout    = time.Second
	setupRetry     = time.Second
	defaultWaitLog = 10 * time.Second
)

// Outcomes that callers branch on. Except for ErrNotConnected they are the
// library's.
var (
	ErrNoNode     = zk.ErrNoNode
	ErrExists     = zk.ErrNodeExists
	ErrNotEmpty   = zk.ErrNotEmpty
	ErrBadVersion = zk.ErrBadVersion
	ErrNoAuth     = zk.ErrNoAuth
	// ErrNotConnected is returned when there is no contact; nothing was sent.
	ErrNotConnected = errors.New("no contact to ZooKeeper")
)

// Lost tells whether the answer to a request was lost: it may or may not have
// been carried out.
func Lost(err error) bool {
	for _, e := range []error{
		ErrNotConnected, zk.ErrConnectionClosed, zk.ErrNoServer, zk.ErrSessionExpired, zk.ErrSessionMoved, zk.ErrClosing,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// Event is a change of a watched node, or the end of the watch.
type Event = zk.Event

// EventDeleted is the Type of an event that tells of a removed node.
const EventDeleted = zk.EventNodeDeleted

// Conn is a session with ZooKeeper, renewed when it expires.
type Conn struct {
	cfg    Config
	log    *zap.Logger
	states *states
	lib    atomic.Pointer[zk.Conn]
	hosts  *hosts // belongs to the library's loop
	acl    []zk.ACL
	kick   chan struct{} // the library has news
	calls  sync.WaitGroup
	mu     struct {
		sync.Mutex
		shake   handshake
		offered bool // the session was, in vain, since it may have ended
		online  bool // the library has a session and a connection
		wire    *wire
		lastErr error
	}
	authenticated bool // belongs to Run
	rooted        bool // the session's own node is there; belongs to Run
}

// New makes a connection; Run keeps it.
func New(cfg Config, log *zap.Logger) *Conn {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.WaitLog <= 0 {
		cfg.WaitLog = defaultWaitLog
	}
	c := &Conn{cfg: cfg, log: log, states: newStates(), hosts: newHosts(cfg.Servers), kick: make(chan struct{}, 1), acl: zk.WorldACL(zk.PermAll)}
	if user, password, ok := strings.Cut(cfg.Digest, ":"); ok && cfg.Private {
		c.acl = zk.DigestACL(zk.PermAll, user, password)
	}
	return c
}

// Session is the session now; the channel is closed when it changes.
func (c *Conn) Session() (Session, <-chan struct{}) { return c.states.get() }

// Contact is the last moment at which the session was surely alive. It is cheap.
func (c *Conn) Contact() Contact { return *c.states.contact.Load() }

// Run keeps a session until the context is done, however long ZooKeeper is
// away, and closes it then: its ephemeral nodes are gone at once.
func (c *Conn) Run(ctx context.Context) error {
	lib, events, err := zk.Connect(c.cfg.Servers.Addrs, c.cfg.Timeout,
		zk.WithDialer(c.dial), zk.WithHostProvider(c.hosts), zk.WithLogger(debugLog{c.log}),
		zk.WithEventCallback(c.heard), zk.WithMaxBufferSize(maxReplyBytes))
	if err != nil {
		return fmt.Errorf("ZooKeeper: %w", err)
	}
	c.lib.Store(lib)
	defer c.shut(lib, events)
	wait := time.NewTicker(c.cfg.WaitLog)
	defer wait.Stop()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.kick:
		case <-retry:
		case <-wait.C:
			c.sayWaiting()
			continue
		}
		retry = nil
		if err := c.follow(ctx, lib); err != nil && ctx.Err() == nil {
			if errors.Is(err, zk.ErrAuthFailed) {
				return fmt.Errorf("ZooKeeper: %w", err)
			}
			c.log.Warn("ZooKeeper session cannot be used yet", zap.Error(err), zap.Duration("pause", setupRetry))
			retry = time.After(setupRetry)
		}
	}
}

// shut closes the session and waits for the library's goroutines.
func (c *Conn) shut(lib *zk.Conn, events <-chan Event) {
	s, _ := c.states.get()
	c.states.set(Session{})
	lib.Close()
	c.mu.Lock()
	w := c.mu.wire
	c.mu.Unlock()
	if w != nil {
		_ = w.Close() // a server that does not answer would be waited for
	}
	for range events { // closed when the library's loop has ended
		continue
	}
	c.calls.Wait()
	if s.Connected && c.cfg.SessionFile != "" {
		c.forgetSession()
	}
}

// follow brings what is published up to what the library has.
func (c *Conn) follow(ctx context.Context, lib *zk.Conn) error {
	c.mu.Lock()
	h, online := c.mu.shake, c.mu.online
	c.mu.Unlock()
	server := lib.Server()
	n := Session{ID: h.session, Timeout: h.timeout, Connected: online && h.session != 0, Server: server}
	if !n.Connected {
		c.publish(n)
		return nil
	}
	if old, _ := c.states.get(); old.ID != n.ID {
		if c.cfg.SessionFile != "" {
			if err := c.keepSession(h); err != nil {
				c.log.Error("the session cannot be kept in its file: should this process die, its nodes stay until the session ends", zap.Error(err))
			}
		}
		c.rooted = false
	}
	if c.cfg.Digest != "" && !c.authenticated {
		if _, err := call(ctx, c, func(*zk.Conn) (struct{}, error) {
			return struct{}{}, lib.AddAuth("digest", []byte(c.cfg.Digest))
		}); err != nil {
			return fmt.Errorf("authenticate: %w", err)
		}
		c.authenticated = true
	}
	if !c.rooted && !c.cfg.ReadOnly {
		// The first also makes the chroot.
		path := c.full(SessionPath(n.ID))
		if err := c.makeParents(ctx, path); err != nil {
			return fmt.Errorf("make the nodes above %s: %w", path, err)
		}
		if err := c.makeNode(ctx, path, []byte(c.cfg.Name), zk.FlagEphemeral); err != nil {
			return fmt.Errorf("make the node %s: %w", path, err)
		}
		c.rooted = true
	}
	c.publish(n)
	return nil
}

// publish tells everybody and says what matters to an operator.
func (c *Conn) publish(n Session) {
	old, changed := c.states.set(n)
	id := zap.String("session", sessionName(n.ID))
	switch {
	case !changed:
	case n.Connected && old.ID != n.ID:
		c.log.Info("ZooKeeper session begins", id, zap.Duration("timeout", n.Timeout), zap.String("server", n.Server))
		if n.Timeout != c.cfg.Timeout {
			c.log.Warn("ZooKeeper grants another session timeout than was asked for", zap.Duration("asked", c.cfg.Timeout), zap.Duration("granted", n.Timeout))
		}
	case n.Connected && !old.Connected:
		c.log.Info("ZooKeeper is there again; the session lives", id, zap.String("server", n.Server))
	case n.ID == 0 && old.ID != 0:
		c.log.Warn("ZooKeeper session has expired", zap.String("session", sessionName(old.ID)))
	case old.Connected && !n.Connected:
		c.log.Warn("contact to ZooKeeper is lost", id, zap.String("server", old.Server))
	}
}

func (c *Conn) sayWaiting() {
	s, _ := c.states.get()
	if s.Connected {
		return
	}
	c.mu.Lock()
	err := c.mu.lastErr
	c.mu.Unlock()
	c.log.Warn("waiting for ZooKeeper", zap.Stringer("servers", c.cfg.Servers), zap.Duration("since", time.Since(s.Since)), zap.NamedError("last_error", err))
}

// heard is called by the library's goroutines and must not block.
func (c *Conn) heard(e Event) {
	if e.Type != zk.EventSession {
		return
	}
	c.mu.Lock()
	switch e.State {
	case zk.StateHasSession:
		c.mu.online, c.mu.lastErr = true, nil
	case zk.StateDisconnected, zk.StateExpired:
		c.mu.online = false
	case zk.StateAuthFailed:
		c.mu.lastErr = zk.ErrAuthFailed
	default:
	}
	c.mu.Unlock()
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// dial is the library's way to a server.
func (c *Conn) dial(network, address string, within time.Duration) (net.Conn, error) {
	conn, err := Dialer{c.cfg.TLS}.Dial(network, address, within)
	if err == nil {
		var w *wire
		if w, err = newWire(conn, max(dialTimeout, c.cfg.Timeout/6)); err == nil {
			w.forget = c.mustForget
			w.shaken = func(h handshake, sent time.Time) { c.shaken(w, address, h, sent) }
			c.mu.Lock()
			old := c.mu.wire
			c.mu.wire = w
			c.mu.Unlock()
			if old != nil {
				_ = old.Close() // the library leaves that of an expired session open
			}
			return w, nil
		}
		_ = conn.Close()
	}
	c.mu.Lock()
	c.mu.lastErr = err
	c.mu.Unlock()
	return nil, err
}

// Dialer is a way to ZooKeeper's servers for the library.
type Dialer struct {
	TLS *tls.Config // nil speaks plain
}

// Dial connects within a second.
func (d Dialer) Dial(network, address string, _ time.Duration) (net.Conn, error) {
	return d.dial(context.Background(), network, address)
}

func (d Dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	plain := net.Dialer{Timeout: dialTimeout}
	if d.TLS == nil {
		return plain.DialContext(ctx, network, address)
	}
	return (&tls.Dialer{NetDialer: &plain, Config: d.TLS}).DialContext(ctx, network, address)
}

// mustForget decides what a connect request leaves out. While the session may be
// alive, nothing: a server that knows less than we have seen refuses us, which is
// right as long as it may only be behind. Later all would refuse for ever if the
// ensemble has lost its data. And where one hears us and we do not hear it, each
// attempt to go on with the session would prolong it, though nobody can work in
// it: after one in vain it is left to its end.
func (c *Conn) mustForget() forgetting {
	at := c.Contact()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case at.Session == 0 || time.Since(at.At) <= c.mu.shake.timeout:
		return nothing
	case !c.mu.offered:
		c.mu.offered = true
		return newest
	}
	return everything
}

// shaken takes a server's answer to a connect request.
func (c *Conn) shaken(w *wire, address string, h handshake, sent time.Time) {
	c.mu.Lock()
	old := c.mu.shake
	c.mu.shake, c.mu.offered = h, false
	c.mu.Unlock()
	c.states.touch(h.session, sent)
	if h.session == 0 {
		c.hosts.tried = 0 // expired: the next session need not wait for a whole round
	} else if old.session != 0 && old.session != h.session {
		c.log.Warn("the ZooKeeper session was prolonged without an answer, and is given up for another", zap.String("session", sessionName(old.session)))
		c.calls.Go(func() { c.end(address, old) })
	}
	w.alive = func(sent time.Time) { c.states.touch(h.session, sent) }
}

// end closes a session that nobody works in any more, so that what it holds is free.
func (c *Conn) end(address string, h handshake) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := closeAt(ctx, address, h, c.cfg.TLS); err != nil {
		c.log.Warn("it cannot be closed; its nodes go when it ends by itself", zap.String("session", sessionName(h.session)), zap.Error(err))
	}
}

// debugLog takes the library's lines, which are for those who look for a fault.
type debugLog struct{ log *zap.Logger }

// Printf writes a line.
func (l debugLog) Printf(format string, args ...any) {
	if e := l.log.Check(zap.DebugLevel, "ZooKeeper client"); e != nil {
		e.Write(zap.String("line", fmt.Sprintf(format, args...)))
	}
}

func sessionName(id int64) string { return fmt.Sprintf("0x%x", uint64(id)) }
