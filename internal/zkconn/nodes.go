package zkconn

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-zookeeper/zk"
)

// Node is a node as it was read.
type Node struct {
	Exists  bool
	Data    []byte
	Version int32 // of the data
	Owner   int64 // the session of an ephemeral node; 0 for others
	Epoch   int64 // the transaction that made the node (czxid): newer ones are larger
	// Made is when that was, ms since 1970 by ZooKeeper's clock. An ensemble that
	// has lost its data counts its transactions anew.
	Made int64
	// Changed is when its data was written last, by the same clock.
	Changed int64
}

func node(data []byte, s *zk.Stat) Node {
	return Node{Exists: true, Data: data, Version: s.Version, Owner: s.EphemeralOwner, Epoch: s.Czxid, Made: s.Ctime, Changed: s.Mtime}
}

// Get reads a node; ErrNoNode when there is none.
func (c *Conn) Get(ctx context.Context, path string) (Node, error) {
	return connected(ctx, c, func(lib *zk.Conn) (Node, error) {
		data, stat, err := lib.Get(c.full(path))
		if err != nil {
			return Node{}, err
		}
		return node(data, stat), nil
	})
}

// Watch reads a node, which need not exist. The channel gets one event when the
// node is made, changed or removed, or when the session ends.
func (c *Conn) Watch(ctx context.Context, path string) (Node, <-chan Event, error) {
	type watched struct {
		node   Node
		events <-chan Event
	}
	w, err := connected(ctx, c, func(lib *zk.Conn) (watched, error) {
		for {
			data, stat, events, err := lib.GetW(c.full(path))
			if err == nil {
				return watched{node(data, stat), events}, nil
			}
			if !errors.Is(err, ErrNoNode) {
				return watched{}, err
			}
			exists, _, events, err := lib.ExistsW(c.full(path))
			if err != nil || !exists {
				return watched{events: events}, err
			}
			// Made in between: the watch that was set is one too many, and fires with the next.
		}
	})
	return w.node, w.events, err
}

// Children lists the names below a node; ErrNoNode when there is none.
func (c *Conn) Children(ctx context.Context, path string) ([]string, error) {
	return connected(ctx, c, func(lib *zk.Conn) ([]string, error) {
		names, _, err := lib.Children(c.full(path))
		return names, err
	})
}

// sessionsPath holds a node for each session of canald, which lives as long as
// the session does. It tells others that a session is canald's, and lets
// ZooKeeper itself refuse what was meant to happen in a session that has ended.
const sessionsPath = "/otter/canald/sessions"

// SessionPath is the node that exists as long as a session of canald lives. Its
// data is the Name of the server.
func SessionPath(id int64) string { return fmt.Sprintf("%s/%016x", sessionsPath, uint64(id)) }

// ErrSessionEnded is returned for a change that was to be made in a session that
// has ended; it was not made.
var ErrSessionEnded = errors.New("the ZooKeeper session has ended")

// change makes a change in that session, or does not make it at all. Requests
// may wait in the library until there is another session.
func (c *Conn) change(ctx context.Context, session int64, ops ...any) ([]zk.MultiResponse, error) {
	ops = append([]any{&zk.CheckVersionRequest{Path: c.full(SessionPath(session)), Version: -1}}, ops...)
	return connected(ctx, c, func(lib *zk.Conn) ([]zk.MultiResponse, error) {
		replies, err := lib.Multi(ops...)
		if err != nil {
			if len(replies) > 0 && replies[0].Error != nil {
				err = ErrSessionEnded
			}
			return nil, err
		}
		if len(replies) != len(ops) {
			return nil, errors.New("answer of another length than the question")
		}
		return replies[1:], nil
	})
}

// Create makes a node in that session, and its parents when they are missing.
// Nil data is no data at all, as Java's null. ErrExists when there is one.
func (c *Conn) Create(ctx context.Context, session int64, path string, data []byte, ephemeral bool) error {
	r := &zk.CreateRequest{Path: c.full(path), Data: data, Acl: c.acl}
	if ephemeral {
		r.Flags = zk.FlagEphemeral
	}
	_, err := c.change(ctx, session, r)
	if !errors.Is(err, ErrNoNode) {
		return err
	}
	if err := c.makeParents(ctx, r.Path); err != nil {
		return err
	}
	_, err = c.change(ctx, session, r)
	return err
}

