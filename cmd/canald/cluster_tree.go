package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/zkconn"
)

// treeWait is how long a command waits for ZooKeeper.
const treeWait = 10 * time.Second

// treeOptions say which ZooKeeper a command means: the one that is named, or
// else that of the home's configuration.
type treeOptions struct {
	options func() (config.Options, error)
	servers string
}

func (t *treeOptions) flag(c *cobra.Command) {
	c.Flags().StringVar(&t.servers, "servers", "", "ZooKeeper's servers, as in canal.zkServers (default: what the home's configuration says)")
}

// home is the home's configuration. It need not be there when the servers are
// named, and is nil then.
func (t *treeOptions) home() (*config.Config, error) {
	o, err := t.options()
	if err != nil {
		return nil, err
	}
	cfg, err := config.Load(o)
	if errors.Is(err, fs.ErrNotExist) && t.servers != "" {
		return nil, nil
	}
	return cfg, err
}

// with calls f with a connection to ZooKeeper, which ends when f returns.
func (t *treeOptions) with(ctx context.Context, readOnly bool, f func(ctx context.Context, conn *zkconn.Conn) error) error {
	cfg, err := t.home()
	if err != nil {
		return err
	}
	servers := t.servers
	if servers == "" {
		servers = cfg.ZooKeeper.Servers
	}
	if servers == "" {
		return errors.New("canal.zkServers is empty: this is no cluster; --servers names one")
	}
	return withZooKeeper(ctx, cfg, servers, readOnly, f)
}

// withZooKeeper connects to the named servers, as the user whom the home's
// configuration names, when there is one.
func withZooKeeper(ctx context.Context, cfg *config.Config, text string, readOnly bool, f func(ctx context.Context, conn *zkconn.Conn) error) error {
	var z config.ZooKeeper
	if cfg != nil {
		z = cfg.ZooKeeper
	}
	servers, err := zkconn.ParseServers(text)
	if err != nil {
		return err
	}
	c, err := zooKeeperConfig(z)
	if err != nil {
		return err
	}
	c.Servers, c.Name, c.ReadOnly = servers, "canald cluster", readOnly
	conn := zkconn.New(c, zap.NewNop())
	running, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- conn.Run(running) }()
	if err = connected(ctx, conn, done); err == nil {
		err = f(ctx, conn)
	} else {
		err = fmt.Errorf("ZooKeeper %s: %w", servers, err)
	}
	cancel()
	return errors.Join(err, <-done)
}

func connected(ctx context.Context, conn *zkconn.Conn, done chan error) error {
	late := time.NewTimer(treeWait)
	defer late.Stop()
	for {
		s, changed := conn.Session()
		if s.Connected {
			return nil
		}
		select {
		case <-changed:
		case err := <-done:
			done <- nil
			return err
		case <-late.C:
			return fmt.Errorf("no server answers within %s", treeWait)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
