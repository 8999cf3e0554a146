package meta

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/zkconn"
)

// Saved is a node that keeps something for the next owner of a destination.
type Saved struct {
	Path string
	Data []byte // nil for a node without data
}

// SavedNodes lists what is saved of a destination in the order in which it can
// be made elsewhere: clients with their filters and cursors, as they are, and
// where the instance first started.
func SavedNodes(ctx context.Context, tree Tree, destination string, log *zap.Logger) ([]Saved, error) {
	z := &ZooKeeper{tree: tree, log: log}
	dir := destinationPath(destination)
	names, err := tree.Children(ctx, dir)
	if err != nil && !errors.Is(err, zkconn.ErrNoNode) {
		return nil, fmt.Errorf("children of %s: %w", dir, err)
	}
	var nodes []Saved
	add := func(path string) error {
		n, ok, err := z.read(ctx, path)
		if ok {
			nodes = append(nodes, Saved{Path: path, Data: n.Data})
		}
		return err
	}
	for _, id := range z.clientIDs(names) {
		own := clientPath(dir, id)
		nodes = append(nodes, Saved{Path: own})
		for _, name := range []string{"/filter", "/cursor"} {
			if err := add(own + name); err != nil {
				return nil, err
			}
		}
	}
	return nodes, add(startPath(destination))
}

// Carried says what Carry did with a node, or would do.
type Carried string

// What can become of a node.
const (
	Made    Carried = "made"
	Same    Carried = "same"    // it was there, with the same data
	Differs Carried = "differs" // it is there with other data, and stays so
	Changed Carried = "changed" // it was there with other data
)

// Compare says what Carry would do: Made, Same or Differs.
func (s Saved) Compare(ctx context.Context, to Tree) (Carried, error) {
	n, err := to.Get(ctx, s.Path)
	switch {
	case errors.Is(err, zkconn.ErrNoNode):
		return Made, nil
	case err != nil:
		return "", fmt.Errorf("node %s: %w", s.Path, err)
	case s.Data == nil || bytes.Equal(n.Data, s.Data):
		return Same, nil
	}
	return Differs, nil
}

// Carry makes the node in another tree, or writes it, in that session. Nobody
// may run the destination there.
func (s Saved) Carry(ctx context.Context, to Tree, session int64) (Carried, error) {
	what, err := s.Compare(ctx, to)
	switch {
	case err != nil:
		return "", err
	case what == Made:
		err = to.Create(ctx, session, s.Path, s.Data, false)
	case what == Differs:
		what = Changed
		_, err = to.Set(ctx, session, s.Path, s.Data, -1)
	}
	if err != nil {
		return "", fmt.Errorf("node %s: %w", s.Path, err)
	}
	return what, nil
}