// makeParents makes the nodes above a full path, without data.
func (c *Conn) makeParents(ctx context.Context, full string) error {
	for i := 1; i < len(full); i++ {
		if full[i] != '/' {
			continue
		}
		err := c.makeNode(ctx, full[:i], nil, 0)
		// Without the right to make it, it may be there all the same.
		if err != nil && !errors.Is(err, ErrNoAuth) {
			return err
		}
	}
	return nil
}

// makeNode makes a node with a full path unless it is there.
func (c *Conn) makeNode(ctx context.Context, full string, data []byte, flags int32) error {
	_, err := call(ctx, c, func(lib *zk.Conn) (struct{}, error) {
		_, err := lib.Create(full, data, flags, c.acl)
		return struct{}{}, err
	})
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}

// Set writes a node of that version (-1: of any) in that session and returns its
// new version.
func (c *Conn) Set(ctx context.Context, session int64, path string, data []byte, version int32) (int32, error) {
	replies, err := c.change(ctx, session, &zk.SetDataRequest{Path: c.full(path), Data: data, Version: version})
	if err != nil {
		return 0, err
	}
	return replies[0].Stat.Version, nil
}

// Delete removes a node of that version (-1: of any) in that session; ErrNoNode
// when there is none.
func (c *Conn) Delete(ctx context.Context, session int64, path string, version int32) error {
	_, err := c.change(ctx, session, &zk.DeleteRequest{Path: c.full(path), Version: version})
	return err
}

// Replace removes a node of that version and makes or writes another at the
// same moment, in that session, or does neither.
func (c *Conn) Replace(ctx context.Context, session int64, path string, version int32, other string, data []byte) error {
	remove := &zk.DeleteRequest{Path: c.full(path), Version: version}
	exists, err := connected(ctx, c, func(lib *zk.Conn) (bool, error) {
		exists, _, err := lib.Exists(c.full(other))
		return exists, err
	})
	if err != nil {
		return err
	}
	if exists {
		_, err = c.change(ctx, session, remove, &zk.SetDataRequest{Path: c.full(other), Data: data, Version: -1})
		return err
	}
	if err := c.makeParents(ctx, c.full(other)); err != nil {
		return err
	}
	_, err = c.change(ctx, session, remove, &zk.CreateRequest{Path: c.full(other), Data: data, Acl: c.acl})
	return err
}

// Sync waits until the server that we are connected to knows all that was done
// before.
func (c *Conn) Sync(ctx context.Context, path string) error {
	_, err := connected(ctx, c, func(lib *zk.Conn) (struct{}, error) {
		_, err := lib.Sync(c.full(path))
		return struct{}{}, err
	})
	return err
}

func (c *Conn) full(path string) string {
	if path == "/" && c.cfg.Servers.Chroot != "" {
		return c.cfg.Servers.Chroot
	}
	return strings.TrimSuffix(c.cfg.Servers.Chroot, "/") + path
}

// connected calls the library while there is contact. Without, it is an error at
// once: a request that waits would be carried out in a session of later.
func connected[T any](ctx context.Context, c *Conn, f func(*zk.Conn) (T, error)) (T, error) {
	if s, _ := c.states.get(); !s.Connected {
		var none T
		return none, ErrNotConnected
	}
	return call(ctx, c, f)
}

// call calls the library until the context is done. The library knows no
// contexts; a call that is left behind ends with the connection, and with Run.
func call[T any](ctx context.Context, c *Conn, f func(*zk.Conn) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	lib := c.lib.Load()
	if lib == nil {
		return none, ErrNotConnected
	}
	done := make(chan result, 1)
	c.calls.Go(func() {
		v, err := f(lib)
		done <- result{v, err}
	})
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}
