package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/metrics"
	"github.com/canald/canald/internal/zkconn"
)

// cluster is what makes this server one of several. A nil one is a server alone.
type cluster struct {
	conn     *zkconn.Conn
	election *election.Election
	recall   meta.Recall
}

// sessionFile keeps what closes the ZooKeeper session of a process that died.
func sessionFile(logDir string) string { return filepath.Join(logDir, "zookeeper.session") }

// closeDeadBound is how long a start waits for the session of the process before.
const closeDeadBound = 5 * time.Second

// joinCluster prepares what canal.zkServers asks for; nil when it is empty. The
// home's lock is held and the port for clients is open: nobody else is this server.
func joinCluster(ctx context.Context, cfg *config.Config, logDir, port string, log *zap.Logger) (*cluster, error) {
	z := cfg.ZooKeeper
	if z.Servers == "" {
		return nil, nil
	}
	servers, err := zkconn.ParseServers(z.Servers)
	if err != nil {
		return nil, fmt.Errorf("canal.zkServers: %w", err)
	}
	registered, err := registeredAddress(cfg, port)
	if err != nil {
		return nil, err
	}
	log.Info("registering in ZooKeeper", zap.String("address", registered), zap.Stringer("servers", servers))
	zc, err := zooKeeperConfig(z)
	if err != nil {
		return nil, err
	}
	zc.Servers, zc.Name, zc.Timeout, zc.SessionFile = servers, registered, z.Timeout, sessionFile(logDir)
	closeCtx, cancel := context.WithTimeout(ctx, closeDeadBound)
	defer cancel()
	switch session, err := zkconn.CloseDead(closeCtx, zc.SessionFile, zc.TLS); {
	case err != nil:
		log.Warn("the ZooKeeper session of the process before cannot be closed; its nodes go when it ends by itself", zap.String("session", session), zap.Error(err))
	case session != "":
		log.Info("the ZooKeeper session that a dead process left is closed", zap.String("session", session))
	}
	c := &cluster{conn: zkconn.New(zc, log.Named("zookeeper"))}
	c.election = election.New(c.conn, election.Config{Address: registered}, log.Named("election"))
	return c, nil
}

// zooKeeperConfig is how a home speaks to ZooKeeper, whichever that is.
func zooKeeperConfig(z config.ZooKeeper) (zkconn.Config, error) {
	c := zkconn.Config{Private: z.Private}
	if z.User != "" {
		c.Digest = z.User + ":" + z.Password
	}
	var err error
	if c.TLS, err = z.TLS.Config(); err != nil {
		return c, fmt.Errorf("canald.zookeeper.tls: %w", err)
	}
	return c, nil
}

// homeTLS is what a home speaks to ZooKeeper with. A home whose configuration cannot be
// read any more may still have a session to close.
func homeTLS(o config.Options, diag io.Writer) (*tls.Config, error) {
	cfg, err := config.Load(o)
	if err != nil {
		_, _ = fmt.Fprintf(diag, "the configuration cannot be read, so ZooKeeper is spoken to without TLS: %v\n", err)
		return nil, nil
	}
	c, err := zooKeeperConfig(cfg.ZooKeeper)
	return c.TLS, err
}

// registeredAddress is how clients and other servers know this one.
func registeredAddress(cfg *config.Config, port string) (string, error) {
	host := cfg.RegisterIP
	if host == "" {
		host, _, _ = net.SplitHostPort(cfg.Listen)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		reachable := config.ReachableIPv4()
		if reachable == nil {
			return "", errors.New("no address of this host can be found for the cluster; set canal.ip or canal.register.ip")
		}
		host = reachable.String()
	}
	return host + ":" + port, nil
}

// elect runs destinations under their leases.
func (c *cluster) elect(open func(name string, lease *election.Lease) (*instance.Instance, error)) func(context.Context, string, <-chan struct{}, func(context.Context, instance.Lease) error) error {
	return func(ctx context.Context, destination string, asked <-chan struct{}, lead func(context.Context, instance.Lease) error) error {
		return c.election.RunLazy(ctx, destination, asked, func(ctx context.Context, l *election.Lease) error {
			ctx, stop := handOver(ctx)
			defer stop()
			return lead(ctx, instance.Lease{Valid: l.Valid, Open: func() (*instance.Instance, error) { return open(destination, l) }})
		})
	}
}

// handOver gives the end of a lease by order the cause that instances know.
func handOver(ctx context.Context) (context.Context, func()) {
	own, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, election.ErrReleased) {
			cause = instance.ErrHandOver
		}
		cancel(cause)
	})
	return own, func() {
		stop()
		cancel(nil)
	}
}

// runsElsewhere tells whether another server is known to run a destination.
func (c *cluster) runsElsewhere(destination string) bool {
	if c == nil {
		return false
	}
	e, ok := c.election.Status(destination)
	return ok && e.Role == election.Standby && e.Owner != ""
}

// describe adds what the election says of a destination.
func (c *cluster) describe(d *metrics.Destination) {
	e, ok := c.election.Status(d.Name)
	if !ok {
		return
	}
	d.Role, d.Epoch, d.Owner = string(e.Role), e.Epoch, e.Owner
	session, _ := c.conn.Session()
	switch {
	case e.Role == election.Suspended || e.Role == election.Waiting && !session.Connected:
		d.State, d.Since, d.Err = metrics.NoZooKeeper, session.Since, "there is no contact to ZooKeeper"
	case d.Status == nil && e.Role == election.Standby && d.State != metrics.Failed:
		d.State, d.Since = metrics.Standby, e.Since
	case d.Status == nil && e.Role == election.Standby && e.Owner != "": // another server can do what we cannot
		d.State, d.Since, d.Err = metrics.Standby, e.Since, ""
	}
}

// clusterCommand is canald cluster, which looks at the cluster and moves its parts.
func clusterCommand(options func() (config.Options, error)) *cobra.Command {
	c := &cobra.Command{Use: "cluster", Short: "Look at a cluster, and say who runs what", Args: cobra.NoArgs}
	tree := &treeOptions{options: options}
	c.AddCommand(clusterStatusCommand(tree), releaseCommand(tree), moveCommand(tree), drainCommand(tree), rebalanceCommand(tree), copyCommand(options))
	c.AddCommand(&cobra.Command{
		Use:   "close-session",
		Short: "End the ZooKeeper session that a dead process of this home left, so that others take over at once",
		Long: "close-session ends the ZooKeeper session of the server of this home, after it has died: its destinations are free at once,\n" +
			"and not only when the session times out. A server that runs is left alone, with exit code 1.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := options()
			if err != nil {
				return err
			}
			logDir := filepath.Join(o.Home, "logs")
			if _, err := os.Stat(sessionFile(logDir)); errors.Is(err, os.ErrNotExist) {
				_, err := fmt.Fprintln(cmd.OutOrStdout(), "no session is left")
				return err
			}
			secure, err := homeTLS(o, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			lock, err := lockHome(logDir)
			if err != nil {
				return fmt.Errorf("the server of this home seems to run: %w", err)
			}
			defer func() {
				_ = lock.Truncate(0)
				_ = lock.Close()
			}()
			if _, err := lock.WriteString(closingMark); err != nil {
				return fmt.Errorf("lock file: %w", err)
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), closeDeadBound)
			defer cancel()
			session, err := zkconn.CloseDead(ctx, sessionFile(logDir), secure)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "session %s is closed\n", session)
			return err
		},
	})
	return c
}
