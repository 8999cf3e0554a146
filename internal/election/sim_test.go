package election_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/canald/canald/internal/zkconn"
)

// world is a ZooKeeper ensemble in memory, in virtual time: the tree, the
// sessions, and for each server a connection that can fail in every way that
// matters. All of it runs in one synctest bubble.
type world struct {
	mu       sync.Mutex
	rng      *rand.Rand
	timeout  time.Duration // of sessions
	zxid     int64
	nodes    map[string]*zkconn.Node
	sessions map[int64]*simSession
	links    []*link
	ctx      context.Context
	calm     bool // nothing is lost by chance
}

type simSession struct {
	touched time.Time
}

func newWorld(ctx context.Context, seed uint64, timeout time.Duration) *world {
	return &world{
		rng: rand.New(rand.NewPCG(seed, 1)), timeout: timeout, ctx: ctx,
		nodes: map[string]*zkconn.Node{}, sessions: map[int64]*simSession{}, zxid: 100,
	}
}

// upTo is a random time of at most d.
func (w *world) upTo(d time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Duration(w.rng.Int64N(int64(d) + 1))
}

func (w *world) chance(percent int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(100) < percent
}

// run ends sessions that were not heard of.
func (w *world) run() {
	for sleep(w.ctx, w.timeout/20) {
		w.mu.Lock()
		for id, s := range w.sessions {
			if time.Since(s.touched) > w.timeout {
				w.endLocked(id)
			}
		}
		w.mu.Unlock()
	}
}

func (w *world) endLocked(id int64) {
	delete(w.sessions, id)
	w.zxid++
	for path, n := range w.nodes {
		if n.Owner == id {
			delete(w.nodes, path)
			w.tellLocked(path, zk.EventNodeDeleted)
		}
	}
}

// close ends the session of a server that died, as the next process would.
func (w *world) close(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sessions[id] != nil {
		w.endLocked(id)
	}
}

func (w *world) tellLocked(path string, kind zk.EventType) {
	for _, l := range w.links {
		l.tellLocked(path, kind)
	}
}

// removed is what an operator does with a node.
func (w *world) remove(path string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.nodes[path] != nil {
		w.zxid++
		delete(w.nodes, path)
		w.tellLocked(path, zk.EventNodeDeleted)
	}
}

func (w *world) write(path, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.nodes[path]; n != nil {
		w.zxid++
		n.Data = []byte(text)
		n.Version++
		w.tellLocked(path, zk.EventNodeDataChanged)
	}
}

// put makes a persistent node or writes it.
func (w *world) put(path, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.zxid++
	if n := w.nodes[path]; n != nil {
		n.Data = []byte(text)
		n.Version++
		w.tellLocked(path, zk.EventNodeDataChanged)
		return
	}
	w.nodes[path] = &zkconn.Node{Exists: true, Data: []byte(text), Epoch: w.zxid}
	w.tellLocked(path, zk.EventNodeCreated)
}

func (w *world) owner(path string) (n zkconn.Node) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.nodes[path]; n != nil {
		return *n
	}
	return n
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// link is one server's connection: an election's Tree. Everything that comes
// from the ensemble comes in order.
type link struct {
	w    *world
	name string
	java bool // its sessions have no node of canald's

	// Guarded by the world's lock.
	up       bool // packets pass
	dead     bool // the process is gone
	session  zkconn.Session
	changed  chan struct{}
	contact  zkconn.Contact
	lastRead time.Time
	watches  map[string][]chan zkconn.Event
	missed   map[string]zk.EventType // while we were away
	arrives  time.Time               // of the newest thing under way to us
	broken   chan struct{}           // closed when the connection breaks
}

func (w *world) connect(name string) *link {
	l := &link{w: w, name: name, up: true, changed: make(chan struct{}), watches: map[string][]chan zkconn.Event{}, missed: map[string]zk.EventType{}, broken: make(chan struct{})}
	w.mu.Lock()
	w.links = append(w.links, l)
	w.mu.Unlock()
	return l
}

func (l *link) Session() (zkconn.Session, <-chan struct{}) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.session, l.changed
}

func (l *link) Contact() zkconn.Contact {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.contact
}

func (l *link) setLocked(s zkconn.Session) {
	if s == l.session {
		return
	}
	if l.session.Connected && !s.Connected {
		close(l.broken)
		l.broken = make(chan struct{})
	}
	l.session = s
	close(l.changed)
	l.changed = make(chan struct{})
}

