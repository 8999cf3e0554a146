package election

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/zkconn"
)

// tenure is the time during which we own the running node.
type tenure struct {
	*campaign
	lease   *Lease
	session zkconn.Session
	version int32 // of the running node
	cancel  context.CancelCauseFunc
	done    chan struct{} // the leading function has returned
	err     error         // what it returned; to be read when done is closed
}

// looksPerTimeout is how often the lease is extended.
const looksPerTimeout = 12

// successorEvery is the pause between two looks for a member that may take what a
// drained server runs.
const successorEvery = time.Second

// hold leads while the running node is ours. It returns when the leading
// function has ended and the node is not ours any more, or will not be: its
// session ends, or the context is done.
func (c *campaign) hold(ctx context.Context, s zkconn.Session, n zkconn.Node, events <-chan zkconn.Event) {
	_, changed := c.e.tree.Session()
	if err := c.claim(ctx, s, n.Epoch); err != nil { // the node is looked at again
		c.e.pause(ctx, changed, claimPath(c.destination), err)
		return
	}
	t := &tenure{campaign: c, lease: newLease(n.Epoch, s.ID, s.Timeout), session: s, version: n.Version, done: make(chan struct{})}
	c.last, c.absence = owner{epoch: n.Epoch, address: c.e.cfg.Address}, absence{}
	began := time.Now()
	var own context.Context
	own, t.cancel = context.WithCancelCause(ctx)
	defer t.cancel(nil)
	t.extend()
	if !t.lease.Valid() { // too late already: look again when there is contact
		wait(ctx, changed, nil, 200*time.Millisecond)
		return
	}
	c.log.Info("lease acquired", zap.Int64("epoch", n.Epoch), zap.String("session", sessionName(s.ID)))
	c.status(Leading, n.Epoch)
	go func() {
		defer close(t.done)
		t.err = c.lead(own, t.lease)
	}()
	cause := t.watch(ctx, n, events)
	switch {
	case cause == nil && ctx.Err() != nil: // the server stops, or the destination
		t.mark(ctx)
		t.giveAway(ctx, nil)
	case cause == nil: // the leading function returned
		t.giveAway(ctx, nil)
		if ctx.Err() != nil {
			return
		}
		pause := c.failed(time.Since(began))
		c.log.Error("the destination cannot be run here; it is given to others", zap.Int64("epoch", n.Epoch), zap.Error(t.err), zap.Duration("pause", pause))
	case errors.Is(cause, ErrReleased):
		c.log.Info("order to release the destination", zap.Int64("epoch", n.Epoch))
		if drained, _ := c.e.drained(); drained {
			t.mark(ctx)
		}
		t.giveAway(ctx, cause)
		c.shared = time.Now().Add(2 * c.e.cfg.JavaDelay)
	default:
		t.lease.end()
		t.cancel(cause)
		c.log.Error("lease lost", zap.Int64("epoch", n.Epoch), zap.Error(cause))
		c.status(Waiting, 0)
		<-t.done
	}
	if t.err != nil && ctx.Err() != nil && !errors.Is(t.err, context.Canceled) {
		c.log.Error("the destination ended with an error", zap.Error(t.err))
	}
}

// extend extends the lease by the contact that there was.
func (t *tenure) extend() {
	if at := t.e.tree.Contact(); at.Session == t.session.ID {
		t.lease.extend(at.At)
	}
}

// watch keeps the lease until it is lost, which it returns the cause of. It
// returns nil when the leading function has ended or the context is done.
func (t *tenure) watch(ctx context.Context, n zkconn.Node, events <-chan zkconn.Event) error {
	tick := time.NewTicker(max(t.session.Timeout/looksPerTimeout, time.Millisecond))
	defer tick.Stop()
	_, changed := t.e.tree.Session()
	drained, drainedChanged := t.e.drained()
	var asked time.Time // when we last looked for somebody who may take it
	// The node was read, but not looked at yet.
	unread, cause := false, t.check(ctx, n)
	lapsed := false
	for cause == nil {
		select {
		case <-t.done:
			return nil
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-drainedChanged:
			drained, drainedChanged = t.e.drained()
		case <-tick.C:
		case e := <-events:
			events, unread = nil, true
			if e.Type == zkconn.EventDeleted {
				t.lease.suspend() // until we know better
			}
		}
		var s zkconn.Session
		s, changed = t.e.tree.Session()
		at := t.e.tree.Contact()
		if s.ID != t.session.ID || at.Session != t.session.ID || time.Since(at.At) >= t.session.Timeout {
			return ErrExpired
		}
		if valid := t.lease.Valid(); !valid && !lapsed {
			lapsed = true
			t.lease.suspend()
			t.log.Warn("lease suspended: no contact to ZooKeeper", zap.Int64("epoch", t.lease.epoch), zap.Duration("since", time.Since(at.At)))
			t.status(Suspended, t.lease.epoch)
		}
		if !unread && !lapsed {
			t.extend()
			if drained && time.Since(asked) >= successorEvery {
				asked = time.Now()
				if t.successor(ctx) {
					return ErrReleased
				}
			}
			continue
		}
		if !s.Connected {
			continue
		}
		var ok bool
		if n, events, ok = t.look(ctx, lapsed, events); !ok {
			continue
		}
		if unread, cause = false, t.check(ctx, n); cause != nil {
			break
		}
		t.extend()
		if lapsed && t.lease.Valid() {
			lapsed = false
			t.log.Info("lease resumed", zap.Int64("epoch", t.lease.epoch))
			t.status(Leading, t.lease.epoch)
		}
	}
	return cause
}

