package meta

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
)

// Shared keeps a book in a file, where Java servers with file-instance.xml keep
// it, and in ZooKeeper, for the next server of the cluster: those begin at their
// own files, and lose what came between.
type Shared struct {
	file *File
	tree *ZooKeeper
	log  *zap.Logger
}

// NewShared makes a keeper for the time of a lease.
func NewShared(file *File, tree *ZooKeeper, log *zap.Logger) *Shared {
	return &Shared{file: file, tree: tree, log: log}
}

// laterBy is how much later the file must have been written than the tree to
// count instead of it. Both are written at once by us, by different clocks.
const laterBy = time.Minute

// Load takes what was saved later: the tree, by whichever canald had the lease
// last, or the file, when another hand wrote it since. The other one is brought
// up to it at once.
func (s *Shared) Load(ctx context.Context, destination string) (State, error) {
	tree, err := s.tree.Load(ctx, destination)
	if err != nil {
		return tree, err
	}
	file, err := s.file.Load(ctx, destination)
	inTree := hasCursor(tree)
	switch {
	case errors.Is(err, ErrBroken) && inTree:
		s.log.Error("meta.dat is broken; going on with the cursors in ZooKeeper", zap.Error(err))
		return tree, s.file.Save(ctx, tree)
	case err != nil:
		return file, err
	case !hasCursor(file): // a first start, or the first one here
		if len(tree.Clients) == 0 {
			tree.Clients = file.Clients
		}
	case !inTree:
		s.log.Info("ZooKeeper has no cursors of the destination: those of meta.dat count", zap.Int("clients", len(file.Clients)))
		tree.Clients = file.Clients
	case s.file.changed().After(s.tree.changed.Add(laterBy)):
		s.log.Warn("meta.dat was written after the cursors in ZooKeeper, by another server or by hand: it counts",
			zap.Time("written", s.file.changed()), zap.Time("in_zookeeper", s.tree.changed))
		tree.Clients = file.Clients
	case !slices.EqualFunc(tree.Clients, file.Clients, sameCursor):
		s.log.Info("the cursors in ZooKeeper count, and replace those of meta.dat", zap.Time("written", s.file.changed()), zap.Time("in_zookeeper", s.tree.changed))
	}
	if tree.Start == nil {
		tree.Start = file.Start
	}
	if len(tree.Clients) == 0 && tree.Start == nil {
		return tree, nil // the book saves what comes
	}
	return tree, s.Save(ctx, tree)
}

// Save writes both. The tree comes first: it says whether this server may.
func (s *Shared) Save(ctx context.Context, state State) error {
	if err := s.tree.Save(ctx, state); err != nil {
		return err
	}
	return s.file.Save(ctx, state)
}

func sameCursor(a, b Client) bool {
	return a.ID == b.ID && a.Cursor != nil && b.Cursor != nil && *a.Cursor == *b.Cursor
}

func hasCursor(s State) bool {
	for _, c := range s.Clients {
		if c.Cursor != nil {
			return true
		}
	}
	return false
}
