package meta_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/position"
	"github.com/canald/canald/internal/zkconn"
)

// nodes is a tree in memory: what a keeper asks of ZooKeeper.
type nodes struct {
	m     map[string]zkconn.Node
	zxid  int64
	calls []string
	fail  error
}

func newNodes(texts map[string]string) *nodes {
	n := &nodes{m: map[string]zkconn.Node{}}
	for _, path := range slices.Sorted(maps.Keys(texts)) { // the same numbers each time
		n.make(path, []byte(texts[path]))
	}
	return n
}

func (n *nodes) make(path string, data []byte) {
	for i := 1; i <= len(path); i++ {
		if i == len(path) || path[i] == '/' {
			if _, ok := n.m[path[:i]]; !ok {
				n.zxid++
				n.m[path[:i]] = zkconn.Node{Exists: true, Epoch: n.zxid}
			}
		}
	}
	node := n.m[path]
	node.Data = data
	n.m[path] = node
}

func (n *nodes) Get(_ context.Context, path string) (zkconn.Node, error) {
	if node, ok := n.m[path]; ok {
		return node, n.fail
	}
	return zkconn.Node{}, errors.Join(n.fail, zkconn.ErrNoNode)
}

func (n *nodes) Children(_ context.Context, path string) (names []string, err error) {
	if _, ok := n.m[path]; !ok {
		return nil, zkconn.ErrNoNode
	}
	for p := range n.m {
		if name, ok := strings.CutPrefix(p, path+"/"); ok && !strings.Contains(name, "/") {
			names = append(names, name)
		}
	}
	return names, n.fail
}

func (n *nodes) change(session int64, call string) error {
	if n.fail != nil {
		return n.fail
	}
	if session != 5 {
		return zkconn.ErrSessionEnded
	}
	n.calls = append(n.calls, call)
	n.zxid++
	return nil
}

func (n *nodes) Create(_ context.Context, session int64, path string, data []byte, _ bool) error {
	if err := n.change(session, "create "+path); err != nil {
		return err
	}
	if _, ok := n.m[path]; ok {
		return zkconn.ErrExists
	}
	n.make(path, data)
	return nil
}

func (n *nodes) Set(_ context.Context, session int64, path string, data []byte, version int32) (int32, error) {
	if err := n.change(session, "set "+path); err != nil {
		return 0, err
	}
	node, ok := n.m[path]
	switch {
	case !ok:
		return 0, zkconn.ErrNoNode
	case version >= 0 && version != node.Version:
		return 0, zkconn.ErrBadVersion
	}
	node.Data, node.Version = data, node.Version+1
	n.m[path] = node
	return node.Version, nil
}

func (n *nodes) Delete(_ context.Context, session int64, path string, _ int32) error {
	if err := n.change(session, "delete "+path); err != nil {
		return err
	}
	if _, ok := n.m[path]; !ok {
		return zkconn.ErrNoNode
	}
	for p := range n.m {
		if strings.HasPrefix(p, path+"/") {
			return zkconn.ErrNotEmpty
		}
	}
	delete(n.m, path)
	return nil
}

// right is a lease that a test takes away.
type right struct {
	lost    bool
	session int64
}

func (r *right) Valid() bool    { return !r.lost }
func (r *right) Session() int64 { return r.session }

const (
	zkRoot   = "/otter/canal/destinations/d"
	zkClient = zkRoot + "/1001"
	// Byte for byte what Java wrote.
	javaCursor = `{"@type":"com.alibaba.otter.canal.protocol.position.LogPosition","identity":{"slaveId":-1,"sourceAddress":{"address":"localhost","port":33197}},"postion":{"gtid":"","included":false,"journalName":"mysql-bin.000003","position":1364,"serverId":5,"timestamp":1795424716000}}`
)

func cursorAt(offset uint64) *position.Cursor {
	return &position.Cursor{Host: "localhost", Port: 33197, Position: position.Position{File: "mysql-bin.000003", Offset: offset, ServerID: 5, Timestamp: 1795424716000}}
}

