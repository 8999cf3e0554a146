package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/canald/canald/internal/config"
	"github.com/canald/canald/internal/zkconn"
)

// Options says what to look at.
type Options struct {
	Config  config.Options
	Migrate bool // also say what will differ from the Java server whose home this was
	// Patience is how long a replica with our id is watched: a server that was
	// just stopped is listed until the source's next heartbeat. Zero is 35 s.
	Patience time.Duration
}

const defaultPatience = 35 * time.Second

// sourcesAtATime bounds the connections that a check opens at the same time.
const sourcesAtATime = 8

// Run looks at a home. It returns an error only when it was interrupted;
// everything else is a finding.
func Run(ctx context.Context, opts Options) (*Report, error) {
	r := &Report{Home: opts.Config.Home}
	cfg, err := config.Load(opts.Config)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			r.add(Finding{Problem, "configuration", "config", line, "the server ends with exit code 1 before it opens a port", "correct that line; canald config keys tells what a key expects"})
		}
		return r, nil
	}
	r.configuration("configuration", cfg.Warnings, cfg.Unknown, cfg.Inert)
	running := r.server(ctx, opts, cfg)
	instances := r.instances(cfg)
	sources := make([]*source, len(instances))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(sourcesAtATime)
	for i, in := range instances {
		g.Go(func() error {
			sources[i] = look(gctx, in)
			if !running {
				sources[i].waitForOwn(gctx, cmp.Or(opts.Patience, defaultPatience))
			}
			return gctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	ids := map[string]string{} // source and server id → destination
	for _, s := range sources {
		s.running = running
		key := s.in.Address + "/" + strconv.FormatUint(uint64(s.in.ServerID), 10)
		if other, ok := ids[key]; ok {
			r.add(Finding{
				Problem, s.in.Destination, "slave-id-twice",
				fmt.Sprintf("slaveId %d is used by %q too, on the same source", s.in.ServerID, other),
				"a source ends the older of two replicas with one id: both instances reconnect for ever",
				"give each instance its own canal.instance.mysql.slaveId",
			})
		}
		ids[key] = s.in.Destination
		s.report(r)
		if opts.Migrate {
			s.migrate(r)
		}
	}
	if opts.Migrate {
		migrateHome(r, opts.Config.Home)
	}
	return r, nil
}

func (r *Report) configuration(subject string, warnings, unknown, inert []string) {
	for _, w := range warnings {
		r.add(Finding{Warning, subject, "config-warning", w, "", "set or correct the key"})
	}
	for _, u := range unknown {
		r.add(Finding{Note, subject, "unknown-key", "nobody knows the key " + u, "", ""})
	}
	for _, i := range inert {
		r.add(Finding{Warning, subject, "without-effect", i, "the key is set and has no effect here", "take the key out, or live with it; docs/CONFIG.md names the reason for each"})
	}
	if len(warnings)+len(inert) == 0 {
		r.add(Finding{Level: OK, Subject: subject, Code: "config", What: "read without complaint"})
	}
}

// server looks at what the process itself needs. It returns whether a canald
// runs in the home now.
func (r *Report) server(ctx context.Context, opts Options, cfg *config.Config) bool {
	const subject = "server"
	logs := filepath.Join(opts.Config.Home, "logs")
	running := locked(filepath.Join(logs, "canal.lock"))
	if running {
		r.add(Finding{Level: Note, Subject: subject, Code: "running", What: "canald runs in this home now: its ports and its own replicas are taken for its own"})
	} else {
		r.port(ctx, subject, "client", "canal.port", cfg.Listen)
		r.port(ctx, subject, "metrics", "canal.metrics.pull.port", cfg.Metrics.Addr)
	}
	r.zooKeeper(ctx, cfg.ZooKeeper)
	r.folder(subject, "logs", logs, "logs cannot be written and the server does not start")
	var limit syscall.Rlimit
	const files = 1024
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err == nil && limit.Cur < files {
		r.add(Finding{
			Warning, subject, "open-files", fmt.Sprintf("only %d open files are allowed", limit.Cur),
			"each client connection, source and log file needs one", "ulimit -n 65536 before the start, or LimitNOFILE=65536 in the systemd unit",
		})
	}
	if f := cfg.Metrics.CertFile; f != "" {
		for _, path := range []string{f, cfg.Metrics.KeyFile} {
			if file, err := os.Open(path); err != nil {
				r.add(Finding{Problem, subject, "metrics-tls", err.Error(), "metrics and health are not served", "put the file there and make it readable for the server's account"})
			} else {
				_ = file.Close()
			}
		}
	}
	return running
}

// zooKeeper looks which servers of the ensemble can be reached, and trusted where
// TLS is on. It opens no session, so it changes nothing there.
func (r *Report) zooKeeper(ctx context.Context, z config.ZooKeeper) {
	servers, err := zkconn.ParseServers(z.Servers)
	if err != nil { // without a cluster, or reported with the configuration
		return
	}
	secure, err := z.TLS.Config()
	if err != nil {
		r.add(Finding{
			Problem, "server", "zookeeper-tls", err.Error(), "the server does not start",
			"put the file there and make it readable for the server's account, or correct canald.zookeeper.tls",
		})
		return
	}
	const repair = "start them, or correct canal.zkServers"
	var missed []string
	for _, addr := range servers.Addrs {
		if err := greet(ctx, addr, secure); err != nil {
			missed = append(missed, err.Error())
		}
	}
	f := Finding{Level: OK, Subject: "server", Code: "zookeeper", What: fmt.Sprintf("ZooKeeper can be reached at %d addresses", len(servers.Addrs))}
	switch {
	case len(missed) == len(servers.Addrs):
		f = Finding{Problem, f.Subject, f.Code, "ZooKeeper cannot be reached: " + strings.Join(missed, "; "), "the server waits and answers nobody", repair}
	case len(missed) > 0:
		f = Finding{Warning, f.Subject, f.Code, "a part of ZooKeeper cannot be reached: " + strings.Join(missed, "; "), "the next one that is lost may be one too many", repair}
	}
	r.add(f)
}

// greet connects, no more.
func greet(ctx context.Context, addr string, secure *tls.Config) error {
	const patience = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dial := (&net.Dialer{}).DialContext
	if secure != nil {
		dial = (&tls.Dialer{Config: secure}).DialContext
	}
	conn, err := dial(ctx, "tcp", addr)
	var network net.Error
	switch {
	case err == nil:
		return conn.Close()
	case errors.As(err, &network): // it names the address
		return err
	}
	return fmt.Errorf("%s: %w", addr, err)
}

// locked tells whether somebody holds the lock of a home.
func locked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		return errors.Is(err, syscall.EWOULDBLOCK)
	}
	return false
}

