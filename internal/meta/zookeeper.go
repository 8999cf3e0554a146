package meta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/zkconn"
)

// ErrNotOwner is returned when cursors are to be saved without the right to.
var ErrNotOwner = errors.New("this server may not save cursors: it does not hold the lease")

// Tree is what a keeper needs of ZooKeeper; it is zkconn.Conn's part.
type Tree interface {
	Get(ctx context.Context, path string) (zkconn.Node, error)
	Children(ctx context.Context, path string) ([]string, error)
	Create(ctx context.Context, session int64, path string, data []byte, ephemeral bool) error
	Set(ctx context.Context, session int64, path string, data []byte, version int32) (int32, error)
	Delete(ctx context.Context, session int64, path string, version int32) error
}

// Right is the lease under which cursors are saved.
type Right interface {
	Valid() bool
	Session() int64 // what is saved is saved in it, or not at all
}

// ZooKeeper keeps a book in the nodes of Canal's default-instance.xml, which a
// Java server reads and writes too: below /otter/canal/destinations/<destination>
// a node for each client with its filter and its cursor. Where the instance
// first started is in a node of canald's own.
type ZooKeeper struct {
	tree   Tree
	right  Right
	recall *Recall
	log    *zap.Logger
	root   origin // of the destination's node; zero when there was none
	known  map[ClientID]*savedClient
	start  []byte
	// changed is when a cursor or the start was written last, as Load found it.
	changed time.Time
}

// savedClient is what a client's nodes hold.
type savedClient struct {
	filter  string
	cursor  []byte // nil: there is no node
	version int32
}

// Recall remembers what this process saved last. Should ZooKeeper lose its data,
// the cursors are written again from here. One belongs to all keepers of a process.
type Recall struct {
	mu    sync.Mutex
	saved map[string]recalled
}

type recalled struct {
	root  origin
	state State
}

// origin tells a node from another one that was made in its place. The number of
// the transaction alone does not: once ZooKeeper has lost its data, the node is
// often made by the same number again.
type origin struct{ epoch, made int64 }

func originOf(n zkconn.Node) origin { return origin{n.Epoch, n.Made} }

// NewZooKeeper makes a keeper for the time of a lease.
func NewZooKeeper(tree Tree, right Right, recall *Recall, log *zap.Logger) *ZooKeeper {
	return &ZooKeeper{tree: tree, right: right, recall: recall, log: log, known: map[ClientID]*savedClient{}}
}

func destinationPath(destination string) string { return "/otter/canal/destinations/" + destination }

func startPath(destination string) string {
	return "/otter/canald/destinations/" + destination + "/start"
}

// Load reads the clients' nodes. A cursor that is there and cannot be read is an
// error: going on without it would lose what the client has not had.
func (z *ZooKeeper) Load(ctx context.Context, destination string) (State, error) {
	state := State{Destination: destination}
	dir := destinationPath(destination)
	root, err := z.tree.Get(ctx, dir)
	if err != nil && !errors.Is(err, zkconn.ErrNoNode) {
		return state, fmt.Errorf("node %s: %w", dir, err)
	}
	z.root = originOf(root)
	if lost, ok := z.recall.lost(destination, z.root); ok {
		z.log.Error("ZooKeeper has lost its data: writing the cursors again that this process saved last", zap.Int("clients", len(lost.Clients)))
		return lost, z.Save(ctx, lost)
	}
	names, err := z.tree.Children(ctx, dir)
	if err != nil && !errors.Is(err, zkconn.ErrNoNode) {
		return state, fmt.Errorf("children of %s: %w", dir, err)
	}
	for _, id := range z.clientIDs(names) {
		c, err := z.loadClient(ctx, dir, id)
		if err != nil {
			return state, err
		}
		state.Clients = append(state.Clients, c)
	}
	raw, ok, err := z.read(ctx, startPath(destination))
	if err != nil {
		return state, err
	}
	if ok {
		z.start = raw.Data
		z.saw(raw)
		if state.Start, err = decodeCursor(raw.Data); err != nil {
			z.log.Warn("the start in ZooKeeper is broken and not used", zap.String("node", startPath(destination)), zap.Error(err))
		}
	}
	return state, nil
}

func (z *ZooKeeper) saw(n zkconn.Node) {
	if at := time.UnixMilli(n.Changed); at.After(z.changed) {
		z.changed = at
	}
}

