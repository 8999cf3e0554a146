package election

import (
	"context"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/zkconn"
)

// campaign is one server's part in the election of one destination. It belongs
// to one goroutine.
type campaign struct {
	e           *Election
	destination string
	path        string          // of the running node
	asked       <-chan struct{} // closed when the destination is wanted; nil when it is
	lead        func(ctx context.Context, lease *Lease) error
	log         *zap.Logger

	registered int64 // the session in which we are known to be a member
	last       owner
	absence    absence
	shared     time.Time // an earlier take-over is left to others, when there are some
	notBefore  time.Time // nor before this, after a failure
	failures   int       // in a row
	alarmed    time.Time // when an odd node was reported last
}

// absence is how long there has surely been no running node.
type absence struct {
	since   time.Time // zero while there is one
	session zkconn.Session
	claim   int64 // the newest epoch that was claimed then
}

// owner is who held the running node when it was last seen.
type owner struct {
	epoch   int64  // 0: nobody was seen
	address string // empty when the node named nobody
}

func (c *campaign) run(ctx context.Context) {
	for ctx.Err() == nil {
		s, changed := c.e.tree.Session()
		if !s.Connected {
			c.status(Waiting, 0)
			wait(ctx, changed, nil, 0)
			continue
		}
		if err := c.register(ctx, s); err != nil {
			c.e.pause(ctx, changed, c.path, err)
			continue
		}
		n, events, err := c.e.tree.Watch(ctx, c.path)
		switch {
		case err != nil:
			c.e.pause(ctx, changed, c.path, err)
		case !n.Exists && c.idle():
			c.status(Idle, 0)
			select {
			case <-changed:
			case <-events:
			case <-c.asked:
				c.asked = nil
			case <-ctx.Done():
			}
		case n.Exists && n.Owner == s.ID:
			c.hold(ctx, s, n, events)
		case n.Exists:
			c.standBy(ctx, s, n, events, changed)
		default:
			c.compete(ctx, s, events, changed)
		}
	}
}

// idle tells whether nobody has asked for the destination yet.
func (c *campaign) idle() bool {
	select {
	case <-c.asked:
		c.asked = nil
	default:
	}
	return c.asked != nil
}

// register makes us a member before we may win: clients look for members.
func (c *campaign) register(ctx context.Context, s zkconn.Session) error {
	if c.registered == s.ID {
		return nil
	}
	err := c.e.tree.Create(ctx, s.ID, memberPath(c.destination, c.e.cfg.Address), nil, true)
	if err == nil || isExists(err) {
		c.registered = s.ID
		return nil
	}
	return err
}

// standBy waits while another session owns the running node.
func (c *campaign) standBy(ctx context.Context, s zkconn.Session, n zkconn.Node, events <-chan zkconn.Event, changed <-chan struct{}) {
	r, _ := parseRunning(n.Data)
	c.asked = nil // at that server
	if c.last.epoch != n.Epoch {
		c.log.Info("another server runs the destination", zap.String("owner", r.Address), zap.Int64("epoch", n.Epoch), zap.String("session", sessionName(n.Owner)))
	}
	c.last, c.absence = owner{epoch: n.Epoch, address: r.Address}, absence{}
	c.status(Standby, 0)
	pause := time.Duration(0)
	switch {
	case n.Owner == 0:
		c.alarm("the running node is persistent, so nobody can ever run the destination; remove it", n)
		pause = alarmEvery
	case r.Address == c.e.cfg.Address:
		// What a process of ours left behind goes away with its session. It may
		// also be another server's, so it is not ours to remove.
		pause = s.Timeout + s.Timeout/2
	}
	if wait(ctx, changed, events, pause) == waitedLong && n.Owner != 0 {
		c.alarm("another process runs the destination under the address of this server; give each server an address of its own", n)
		wait(ctx, changed, events, alarmEvery)
	}
}

const alarmEvery = time.Minute

func (c *campaign) alarm(text string, n zkconn.Node) {
	if !c.alarmed.IsZero() && time.Since(c.alarmed) < alarmEvery {
		return
	}
	c.alarmed = time.Now()
	c.log.Error(text, zap.String("node", c.path), zap.String("session", sessionName(n.Owner)))
}

// compete makes the running node, at once or after the pause that others are owed.
func (c *campaign) compete(ctx context.Context, s zkconn.Session, events <-chan zkconn.Event, changed <-chan struct{}) {
	due, ok, err := c.due(ctx, s)
	if err != nil {
		c.e.pause(ctx, changed, c.path, err)
		return
	}
	if !ok {
		c.status(Waiting, 0)
		wait(ctx, changed, events, time.Second)
		return
	}
	if left := time.Until(due); left > 0 {
		c.status(Standby, 0)
		if time.Now().Before(c.notBefore) {
			c.status(Waiting, 0)
		}
		// Others come and go meanwhile; look again now and then.
		wait(ctx, changed, events, min(left, time.Second))
		return
	}
	err = c.e.tree.Create(ctx, s.ID, c.path, runningData{Active: true, Address: c.e.cfg.Address}.encode(), true)
	if err != nil && !isExists(err) {
		c.e.pause(ctx, changed, c.path, err)
	}
	// Whether we won is what the node says, not what the answer was: it may
	// have been lost.
}

