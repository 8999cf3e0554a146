// Package election decides which server runs a destination: the one whose
// ZooKeeper session owns the destination's running node, and only as long as it
// can be sure of that. Servers written in Java take part with rules of their own
// (ServerRunningMonitor), which this package keeps: the same nodes, and their
// five seconds of waiting while one of them could be harmed.
//
// A lease ends by the local clock, before ZooKeeper could have given the node to
// another. Run owns two goroutines for each destination, a campaign and its
// registration, and the one that leads.
package election

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/zkconn"
)

// Tree is what an election needs of ZooKeeper; it is zkconn.Conn's part.
type Tree interface {
	Session() (zkconn.Session, <-chan struct{})
	Contact() zkconn.Contact
	Get(ctx context.Context, path string) (zkconn.Node, error)
	Watch(ctx context.Context, path string) (zkconn.Node, <-chan zkconn.Event, error)
	Children(ctx context.Context, path string) ([]string, error)
	Create(ctx context.Context, session int64, path string, data []byte, ephemeral bool) error
	Set(ctx context.Context, session int64, path string, data []byte, version int32) (int32, error)
	Delete(ctx context.Context, session int64, path string, version int32) error
	Replace(ctx context.Context, session int64, path string, version int32, other string, data []byte) error
	Sync(ctx context.Context, path string) error
}

// Config is what all destinations of a server have in common. Zero durations
// get the default.
type Config struct {
	// Address is how this server is registered: host:port that clients reach.
	Address string
	// JavaDelay is how long nobody takes a node whose owner may only be renewing
	// its session; Java's constant, 5 s.
	JavaDelay time.Duration
	// ReleaseBound is how long the leading function may take to end before the
	// node is given away all the same; 3 s.
	ReleaseBound time.Duration
	// RetryMin and RetryMax bound the pauses after a failed start; 5 s and 60 s.
	RetryMin, RetryMax time.Duration
}

// Election runs campaigns on one tree.
type Election struct {
	tree Tree
	cfg  Config
	log  *zap.Logger
	mu   struct {
		sync.Mutex
		status         map[string]Status
		drained        bool
		drainedChanged chan struct{}
	}
}

// New makes an election; nothing happens before Run or Announce.
func New(tree Tree, cfg Config, log *zap.Logger) *Election {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&cfg.JavaDelay, 5*time.Second)
	set(&cfg.ReleaseBound, 3*time.Second)
	set(&cfg.RetryMin, 5*time.Second)
	set(&cfg.RetryMax, time.Minute)
	e := &Election{tree: tree, cfg: cfg, log: log}
	e.mu.status = map[string]Status{}
	e.mu.drainedChanged = make(chan struct{})
	return e
}

// Role is what a server is for a destination.
type Role string

// The roles.
const (
	Waiting   Role = "waiting"   // there is no contact to ZooKeeper, a pause after a release or a failure, or an order to drain
	Standby   Role = "standby"   // another server leads, or is expected to come back
	Leading   Role = "leading"   // this server holds the lease
	Suspended Role = "suspended" // it holds the lease and cannot be sure of it now
	Idle      Role = "idle"      // nobody has asked for the destination yet, see RunLazy
)

// Status is how a campaign stands.
type Status struct {
	Role  Role
	Since time.Time
	Epoch int64  // of the lease; 0 without one
	Owner string // address in the running node as last seen; empty when there was none
}

// Status tells how a destination's campaign stands; ok is false without one.
func (e *Election) Status(destination string) (s Status, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok = e.mu.status[destination]
	return s, ok
}

func (e *Election) note(destination string, s Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.mu.status[destination]
	s.Since = old.Since
	if old.Role != s.Role || s.Since.IsZero() {
		s.Since = time.Now()
	}
	e.mu.status[destination] = s
}

func (e *Election) forget(destination string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.mu.status, destination)
}

// Run takes part in the election of a destination until the context is done. It
// calls lead whenever this server has won; the context that lead gets ends with
// the lease, with one of this package's errors as its cause, and lead must
// return then. While lead ends after the outer context has, the lease still
// holds, for what is to be saved. An error of lead, or its return, gives the
// destination away and pauses. Run returns nil when the context is done and lead
// has ended.
func (e *Election) Run(ctx context.Context, destination string, lead func(ctx context.Context, lease *Lease) error) error {
	return e.RunLazy(ctx, destination, nil, lead)
}