// run pings, notices silence, reconnects and renews.
func (l *link) run(ctx context.Context) {
	for sleep(ctx, l.w.timeout/3/4+l.w.upTo(l.w.timeout/3/8)) {
		l.w.mu.Lock()
		switch {
		case l.dead:
			l.w.mu.Unlock()
			return
		case l.session.Connected && !l.up:
			if time.Since(l.lastRead) > l.w.timeout*2/3 {
				l.setLocked(zkconn.Session{ID: l.session.ID, Timeout: l.w.timeout})
			}
		case l.session.Connected:
			l.touchLocked(time.Now())
		case l.up:
			l.reconnectLocked()
		}
		l.w.mu.Unlock()
	}
}

// touchLocked is a ping with its answer. The ensemble may have noted it earlier
// than it was sent: a follower keeps such news for half a tick.
func (l *link) touchLocked(sent time.Time) {
	s := l.w.sessions[l.session.ID]
	if s == nil { // it has expired
		l.setLocked(zkconn.Session{ID: l.session.ID, Timeout: l.w.timeout})
		l.reconnectLocked()
		return
	}
	s.touched = time.Now().Add(-time.Duration(l.w.rng.Int64N(int64(l.w.timeout / 20))))
	l.lastRead = time.Now()
	l.contact = zkconn.Contact{Session: l.session.ID, At: sent}
}

func (l *link) reconnectLocked() {
	if l.session.ID != 0 && l.w.sessions[l.session.ID] != nil {
		l.setLocked(zkconn.Session{ID: l.session.ID, Timeout: l.w.timeout, Connected: true})
		l.touchLocked(time.Now())
		l.wakeLocked()
		return
	}
	// Expired: all watches end.
	for path, list := range l.watches {
		for _, ch := range list {
			ch <- zkconn.Event{Type: zk.EventNotWatching, Path: path}
			close(ch)
		}
	}
	clear(l.watches)
	clear(l.missed)
	l.w.zxid++
	id := l.w.zxid << 8
	l.w.sessions[id] = &simSession{touched: time.Now()}
	if !l.java {
		l.w.nodes[zkconn.SessionPath(id)] = &zkconn.Node{Exists: true, Owner: id, Epoch: l.w.zxid}
	}
	l.lastRead = time.Now()
	l.contact = zkconn.Contact{Session: id, At: time.Now()}
	l.setLocked(zkconn.Session{ID: id, Timeout: l.w.timeout, Connected: true})
}

// wakeLocked delivers what was held up while nothing passed. Requests that were
// held up are lost.
func (l *link) wakeLocked() {
	for path, kind := range l.missed {
		delete(l.missed, path)
		l.tellLocked(path, kind)
	}
	close(l.broken)
	l.broken = make(chan struct{})
}

// tellLocked sends an event to the watches of a path; it arrives a little later,
// or with the next connection.
func (l *link) tellLocked(path string, kind zk.EventType) {
	list := l.watches[path]
	if len(list) == 0 || l.dead {
		return
	}
	if !l.up || !l.session.Connected {
		l.missed[path] = kind
		return
	}
	delete(l.watches, path)
	delay := l.arriveLocked()
	time.AfterFunc(delay, func() {
		for _, ch := range list {
			ch <- zkconn.Event{Type: kind, Path: path}
			close(ch)
		}
	})
}

// arriveLocked is how long something takes that is sent to us now.
func (l *link) arriveLocked() time.Duration {
	at := time.Now().Add(time.Duration(l.w.rng.Int64N(int64(2 * time.Millisecond))))
	if at.Before(l.arrives) {
		at = l.arrives
	}
	l.arrives = at
	return time.Until(at)
}