// due is when we may take a running node that is gone. Java waits five seconds,
// so that an owner which is only renewing its session is first; nobody waits
// for one that cannot come back. It is not ok when we must not take it at all.
func (c *campaign) due(ctx context.Context, s zkconn.Session) (at time.Time, ok bool, err error) {
	// Our server may be behind, and what follows is about who was last.
	if err := c.e.tree.Sync(ctx, c.path); err != nil {
		return at, false, err
	}
	n, err := c.e.tree.Get(ctx, claimPath(c.destination))
	if err != nil && !isNoNode(err) {
		return at, false, err
	}
	newest := parseClaim(n.Data)
	// Out of contact we may have missed an owner that came and went.
	if c.absence.since.IsZero() || c.absence.session != s || c.absence.claim != newest.Epoch {
		c.absence = absence{since: time.Now(), session: s, claim: newest.Epoch}
	}
	ok, named, at, err := c.mayTake(ctx, newest)
	if err != nil || !ok {
		return at, false, err
	}
	gone := c.absence.since
	later := func(t time.Time) {
		if t.After(at) {
			at = t
		}
	}
	later(gone)
	later(c.notBefore)
	if !named && time.Now().Before(c.shared) && c.others(ctx) != nobody {
		later(c.shared)
	}
	canald := newest.Epoch != 0 && newest.Epoch >= c.last.epoch
	// Somebody removed the node of an owner that lives. It may not know yet, and
	// knows at the latest when it would have lost its session. A Java server that
	// had the node since changes nothing about that.
	live := newest.Epoch != 0 && !newest.Released && newest.Session != s.ID && c.alive(ctx, newest.Session)
	if live {
		later(gone.Add(max(c.e.cfg.JavaDelay, s.Timeout)))
	}
	switch {
	case live:
	case canald && newest.Released:
	case canald && newest.Session == s.ID: // it was removed under our hands
	case c.last.epoch == 0: // Java's first attempt does not wait either
	case c.last.address == c.e.cfg.Address:
	case canald && c.others(ctx) != someJava:
	default:
		later(gone.Add(c.e.cfg.JavaDelay))
	}
	return at, true, nil
}

// claim makes it known that the lease of this epoch is ours. It fails when a
// newer one is known.
func (c *campaign) claim(ctx context.Context, s zkconn.Session, epoch int64) error {
	path, own := claimPath(c.destination), claim{Session: s.ID, Epoch: epoch}
	n, err := c.e.tree.Get(ctx, path)
	if isNoNode(err) {
		return c.e.tree.Create(ctx, s.ID, path, own.encode(), false)
	}
	if err != nil {
		return err
	}
	newest := parseClaim(n.Data)
	switch {
	case newest == own:
		return nil
	case newest.Epoch > epoch:
		return ErrTaken
	}
	_, err = c.e.tree.Set(ctx, s.ID, path, own.encode(), n.Version)
	return err
}

// alive tells whether a session of canald lives, or may.
func (c *campaign) alive(ctx context.Context, session int64) bool {
	_, err := c.e.tree.Get(ctx, zkconn.SessionPath(session))
	return !isNoNode(err)
}

type company int

const (
	nobody company = iota
	onlyCanald
	someJava // or what is not known to be canald
)

// others says who else is a member of the destination.
func (c *campaign) others(ctx context.Context) company {
	names, err := c.e.tree.Children(ctx, membersPath(c.destination))
	if err != nil {
		return someJava
	}
	found := nobody
	for _, name := range names {
		if name == c.e.cfg.Address {
			continue
		}
		n, err := c.e.tree.Get(ctx, memberPath(c.destination, name))
		if isNoNode(err) {
			continue
		}
		if err != nil {
			return someJava
		}
		if _, err := c.e.tree.Get(ctx, zkconn.SessionPath(n.Owner)); err != nil {
			return someJava
		}
		found = onlyCanald
	}
	return found
}

func (c *campaign) status(r Role, epoch int64) {
	c.e.note(c.destination, Status{Role: r, Epoch: epoch, Owner: c.last.address})
}

// failed notes that the destination cannot be run here now.
func (c *campaign) failed(ran time.Duration) time.Duration {
	if ran > c.e.cfg.RetryMax {
		c.failures = 0
	}
	pause := min(c.e.cfg.RetryMin<<min(c.failures, 10), c.e.cfg.RetryMax)
	c.failures++
	pause += rand.N(pause/4 + 1)
	c.notBefore = time.Now().Add(pause)
	return pause
}