// look reads the node again. A lease that has lapsed is ours only if the newest
// state of the tree says so.
func (t *tenure) look(ctx context.Context, lapsed bool, old <-chan zkconn.Event) (zkconn.Node, <-chan zkconn.Event, bool) {
	ctx, cancel := context.WithTimeout(ctx, t.session.Timeout/4)
	defer cancel()
	if lapsed {
		if err := t.e.tree.Sync(ctx, t.path); err != nil {
			return zkconn.Node{}, old, false
		}
	}
	n, events, err := t.e.tree.Watch(ctx, t.path)
	if err != nil {
		return zkconn.Node{}, old, false
	}
	return n, events, true
}

// check says whether the node is ours, and restores what it should hold.
func (t *tenure) check(ctx context.Context, n zkconn.Node) error {
	if !n.Exists || n.Owner != t.session.ID || n.Epoch != t.lease.epoch {
		return ErrTaken
	}
	t.version = n.Version
	r, ok := parseRunning(n.Data)
	switch {
	case ok && r.Address == t.e.cfg.Address && !r.Active:
		return ErrReleased
	case !ok || r.Address != t.e.cfg.Address:
		t.log.Warn("somebody wrote to the running node of this server; restoring it", zap.String("node", t.path))
		version, err := t.e.tree.Set(ctx, t.session.ID, t.path, runningData{Active: true, Address: t.e.cfg.Address}.encode(), n.Version)
		if err == nil {
			t.version = version
		}
		// Whatever went wrong shows in the next event, or harms nobody.
	}
	return nil
}

// mark writes into the node that it will be given away, for those who look on.
func (t *tenure) mark(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	version, err := t.e.tree.Set(ctx, t.session.ID, t.path, runningData{Address: t.e.cfg.Address}.encode(), t.version)
	if err == nil {
		t.version = version
	}
}

// giveAway ends the leading function, with the lease still valid for what it has
// to save, and then removes the node. It returns when both are done.
func (t *tenure) giveAway(ctx context.Context, cause error) {
	t.cancel(cause)
	t.status(Waiting, 0)
	bound := time.NewTimer(t.e.cfg.ReleaseBound)
	defer bound.Stop()
	tick := time.NewTicker(max(t.session.Timeout/looksPerTimeout, time.Millisecond))
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-t.done:
			ended = true
		case <-bound.C:
			t.log.Error("the destination does not stop in time; it is given away all the same and answers nobody", zap.Duration("waited", t.e.cfg.ReleaseBound))
			ended = true
		case <-tick.C:
			if t.lease.Valid() { // a lease that has lapsed stays so
				t.extend()
			}
		}
	}
	t.lease.end()
	t.remove(ctx)
	<-t.done
}

// remove removes the node, until it is surely not ours any more. When the
// process ends it does not take long: the end of the session removes the rest.
func (t *tenure) remove(ctx context.Context) {
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*t.session.Timeout)
	defer cancel()
	for tries := 1; ; tries++ {
		try, stop := context.WithTimeout(last, farewell)
		err := t.e.tree.Replace(try, t.session.ID, t.path, t.version, claimPath(t.destination),
			claim{Session: t.session.ID, Epoch: t.lease.epoch, Released: true}.encode())
		if err != nil && !isNoNode(err) && !isSessionEnded(err) {
			var n zkconn.Node
			if n, err = t.e.tree.Get(try, t.path); err == nil && n.Owner == t.session.ID {
				t.version, err = n.Version, errors.New("the running node is still there")
			} else if err == nil {
				err = zkconn.ErrNoNode
			}
		}
		stop()
		if err == nil || isNoNode(err) || isSessionEnded(err) {
			t.log.Info("lease released", zap.Int64("epoch", t.lease.epoch))
			return
		}
		s, changed := t.e.tree.Session()
		if s.ID != t.session.ID || last.Err() != nil || (ctx.Err() != nil && tries >= 3) {
			t.log.Warn("the running node cannot be removed; it goes with the session", zap.Error(err))
			return
		}
		wait(last, changed, nil, 100*time.Millisecond)
	}
}
