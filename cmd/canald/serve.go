package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/election"
	"github.com/canald/canald/internal/instance"
	"github.com/canald/canald/internal/logging"
	"github.com/canald/canald/internal/meta"
	"github.com/canald/canald/internal/metrics"
	"github.com/canald/canald/internal/server"
)

// shutdownBound is how long an orderly end may take.
const shutdownBound = 20 * time.Second

// serve runs the server until the context ends or a part of it fails.
func serve(ctx context.Context, opts config.Options) error {
	// Somebody who closes the pipe that is our console must not end the server.
	signal.Ignore(syscall.SIGPIPE)
	logDir := filepath.Join(opts.Home, "logs")
	cfg, err := config.Load(opts)
	if err != nil {
		err = wrongConfiguration(err)
		reportFailedStart(logDir, err)
		return err
	}
	lock, err := lockServer(logDir)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	level, err := zapcore.ParseLevel(cfg.LogLevel)
	if err != nil {
		return fmt.Errorf("log level: %w", err)
	}
	logs, err := logging.New(logDir, logging.Options{Console: os.Stderr, Level: level, JSON: cfg.LogJSON})
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }()
	log := logs.Server()
	log.Info("## load canal configurations", zap.String(logging.Home, opts.Home))
	report(log, cfg.Warnings, cfg.Unknown, cfg.Inert)

	log.Info("## start the canal server.", zap.String(logging.Version, buildVersion()))
	port := "-1"
	var cl *cluster // made when the port is open
	host := newHost(cfg, logs, log, func() *cluster { return cl })
	seen := metrics.New(metrics.Config{
		Addr: cfg.Metrics.Addr, User: cfg.Metrics.User, Password: cfg.Metrics.Password,
		CertFile: cfg.Metrics.CertFile, KeyFile: cfg.Metrics.KeyFile, ReadyLimit: cfg.ReadyLimit, Version: buildVersion(),
	}, func() []metrics.Destination { return destinations(host, cl) }, log.Named("metrics"))
	actors := []actor{
		// After the server: an ack that a client sends at the end must still reach
		// the cursors that are flushed here.
		{name: "host", why: "no request is left; end the dumps, flush the cursors and give the destinations away", run: host.Run},
	}
	if cfg.Listen != "" {
		wake := func(ctx context.Context, name string) {
			if !cl.runsElsewhere(name) {
				host.Wake(ctx, name)
			}
		}
		srv := newServer(cfg, host, wake, seen.Observer(), log)
		// The port is opened before any instance starts: when it is in use, nothing has happened yet.
		if err := srv.Listen(); err != nil { //nolint:contextcheck // the port outlives every request
			log.Error(failedStart, zap.Error(err))
			return err
		}
		log.Info("listening for clients", zap.Stringer(logging.Addr, srv.Addr()))
		_, port, _ = net.SplitHostPort(srv.Addr().String())
		actors = slices.Insert(actors, 0, actor{name: "server", why: "accept nothing new and let running requests end", run: srv.Run})
	}
	if cl, err = joinCluster(ctx, cfg, logDir, port, log); err != nil {
		log.Error(failedStart, zap.Error(err))
		return err
	}
	if cl != nil {
		actors = append(actors,
			actor{name: "progress", why: "nothing moves any more", run: cl.tellProgress(host, log.Named("cluster"))},
			actor{name: "registration", why: "this server runs nothing any more", run: cl.election.Announce},
			actor{name: "ZooKeeper", why: "nothing is left to be written; close the session", run: cl.conn.Run})
	}
	if cfg.Metrics.Addr != "" {
		actors = append(actors, actor{name: "metrics", why: "nothing is left to be seen", run: seen.Run})
	}
	self := address(cfg, port)
	log.Info("## start the canal server[" + self + "]")
	actors = append(actors, actor{name: "service manager", why: "it was told that this process ends", run: func(ctx context.Context) error { return tellManager(ctx, log) }})
	log.Info("## the canal server is running now ......", zap.Strings(logging.Destination, cfg.Destinations))
	err = runActors(ctx, log, shutdownBound, actors)
	if err != nil {
		log.Error("##something goes wrong when stopping canal Server:", zap.Error(err))
	}
	log.Info("## stop the canal server[" + self + "]")
	log.Info("## canal server is down.")
	return err
}

// failedStart is what operators of Canal look for when nothing runs.
const failedStart = "## Something goes wrong when starting up the canal Server:"

