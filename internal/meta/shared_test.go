package meta_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/meta"
)

// shared makes a keeper of a folder with this meta.dat ("-": none), written so long
// after the tree.
func shared(t *testing.T, tree *nodes, r *right, metaDat string, after time.Duration) (k *meta.Shared, path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "d", "meta.dat")
	file, err := meta.NewFile(dir, "d", zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	if metaDat != "-" {
		if err := os.WriteFile(path, []byte(metaDat), 0o600); err != nil {
			t.Fatal(err)
		}
		at := treeWritten.Add(after)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	return meta.NewShared(file, meta.NewZooKeeper(tree, r, &meta.Recall{}, zap.NewNop()), zap.NewNop()), path
}

var treeWritten = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// written is a tree whose nodes were written at that time.
func written(texts map[string]string) *nodes {
	n := newNodes(texts)
	for path, node := range n.m {
		node.Changed = treeWritten.UnixMilli()
		n.m[path] = node
	}
	return n
}

func fileAt(t *testing.T, offset uint64) string {
	t.Helper()
	raw, err := meta.Encode(meta.State{Destination: "d", Clients: []meta.Client{{ID: 1001, Cursor: cursorAt(offset)}}})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestShared(t *testing.T) {
	const inTree, inFile = 1364, 99
	cursor := map[string]string{zkClient + "/cursor": javaCursor}
	for name, c := range map[string]struct {
		tree  map[string]string
		file  string
		after time.Duration
		want  uint64 // 0: no client
	}{
		"a first start":                    {nil, "-", 0, 0},
		"from the file of a single server": {nil, fileAt(t, inFile), 0, inFile},
		"a client that never acknowledged": {map[string]string{zkClient + "/running": ""}, fileAt(t, inFile), 0, inFile},
		"the first time here":              {cursor, "-", 0, inTree},
		"another had it since":             {cursor, fileAt(t, inFile), -time.Hour, inTree},
		"written together":                 {cursor, fileAt(t, inFile), time.Second, inTree},
		"a Java server, or a hand, had it": {cursor, fileAt(t, inFile), time.Hour, inFile},
		"the file broke":                   {cursor, "{", time.Hour, inTree},
	} {
		t.Run(name, func(t *testing.T) {
			tree := written(c.tree)
			k, path := shared(t, tree, &right{session: 5}, c.file, c.after)
			s, err := k.Load(t.Context(), "d")
			if err != nil {
				t.Fatal(err)
			}
			if c.want == 0 {
				if len(s.Clients) != 0 {
					t.Errorf("%+v", s)
				}
				return
			}
			if len(s.Clients) != 1 || s.Clients[0].Cursor == nil || s.Clients[0].Cursor.Position.Offset != c.want {
				t.Fatalf("%+v", s)
			}
			// Both say the same now, and a Java server may have either.
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			clients, _, err := meta.Decode(raw)
			if err != nil || len(clients) != 1 || clients[0].Cursor.Position.Offset != c.want {
				t.Errorf("the file holds %s, %v", raw, err)
			}
			again, err := meta.NewZooKeeper(tree, &right{session: 5}, &meta.Recall{}, zap.NewNop()).Load(t.Context(), "d")
			if err != nil || len(again.Clients) != 1 || again.Clients[0].Cursor.Position.Offset != c.want {
				t.Errorf("the tree holds %+v, %v", again, err)
			}
		})
	}
	t.Run("broken, and nothing in the tree", func(t *testing.T) {
		k, _ := shared(t, written(nil), &right{session: 5}, "{", 0)
		if _, err := k.Load(t.Context(), "d"); !errors.Is(err, meta.ErrBroken) {
			t.Errorf("%v", err)
		}
	})
}

func TestSharedSave(t *testing.T) {
	r := &right{session: 5}
	tree := written(nil)
	k, path := shared(t, tree, r, "-", 0)
	if _, err := k.Load(t.Context(), "d"); err != nil {
		t.Fatal(err)
	}
	state := meta.State{Destination: "d", Clients: []meta.Client{{ID: 1001, Cursor: cursorAt(1364)}}}
	if err := k.Save(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if got := string(tree.m[zkClient+"/cursor"].Data); got != javaCursor {
		t.Errorf("%s", got)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Who has lost the lease writes neither.
	r.lost = true
	state.Clients[0].Cursor = cursorAt(2000)
	if err := k.Save(t.Context(), state); !errors.Is(err, meta.ErrNotOwner) {
		t.Errorf("%v", err)
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != string(before) {
		t.Errorf("%s, %v", now, err)
	}
}
