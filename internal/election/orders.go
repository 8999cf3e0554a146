package election

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Outcomes of orders.
var (
	// ErrNobody: no server runs the destination, so that none can give it away.
	ErrNobody = errors.New("no server runs the destination")
	// ErrNotMember: the server that is named cannot run the destination.
	ErrNotMember = errors.New("the server is no member of the destination")
	// ErrDrained: the server that is named is to run nothing.
	ErrDrained = errors.New("the server is drained")
)

// movePatience is how many of Java's delays others leave a destination to the
// server that it is moved to. Java servers need one of them.
const movePatience = 2

// Release orders the owner of a destination to give it away, as an operator of
// Java servers does, and returns who that was. It does not wait for the deed.
func Release(ctx context.Context, tree Tree, destination string) (Standing, error) {
	const attempts = 5
	var s Standing
	var err error
	for range attempts {
		if s, err = Look(ctx, tree, destination); err != nil {
			return s, err
		}
		if !s.Running || s.Session == 0 || s.Owner == "" {
			return s, ErrNobody
		}
		if s.Releasing {
			return s, nil
		}
		session, _ := tree.Session()
		_, err = tree.Set(ctx, session.ID, runningPath(destination), runningData{Address: s.Owner}.encode(), s.version)
		if !isBadVersion(err) && !isNoNode(err) {
			return s, err
		}
	}
	return s, err
}

// Move orders the owner of a destination to give it to a server, which is a
// member of it. Without an owner the server is the one that takes it. It returns
// how the destination stood before, and does not wait for the deed.
func Move(ctx context.Context, tree Tree, destination, server string) (Standing, error) {
	s, err := Look(ctx, tree, destination)
	if err != nil {
		return s, err
	}
	if !slices.ContainsFunc(s.Members, func(m Member) bool { return m.Address == server }) {
		return s, ErrNotMember
	}
	if drained, err := isDrained(ctx, tree, server); err != nil || drained {
		return s, errors.Join(err, ErrDrained)
	}
	if s.Running && s.Owner == server {
		return s, nil
	}
	raw, err := json.Marshal(order{Server: server, After: s.newest})
	if err != nil {
		return s, err
	}
	if err := put(ctx, tree, nextPath(destination), raw); err != nil {
		return s, err
	}
	if !s.Running {
		return s, nil
	}
	now, err := Release(ctx, tree, destination)
	if err == nil && now.Epoch != s.Epoch {
		err = fmt.Errorf("%s has taken the destination meanwhile", now.Owner)
	}
	return s, err
}

// Drain orders a server to give all its destinations away, as far as another
// server can run them, and to take none; or ends such an order. The order
// survives the server. It does not wait for the deed.
func Drain(ctx context.Context, tree Tree, server string, on bool) error {
	path := drainedPath + "/" + server
	if on {
		return put(ctx, tree, path, nil)
	}
	session, _ := tree.Session()
	if err := tree.Delete(ctx, session.ID, path, -1); err != nil && !isNoNode(err) {
		return err
	}
	return nil
}

// put writes a persistent node or makes it.
func put(ctx context.Context, tree Tree, path string, data []byte) error {
	session, _ := tree.Session()
	err := tree.Create(ctx, session.ID, path, data, false)
	if isExists(err) {
		_, err = tree.Set(ctx, session.ID, path, data, -1)
	}
	return err
}

func isDrained(ctx context.Context, r Reader, server string) (bool, error) {
	_, err := r.Get(ctx, drainedPath+"/"+server)
	if isNoNode(err) {
		return false, nil
	}
	return err == nil, err
}

// watchDrained follows the order to run nothing, for those who lead now.
func (e *Election) watchDrained(ctx context.Context) {
	path := drainedPath + "/" + e.cfg.Address
	for ctx.Err() == nil {
		s, changed := e.tree.Session()
		if !s.Connected {
			wait(ctx, changed, nil, 0)
			continue
		}
		n, events, err := e.tree.Watch(ctx, path)
		if err != nil {
			e.pause(ctx, changed, path, err)
			continue
		}
		e.setDrained(n.Exists)
		wait(ctx, changed, events, 0)
	}
}

func (e *Election) setDrained(on bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.drained == on {
		return
	}
	e.mu.drained = on
	close(e.mu.drainedChanged)
	e.mu.drainedChanged = make(chan struct{})
	if on {
		e.log.Info("order to drain this server: it gives its destinations away and takes none")
	} else {
		e.log.Info("the order to drain this server is undone")
	}
}

// drained tells whether there is an order to run nothing; the channel is closed
// when that changes.
func (e *Election) drained() (bool, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.drained, e.mu.drainedChanged
}

// mayTake says whether orders let us take the destination when it is free, and
// from when on.
func (c *campaign) mayTake(ctx context.Context, newest claim) (ok, named bool, from time.Time, err error) {
	drained, err := isDrained(ctx, c.e.tree, c.e.cfg.Address)
	if err != nil || drained {
		return false, false, from, err
	}
	o, err := readOrder(ctx, c.e.tree, c.destination)
	if err != nil || o.Server == "" || o.After < max(newest.Epoch, c.last.epoch) {
		return err == nil, false, from, err
	}
	if o.Server == c.e.cfg.Address {
		return true, true, from, nil
	}
	if _, err := c.e.tree.Get(ctx, memberPath(c.destination, o.Server)); err != nil {
		if isNoNode(err) {
			err = nil
		}
		return err == nil, false, from, err
	}
	return true, false, c.absence.since.Add(movePatience * c.e.cfg.JavaDelay), nil
}

// successor tells whether another member may run the destination.
func (t *tenure) successor(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, t.session.Timeout/4)
	defer cancel()
	names, err := t.e.tree.Children(ctx, membersPath(t.destination))
	if err != nil {
		return false
	}
	for _, name := range names {
		if name == t.e.cfg.Address {
			continue
		}
		if drained, err := isDrained(ctx, t.e.tree, name); err == nil && !drained {
			return true
		}
	}
	return false
}