// reportFailedStart puts a failure that comes before the log is opened into the
// log of a home that has one already.
func reportFailedStart(logDir string, failure error) {
	if info, err := os.Stat(logDir); err != nil || !info.IsDir() {
		return
	}
	lock, err := lockHome(logDir)
	if err != nil {
		return // the log is another process's
	}
	defer func() { _ = lock.Close() }()
	logs, err := logging.New(logDir, logging.Options{})
	if err != nil {
		return
	}
	defer func() { _ = logs.Close() }()
	for line := range strings.SplitSeq(failure.Error(), "\n") {
		logs.Server().Error(failedStart + " " + line)
	}
}

// address is this server as Canal's log names it: where it listens, what others
// are told, and the port.
func address(cfg *config.Config, port string) string {
	ip, _, _ := net.SplitHostPort(cfg.Listen)
	if ip == "" {
		ip = config.HostIPv4().String()
	}
	registered := cfg.RegisterIP
	if registered == "" {
		registered = ip
	}
	return ip + "(" + registered + "):" + port
}

// report tells what a configuration file says that has no effect.
func report(log *zap.Logger, warnings, unknown, inert []string) {
	for _, w := range warnings {
		log.Warn("configuration: " + w)
	}
	if len(unknown) > 0 {
		log.Info("configuration: unknown keys", zap.String(logging.Keys, strings.Join(unknown, ", ")))
	}
	for _, i := range inert {
		log.Warn("configuration: without effect: " + i)
	}
}

// newHost makes a host of the destinations that are configured and found. Each
// attempt to start one reads its configuration anew.
func newHost(cfg *config.Config, logs *logging.Logs, log *zap.Logger, joined func() *cluster) *instance.Host {
	open := func(name string, lease *election.Lease) (*instance.Instance, error) {
		in, err := cfg.Instance(name)
		if err != nil {
			return nil, err
		}
		log := logs.Destination(name)
		report(log, in.Warnings, in.Unknown, in.Inert)
		inTree := func() *meta.ZooKeeper {
			cl := joined()
			return meta.NewZooKeeper(cl.conn, lease, &cl.recall, log.Named("meta"))
		}
		var keeper meta.Keeper = meta.Memory{}
		switch {
		case in.InZooKeeper:
			keeper = meta.WithHistory(inTree(), logs.Meta(name))
		case in.KeepCursors:
			file, err := meta.NewFile(in.DataDir, name, log.Named("meta"))
			if err != nil {
				return nil, err
			}
			keeper = file
			if lease != nil {
				keeper = meta.NewShared(file, inTree(), log.Named("meta"))
			}
			keeper = meta.WithHistory(keeper, logs.Meta(name))
		}
		ic := instanceConfig(in, log)
		if lease != nil {
			ic.Shared = joined().structures(name, lease.Session(), log)
		}
		return instance.New(ic, keeper, log)
	}
	hosted := instance.HostConfig{
		Destinations: cfg.Destinations,
		ScanEvery:    cfg.ScanEvery,
		Open:         func(name string) (*instance.Instance, error) { return open(name, nil) },
		Check: func(name string) error {
			_, err := cfg.Instance(name)
			return err
		},
		Lazy: cfg.Lazy,
	}
	if cfg.ZooKeeper.Servers != "" {
		hosted.Elect = func(ctx context.Context, name string, asked <-chan struct{}, lead func(context.Context, instance.Lease) error) error {
			return joined().elect(open)(ctx, name, asked, lead)
		}
	}
	if cfg.ScanEvery > 0 {
		hosted.Scan = func() (map[string]instance.File, error) { return scan(cfg) }
	}
	return instance.NewHost(hosted, log.Named("host"))
}

func scan(cfg *config.Config) (map[string]instance.File, error) {
	found, err := cfg.Scan()
	if err != nil {
		return nil, err
	}
	files := make(map[string]instance.File, len(found))
	for name, f := range found {
		files[name] = instance.File{ModTime: f.ModTime, Size: f.Size, Err: f.Err, Read: f.Read}
	}
	return files, nil
}

// newServer makes the server that asks the host for sessions.
func newServer(cfg *config.Config, host *instance.Host, wake func(context.Context, string), observer *server.Observer, log *zap.Logger) *server.Server {
	open := func(destination string, id meta.ClientID) (server.Session, error) {
		s, err := host.Session(destination, id)
		if errors.Is(err, instance.ErrNotRunning) {
			return nil, server.ErrNotRunning
		}
		return s, err
	}
	return server.New(server.Config{Addr: cfg.Listen, User: cfg.User, PasswordHash: cfg.PasswordHash, Wake: wake}, open, log.Named("server"), observer)
}