// clientIDs are the names that are client ids, in ascending order.
func (z *ZooKeeper) clientIDs(names []string) []ClientID {
	var ids []ClientID
	for _, name := range names {
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r < '0' || r > '9' }) {
			continue // cluster, running, parse
		}
		n, err := strconv.ParseInt(name, 10, 16)
		if err != nil || strconv.FormatInt(n, 10) != name {
			z.log.Warn("a node that is no client's is passed over", zap.String("node", name))
			continue
		}
		ids = append(ids, ClientID(n))
	}
	slices.Sort(ids)
	return ids
}

func (z *ZooKeeper) loadClient(ctx context.Context, dir string, id ClientID) (Client, error) {
	c, saved := Client{ID: id}, &savedClient{}
	own := clientPath(dir, id)
	n, ok, err := z.read(ctx, own+"/filter")
	if err != nil {
		return c, err
	}
	if ok {
		saved.filter = string(n.Data)
		c.Filter = &saved.filter
	}
	n, ok, err = z.read(ctx, own+"/cursor")
	if err != nil {
		return c, err
	}
	if ok {
		saved.cursor, saved.version = append([]byte{}, n.Data...), n.Version
		z.saw(n)
		if len(bytes.TrimSpace(n.Data)) == 0 {
			z.log.Warn("a client's cursor is empty: it counts as none", zap.String("node", own+"/cursor"))
		} else if c.Cursor, err = decodeCursor(n.Data); err != nil {
			return c, fmt.Errorf("node %s holds no cursor; write a good one, or remove the node to go on without: %w", own+"/cursor", err)
		}
	}
	z.known[id] = saved
	return c, nil
}

func (z *ZooKeeper) read(ctx context.Context, path string) (n zkconn.Node, ok bool, err error) {
	n, err = z.tree.Get(ctx, path)
	if errors.Is(err, zkconn.ErrNoNode) {
		return n, false, nil
	}
	if err != nil {
		return n, false, fmt.Errorf("node %s: %w", path, err)
	}
	return n, true, nil
}

func clientPath(dir string, id ClientID) string { return path.Join(dir, strconv.Itoa(int(id))) }

// typeMark must come first in a cursor: Java's reader makes the object of it.
const typeMark = `{"@type":"com.alibaba.otter.canal.protocol.position.LogPosition",`

func encodeCursor(c position.Cursor) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(c); err != nil {
		return nil, err
	}
	return append([]byte(typeMark), bytes.TrimSuffix(b.Bytes(), []byte{'\n'})[1:]...), nil
}

// decodeCursor reads what Java writes, with the mark of the type or without.
func decodeCursor(raw []byte) (*position.Cursor, error) {
	var c position.Cursor
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	if c.Position.File == "" {
		return nil, errors.New("it names no binlog file")
	}
	return &c, nil
}

// Save writes what changed. It writes in the session of the lease: ZooKeeper
// itself refuses what comes after that session's end.
func (z *ZooKeeper) Save(ctx context.Context, s State) error {
	if !z.right.Valid() {
		return ErrNotOwner
	}
	if err := z.saveStart(ctx, s); err != nil {
		return err
	}
	dir := destinationPath(s.Destination)
	for _, c := range s.Clients {
		if err := z.saveClient(ctx, dir, c); err != nil {
			return err
		}
	}
	for id := range z.known {
		if slices.ContainsFunc(s.Clients, func(c Client) bool { return c.ID == id }) {
			continue
		}
		if err := z.removeClient(ctx, clientPath(dir, id)); err != nil {
			return err
		}
		delete(z.known, id)
	}
	if z.root == (origin{}) {
		if n, err := z.tree.Get(ctx, dir); err == nil {
			z.root = originOf(n)
		}
	}
	z.recall.keep(z.root, s)
	return nil
}

func (z *ZooKeeper) saveStart(ctx context.Context, s State) error {
	var raw []byte
	if s.Start != nil {
		var err error
		if raw, err = encodeCursor(*s.Start); err != nil {
			return err
		}
	}
	if bytes.Equal(raw, z.start) {
		return nil
	}
	p := startPath(s.Destination)
	if raw == nil {
		if err := z.remove(ctx, p); err != nil {
			return err
		}
	} else if _, err := z.write(ctx, p, raw, -1); err != nil {
		return err
	}
	z.start = raw
	return nil
}

