// Package harness starts the real servers and clients that tests and the demo
// run against: MySQL and MariaDB of several versions on loopback, each in a
// throw-away folder, and drivers for Canal's Java and Python clients.
//
// What is not on the machine is installed by test/parts/get.sh at first use. A
// server that can't be had is an error, never a skipped test.
//
// Each running process is owned by one goroutine, which ends with it.
package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
)

// Version names a server part of test/parts/get.sh: its kind, a dash and the
// first two numbers of its version.
type Version string

// The versions that get.sh knows.
const (
	MySQL97     Version = "mysql-9.7"
	MySQL80     Version = "mysql-8.0"
	MySQL56     Version = "mysql-5.6"
	MySQL55     Version = "mysql-5.5"
	MariaDB1011 Version = "mariadb-10.11"
	MariaDB114  Version = "mariadb-11.4"
	MariaDB102  Version = "mariadb-10.2"
)

const (
	sourcesVariable = "CANALD_TEST_SOURCES"
	startTimeout    = 60 * time.Second
	stopTimeout     = 30 * time.Second
	pollInterval    = 25 * time.Millisecond
	startAttempts   = 3
	// Added to the port to make a server id that no replica's id is likely to be.
	serverIDBase = 100000
)

// Versions returns the servers that the tests are asked to run against: the
// comma list in CANALD_TEST_SOURCES, or MySQL 9.7 and MariaDB 10.11.
func Versions() []Version {
	var versions []Version
	for name := range strings.SplitSeq(os.Getenv(sourcesVariable), ",") {
		if name = strings.TrimSpace(name); name != "" {
			versions = append(versions, Version(name))
		}
	}
	if len(versions) == 0 {
		return []Version{MySQL97, MariaDB1011}
	}
	return versions
}

// MySQL says whether the version is MySQL's rather than MariaDB's.
func (v Version) MySQL() bool { return strings.HasPrefix(string(v), "mysql-") }

// AtLeast compares the version's numbers, whichever kind of server it is.
func (v Version) AtLeast(major, minor int) bool {
	_, numbers, _ := strings.Cut(string(v), "-")
	first, second, _ := strings.Cut(numbers, ".")
	m, _ := strconv.Atoi(first)
	n, _ := strconv.Atoi(second)
	return m > major || m == major && n >= minor
}

// Server is a running MySQL or MariaDB with a row-format binlog named mysql-bin.
// Its character set is utf8mb4; root has no password and comes from 127.0.0.1.
type Server struct {
	Version Version
	// Addr is 127.0.0.1:port. It stays the same over Restart.
	Addr string
	Port int
	// User and Password are the account for canald: SELECT, REPLICATION SLAVE
	// and REPLICATION CLIENT on everything.
	User, Password string
	// Dir holds data/ (the data folder), tmp/ and server.log.
	Dir string

	args    []string
	process *process
}

// StartServer starts a server that keeps everything below dir, and returns when
// it answers. A data folder that dir already holds is used as it is, otherwise a
// new server with an empty binlog is made. extraArgs are options of the server
// and win over the harness's own. The server ends with Stop or Kill, and by
// SIGKILL when this process ends.
func StartServer(ctx context.Context, v Version, dir string, extraArgs ...string) (*Server, error) {
	part, err := ensurePart(ctx, string(v))
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", v, err)
	}
	data := filepath.Join(dir, "data")
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		if err := copyTree(filepath.Join(part, "data"), data); err != nil {
			return nil, fmt.Errorf("start %s: copy the data folder: %w", v, err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "tmp"), 0o700); err != nil {
		return nil, fmt.Errorf("start %s: %w", v, err)
	}

	s := &Server{Version: v, User: "canal", Password: "canal", Dir: dir}
	for attempt := 1; ; attempt++ {
		s.Port = FreePort()
		s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
		s.args = append(s.options(), extraArgs...)
		err = s.start(ctx, part)
		// Between finding the port and using it, somebody else may have taken it.
		if err == nil || attempt == startAttempts || !strings.Contains(err.Error(), "ddress already in use") {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// options are those of every server. Sizes and flushing are chosen for speed.
func (s *Server) options() []string {
	options := []string{
		"--datadir=" + filepath.Join(s.Dir, "data"),
		"--tmpdir=" + filepath.Join(s.Dir, "tmp"),
		// Relative to the data folder: an absolute path may be too long for a socket.
		"--socket=s.sock",
		"--pid-file=pid",
		"--bind-address=127.0.0.1",
		"--port=" + strconv.Itoa(s.Port),
		"--server-id=" + strconv.Itoa(serverIDBase+s.Port),
		"--log-bin=mysql-bin",
		"--binlog-format=ROW",
		"--sync-binlog=0",
		"--character-set-server=utf8mb4",
		"--max-allowed-packet=256M",
		"--skip-name-resolve",
		"--performance-schema=OFF",
		"--innodb-buffer-pool-size=64M",
		"--innodb-flush-log-at-trx-commit=2",
		"--innodb-use-native-aio=0",
	}
	if s.AtLeast(5, 6) {
		options = append(options, "--binlog-row-image=FULL")
	}
	return options
}

func (s *Server) start(ctx context.Context, part string) error {
	logPath := filepath.Join(s.Dir, "server.log")
	p, err := startProcess(exec.Command(filepath.Join(part, "bin", "server"), s.args...), logPath)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.Version, err)
	}
	s.process = p

	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var lastErr error
	for {
		conn, err := s.Conn(ctx)
		if err == nil {
			_ = conn.Close()
			return nil
		}
		lastErr = err
		select {
		case <-p.done:
			return fmt.Errorf("start %s: the server ended: %w\n%s", s.Version, p.err, tail(logPath))
		case <-ctx.Done():
			_ = s.Kill()
			return fmt.Errorf("start %s: %w: %w\n%s", s.Version, ctx.Err(), lastErr, tail(logPath))
		case <-time.After(pollInterval):
		}
	}
}