// RunLazy is Run for a destination that is to be run once somebody asks for it:
// until the channel is closed the server is a member that does not compete. A
// destination that any server runs has been asked for; nil is, too.
func (e *Election) RunLazy(ctx context.Context, destination string, asked <-chan struct{}, lead func(ctx context.Context, lease *Lease) error) error {
	c := &campaign{
		e: e, destination: destination, asked: asked, lead: lead, path: runningPath(destination),
		log: e.log.With(zap.String("destination", destination)),
	}
	member := memberPath(destination, e.cfg.Address)
	announce, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { e.keepNode(announce, member) })
	defer e.forget(destination)
	defer wg.Wait()
	defer stop() // the registration goes after the running node, as Java's does
	c.run(ctx)
	return nil
}

// Announce registers the server until the context is done, and follows the
// order to drain it.
func (e *Election) Announce(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { e.watchDrained(ctx) })
	defer wg.Wait()
	e.keepNode(ctx, clusterPath+"/"+e.cfg.Address)
	return nil
}

// keepNode keeps an ephemeral node of ours in the tree, over all sessions.
func (e *Election) keepNode(ctx context.Context, path string) {
	log := e.log.With(zap.String("node", path))
	var own int64 // the session in which the node was last seen as ours
	for ctx.Err() == nil {
		s, changed := e.tree.Session()
		if !s.Connected {
			wait(ctx, changed, nil, 0)
			continue
		}
		n, events, err := e.tree.Watch(ctx, path)
		switch {
		case err != nil:
			e.pause(ctx, changed, path, err)
		case !n.Exists:
			if err := e.tree.Create(ctx, s.ID, path, nil, true); err != nil && !isExists(err) {
				e.pause(ctx, changed, path, err)
			}
		case n.Owner == s.ID:
			own = s.ID
			wait(ctx, changed, events, 0)
		default:
			// What a process of ours left behind goes away with its session.
			if wait(ctx, changed, events, s.Timeout+s.Timeout/2) == waitedLong {
				log.Error("another process is registered under the address of this server; give each server an address of its own (canal.ip, canal.register.ip, canal.port)",
					zap.String("session", sessionName(n.Owner)))
				wait(ctx, changed, events, time.Minute)
			}
		}
	}
	if s, _ := e.tree.Session(); own != 0 && s.ID == own {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		if err := e.tree.Delete(ctx, own, path, -1); err != nil && !isNoNode(err) {
			log.Warn("registration cannot be removed; it goes with the session", zap.Error(err))
		}
	}
}

// farewell bounds a last word to ZooKeeper.
const farewell = time.Second

// pause waits after an error: shortly when an answer was lost, which a change of
// the session follows, or when somebody was faster; longer when it will not pass
// by itself.
func (e *Election) pause(ctx context.Context, changed <-chan struct{}, path string, err error) {
	if ctx.Err() != nil {
		return
	}
	if zkconn.Lost(err) || isSessionEnded(err) || isExists(err) || isNoNode(err) || isBadVersion(err) || errors.Is(err, ErrTaken) {
		wait(ctx, changed, nil, 200*time.Millisecond)
		return
	}
	e.log.Error("ZooKeeper refuses; trying again", zap.String("node", path), zap.Error(err), zap.Duration("pause", refusedPause))
	wait(ctx, changed, nil, refusedPause)
}

const refusedPause = 10 * time.Second

type waited int

const (
	waitedChange waited = iota
	waitedEvent
	waitedLong
	waitedDone
)

// wait waits for a change of the session, an event, the end of a pause (0: there
// is none) or of the context.
func wait(ctx context.Context, changed <-chan struct{}, events <-chan zkconn.Event, pause time.Duration) waited {
	var late <-chan time.Time
	if pause > 0 {
		t := time.NewTimer(pause)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-changed:
		return waitedChange
	case <-events:
		return waitedEvent
	case <-late:
		return waitedLong
	case <-ctx.Done():
		return waitedDone
	}
}