func (z *ZooKeeper) saveClient(ctx context.Context, dir string, c Client) error {
	own := clientPath(dir, c.ID)
	saved := z.known[c.ID]
	if saved == nil {
		if err := z.tree.Create(ctx, z.right.Session(), own, nil, false); err != nil && !errors.Is(err, zkconn.ErrExists) {
			return fmt.Errorf("node %s: %w", own, err)
		}
		saved = &savedClient{version: -1}
		z.known[c.ID] = saved
	}
	// A blank filter leaves the node as it is, as Canal does: within a run, too,
	// it does not replace the one before it.
	if c.Filter != nil && strings.TrimSpace(*c.Filter) != "" && *c.Filter != saved.filter {
		if _, err := z.write(ctx, own+"/filter", []byte(*c.Filter), -1); err != nil {
			return err
		}
		saved.filter = *c.Filter
	}
	if c.Cursor == nil {
		if len(saved.cursor) > 0 {
			if err := z.remove(ctx, own+"/cursor"); err != nil {
				return err
			}
			saved.cursor = nil
		}
		return nil
	}
	raw, err := encodeCursor(*c.Cursor)
	if err != nil || bytes.Equal(raw, saved.cursor) {
		return err
	}
	version, err := z.write(ctx, own+"/cursor", raw, saved.version)
	if err != nil {
		return err
	}
	saved.cursor, saved.version = raw, version
	return nil
}

// write writes a node of that version, or makes it. Who changed it meanwhile had
// no right to: the lease is ours.
func (z *ZooKeeper) write(ctx context.Context, path string, data []byte, version int32) (int32, error) {
	const attempts = 5
	var err error
	for range attempts {
		var now int32
		now, err = z.tree.Set(ctx, z.right.Session(), path, data, version)
		switch {
		case err == nil:
			return now, nil
		case errors.Is(err, zkconn.ErrNoNode):
			if err = z.tree.Create(ctx, z.right.Session(), path, data, false); err == nil {
				return 0, nil
			}
			if !errors.Is(err, zkconn.ErrExists) {
				return 0, fmt.Errorf("node %s: %w", path, err)
			}
			version = -1
		case errors.Is(err, zkconn.ErrBadVersion):
			n, getErr := z.tree.Get(ctx, path)
			if getErr != nil {
				return 0, fmt.Errorf("node %s: %w", path, getErr)
			}
			if !bytes.Equal(n.Data, data) { // else an earlier write of ours, whose answer was lost
				z.log.Warn("another has written a node of this destination; writing it again", zap.String("node", path), zap.ByteString("found", shortened(n.Data)))
			}
			version = n.Version
		default:
			return 0, fmt.Errorf("node %s: %w", path, err)
		}
		if !z.right.Valid() {
			return 0, ErrNotOwner
		}
	}
	return 0, fmt.Errorf("node %s: %w", path, err)
}

func shortened(b []byte) []byte {
	const most = 300
	return b[:min(len(b), most)]
}

func (z *ZooKeeper) remove(ctx context.Context, path string) error {
	err := z.tree.Delete(ctx, z.right.Session(), path, -1)
	if err == nil || errors.Is(err, zkconn.ErrNoNode) {
		return nil
	}
	return fmt.Errorf("node %s: %w", path, err)
}

// removeClient removes what a server wrote for a client. The client's own running
// node stays, and with it the node above; Java would remove it under a live client.
func (z *ZooKeeper) removeClient(ctx context.Context, own string) error {
	marks, err := z.tree.Children(ctx, own+"/mark")
	if err != nil && !errors.Is(err, zkconn.ErrNoNode) {
		return fmt.Errorf("children of %s: %w", own+"/mark", err)
	}
	for _, m := range marks {
		if err := z.remove(ctx, own+"/mark/"+m); err != nil {
			return err
		}
	}
	for _, name := range []string{"/mark", "/filter", "/cursor", ""} {
		if err := z.remove(ctx, own+name); err != nil && !errors.Is(err, zkconn.ErrNotEmpty) {
			return err
		}
	}
	return nil
}

// lost returns what this process saved, when the tree that it was saved in is gone.
func (r *Recall) lost(destination string, root origin) (State, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, ok := r.saved[destination]
	return was.state, ok && was.root != (origin{}) && was.root != root && len(was.state.Clients) > 0
}

func (r *Recall) keep(root origin, s State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.saved == nil {
		r.saved = map[string]recalled{}
	}
	r.saved[s.Destination] = recalled{root, s}
}
