// Command demo shows canald at work: a real source on loopback in a throw-away
// folder, the canald binary in file mode, a small shop that somebody writes to,
// and the rows as they arrive at a real client.
//
// DEMO_SOURCE=mysql://user:password@host:port uses a server of your own; the demo
// makes and drops only its own schema there. DEMO_SECONDS sets how long it writes.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/canald/canald/client"
	"github.com/canald/canald/test/harness"
)

const (
	destination = "demo"
	schema      = "canald_demo_shop"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stopped := ctx.Err() != nil
	stop()
	switch {
	case stopped:
		say("stopped; everything is cleaned up")
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	seconds := 8
	if v := os.Getenv("DEMO_SECONDS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 3600 {
			return fmt.Errorf("DEMO_SECONDS=%q: a number from 1 to 3600 is expected", v)
		}
		seconds = n
	}
	dir, err := os.MkdirTemp("", "canald-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	src, err := openSource(ctx, filepath.Join(dir, "source"))
	if err != nil {
		return err
	}
	defer src.close()
	shop, err := openShop(ctx, src)
	if err != nil {
		return err
	}
	defer shop.close()

	say("starting canald in file mode in %s", dir)
	port := harness.FreePort()
	server, err := startCanald(ctx, filepath.Join(dir, "home"), port, src)
	if err != nil {
		return err
	}
	defer server.end()
	conn, err := connect(ctx, port, server.gone)
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "home", "canald.log"))
		return fmt.Errorf("connect to canald: %w; its log:\n%s", err, log)
	}
	defer conn.Close()

	say("the shop is open for %d seconds; each line is a row that arrived at the client:", seconds)
	writing, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	written := make(chan result, 1)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		rows, err := shop.trade(writing)
		written <- result{rows, err}
	}()
	// The shop's connection is the writer's until it is done.
	defer func() { cancel(); <-closed }()
	received, err := watch(ctx, conn, written)
	if err != nil {
		return err
	}
	w := received.written
	fmt.Println()
	say("rows written: %d   rows received: %d", w, received.rows)
	if w != received.rows {
		return errors.New("the counts differ")
	}
	say("equal; cleaning up")
	return nil
}

type result struct {
	rows int
	err  error
}

func say(format string, args ...any) {
	fmt.Printf("%s %s\n", bold("canald demo:"), fmt.Sprintf(format, args...))
}

// source is where the demo writes and canald reads.
type source struct {
	addr, user, password string // of the shop's writer
	canalUser, canalPass string // of canald
	close                func()
}

// openSource takes the user's own server, or brings and starts one.
func openSource(ctx context.Context, dir string) (*source, error) {
	if own := os.Getenv("DEMO_SOURCE"); own != "" {
		u, err := url.Parse(own)
		if err != nil || u.Scheme != "mysql" || u.Host == "" || u.User == nil {
			return nil, errors.New("DEMO_SOURCE must be mysql://user:password@host:port")
		}
		addr := u.Host
		if u.Port() == "" {
			addr += ":3306"
		}
		password, _ := u.User.Password()
		if password == "" {
			return nil, errors.New("DEMO_SOURCE: an account with a password is needed; Canal's configuration cannot say that there is none")
		}
		say("using your server at %s", addr)
		return &source{
			addr: addr, user: u.User.Username(), password: password,
			canalUser: u.User.Username(), canalPass: password, close: func() {},
		}, nil
	}
	version := harness.Version("mariadb-10.11")
	if v := os.Getenv("DEMO_VERSION"); v != "" {
		version = harness.Version(v)
	}
	say("starting %s on loopback; the first time it is downloaded, which takes a minute", version)
	get := exec.CommandContext(ctx, "test/parts/get.sh", string(version))
	get.Stdout, get.Stderr = os.Stderr, os.Stderr // shows how far it is
	if err := get.Run(); err != nil {
		return nil, fmt.Errorf("get %s: %w", version, err)
	}
	s, err := harness.StartServer(ctx, version, dir)
	if err != nil {
		return nil, err
	}
	return &source{
		addr: s.Addr, user: "root", canalUser: s.User, canalPass: s.Password,
		close: func() { _ = s.Stop() },
	}, nil
}

// running is the canald process; gone is closed when it has ended.
type running struct {
	cmd  *exec.Cmd
	gone chan struct{}
}

// startCanald writes a home and starts the binary that `make demo` has built.
func startCanald(ctx context.Context, home string, port int, src *source) (*running, error) {
	conf := filepath.Join(home, "conf", destination)
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return nil, err
	}
	main := fmt.Sprintf("canal.ip=127.0.0.1\ncanal.port=%d\ncanal.destinations=%s\ncanal.instance.global.spring.xml=classpath:spring/file-instance.xml\n", port, destination)
	if err := os.WriteFile(filepath.Join(home, "conf", "canal.properties"), []byte(main), 0o600); err != nil {
		return nil, err
	}
	instance := fmt.Sprintf("canal.instance.master.address=%s\ncanal.instance.dbUsername=%s\ncanal.instance.dbPassword=%s\ncanal.instance.filter.regex=%s\\\\..*\n",
		src.addr, escape(src.canalUser), escape(src.canalPass), schema)
	if err := os.WriteFile(filepath.Join(conf, "instance.properties"), []byte(instance), 0o600); err != nil {
		return nil, err
	}
	program, err := filepath.Abs("bin/canald")
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(home, "canald.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, program, "--home", home)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to handle
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start canald: %w", err)
	}
	r := &running{cmd: cmd, gone: make(chan struct{})}
	go func() {
		defer close(r.gone)
		_ = cmd.Wait() // its log says why
	}()
	return r, nil
}

// end stops canald in order.
func (r *running) end() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	<-r.gone
}

// escape writes a value for a properties file.
func escape(v string) string {
	return strings.ReplaceAll(v, `\`, `\\`)
}

func connect(ctx context.Context, port int, gone <-chan struct{}) (*client.Conn, error) {
	var last error
	for range 150 {
		c, err := client.Dial(ctx, client.Options{Addr: fmt.Sprintf("127.0.0.1:%d", port), Destination: destination})
		if err == nil {
			if err = c.Subscribe(ctx, ""); err == nil {
				return c, nil
			}
			_ = c.Close()
		}
		last = err
		select {
		case <-time.After(100 * time.Millisecond):
		case <-gone:
			return nil, errors.New("it ended")
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, last
}