// Stop ends the server in an orderly way, or by force when that takes too long.
// Stopping a stopped server does nothing.
func (s *Server) Stop() error {
	if err := s.process.stop(stopTimeout); err != nil {
		return fmt.Errorf("stop %s: %w", s.Version, err)
	}
	return nil
}

// Kill ends the server at once, as a crash would, and waits until it is gone.
func (s *Server) Kill() error {
	s.process.kill()
	return nil
}

// Restart starts the server again on the same port and data, after stopping it
// if it still runs.
func (s *Server) Restart(ctx context.Context) error {
	if err := s.Stop(); err != nil {
		return err
	}
	part, err := ensurePart(ctx, string(s.Version))
	if err != nil {
		return err
	}
	return s.start(ctx, part)
}

// MySQL says whether this is MySQL rather than MariaDB.
func (s *Server) MySQL() bool { return s.Version.MySQL() }

// AtLeast compares the server's version, whichever kind of server it is.
func (s *Server) AtLeast(major, minor int) bool { return s.Version.AtLeast(major, minor) }

// Conn opens a connection as root, with no database chosen. The caller closes it.
func (s *Server) Conn(ctx context.Context) (*client.Conn, error) {
	return s.ConnAs(ctx, "root", "")
}

// ConnAs opens a connection for another account. The caller closes it.
func (s *Server) ConnAs(ctx context.Context, user, password string) (*client.Conn, error) {
	conn, err := client.ConnectWithDialer(ctx, "tcp", s.Addr, user, password, "", s.dial)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as %s: %w", s.Version, user, err)
	}
	return conn, nil
}

// Exec runs the statements one after the other as root, in one session of their
// own, and fails the test at the first error.
func (s *Server) Exec(t testing.TB, sql ...string) {
	t.Helper()
	conn, err := s.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, statement := range sql {
		if _, err := conn.Execute(statement); err != nil {
			t.Fatalf("%s: %s: %v", s.Version, shorten(statement), err)
		}
	}
}

func (s *Server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if s.Version == MySQL55 {
		return &greetingConn{Conn: conn}, nil
	}
	return conn, nil
}

// FreePort returns a TCP port of the loopback address that nobody listens on now.
func FreePort() int {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(fmt.Sprintf("no free port on loopback: %v", err))
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// ensurePart installs a part with get.sh when it is missing, and returns its folder.
func ensurePart(ctx context.Context, part string) (string, error) {
	root := os.Getenv("CANALD_PARTS")
	if root == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the parts: %w", err)
		}
		root = filepath.Join(home, ".cache", "canald", "parts")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("find the parts: %w", err)
	}
	dir := filepath.Join(root, part)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	folder, err := testFolder()
	if err != nil {
		return "", err
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, filepath.Join(folder, "parts", "get.sh"), part)
	cmd.Stdout = &output
	cmd.Stderr = &output
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("get the part %s: %w\n%s", part, err, output.Bytes())
	}
	return dir, nil
}

// shorten makes a statement fit for a test's failure message.
func shorten(sql string) string {
	const most = 200
	if len(sql) > most {
		return sql[:most] + "…"
	}
	return sql
}