func (r *Report) port(ctx context.Context, subject, what, key, addr string) {
	if addr == "" {
		r.add(Finding{Level: Note, Subject: subject, Code: what + "-port", What: "the " + what + " port is switched off"})
		return
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		level, why := Problem, "the server ends with exit code 1 when its port is taken"
		if what == "metrics" {
			level, why = Warning, "the server runs without metrics and health until the port is free"
		}
		r.add(Finding{level, subject, what + "-port", err.Error(), why, "end the other program (ss -ltnp shows it), or choose another " + key})
		return
	}
	_ = l.Close()
	r.add(Finding{Level: OK, Subject: subject, Code: what + "-port", What: "the " + what + " port " + addr + " is free"})
}

// folder looks whether files can be made in a folder, or the folder itself.
func (r *Report) folder(subject, what, path, why string) {
	dir := path
	for { // the nearest folder that exists
		info, err := os.Stat(dir)
		if err == nil && info.IsDir() {
			break
		}
		if err == nil {
			r.add(Finding{Problem, subject, what + "-folder", dir + " is no folder", why, "move that file away"})
			return
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		break
	}
	const writeAndSearch = 3
	if err := syscall.Access(dir, writeAndSearch); err != nil {
		r.add(Finding{Problem, subject, what + "-folder", dir + ": " + err.Error(), why, "chown -R canald " + dir + " (the account that runs the server)"})
		return
	}
	var st syscall.Statfs_t
	const least = 100 << 20
	if err := syscall.Statfs(dir, &st); err == nil && uint64(st.Bsize)*st.Bavail < least {
		r.add(Finding{Warning, subject, what + "-space", fmt.Sprintf("%d MiB are free in %s", uint64(st.Bsize)*st.Bavail>>20, dir), why, "make room"})
	}
}

// instances reads the configuration of every destination.
func (r *Report) instances(cfg *config.Config) []config.Instance {
	var found map[string]config.Found
	if cfg.ScanEvery > 0 {
		var err error
		if found, err = cfg.Scan(); err != nil {
			r.add(Finding{Problem, "configuration", "scan", err.Error(), "no instance is found at run time", "make the folder, or correct canal.conf.dir"})
		}
		for _, name := range slices.Sorted(maps.Keys(found)) {
			if err := found[name].Err; err != nil {
				r.add(Finding{Problem, name, "instance-file", err.Error(), "the instance is not started", "correct the file's name or its permissions"})
			}
		}
	}
	names := cfg.Names(found)
	if len(names) == 0 {
		r.add(Finding{Problem, "configuration", "no-destination", "there is no destination", "the server has nothing to follow", "name one in canal.destinations and make conf/<destination>/instance.properties"})
	}
	var out []config.Instance
	for _, name := range names {
		in, err := cfg.Instance(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.add(Finding{Problem, name, "instance-missing", err.Error(), "the instance is not started until the file is there", "make conf/" + name + "/instance.properties, or take the name out of canal.destinations"})
		case err != nil:
			for line := range strings.SplitSeq(err.Error(), "\n") {
				r.add(Finding{Problem, name, "instance-config", line, "the instance is not started; the others are", "correct that line; it is read again when the file changes"})
			}
		default:
			r.configuration(name, in.Warnings, in.Unknown, in.Inert)
			out = append(out, in)
		}
	}
	return out
}