func TestZooKeeperSave(t *testing.T) {
	tree, r := newNodes(map[string]string{zkRoot + "/running": ""}), &right{session: 5}
	k := meta.NewZooKeeper(tree, r, &meta.Recall{}, zap.NewNop())
	ctx := t.Context()
	filter, blank := `a\..*`, " "
	state := meta.State{Destination: "d", Start: cursorAt(4), Clients: []meta.Client{{ID: 1001, Filter: &filter, Cursor: cursorAt(1364)}, {ID: 7, Filter: &blank}}}
	if err := k.Save(ctx, state); err != nil {
		t.Fatal(err)
	}
	if text := string(tree.m[zkClient+"/cursor"].Data); text != javaCursor {
		t.Errorf("the cursor is\n%s, not\n%s", text, javaCursor)
	}
	if text := string(tree.m[zkClient+"/filter"].Data); text != filter {
		t.Errorf("the filter is %q", text)
	}
	if n := tree.m[zkRoot+"/7"]; !n.Exists || n.Data != nil {
		t.Errorf("the other client's node is %+v", n)
	}
	for _, path := range []string{zkRoot + "/7/filter", zkRoot + "/7/cursor"} {
		if tree.m[path].Exists {
			t.Errorf("%s was made", path)
		}
	}
	t.Run("nothing new", func(t *testing.T) {
		tree.calls = nil
		if err := k.Save(ctx, state); err != nil || len(tree.calls) > 0 {
			t.Errorf("%v, %v", tree.calls, err)
		}
	})
	t.Run("only the cursor moved", func(t *testing.T) {
		tree.calls = nil
		state.Clients[0].Cursor = cursorAt(2000)
		if err := k.Save(ctx, state); err != nil || !slices.Equal(tree.calls, []string{"set " + zkClient + "/cursor"}) {
			t.Errorf("%v, %v", tree.calls, err)
		}
	})
	t.Run("a blank filter leaves the old one", func(t *testing.T) {
		state.Clients[0].Filter = &blank
		if err := k.Save(ctx, state); err != nil || string(tree.m[zkClient+"/filter"].Data) != filter {
			t.Errorf("%q, %v", tree.m[zkClient+"/filter"].Data, err)
		}
	})
	t.Run("loads as saved", func(t *testing.T) {
		s, err := meta.NewZooKeeper(tree, r, &meta.Recall{}, zap.NewNop()).Load(ctx, "d")
		if err != nil || len(s.Clients) != 2 || s.Clients[0].ID != 7 || *s.Clients[1].Cursor != *cursorAt(2000) || *s.Clients[1].Filter != filter || *s.Start != *cursorAt(4) {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("somebody else wrote", func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		k := meta.NewZooKeeper(tree, r, &meta.Recall{}, zap.New(core))
		if _, err := k.Load(ctx, "d"); err != nil {
			t.Fatal(err)
		}
		if _, err := tree.Set(ctx, 5, zkClient+"/cursor", []byte("zombie"), -1); err != nil {
			t.Fatal(err)
		}
		state.Clients[0].Cursor = cursorAt(3000)
		if err := k.Save(ctx, state); err != nil || !strings.Contains(string(tree.m[zkClient+"/cursor"].Data), ":3000,") || logs.Len() != 1 {
			t.Errorf("%s, %v, %v", tree.m[zkClient+"/cursor"].Data, err, logs.All())
		}
	})
	t.Run("cursor forgotten", func(t *testing.T) {
		k := meta.NewZooKeeper(tree, r, &meta.Recall{}, zap.NewNop())
		s, err := k.Load(ctx, "d")
		if err != nil {
			t.Fatal(err)
		}
		s.Clients[1].Cursor, s.Start = nil, nil
		if err := k.Save(ctx, s); err != nil || tree.m[zkClient+"/cursor"].Exists || tree.m["/otter/canald/destinations/d/start"].Exists {
			t.Errorf("%v, %v", slices.Sorted(maps.Keys(tree.m)), err)
		}
	})
}

func TestZooKeeperUnsubscribe(t *testing.T) {
	for name, c := range map[string]struct {
		more string
		gone bool
	}{
		"nobody else":   {zkClient + "/mark/0000000001", true},
		"a live client": {zkClient + "/running", false},
	} {
		t.Run(name, func(t *testing.T) {
			tree := newNodes(map[string]string{zkClient + "/cursor": javaCursor, zkClient + "/filter": "x", c.more: ""})
			k := meta.NewZooKeeper(tree, &right{session: 5}, &meta.Recall{}, zap.NewNop())
			s, err := k.Load(t.Context(), "d")
			if err != nil {
				t.Fatal(err)
			}
			s.Clients = nil
			if err := k.Save(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if tree.m[zkClient].Exists == c.gone || tree.m[zkClient+"/cursor"].Exists || tree.m[zkClient+"/filter"].Exists {
				t.Errorf("left are %v", slices.Sorted(maps.Keys(tree.m)))
			}
		})
	}
}

func TestZooKeeperWithoutRight(t *testing.T) {
	tree := newNodes(map[string]string{zkClient + "/cursor": javaCursor})
	state := meta.State{Destination: "d", Clients: []meta.Client{{ID: 1001, Cursor: cursorAt(9)}}}
	for name, c := range map[string]struct {
		right *right
		want  error
	}{
		"lease lost":      {&right{lost: true, session: 5}, meta.ErrNotOwner},
		"another session": {&right{session: 4}, zkconn.ErrSessionEnded},
	} {
		t.Run(name, func(t *testing.T) {
			if err := meta.NewZooKeeper(tree, c.right, &meta.Recall{}, zap.NewNop()).Save(t.Context(), state); !errors.Is(err, c.want) {
				t.Errorf("error %v", err)
			}
			if string(tree.m[zkClient+"/cursor"].Data) != javaCursor {
				t.Error("the cursor was written")
			}
		})
	}
}

func TestZooKeeperLoad(t *testing.T) {
	for name, c := range map[string]struct {
		nodes  map[string]string
		ids    []meta.ClientID
		cursor bool
		wrong  string
	}{
		"nothing":           {},
		"no client":         {nodes: map[string]string{zkRoot + "/running": "", zkRoot + "/cluster/a:1": "", zkRoot + "/parse": "x"}},
		"Java's":            {nodes: map[string]string{zkClient + "/cursor": javaCursor}, ids: []meta.ClientID{1001}, cursor: true},
		"without the type":  {nodes: map[string]string{zkClient + "/cursor": strings.Replace(javaCursor, `"@type":"com.alibaba.otter.canal.protocol.position.LogPosition",`, "", 1)}, ids: []meta.ClientID{1001}, cursor: true},
		"unknown class":     {nodes: map[string]string{zkClient + "/cursor": strings.Replace(javaCursor, "LogPosition", "Other", 1)}, ids: []meta.ClientID{1001}, cursor: true},
		"empty cursor":      {nodes: map[string]string{zkClient + "/cursor": " "}, ids: []meta.ClientID{1001}},
		"no cursor":         {nodes: map[string]string{zkClient + "/filter": "x"}, ids: []meta.ClientID{1001}},
		"large number":      {nodes: map[string]string{zkRoot + "/32768": "", zkRoot + "/99999999999999999999": "", zkRoot + "/01": "", zkRoot + "/3": ""}, ids: []meta.ClientID{3}},
		"in order":          {nodes: map[string]string{zkRoot + "/10": "", zkRoot + "/9": ""}, ids: []meta.ClientID{9, 10}},
		"no JSON":           {nodes: map[string]string{zkClient + "/cursor": "mysql-bin.000001:4"}, wrong: zkClient + "/cursor"},
		"cut":               {nodes: map[string]string{zkClient + "/cursor": javaCursor[:100]}, wrong: zkClient + "/cursor"},
		"another document":  {nodes: map[string]string{zkClient + "/cursor": `{"active":true}`}, wrong: zkClient + "/cursor"},
		"no file":           {nodes: map[string]string{zkClient + "/cursor": `{"postion":{"position":4}}`}, wrong: zkClient + "/cursor"},
		"broken start only": {nodes: map[string]string{"/otter/canald/destinations/d/start": "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := meta.NewZooKeeper(newNodes(c.nodes), &right{session: 5}, &meta.Recall{}, zap.NewNop()).Load(t.Context(), "d")
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var ids []meta.ClientID
			for _, client := range s.Clients {
				ids = append(ids, client.ID)
				if (client.Cursor != nil) != c.cursor {
					t.Errorf("cursor %+v", client.Cursor)
				}
			}
			if !slices.Equal(ids, c.ids) {
				t.Errorf("clients %v, not %v", ids, c.ids)
			}
		})
	}
	t.Run("ZooKeeper fails", func(t *testing.T) {
		tree := newNodes(nil)
		tree.fail = zkconn.ErrNotConnected
		tree.m[zkRoot] = zkconn.Node{}
		if _, err := meta.NewZooKeeper(tree, &right{}, &meta.Recall{}, zap.NewNop()).Load(t.Context(), "d"); !errors.Is(err, zkconn.ErrNotConnected) {
			t.Errorf("error %v", err)
		}
	})
}

// An ensemble that lost its data gets it back from who saved last.
func TestZooKeeperLost(t *testing.T) {
	recall, r := &meta.Recall{}, &right{session: 5}
	tree := newNodes(map[string]string{zkRoot + "/running": ""})
	state := meta.State{Destination: "d", Start: cursorAt(4), Clients: []meta.Client{{ID: 1001, Cursor: cursorAt(1364)}}}
	if err := meta.NewZooKeeper(tree, r, recall, zap.NewNop()).Save(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	t.Run("not lost", func(t *testing.T) { // unsubscribed under another server
		delete(tree.m, zkClient)
		delete(tree.m, zkClient+"/cursor")
		s, err := meta.NewZooKeeper(tree, r, recall, zap.NewNop()).Load(t.Context(), "d")
		if err != nil || len(s.Clients) != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("lost", func(t *testing.T) {
		tree := newNodes(map[string]string{"/a": "", "/b": "", "/c": "", "/d": "", zkRoot + "/running": ""})
		s, err := meta.NewZooKeeper(tree, r, recall, zap.NewNop()).Load(t.Context(), "d")
		if err != nil || len(s.Clients) != 1 || *s.Clients[0].Cursor != *cursorAt(1364) {
			t.Errorf("%+v, %v", s, err)
		}
		if string(tree.m[zkClient+"/cursor"].Data) != javaCursor {
			t.Error("the cursor is not in the tree")
		}
	})
	t.Run("lost, and made by the same number again", func(t *testing.T) {
		recall := &meta.Recall{}
		tree := newNodes(map[string]string{zkRoot + "/running": ""})
		if err := meta.NewZooKeeper(tree, r, recall, zap.NewNop()).Save(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		old := tree.m[zkRoot]
		tree = newNodes(map[string]string{zkRoot + "/running": ""})
		root := tree.m[zkRoot]
		if root.Epoch != old.Epoch {
			t.Fatalf("made by %d, before by %d", root.Epoch, old.Epoch)
		}
		root.Made = old.Made + 1
		tree.m[zkRoot] = root
		s, err := meta.NewZooKeeper(tree, r, recall, zap.NewNop()).Load(t.Context(), "d")
		if err != nil || len(s.Clients) != 1 || *s.Clients[0].Cursor != *cursorAt(1364) {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func FuzzZooKeeperCursor(f *testing.F) {
	f.Add([]byte(javaCursor))
	f.Add([]byte(`{"postion":{"journalName":"a","position":"4"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		tree, r := newNodes(map[string]string{zkClient + "/cursor": string(raw)}), &right{session: 5}
		s, err := meta.NewZooKeeper(tree, r, &meta.Recall{}, zap.NewNop()).Load(t.Context(), "d")
		if err != nil || s.Clients[0].Cursor == nil {
			return
		}
		// What was read is written in Java's form, and reads as the same.
		again := newNodes(nil)
		if err := meta.NewZooKeeper(again, r, &meta.Recall{}, zap.NewNop()).Save(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		s2, err := meta.NewZooKeeper(again, r, &meta.Recall{}, zap.NewNop()).Load(t.Context(), "d")
		if err != nil || *s2.Clients[0].Cursor != *s.Clients[0].Cursor {
			t.Errorf("%+v became %+v, %v", s.Clients[0].Cursor, s2.Clients[0].Cursor, err)
		}
	})
}