// do carries a request to the ensemble and its answer back, or loses one of them.
func (l *link) do(ctx context.Context, f func() error) error {
	l.w.mu.Lock()
	if !l.session.Connected || l.dead {
		l.w.mu.Unlock()
		return zkconn.ErrNotConnected
	}
	id, broken, sent := l.session.ID, l.broken, time.Now()
	lost := l.w.rng.IntN(1000)
	if l.w.calm {
		lost = 1000
	}
	l.w.mu.Unlock()
	if !sleep(ctx, l.w.upTo(time.Millisecond)) {
		return ctx.Err()
	}
	l.w.mu.Lock()
	if lost < 10 && l.up && l.session.Connected { // the connection breaks before or behind the request
		var err error
		if lost < 5 && l.w.sessions[id] != nil {
			_ = f()
		}
		l.setLocked(zkconn.Session{ID: id, Timeout: l.w.timeout})
		err = zk.ErrConnectionClosed
		l.w.mu.Unlock()
		return err
	}
	if !l.up || l.session.ID != id || !l.session.Connected {
		stuck := l.session.ID == id && l.session.Connected
		l.w.mu.Unlock()
		if !stuck {
			return zk.ErrConnectionClosed
		}
		select { // nothing comes until somebody notices
		case <-broken:
			return zk.ErrConnectionClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if l.w.sessions[id] == nil {
		l.touchLocked(sent)
		l.w.mu.Unlock()
		return zk.ErrSessionExpired
	}
	err := f()
	delay := l.arriveLocked()
	l.w.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return ctx.Err()
	}
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.session.ID != id || !l.session.Connected || !l.up {
		return zk.ErrConnectionClosed
	}
	l.touchLocked(sent)
	return err
}

func (l *link) Get(ctx context.Context, path string) (n zkconn.Node, err error) {
	err = l.do(ctx, func() error {
		if found := l.w.nodes[path]; found != nil {
			n = *found
			return nil
		}
		return zkconn.ErrNoNode
	})
	return n, err
}

func (l *link) Watch(ctx context.Context, path string) (n zkconn.Node, events <-chan zkconn.Event, err error) {
	err = l.do(ctx, func() error {
		ch := make(chan zkconn.Event, 1)
		l.watches[path] = append(l.watches[path], ch)
		events = ch
		if found := l.w.nodes[path]; found != nil {
			n = *found
		}
		return nil
	})
	return n, events, err
}

func (l *link) Children(ctx context.Context, path string) (names []string, err error) {
	err = l.do(ctx, func() error {
		for p := range l.w.nodes {
			if name, ok := strings.CutPrefix(p, path+"/"); ok && !strings.Contains(name, "/") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return nil
	})
	return names, err
}

func (l *link) Sync(ctx context.Context, _ string) error {
	return l.do(ctx, func() error { return nil })
}

// change is a request that is bound to a session.
func (l *link) change(ctx context.Context, session int64, f func() error) error {
	return l.do(ctx, func() error {
		if l.w.sessions[session] == nil {
			return zkconn.ErrSessionEnded
		}
		l.w.zxid++
		return f()
	})
}

func (l *link) Create(ctx context.Context, session int64, path string, data []byte, ephemeral bool) error {
	return l.change(ctx, session, func() error {
		if l.w.nodes[path] != nil {
			return zkconn.ErrExists
		}
		n := &zkconn.Node{Exists: true, Data: data, Epoch: l.w.zxid}
		if ephemeral {
			n.Owner = session
		}
		l.w.nodes[path] = n
		l.w.tellLocked(path, zk.EventNodeCreated)
		return nil
	})
}

func (l *link) versionLocked(path string, version int32) (*zkconn.Node, error) {
	n := l.w.nodes[path]
	switch {
	case n == nil:
		return nil, zkconn.ErrNoNode
	case version >= 0 && n.Version != version:
		return nil, zkconn.ErrBadVersion
	}
	return n, nil
}

func (l *link) Set(ctx context.Context, session int64, path string, data []byte, version int32) (v int32, err error) {
	err = l.change(ctx, session, func() error {
		n, err := l.versionLocked(path, version)
		if err != nil {
			return err
		}
		n.Data = data
		n.Version++
		v = n.Version
		l.w.tellLocked(path, zk.EventNodeDataChanged)
		return nil
	})
	return v, err
}

func (l *link) Delete(ctx context.Context, session int64, path string, version int32) error {
	return l.change(ctx, session, func() error {
		if _, err := l.versionLocked(path, version); err != nil {
			return err
		}
		delete(l.w.nodes, path)
		l.w.tellLocked(path, zk.EventNodeDeleted)
		return nil
	})
}

func (l *link) Replace(ctx context.Context, session int64, path string, version int32, other string, data []byte) error {
	return l.change(ctx, session, func() error {
		if _, err := l.versionLocked(path, version); err != nil {
			return err
		}
		delete(l.w.nodes, path)
		l.w.nodes[other] = &zkconn.Node{Exists: true, Data: data, Epoch: l.w.zxid}
		l.w.tellLocked(path, zk.EventNodeDeleted)
		return nil
	})
}
