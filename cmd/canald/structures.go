package main

import (
	"context"
	"errors"
	"path"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/canald/canald/internal/zkconn"
)

// structures keeps what statements did to tables in ZooKeeper, for the next
// server that runs the destination.
type structures struct {
	conn    *zkconn.Conn
	session int64 // of the lease
	dir     string
	log     *zap.Logger
}

func (c *cluster) structures(destination string, session int64, log *zap.Logger) *structures {
	return &structures{conn: c.conn, session: session, dir: "/otter/canald/destinations/" + destination + "/structures", log: log}
}

// Bounds of what is kept: a node's size is ZooKeeper's (1 MiB), and the number of
// them what a server may have to read when it takes a destination over.
const (
	mostStructureBytes = 1000 << 10
	mostStructures     = 1000
	structuresWithin   = 5 * time.Second
)

// Put keeps a record.
func (s *structures) Put(key string, raw []byte) error {
	if len(raw) > mostStructureBytes {
		s.log.Warn("a change of structures is too large for ZooKeeper; the next server will ask the source instead", zap.String("key", key), zap.Int("bytes", len(raw)))
		return nil
	}
	return putNode(context.Background(), structuresWithin, s.conn, s.session, path.Join(s.dir, key), raw)
}

// All reads the records and takes the oldest away when they are many.
func (s *structures) All() ([][]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), structuresWithin)
	defer cancel()
	names, err := s.conn.Children(ctx, s.dir)
	if errors.Is(err, zkconn.ErrNoNode) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for len(names) > mostStructures {
		const anyVersion = -1
		if err := s.conn.Delete(ctx, s.session, path.Join(s.dir, names[0]), anyVersion); err != nil && !errors.Is(err, zkconn.ErrNoNode) {
			return nil, err
		}
		names = names[1:]
	}
	all := make([][]byte, 0, len(names))
	for _, name := range names {
		n, err := s.conn.Get(ctx, path.Join(s.dir, name))
		if err != nil {
			return nil, err
		}
		if n.Exists {
			all = append(all, n.Data)
		}
	}
	return all, nil
}
